r"""Large-scale propagation: mean power gain, shadowing and line of sight against distance.

A law says what the median path does, in the line of sight and out of it, and how far what is random about it spreads:

.. math:: \text{gain} = g(d, \text{sight})\, e^{\sigma X}, \qquad \Pr(\text{sight}) = P(d),                         \tag{1}

with X standard normal. X and the state of sight belong to the place (``channels/field.py``): their correlation falls to 1/e over
``decorrelation`` and ``sight_decorrelation``. The scenarios of 3GPP TR 38.901 are in ``channels/path_loss_3gpp.py``.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.path_loss_terms import alike, either, positive, within
from channels.units import db_to_linear, db_to_neper

SPEED_OF_LIGHT = 299_792_458.0     # [m/s]


class PathLoss(Protocol):
    """A law of large-scale propagation; arrays of distances and of sight broadcast."""

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        """Median power gain [1] at a ``distance`` along the ground [m], in the line of sight or out of it (bool)."""

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        """Probability of a line of sight [1]; 1 everywhere where the law knows only one state."""

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        """Standard deviation of the natural logarithm of the law's own shadowing [1]."""

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        """Distance between two places over which the correlation of their shadowing falls to 1/e [m]."""

    @property
    def sight_decorrelation(self) -> float:
        """The same of the state of sight [m]."""


@dataclass(frozen=True)
class Macro3GPP:
    """128.1 + 37.6 log10(d / 1 km) dB: the macro cell at 2 GHz of 3GPP TR 36.814, table A.2.1.1-3.

    It makes no difference between sight and none. The table's shadowing is 8 dB with a correlation distance of 50 m.
    """

    sight_decorrelation: ClassVar[float] = 50.0

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return either(sight, *[db_to_linear(-(128.1 + 37.6 * np.log10(positive(distance) / 1e3)))] * 2)

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        return alike(1.0, positive(distance))

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return alike(db_to_neper(8.0), positive(distance), sight)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return alike(50.0, sight)


@dataclass(frozen=True)
class LogDistance:
    """Free space up to ``reference`` and a power law beyond: (c / 4 pi f d0)^2 (d0 / d)^n.

    It makes no difference between sight and none; the shadowing is that of :class:`Macro3GPP`.

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
    sight_decorrelation: ClassVar[float] = Macro3GPP.sight_decorrelation

    def __post_init__(self) -> None:
        within("exponent", self.exponent, 1.0, 10.0, "1")
        within("carrier", self.carrier, 1e6, 1e12, "Hz")
        within("reference", self.reference, 1e-3, 1e5, "m")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        at_reference = (SPEED_OF_LIGHT / (4 * np.pi * self.carrier * self.reference)) ** 2
        nearness = self.reference / positive(distance)
        return either(sight, *[at_reference * nearness ** np.where(nearness > 1, 2.0, self.exponent)] * 2)

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        return alike(1.0, positive(distance))

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return Macro3GPP().spread(distance, sight)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return Macro3GPP().decorrelation(sight)


@dataclass(frozen=True)
class FreeSpace:
    """Friis' law between isotropic antennas, (c / 4 pi f d)^2, without shadowing.

    Attributes
    ----------
    carrier : float
        Carrier frequency f [Hz].
    """

    carrier: float = 2e9
    sight_decorrelation: ClassVar[float] = 50.0

    def __post_init__(self) -> None:
        within("carrier", self.carrier, 1e6, 1e12, "Hz")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return either(sight, *[(SPEED_OF_LIGHT / (4 * np.pi * self.carrier * positive(distance))) ** 2] * 2)

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        return alike(1.0, positive(distance))

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return alike(0.0, positive(distance), sight)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return alike(50.0, sight)


@dataclass(frozen=True)
class CloseIn:
    """A power law from one metre on, for millimetre waves: g1 (1 m / d)^n, with the constants of each state of sight.

    The defaults are New York at 28 GHz (Akdeniz et al., IEEE JSAC 32(6), 2014, table I), which EPSL uses: 61.4 + 20 log10 d dB,
    shadowed by 5.8 dB, in sight, which has probability exp(-d / 67.1 m), and 72 + 29.2 log10 d dB, shadowed by 8.7 dB, else. Only
    the first is close-in in the strict sense, with free space's g1. That paper's third state, outage, which begins at 156 m, is
    left out, as in EPSL. It gives no correlation distances: these are of the street canyon of TR 38.901. For another band g1 in
    sight is ``FreeSpace(carrier).gain(1.0)``.

    Attributes
    ----------
    first_metre : (float, float)
        Median power gain at one metre, g1, in sight and out of it [1].
    exponent : (float, float)
        n in sight and out of it [1].
    shadowing : (float, float)
        Standard deviation of the natural logarithm of the shadowing in sight and out of it [1].
    sight_range : float
        Distance over which the probability of sight falls to 1/e [m].
    """

    first_metre: tuple[float, float] = (float(db_to_linear(-61.4)), float(db_to_linear(-72.0)))
    exponent: tuple[float, float] = (2.0, 2.92)
    shadowing: tuple[float, float] = (db_to_neper(5.8), db_to_neper(8.7))
    sight_range: float = 67.1
    sight_decorrelation: ClassVar[float] = 50.0

    def __post_init__(self) -> None:
        for which, state in enumerate(("in sight", "out of sight")):
            within(f"first_metre {state}", self.first_metre[which], 1e-20, 1.0, "1")
            within(f"exponent {state}", self.exponent[which], 1.0, 10.0, "1")
            within(f"shadowing {state}", self.shadowing[which], 0.0, db_to_neper(30.0), "1")
        within("sight_range", self.sight_range, 1e-3, 1e9, "m")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return either(sight, *self.first_metre) * positive(distance) ** -either(sight, *self.exponent)

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        return np.exp(-positive(distance) / self.sight_range)

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return alike(1.0, positive(distance)) * either(sight, *self.shadowing)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return either(sight, 10.0, 13.0)
