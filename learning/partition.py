"""Who holds which samples: every partition covers its data set once, and leaves no device empty."""

import numpy as np
from numpy.typing import NDArray


def iid(labels: NDArray, devices: int, rng: np.random.Generator) -> list[NDArray]:
    """Indices of equal random shares, one array a device."""
    _check(labels, devices)
    return [np.sort(part) for part in np.array_split(rng.permutation(len(labels)), devices)]


def dirichlet(labels: NDArray, devices: int, rng: np.random.Generator, concentration: float = 1.0) -> list[NDArray]:
    """Indices of label-skewed shares: each class is spread over the devices by Dirichlet(concentration).

    The convention "per class over clients": sizes differ too; small concentrations give a device few classes. A device
    left empty takes one sample from the largest.
    """
    _check(labels, devices)
    if not 0 < concentration < np.inf:
        raise ValueError(f"concentration must be positive and finite [1], got {concentration}")
    parts: list[list[NDArray]] = [[] for _ in range(devices)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = np.cumsum(rng.dirichlet(np.full(devices, concentration))) * len(members)
        for part, chunk in zip(parts, np.split(members, ends[:-1].round().astype(int)), strict=True):
            part.append(chunk)
    shares = [np.sort(np.concatenate(part)) for part in parts]
    for k in [k for k, share in enumerate(shares) if len(share) == 0]:
        largest = max(range(devices), key=lambda j: len(shares[j]))
        shares[k], shares[largest] = shares[largest][:1], shares[largest][1:]
    return shares


def _check(labels: NDArray, devices: int) -> None:
    if not 1 <= devices <= len(labels):
        raise ValueError(f"devices must be between 1 and the {len(labels)} samples, got {devices}")
