"""A cell: devices around one server, and the gains of their links round by round."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from channels.fading import Fading, Rayleigh
from channels.path_loss import Macro3GPP, PathLoss
from channels.units import db_to_neper


@dataclass(frozen=True)
class Cell:
    """Geometry and propagation of one cell with the server in its middle.

    Attributes
    ----------
    radius, nearest : float
        Devices stand uniformly in the ring between these two distances from the server [m].
    path_loss : PathLoss
        Mean gain against distance.
    shadowing : float
        Standard deviation of the natural logarithm of the log-normal shadowing [1]; 8 dB are 1.84.
    fading : Fading
        Law of the small-scale power gain, drawn afresh in each block.
    """

    radius: float = 250.0
    nearest: float = 10.0
    path_loss: PathLoss = field(default_factory=Macro3GPP)
    shadowing: float = db_to_neper(8.0)
    fading: Fading = field(default_factory=Rayleigh)

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.radius < np.inf:
            raise ValueError(f"nearest and radius must be 0 < nearest < radius [m], got {self.nearest} and {self.radius}")
        if not self.shadowing >= 0:
            raise ValueError(f"shadowing must be zero or more [1], got {self.shadowing}")

    def place(self, rng: np.random.Generator, devices: int) -> "Placement":
        """Put ``devices`` devices into the cell, and draw the shadowing of each."""
        distance = np.sqrt(rng.uniform(self.nearest**2, self.radius**2, devices))
        shadowing = np.exp(self.shadowing * rng.standard_normal(devices))
        return Placement(distance, self.path_loss.gain(distance) * shadowing, self.fading)


@dataclass(frozen=True)
class Placement:
    """Where the devices stand, which stays, and the law of what changes.

    Attributes
    ----------
    distance : (K,) array
        Distance of each device from the server [m].
    mean_gain : (K,) array
        Power gain of path loss and shadowing, before fading [1].
    fading : Fading
        Law of the small-scale gain.
    """

    distance: NDArray
    mean_gain: NDArray
    fading: Fading

    def draw(self, rng: np.random.Generator, blocks: int | None = None, subchannels: int | None = None) -> NDArray:
        """Power gains [1] of one fading block, (K,), or of several blocks and subchannels, ([blocks,] K [, subchannels]).

        Blocks and subchannels fade independently; the mean gain of a device is common to all of them.
        """
        leading = () if blocks is None else (blocks,)
        trailing = () if subchannels is None else (subchannels,)
        mean = self.mean_gain.reshape(-1, *(1 for _ in trailing))
        return mean * self.fading.sample(rng, (*leading, len(self.mean_gain), *trailing))
