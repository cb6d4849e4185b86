"""A cell: devices around one server, where they go, and the gains of their links from moment to moment."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from channels.csi import Knowledge
from channels.fading import Fade, Fading, Rayleigh
from channels.field import Field
from channels.links import Gains, Spot, over_band, taken_for
from channels.mobility import Mobility, Motion, Still
from channels.path_loss import SPEED_OF_LIGHT, Macro3GPP, PathLoss
from channels.units import db_to_neper

MOST_SHADOWING = db_to_neper(15.0)


@dataclass(frozen=True)
class Cell:
    """Geometry and propagation of one cell with the server in its middle.

    Attributes
    ----------
    radius, nearest : float
        Devices stand uniformly, and move, in the ring between these two distances from the server [m].
    path_loss : PathLoss
        Mean gain, shadowing and line of sight against distance.
    shadowing : float or None
        Standard deviation of the natural logarithm of the log-normal shadowing [1], 8 dB are 1.84; None for the law's own.
    sight : bool or None
        Whether devices have a line of sight; None draws it by the law.
    fading : Fading
        Law of the small-scale power gain.
    antennas : int
        Antennas of the server, combined for the largest ratio: the mean gain grows as their number.
    mobility : Mobility
        How devices move.
    carrier : float
        Carrier frequency, of Doppler [Hz].
    surroundings : float
        Speed at which the surroundings move: fading goes on where devices stand still [m/s].
    paired : bool
        Whether the downlink has a frequency of its own, and fades on its own there (FDD).
    """

    radius: float = 250.0
    nearest: float = 10.0
    path_loss: PathLoss = field(default_factory=Macro3GPP)
    shadowing: float | None = None
    sight: bool | None = None
    fading: Fading = field(default_factory=Rayleigh)
    antennas: int = 1
    mobility: Mobility = field(default_factory=Still)
    carrier: float = 2e9
    surroundings: float = 0.0
    paired: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.radius < np.inf:
            raise ValueError(f"nearest and radius must be 0 < nearest < radius [m], got {self.nearest} and {self.radius}")
        if self.shadowing is not None and not 0 <= self.shadowing <= MOST_SHADOWING:
            raise ValueError(f"shadowing must be within 0 and {MOST_SHADOWING:.3g} [1], 15 dB, got {self.shadowing}: decibels?")
        if not (self.antennas == int(self.antennas) and self.antennas >= 1):
            raise ValueError(f"antennas must be a whole number of 1 or more, got {self.antennas}")
        if not 1e6 <= self.carrier <= 1e12:
            raise ValueError(f"carrier must be 1e6 to 1e12 [Hz], got {self.carrier:g}")
        if not 0 <= self.surroundings < np.inf:
            raise ValueError(f"surroundings must be zero or more [m/s], got {self.surroundings}")

    def place(self, rng: np.random.Generator, devices: int) -> "Placement":
        """Put ``devices`` devices into the cell, send them on their ways, and draw the map of sight and shadowing."""
        motion = self.mobility.settled(rng, devices, (self.nearest, self.radius))
        law = self.path_loss
        maps = (Field.draw(rng, law.sight_decorrelation), Field.draw(rng, float(law.decorrelation(True))),
                Field.draw(rng, float(law.decorrelation(False))))
        return Placement(self, motion, maps)


@dataclass(frozen=True)
class Placement:
    """What stays the same in a cell: the ways of its devices, and the map of what stands between them and the server.

    Attributes
    ----------
    cell : Cell
    motion : Motion
        Positions (K, 2) of the devices as a function of time.
    maps : three Field
        Where there is sight, and the shadowing with and without it: a place is the same for everyone who comes there.
    """

    cell: Cell
    motion: Motion
    maps: tuple[Field, Field, Field]

    def at(self, time: float) -> Spot:
        """Where the devices are at a time [s], and their mean gains there."""
        (position, velocity, travelled), law = self.motion.at(time), self.cell.path_loss
        distance = np.hypot(position[:, 0], position[:, 1])
        chance = law.sight_probability(distance) if self.cell.sight is None else np.full(distance.shape, float(self.cell.sight))
        sight = chance > 0.5 if np.all((chance == 0) | (chance == 1)) else self.maps[0].uniform(position) < chance
        spread = law.spread(distance, sight) if self.cell.shadowing is None else np.full(distance.shape, self.cell.shadowing)
        gain, shadowing = law.gain(distance, sight), np.ones(distance.shape)
        if not np.all((gain > 0) & (gain <= 1)):
            raise ValueError(f"path_loss must give power gains within (0, 1] [1], got {gain.min():.3g} to {gain.max():.3g}: a "
                             "loss with the wrong sign, decibels, or a distance too near for the law?")
        for state, its in zip((True, False), self.maps[1:], strict=True):
            here = (sight == state) & (spread > 0)
            shadowing[here] = np.exp(spread[here] * its(position[here]))
        return Spot(position, np.hypot(*velocity.T), travelled, sight, gain * shadowing)

    @property
    def distance(self) -> NDArray:
        """Distance (K,) of each device from the server at the beginning [m]."""
        return self.at(0.0).distance

    @property
    def mean_gain(self) -> NDArray:
        """Power gain (K,) of path loss, shadowing and the number of antennas at the beginning, before fading [1]."""
        return self.at(0.0).mean_gain * self.cell.antennas

    def draw(self, rng: np.random.Generator, blocks: int | None = None, subchannels: int | None = None) -> NDArray:
        """Power gains [1] of one fading block, (K,), or of several blocks and subchannels, ([blocks,] K [, subchannels]).

        Of devices where they are at the beginning. Blocks and subchannels fade independently; the mean gain of a device is
        common to all of them.
        """
        leading = () if blocks is None else (blocks,)
        trailing = () if subchannels is None else (subchannels,)
        mean = self.at(0.0).mean_gain
        shape = (*leading, len(mean), *trailing, self.cell.antennas)
        return mean.reshape(-1, *(1 for _ in trailing)) * self.cell.fading.sample(rng, shape).sum(-1)

    def start(self, rng: np.random.Generator) -> "Links":
        """The links at the beginning."""
        return self._links(rng, self.at(0.0))

    def forecast(self, rng: np.random.Generator, blocks: int, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What gains (blocks, K) may be taken for, as by ``Links.seen``, of devices where they are at the beginning."""
        spot = self.at(0.0)
        seen = [self._links(rng, spot).seen(rng, knowledge, outage) for _ in range(blocks)]
        return Gains(*(np.array(each) for each in zip(*seen, strict=True)))

    def _links(self, rng: np.random.Generator, spot: Spot) -> "Links":
        up, *down = (self.cell.fading.start(rng, len(spot.mean_gain), self.cell.antennas) for _ in range(1 + self.cell.paired))
        return Links(self, 0.0, spot, up, *down)


