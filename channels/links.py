"""The links of a cell from moment to moment: what their gains are, and what they are taken for."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.csi import Knowledge
from channels.fading import Fade


class Gains(NamedTuple):
    """Power gains [1] of both directions, (..., K)."""

    up: NDArray
    down: NDArray


class Moment(Protocol):
    """Links at a moment; a value, which knows what comes after it."""

    @property
    def gains(self) -> Gains:
        """The truth."""
        ...

    @property
    def mean_gain(self) -> NDArray:
        """Mean power gain (K,) of the links where they are now, over fading [1]."""
        ...

    def seen(self, rng: np.random.Generator, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What the gains are taken for: estimates, with the margin that leaves them too high with probability ``outage``."""
        ...

    def after(self, rng: np.random.Generator, elapsed: float) -> "Moment":
        """The links some time [s] later."""
        ...


class Air(Protocol):
    """Where a simulation takes its links from: a cell, or a recording."""

    @property
    def mean_gain(self) -> NDArray:
        """Mean power gain (K,) of the links at the beginning [1]."""
        ...

    def start(self, rng: np.random.Generator) -> Moment:
        """The links at the beginning."""
        ...

    def forecast(self, rng: np.random.Generator, blocks: int, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What gains (blocks, K) may be taken for, independently of each other, as by ``Moment.seen``."""
        ...


class Spot(NamedTuple):
    """Where K devices are, and what is the same for all frequencies and antennas there; (K,) but for the position.

    Attributes
    ----------
    position : (K, 2) array
        In the plane around the server [m].
    speed : (K,) array
        [m/s].
    travelled : (K,) array
        Length of the way up to here [m].
    sight : (K,) bool array
        Whether there is a line of sight.
    mean_gain : (K,) array
        Power gain of path loss and shadowing [1].
    """

    position: NDArray
    speed: NDArray
    travelled: NDArray
    sight: NDArray
    mean_gain: NDArray

    @property
    def distance(self) -> NDArray:
        """From the server, along the ground (K,) [m]."""
        return np.hypot(self.position[..., 0], self.position[..., 1])


def over_band(gain: NDArray) -> NDArray:
    """One gain (...) [1] for subchannels (..., M): their geometric mean.

    A link that is spread over the band carries the mean of log(1 + SNR), which is convex in the log of the gain. So it carries
    at least what the geometric mean would, and just that where the SNR is high (the mean would promise too much).
    """
    with np.errstate(divide="ignore"):
        found: NDArray = np.exp(np.mean(np.log(gain), axis=-1))
    return found


def taken_for(rng: np.random.Generator, fade: Fade, doppler: NDArray, knowledge: Knowledge, outage: float) -> NDArray:
    """What small-scale gains are taken for (n,) or (n, M) [1], at Doppler frequencies (n,) [Hz].

    Raises
    ------
    ValueError
        Where estimates are not perfect and the law of the fading does not say what one knows of the other.
    """
    if knowledge.perfect:
        return fade.gain
    h, mean = getattr(fade, "h", None), getattr(fade, "mean", None)
    if h is None or mean is None or h.ndim > 2:
        raise ValueError("estimates with an error or a delay need fading by Rayleigh's or Rician's law, flat over the "
                         f"band, got {type(fade).__name__}")
    return knowledge.estimate(rng, h, mean, doppler).exceeded(outage)
