r"""What is known of a link when its rate is chosen: an estimate that is noisy, and some time old.

A link of N antennas is a vector h around its dominant part m (0 where there is none), the scattered power of an antenna being
s^2. Estimate h' and truth h scatter alike, with a correlation r that makes up for both noise (error variance e) and age
(v wavelengths moved since), so that, given the estimate,

.. math::

    h = m + r\,(h' - m) + \sqrt{1 - r^2}\, s\, w, \quad w \sim CN(0, I), \quad r = \sqrt{1 - e}\, J_0(2 \pi v) \tag{1}

and the power |h|^2, counted in halves of (1 - r^2) s^2, is noncentral chi-square with 2N degrees of freedom.        (2)
A rate that is chosen for a power g is lost if |h|^2 < g: an *outage*. By (2) its probability, and the power that
the link exceeds with any probability that is asked for, are known exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chndtr, chndtrix, j0, ndtr, ndtri

from channels.fading import combined

SURE = 1e6         # noncentrality beyond which (2) is a normal law (to 1e-6 of its spread)


@dataclass(frozen=True)
class Estimate:
    """Links as they look to who chooses their rates; (..., K) for K links.

    Attributes
    ----------
    gain : (..., K) array
        Power |h'|^2 of the estimate [1].
    likely : (..., K) array
        Power |m + r (h' - m)|^2 around which the truth lies [1].
    spread : float or (..., K) array
        Scattered power (1 - r^2) s^2 of an antenna that the estimate does not know [1].
    antennas : int
        N, whose powers add up.
    """

    gain: NDArray
    likely: NDArray
    spread: NDArray
    antennas: int = 1

    def exceeded(self, outage: float) -> NDArray:
        """Power (..., K) [1] below which the truth lies with probability ``outage``; the estimate itself where that is 0."""
        if not 0 <= outage < 1:
            raise ValueError(f"outage must be a probability within [0, 1) [1], got {outage}")
        if outage == 0:
            return self.gain
        unit, shift = self._shift()
        close = np.minimum(shift, SURE)
        normal = shift + 2 * self.antennas + ndtri(outage) * np.sqrt(4 * self.antennas + 4 * shift)
        found = unit * np.where(shift < SURE, chndtrix(outage, 2 * self.antennas, close), normal)
        return np.where(unit > 0, found, self.likely)

    def outage(self, power: ArrayLike) -> NDArray:
        """Probability (..., K) [1] that the truth lies below a ``power`` (..., K) [1]."""
        unit, shift = self._shift()
        asked = np.asarray(power, float) / np.where(unit > 0, unit, 1.0)
        normal = ndtr((asked - shift - 2 * self.antennas) / np.sqrt(4 * self.antennas + 4 * shift))
        found = np.where(shift < SURE, chndtr(asked, 2 * self.antennas, np.minimum(shift, SURE)), normal)
        return np.where(unit > 0, found, np.asarray(power) > self.likely)

    def _shift(self) -> tuple[NDArray, NDArray]:
        """Half the unknown power, and the noncentrality of (2)."""
        unit = np.broadcast_to(np.asarray(self.spread, float) / 2, self.likely.shape)
        return unit, self.likely / np.where(unit > 0, unit, 1.0)


@dataclass(frozen=True)
class Knowledge:
    """How good estimates are.

    Attributes
    ----------
    error : float
        e, share of the scattered power that the estimate of a link gets wrong [1].
    delay : float
        Time from the estimate to its use [s].
    """

    error: float = 0.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.error <= 1:
            raise ValueError(f"error must be a share within [0, 1] [1], got {self.error}")
        if not 0 <= self.delay < np.inf:
            raise ValueError(f"delay must be finite and zero or more [s], got {self.delay}")

    @property
    def perfect(self) -> bool:
        """Whether what is known is the truth."""
        return self.error == 0 and self.delay == 0

    def correlation(self, doppler: ArrayLike = 0.0) -> NDArray:
        """r of (1) [1] at a Doppler frequency (...) [Hz]: wavelengths that are moved in a second."""
        return np.sqrt(1 - self.error) * j0(2 * np.pi * np.asarray(doppler, float) * self.delay)

    def estimate(self, rng: np.random.Generator, h: NDArray, mean: NDArray, doppler: ArrayLike = 0.0) -> Estimate:
        """The estimate of links ``h`` (..., K, N), complex, with dominant parts ``mean`` of that shape, at (..., K) Doppler [Hz].

        Their power, scattered and dominant together, has mean one on each antenna.
        """
        scattered = 1 - np.abs(mean[..., 0]) ** 2                                                  # s^2
        r = np.broadcast_to(self.correlation(doppler), h.shape[:-1])[..., None]
        noise = (rng.standard_normal((*h.shape, 2)) @ (1, 1j)) * np.sqrt(scattered / 2)[..., None]
        seen = mean + r * (h - mean) + np.sqrt(1 - r**2) * noise
        likely = mean + r * (seen - mean)
        return Estimate(combined(seen), combined(likely), (1 - r[..., 0] ** 2) * scattered, h.shape[-1])
