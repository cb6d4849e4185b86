"""What a pilot run measured, as plain data, and the power law through a measured curve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """What the pilot measured, for C cuts, J ratios and L blocks; all arrays as nested tuples, so that it is plain data.

    Attributes
    ----------
    cuts : (C,)
    ratios : (J,)
        Where kappa was measured.
    bias : (C, J)
        kappa (1) [1].
    scale, exponent, ratio_max : (C,)
        The fit kappa = scale rho^exponent, and the ratio up to which it was made [1].
    compression_bias : (C,)
        Squared bias of the compression at the cut, relative as in (1) [1].
    compression_noise : (C,)
        Mean of beta Omega, Omega the variance that the compression adds to one device's gradient.
    sampling_noise : float
        Mean of beta sigma^2, sigma^2 the variance of one device's mini-batch gradient.
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
    """

    cuts: tuple[int, ...]
    ratios: tuple[float, ...]
    bias: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    exponent: tuple[float, ...]
    ratio_max: tuple[float, ...]
    compression_bias: tuple[float, ...]
    compression_noise: tuple[float, ...]
    sampling_noise: float
    dissimilarity: float
    smoothness: float
    start: float
    sampling: tuple[float, ...]
    gradient: tuple[float, ...]
    weight: tuple[float, ...]
    rounds: int

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Calibration":
        """From a mapping with lists in place of tuples, as a JSON file has them."""
        return cls(**{name: _tuples(value) for name, value in plain.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def fit_power_law(ratios: NDArray, bias: NDArray, most_bias: float) -> tuple[float, float, float]:
    """Scale, exponent (at least 1: convex) and largest ratio of the fit bias = scale ratio^exponent below ``most_bias``.

    Least squares of the logarithms over the points below ``most_bias``, or over the first point alone; the largest
    ratio is where the fit or the measured curve reaches ``most_bias``, whichever comes first.
    """
    good = np.cumprod(bias <= most_bias).astype(bool)
    good[0] = True
    x, y = np.log(ratios[good]), np.log(np.maximum(bias[good], 1e-12))
    slope = float(np.polyfit(x, y, 1)[0]) if good.sum() > 1 else 1.0
    exponent = max(slope, 1.0)
    scale = float(np.exp(np.mean(y - exponent * x)))
    last = slice(int(good.sum()) - 1, int(good.sum()) + 1)
    crossing = 1.0 if good.all() else float(np.interp(most_bias, bias[last], ratios[last]))
    return scale, exponent, min((most_bias / scale) ** (1 / exponent), crossing)
