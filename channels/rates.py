r"""Shannon rates of orthogonal links, and their inverses.

A link is known by one number, its *reach* s = p g / N0 [Hz], the bandwidth at which its signal-to-noise
ratio (SNR) is one:

.. math:: r(b, s) = b \log_2(1 + s / b),                                                           \tag{1}

increasing and concave in b, with the wide-band limit s / ln 2. All functions take numpy arrays, torch tensors (float64), or
plain numbers, and answer in kind.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays

LN2 = float(np.log(2.0))
_LEAST, _MOST = 1e-300, 1 - 1e-15           # crowding beyond which a double cannot tell the root from its limit
_LONGEST = 700.0                            # nats a second and hertz from which on the reach is called infinite


def rate(bandwidth: ArrayLike, reach: ArrayLike) -> NDArray:
    """Rate (1) of a link [bit/s], 0 at b = 0; arrays broadcast, bandwidth and reach in [Hz]."""
    xp, b, s = float_arrays(bandwidth, reach)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray = xp.where(b <= 0, 0.0, b * xp.log1p(s / b)) / LN2
    return found


def snr_for(crowding: ArrayLike) -> NDArray:
    r"""SNR x > 0 at which a link of a given *crowding* a = r ln2 / s runs: the root of log1p(x) = a x.   (2)

    a in (0, 1) is the share of the wide-band limit that is asked for; the root is ``inf`` at a <= 0 and 0
    at a >= 1, where no bandwidth is enough. Relative error below 1e-9 from -60 to 120 dB.
    """
    xp, a = float_arrays(crowding)
    x = snr_within(xp, xp.clip(a, _LEAST, _MOST))
    return xp.where((a > _LEAST) & (a < _MOST), x, xp.where(a > 0.5, 0.0, xp.inf))


def snr_within(xp: Any, a: NDArray) -> NDArray:
    r"""The root of (2) for crowding within [1e-300, 1 - 1e-15], by arrays of the namespace ``xp``.

    In textbooks x = -W_{-1}(-a e^{-a}) / a - 1, but the Lambert function stands on its branch point in deep fades, so (2)
    is solved as it is. With z = a (1 + x) it reads z - ln z = a - ln a: one step of Halley's from the series at z = 1,
    then one more on (2) itself, where small x does not cancel. Closer to the limit x = 2d + 8d^2/3 + ..., d = 1 - a.
    """
    left = 1 - a
    excess = xp.log(a)
    excess += left                                      # minus (z - ln z - 1) at the root
    root = xp.sqrt(-2 * excess)
    y = root * (5 / 12)                                 # z - 1
    y += 1
    y *= root
    z = 1 + y
    miss = y - xp.log1p(y)
    miss += excess
    slope = y / z
    slope -= miss / (2 * y * z)
    y -= miss / slope
    y += left
    x = xp.where(left < 1e-4, left * (2 + left * (8 / 3)), y / a)
    part = 1 / (1 + x)
    miss, slope = xp.log1p(x) - a * x, part - a
    part *= part
    part *= miss
    part /= 2 * slope
    part += slope
    x -= miss / part
    return x


def bandwidth_for(rate: ArrayLike, reach: ArrayLike) -> NDArray:
    """Least bandwidth [Hz] that carries ``rate`` [bit/s] over a link of ``reach`` [Hz].

    The inverse of :func:`rate` in b: 0 for no rate, ``inf`` from the wide-band limit on (or without reach).
    """
    xp, r, s = float_arrays(rate, reach)
    crowding = xp.where(s > 0, r * LN2 / xp.where(s > 0, s, 1.0), xp.where(r > 0, xp.inf, 0.0))
    snr = snr_for(crowding)
    return xp.where(crowding <= 0, 0.0, xp.where(snr > 0, s / xp.where(snr > 0, snr, 1.0), xp.inf))


def reach_for(rate: ArrayLike, bandwidth: ArrayLike) -> NDArray:
    """Least reach [Hz] that carries ``rate`` [bit/s] in ``bandwidth`` [Hz]: s = b (2^{r/b} - 1), ``inf`` past 2^1000."""
    xp, r, b = float_arrays(rate, bandwidth)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = r * LN2 / b
        asked = b * xp.expm1(exponent)
    return xp.where(r <= 0, 0.0, xp.where((b > 0) & (exponent < _LONGEST), asked, xp.inf))