@dataclass(frozen=True)
class Links:
    """The links of a cell at a moment.

    Attributes
    ----------
    placement : Placement
    time : float
        Since the beginning [s].
    spot : Spot
        Where the devices are.
    up, down : Fade
        Small-scale fading of both directions; without ``down`` it is the same (TDD).
    """

    placement: Placement
    time: float
    spot: Spot
    up: Fade
    down: Fade | None = None

    @property
    def gains(self) -> Gains:
        """Power gains (K,) [1] of both directions, those of a link over all subchannels if there are some."""
        return self._gains(self.up.gain, self.up.gain if self.down is None else self.down.gain)

    @property
    def mean_gain(self) -> NDArray:
        """Power gain (K,) of path loss, shadowing and the number of antennas where devices are now, before fading [1]."""
        return self.spot.mean_gain * self.placement.cell.antennas

    @property
    def subchannels(self) -> NDArray:
        """Power gains (K, M) [1] of the uplink's subchannels."""
        return self.spot.mean_gain[:, None] * self.up.gain.reshape(len(self.spot.mean_gain), -1)

    def seen(self, rng: np.random.Generator, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What the gains (K,) are taken for: estimates, with the margin that leaves them too high with probability ``outage``."""
        doppler = (self.spot.speed + self.placement.cell.surroundings) * self.placement.cell.carrier / SPEED_OF_LIGHT
        up, *down = (taken_for(rng, fade, doppler, knowledge, outage) for fade in (self.up, self.down) if fade is not None)
        return self._gains(up, *(down or [up]))

    def after(self, rng: np.random.Generator, elapsed: float) -> "Links":
        """The links ``elapsed`` seconds later."""
        cell, spot = self.placement.cell, self.placement.at(self.time + elapsed)
        way = spot.travelled - self.spot.travelled + cell.surroundings * elapsed
        moved = way * cell.carrier / SPEED_OF_LIGHT                                                # in wavelengths
        up, *down = (fade.after(rng, moved) for fade in (self.up, self.down) if fade is not None)
        return Links(self.placement, self.time + elapsed, spot, up, *down)

    def _gains(self, *small: NDArray) -> Gains:
        return Gains(*(self.spot.mean_gain * (v if v.ndim == 1 else over_band(v)) for v in small))
