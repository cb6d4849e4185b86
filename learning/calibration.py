"""What a pilot run measured, as plain data, and the power law through a measured curve."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.crossing import Compression


@dataclass(frozen=True)
class Calibration:
    """What the pilot measured, for C cuts, J ratios, V compressions, N intervals and L blocks.

    All arrays are nested tuples, so that it is plain data.

    Attributes
    ----------
    cuts : (C,)
    ratios : (J,)
        Where kappa was measured.
    bias : (C, J)
        kappa, (1) of ``learning.calibrate`` [1].
    scale, exponent, ratio_max : (C,)
        The fit kappa = scale rho^exponent, and the ratio up to which it was made [1].
    compressions : (V,)
        The variants as mappings, fields of ``Compression`` by name; the algorithm's own is the first.
    compression_bias : (C, V)
        Squared bias of the compression, relative as kappa [1].
    compression_noise : (C, V)
        Mean of beta Omega, Omega the variance that the compression adds to one device's mini-batch gradient; what rounding of
        updates adds is weighed by its own curvature in the place of beta (``learning.distortion``).
    intervals : (N,)
        Rounds between two averagings; 1 is the first.
    drift : (C, N)
        Squared bias of averaging only so often, relative as kappa (``learning.drift``) [1].
    misalignment : (C, N)
        What averaging only so often takes of a round's descent to first order, at least 0 (``learning.drift``) [1].
    energy : (L, J)
        Share of each block's squared norm that pruning takes, |w - m * w|^2 / |w|^2; zero where nothing can be pruned [1].
    sampling_noise : float
        Mean of beta sigma^2, sigma^2 the variance of one device's mini-batch gradient: sum omega_k^2 sigma_k^2 / sum omega_k^2.
    square : float
        Mean of |grad F|^2.
    dissimilarity : float
        B^2, the sum of sum omega_k |grad F_k|^2 over that of |grad F|^2 [1].
    smoothness : float
        beta, the largest seen.
    start : float
        theta: loss at the start less the lowest seen [nat].
    sampling, gradient, weight : (L,)
        sigma_j^2, G_j^2 and W_j^2: variance of a mini-batch gradient, its mean square, and the squared norm of the weights,
        the largest seen.
    rounds : int
        Length of the pilot, R_0.
    errors : mapping
        By the name of a field, half-widths of 95 % intervals, of its shape and unit (``learning.jackknife`` says what they
        cover); infinite where there was one checkpoint.
    """

    cuts: tuple[int, ...]
    ratios: tuple[float, ...]
    bias: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    exponent: tuple[float, ...]
    ratio_max: tuple[float, ...]
    compressions: tuple[dict[str, Any], ...]
    compression_bias: tuple[tuple[float, ...], ...]
    compression_noise: tuple[tuple[float, ...], ...]
    intervals: tuple[int, ...]
    drift: tuple[tuple[float, ...], ...]
    misalignment: tuple[tuple[float, ...], ...]
    energy: tuple[tuple[float, ...], ...]
    sampling_noise: float
    square: float
    dissimilarity: float
    smoothness: float
    start: float
    sampling: tuple[float, ...]
    gradient: tuple[float, ...]
    weight: tuple[float, ...]
    rounds: int
    errors: dict[str, Any]

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Calibration":
        """From a mapping with lists in place of tuples, as a JSON file has them."""
        return cls(**{name: plainly(value) for name, value in plain.items()})

    def cut_number(self, cut: int) -> int:
        """Index of a cut [blocks] in what has C rows."""
        return _index(self.cuts, cut, "the cut", "blocks")

    def compression_number(self, compression: Compression) -> int:
        """Index of a compression in what has V columns."""
        return _index(self.compressions, asdict(compression), "the compression", "bit, 1")

    def interval_number(self, interval: int) -> int:
        """Index of an interval [rounds] in what has N columns."""
        return _index(self.intervals, interval, "the interval", "rounds")


def _index(measured: Sequence[Any], wanted: Any, what: str, unit: str) -> int:
    if wanted not in measured:
        raise ValueError(f"{what} {wanted} [{unit}] was not measured: the calibration has {list(measured)}; measure again")
    return measured.index(wanted)


def plainly(value: Any) -> Any:
    """Arrays and lists as nested tuples of Python's numbers."""
    if isinstance(value, Mapping):
        return {name: plainly(v) for name, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(map(plainly, value)) if isinstance(value, list) else value


def fit_power_law(ratios: NDArray, bias: NDArray, most_bias: float) -> tuple[float, float, float]:
    """Scale, exponent (at least 1: convex) and largest ratio of the fit bias = scale ratio^exponent below ``most_bias``.

    Least squares of the logarithms over the points below ``most_bias``, or over the first point alone; a bias that was too small
    to be told from zero is left out. The largest ratio is where the fit or the measured curve reaches ``most_bias``, whichever
    comes first.
    """
    good = np.cumprod(bias <= most_bias).astype(bool)
    good[0] = True
    seen = good & (bias > 0) if np.any(bias[good] > 0) else good
    x, y = np.log(ratios[seen]), np.log(np.maximum(bias[seen], 1e-12))
    slope = float(np.polyfit(x, y, 1)[0]) if seen.sum() > 1 else 1.0
    exponent = max(slope, 1.0)
    scale = float(np.exp(np.mean(y - exponent * x)))
    last = slice(int(good.sum()) - 1, int(good.sum()) + 1)
    crossing = 1.0 if good.all() else float(np.interp(most_bias, bias[last], ratios[last]))
    return scale, exponent, min((most_bias / scale) ** (1 / exponent), crossing)
