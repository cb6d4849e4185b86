"""Large-scale propagation: mean power gain against distance."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.units import db_to_linear

SPEED_OF_LIGHT = 299_792_458.0     # [m/s]


class PathLoss(Protocol):
    """Mean power gain [1], below one, at a distance [m]."""

    def gain(self, distance: ArrayLike) -> NDArray: ...


@dataclass(frozen=True)
class Macro3GPP:
    """128.1 + 37.6 log10(d / 1 km) dB: the macro cell at 2 GHz of 3GPP TR 36.814, table A.2.1.1-3."""

    def gain(self, distance: ArrayLike) -> NDArray:
        return db_to_linear(-(128.1 + 37.6 * np.log10(np.asarray(distance, float) / 1e3)))


@dataclass(frozen=True)
class LogDistance:
    """Free space up to ``reference`` and a power law beyond: (c / 4 pi f d0)^2 (d0 / d)^n.

    Attributes
    ----------
    exponent : float
        n [1]; 2 in free space, 3 to 4 in towns.
    carrier : float
        Carrier frequency f [Hz].
    reference : float
        Reference distance d0 [m].
    """

    exponent: float = 3.5
    carrier: float = 2e9
    reference: float = 1.0

    def gain(self, distance: ArrayLike) -> NDArray:
        at_reference = (SPEED_OF_LIGHT / (4 * np.pi * self.carrier * self.reference)) ** 2
        nearness = self.reference / np.asarray(distance, float)
        return at_reference * nearness ** np.where(nearness > 1, 2.0, self.exponent)
