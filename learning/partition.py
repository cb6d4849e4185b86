"""Who holds which samples: every partition covers its data set once, and leaves no device empty.

All ways have one form, ``way(labels, devices, rng, setting)``: labels (n,) from 0 in, one rising array of indices a device out.

- ``iid``: classes as in all the data, equal sizes (McMahan et al., arXiv 1602.05629).
- ``dirichlet``: skewed classes, sizes that differ: each class over the devices (Yurochkin et al., arXiv 1905.12022).
- ``dirichlet_equal``: skewed classes, equal sizes: the classes of each device (Hsu et al., arXiv 1909.06335).
- ``shards``: few classes, equal sizes (McMahan et al., arXiv 1602.05629).
- ``by_size``: classes as in all the data, sizes that differ.
"""

from collections.abc import Sequence

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
    _check_concentration(concentration)
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


def dirichlet_equal(labels: NDArray, devices: int, rng: np.random.Generator, concentration: float = 1.0) -> list[NDArray]:
    """Indices of label-skewed shares of equal size (within one sample).

    Each device draws its own distribution of classes q ~ Dirichlet(concentration p), p the shares of the classes in the data, and
    takes its number of samples by it without replacement. The parameters add up to ``concentration``, so that 1 with ten classes
    is as skewed as 0.1 a class.

    Where devices want more of a class than there is, chance decides among their samples who gets it. What they are denied is
    drawn again from q, renormalised over the classes that are left (by what is left, when q has nothing there). So a skew
    smaller than asked for is dealt out to all alike, not to the last in line.
    """
    _check(labels, devices)
    _check_concentration(concentration)
    there = np.unique_counts(labels).counts
    wanted = rng.dirichlet(np.maximum(concentration * there / len(labels), np.finfo(float).tiny), devices)       # q (K, C)
    counts = _without_replacement(apportion(len(labels), np.ones(devices)), wanted, there, rng)
    return _hand_out(labels, counts, rng)


def shards(labels: NDArray, devices: int, rng: np.random.Generator, each: int = 2) -> list[NDArray]:
    """Indices of shares with few classes: samples in the order of their labels are cut into equal shards, ``each`` for a device.

    Chance deals the shards out. A device holds at most ``each`` classes when shards end where classes do, and a few more when a
    shard spans a border.
    """
    _check(labels, devices)
    if not isinstance(each, int | np.integer) or not 1 <= each <= len(labels) // devices:
        raise ValueError(f"each must be between 1 and {len(labels) // devices} shards a device ({len(labels)} samples, {devices} "
                         f"devices), got {each}")
    order = rng.permutation(len(labels))
    pieces = np.array_split(order[np.argsort(labels[order], kind="stable")], devices * each)
    return [np.sort(np.concatenate([pieces[i] for i in own])) for own in rng.permutation(devices * each).reshape(devices, each)]


def by_size(labels: NDArray, devices: int, rng: np.random.Generator, spread: float = 1.0) -> list[NDArray]:
    """Indices of random shares of unequal size: one sample each, the rest by log-normal weights.

    ``spread`` is the standard deviation of the logarithm of a weight [1]: two devices in three are within a factor e^spread of
    the median; 0 makes all equal.
    """
    _check(labels, devices)
    if not 0 <= spread < np.inf:
        raise ValueError(f"spread must be zero or positive, and finite [1], got {spread}")
    heights = spread * rng.standard_normal(devices)
    sizes = 1 + apportion(len(labels) - devices, np.exp(heights - heights.max()))
    return [np.sort(part) for part in np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])]


def class_counts(labels: NDArray, parts: Sequence[NDArray]) -> NDArray:
    """How many samples of each class each device holds (K, C) [samples]; classes from 0 to the largest label."""
    classes = int(np.max(labels)) + 1
    return np.array([np.bincount(labels[part], minlength=classes) for part in parts])


def apportion(total: int, weights: NDArray) -> NDArray:
    """Whole numbers (n,) that add up to ``total``, each within one of its proportional share (largest remainders first)."""
    exact = total * (weights / weights.sum())
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[:total - whole.sum()]] += 1
    return whole


def _without_replacement(need: NDArray, wanted: NDArray, there: NDArray, rng: np.random.Generator) -> NDArray:
    """Samples of each class for each device (K, C), as many as it needs (K,); each turn but the last exhausts a class."""
    counts = np.zeros(wanted.shape, int)
    while (missing := need - counts.sum(1)).any():
        left = there - counts.sum(0)
        odds = np.where(left > 0, wanted, 0.0)
        odds[odds.sum(1) < np.finfo(float).tiny] = left
        asked = rng.multinomial(missing, odds / odds.sum(1, keepdims=True))
        for label in range(len(there)):
            many = asked[:, label].sum() > left[label]
            counts[:, label] += rng.multivariate_hypergeometric(asked[:, label], left[label]) if many else asked[:, label]
    return counts


def _hand_out(labels: NDArray, counts: NDArray, rng: np.random.Generator) -> list[NDArray]:
    """Random samples of each class, as many for each device as ``counts`` (K, C) says."""
    members = [np.split(rng.permutation(np.flatnonzero(labels == label)), np.cumsum(column)[:-1])
               for label, column in zip(np.unique(labels), counts.T, strict=True)]
    return [np.sort(np.concatenate(own)) for own in zip(*members, strict=True)]


def _check(labels: NDArray, devices: int) -> None:
    if np.ndim(labels) != 1:
        raise ValueError(f"labels must be one whole number a sample (n,), got shape {np.shape(labels)}")
    if not isinstance(devices, int | np.integer) or not 1 <= devices <= len(labels):
        raise ValueError(f"devices must be between 1 and the {len(labels)} samples, got {devices}")


def _check_concentration(concentration: float) -> None:
    if not 0 < concentration < np.inf:
        raise ValueError(f"concentration must be positive and finite [1], got {concentration}")
