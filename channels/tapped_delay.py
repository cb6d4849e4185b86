r"""Fading over a band: the tapped delay lines of 3GPP TR 38.901 (V16.1.0), tables 7.7.2-1 to 7.7.2-5.

Waves arrive by L taps, at delays that the table gives in units of the delay spread, each tap of fixed mean power P_l and
fading on its own (channels/process.py). On a subchannel whose middle is f away from that of the band, an antenna receives

.. math:: h(f) = \sqrt{P_0}\, e^{j 2 \pi c d} + \sum_{l=1}^{L} \sqrt{P_l}\, w_l(d)\, e^{-j 2 \pi f \tau_l},   \tag{1}

with powers that add up to one. P_0 is that of a line of sight: in TDL-D and TDL-E, whose devices move at c = 0.7 towards it;
the others have none. It is without delay. Subchannels that lie F apart are then correlated, besides the line of sight, by

.. math:: E[h(f)^* h(f + F)] - P_0 = \sum_l P_l e^{-j 2 \pi F \tau_l}.                                        \tag{2}

A subchannel has one gain, that of its middle, so it should be narrower than what (2) takes to fall: ``coherence(0.9)``.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.fading import Rician, along, combined, link_shape
from channels.process import Block, Process, Scatter, check_count, distances
from channels.units import db_to_linear

LONGEST = 1e-4       # delay spread beyond which nanoseconds must have been taken for seconds [s]; outdoors it is 1e-6 or so
NARROWEST = 1e3      # band below which megahertz must have been taken for hertz [Hz]


@dataclass(frozen=True)
class Profile:
    """A table of the standard: delays (L,) [delay spreads], powers (L,) [dB], and the power of the line of sight [dB]."""

    delays: tuple[float, ...]
    powers_db: tuple[float, ...]
    sight_db: float = -np.inf
    heading: float = 0.0

    @property
    def powers(self) -> tuple[float, NDArray]:
        """P_0 and P_1 ... P_L [1] of (1), normalised."""
        sight, taps = float(db_to_linear(self.sight_db)), db_to_linear(self.powers_db)
        total = sight + taps.sum()
        return sight / total, taps / total


PROFILES: dict[str, Profile] = {
    "tdl-a": Profile(
        (0.0, 0.3819, 0.4025, 0.5868, 0.4610, 0.5375, 0.6708, 0.5750, 0.7618, 1.5375, 1.8978, 2.2242, 2.1718, 2.4942, 2.5119,
         3.0582, 4.0810, 4.4579, 4.5695, 4.7966, 5.0066, 5.3043, 9.6586),
        (-13.4, 0.0, -2.2, -4.0, -6.0, -8.2, -9.9, -10.5, -7.5, -15.9, -6.6, -16.7, -12.4, -15.2, -10.8,
         -11.3, -12.7, -16.2, -18.3, -18.9, -16.6, -19.9, -29.7)),
    "tdl-b": Profile(
        (0.0, 0.1072, 0.2155, 0.2095, 0.2870, 0.2986, 0.3752, 0.5055, 0.3681, 0.3697, 0.5700, 0.5283, 1.1021, 1.2756, 1.5474,
         1.7842, 2.0169, 2.8294, 3.0219, 3.6187, 4.1067, 4.2790, 4.7834),
        (0.0, -2.2, -4.0, -3.2, -9.8, -1.2, -3.4, -5.2, -7.6, -3.0, -8.9, -9.0, -4.8, -5.7, -7.5,
         -1.9, -7.6, -12.2, -9.8, -11.4, -14.9, -9.2, -11.3)),
    "tdl-c": Profile(
        (0.0, 0.2099, 0.2219, 0.2329, 0.2176, 0.6366, 0.6448, 0.6560, 0.6584, 0.7935, 0.8213, 0.9336, 1.2285, 1.3083, 2.1704,
         2.7105, 4.2589, 4.6003, 5.4902, 5.6077, 6.3065, 6.6374, 7.0427, 8.6523),
        (-4.4, -1.2, -3.5, -5.2, -2.5, 0.0, -2.2, -3.9, -7.4, -7.1, -10.7, -11.1, -5.1, -6.8, -8.7,
         -13.2, -13.9, -13.9, -15.8, -17.1, -16.0, -15.7, -21.6, -22.8)),
    "tdl-d": Profile(
        (0.0, 0.035, 0.612, 1.363, 1.405, 1.804, 2.596, 1.775, 4.042, 7.937, 9.424, 9.708, 12.525),
        (-13.5, -18.8, -21.0, -22.8, -17.9, -20.1, -21.9, -22.9, -27.8, -23.6, -24.8, -30.0, -27.7), -0.2, 0.7),
    "tdl-e": Profile(
        (0.0, 0.5133, 0.5440, 0.5630, 0.5440, 0.7112, 1.9092, 1.9293, 1.9589, 2.6426, 3.7136, 5.4524, 12.0034, 20.6519),
        (-22.03, -15.8, -18.1, -19.8, -22.9, -22.4, -18.6, -20.8, -22.6, -22.3, -25.6, -20.2, -29.8, -29.2), -0.03, 0.7),
}


@dataclass(frozen=True)
class TappedDelay:
    """The law (1) on M subchannels of a band.

    Attributes
    ----------
    profile : str
        "tdl-a" to "tdl-e".
    delay_spread : float
        Root of the mean squared delay around the mean one [s]; 1e-7 is the standard's nominal one.
    band : float
        Width of all subchannels together [Hz].
    subchannels : int
        M, of equal width, side by side.
    process : Process
        How taps change while devices move.
    """

    profile: str = "tdl-a"
    delay_spread: float = 1e-7
    band: float = 1e7
    subchannels: int = 1
    process: Process = field(default_factory=Block)

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {self.profile!r}")
        if not 0 <= self.delay_spread <= LONGEST:
            raise ValueError(f"delay_spread must be within 0 and {LONGEST:g} seconds [s], got {self.delay_spread}")
        if not NARROWEST <= self.band < np.inf:
            raise ValueError(f"band must be {NARROWEST:g} hertz or more and finite [Hz], got {self.band}")
        check_count("subchannels", self.subchannels)

    @property
    def middles(self) -> NDArray:
        """Middle of each subchannel (M,) from that of the band [Hz]."""
        return ((np.arange(self.subchannels) + 0.5) / self.subchannels - 0.5) * self.band

    def correlation(self, apart: ArrayLike) -> NDArray:
        """(2) over its value at 0: complex correlation (...) of what is scattered on frequencies so far ``apart`` (...) [Hz]."""
        _, taps = PROFILES[self.profile].powers
        return self._phases(np.asarray(apart, float)) @ taps / taps.sum()

    def coherence(self, level: float = 0.5) -> float:
        """Coherence bandwidth [Hz]: where the amount of :meth:`correlation` first falls to a ``level`` within [0.1, 1) [1].

        To 0.001 of the delay spread's inverse; ``inf`` without spread.
        """
        if not 0.1 <= level < 1:
            raise ValueError(f"level must be a correlation within [0.1, 1) [1], got {level}")
        if self.delay_spread == 0:
            return float(np.inf)
        apart = np.linspace(0.0, 20.0, 20_001) / self.delay_spread
        return float(apart[np.argmax(np.abs(self.correlation(apart)) <= level)])

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        """Gains [1] of one subchannel and antenna, independent over ``shape``: neighbours are tied in ``start`` alone."""
        sight, taps = PROFILES[self.profile].powers
        return Rician(sight / taps.sum()).sample(rng, shape)

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> "Taps":
        known = PROFILES[self.profile]
        sight, taps = known.powers
        shape = link_shape(devices, antennas)
        mean = np.full((devices, self.subchannels, antennas), np.sqrt(sight), complex)
        scatter = self.process.start(rng, (*shape, len(taps)))
        return Taps(scatter, self._phases(self.middles) * np.sqrt(taps), mean, known.heading)

    def _phases(self, f: NDArray) -> NDArray:
        """e^{-j 2 pi f tau_l} (..., L)."""
        return along(1.0, -f[..., None] * self.delay_spread * np.array(PROFILES[self.profile].delays))


@dataclass(frozen=True)
class Taps:
    """The state of (1).

    Attributes
    ----------
    scatter : Scatter
        The taps w (K, N, L).
    mixing : (M, L) complex array
        What a tap is on a subchannel.
    mean : (K, M, N) complex array
        The line of sight's part of ``h`` now.
    heading : float
        c of (1) [1].
    """

    scatter: Scatter
    mixing: NDArray
    mean: NDArray
    heading: float

    @cached_property
    def h(self) -> NDArray:
        """Complex amplitudes (K, M, N)."""
        return self.mean + (self.scatter.w @ self.mixing.T).swapaxes(1, 2)

    @cached_property
    def gain(self) -> NDArray:
        """Power over all antennas (K, M) [1], N in the mean."""
        return combined(self.h)

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Taps":
        mean = along(self.mean, self.heading * distances(moved, self.mean.shape))
        return Taps(self.scatter.after(rng, moved), self.mixing, mean, self.heading)
