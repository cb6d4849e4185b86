r"""Path loss of 3GPP TR 38.901 (V17.0.0; the same in V16.1.0), tables 7.4.1-1, 7.4.2-1, 7.5-6 and 7.6.3.1-2: UMa, UMi, InH, RMa.

With the distance along the ground d, the slant distance :math:`d_3 = \sqrt{d^2 + (h_s - h_u)^2}` between the antennas of server
and device [m], the carrier f [GHz], and decibels,

.. math:: PL_{LoS} = \begin{cases} PL_1(d_3) & d \le d_{BP} \\ PL_2(d_3) & d > d_{BP} \end{cases}, \qquad
          PL_{NLoS} = \max(PL_{LoS}, PL'_{NLoS}).                                                               \tag{1}

In UMa and UMi the breakpoint is that of effective heights, above an environment of height h_E:

.. math:: d'_{BP} = 4 (h_s - h_E)(h_u - h_E) f / c,                                                           \tag{2}

where c is 3.0e8 m/s, as the table's notes say. The table begins at 10 m (InH: 1 m) and ends at 5 km (RMa in sight: 10 km, InH:
150 m). A simulation may go beyond: the formulas go on as they are, but the slant distance is never taken as less than 1 m.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.path_loss_terms import either, positive, power_gain, shadowed, slant, two_slopes, within
from channels.units import db_to_neper

C = 3.0e8                                       # the standard's velocity of propagation in free space [m/s]
GHZ = 1e9


def effective(law: "UMa | UMi") -> float:
    """d'_BP of equation (2) [m]."""
    return 4 * (law.height - law.environment) * (law.device_height - law.environment) * law.carrier / C


@dataclass(frozen=True)
class UMa:
    """Urban macro cell.

    For devices above 13 m the standard draws h_E for each link: 1 m with probability 1 / (1 + C), else 12, 15, ... up to
    h_u - 1.5 m. A law is no draw, so h_E is a setting here, 1 m if nothing is said, which is exact up to 13 m. Of a higher
    environment only the breakpoint knows, and with it the loss in sight behind it.

    Attributes
    ----------
    carrier : float
        Carrier frequency f, 0.5e9 to 100e9 [Hz].
    height, device_height : float
        Heights of the antennas of server, h_s (25 m in the standard), and device, h_u (1.5 to 22.5 m) [m].
    environment : float
        Effective height of the environment h_E, below both [m].
    """

    carrier: float = 3.5e9
    height: float = 25.0
    device_height: float = 1.5
    environment: float = 1.0
    sight_decorrelation: ClassVar[float] = 50.0
    breakpoint = effective

    def __post_init__(self) -> None:
        within("carrier", self.carrier, 0.5e9, 100e9, "Hz")
        within("device_height", self.device_height, 1.5, 22.5, "m")
        within("environment", self.environment, 0.0, self.device_height - 0.5, "m")
        within("height", self.height, self.environment + 0.5, 500.0, "m")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        d3, f = slant(distance, self.height, self.device_height), 20 * np.log10(self.carrier / GHZ)
        seen = 28.0 + f + two_slopes(distance, d3, self.breakpoint(), self.height - self.device_height, 22.0)
        return power_gain(sight, seen, 13.54 + 39.08 * np.log10(d3) + f - 0.6 * (self.device_height - 1.5))

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        d = np.maximum(positive(distance), 18.0)
        high = (max(self.device_height - 13.0, 0.0) / 10.0) ** 1.5                                          # C'(h_u)
        lift = high * 1.25 * (d / 100) ** 3 * np.exp(-d / 150)
        return np.minimum((18 / d + np.exp(-d / 63) * (1 - 18 / d)) * (1 + lift), 1.0)        # the table's passes 1 by 0.006

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return shadowed(distance, sight, 4.0, 6.0)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return either(sight, 37.0, 50.0)


@dataclass(frozen=True)
class UMi:
    """Urban micro cell in a street canyon: attributes as of :class:`UMa`; the standard's h_s is 10 m, and h_E always 1 m."""

    carrier: float = 3.5e9
    height: float = 10.0
    device_height: float = 1.5
    environment: ClassVar[float] = 1.0
    sight_decorrelation: ClassVar[float] = 50.0
    breakpoint = effective

    def __post_init__(self) -> None:
        within("carrier", self.carrier, 0.5e9, 100e9, "Hz")
        within("device_height", self.device_height, 1.5, 22.5, "m")
        within("height", self.height, 1.5, 500.0, "m")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        d3, f = slant(distance, self.height, self.device_height), np.log10(self.carrier / GHZ)
        seen = 32.4 + 20 * f + two_slopes(distance, d3, self.breakpoint(), self.height - self.device_height, 21.0)
        return power_gain(sight, seen, 22.4 + 35.3 * np.log10(d3) + 21.3 * f - 0.3 * (self.device_height - 1.5))

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        d = np.maximum(positive(distance), 18.0)
        return 18 / d + np.exp(-d / 36) * (1 - 18 / d)

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return shadowed(distance, sight, 4.0, 7.82)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return either(sight, 10.0, 13.0)


@dataclass(frozen=True)
class InH:
    """Indoor hotspot, an office; heights as in table 7.2-2.

    Attributes
    ----------
    carrier : float
        Carrier frequency f, 0.5e9 to 100e9 [Hz].
    height, device_height : float
        Heights of the antennas of server and device, 0 to 20 m [m].
    office : str
        ``mixed`` (rooms and corridors) or ``open``, which sees farther.
    """

    carrier: float = 3.5e9
    height: float = 3.0
    device_height: float = 1.0
    office: str = "mixed"
    sight_decorrelation: ClassVar[float] = 10.0

    def __post_init__(self) -> None:
        within("carrier", self.carrier, 0.5e9, 100e9, "Hz")
        within("height", self.height, 0.0, 20.0, "m")
        within("device_height", self.device_height, 0.0, 20.0, "m")
        if self.office not in ("mixed", "open"):
            raise ValueError(f"office must be 'mixed' or 'open', got {self.office!r}")

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        d3, f = np.log10(slant(distance, self.height, self.device_height)), np.log10(self.carrier / GHZ)
        return power_gain(sight, 32.4 + 17.3 * d3 + 20 * f, 17.3 + 38.3 * d3 + 24.9 * f)

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        d = positive(distance)
        if self.office == "open":
            return np.where(d <= 49, np.exp(-np.maximum(d - 5, 0) / 70.8), 0.54 * np.exp(-(d - 49) / 211.7))
        return np.where(d < 6.5, np.exp(-np.maximum(d - 1.2, 0) / 4.7), 0.32 * np.exp(-(d - 6.5) / 32.6))

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        return shadowed(distance, sight, 3.0, 8.03)

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return either(sight, 10.0, 6.0)


@dataclass(frozen=True)
class RMa:
    """Rural macro cell. Its breakpoint is that of the antennas' own heights, and its loss has a step there (0.01 dB by default).

    Attributes
    ----------
    carrier : float
        Carrier frequency f, 0.5e9 to 30e9 [Hz].
    height, device_height : float
        Heights of the antennas of server, h_s (10 to 150 m), and device, h_u (1 to 10 m) [m].
    building_height, street_width : float
        Their averages h and W, 5 to 50 m [m].
    """

    carrier: float = 0.7e9
    height: float = 35.0
    device_height: float = 1.5
    building_height: float = 5.0
    street_width: float = 20.0
    sight_decorrelation: ClassVar[float] = 60.0

    def __post_init__(self) -> None:
        within("carrier", self.carrier, 0.5e9, 30e9, "Hz")
        within("height", self.height, 10.0, 150.0, "m")
        within("device_height", self.device_height, 1.0, 10.0, "m")
        within("building_height", self.building_height, 5.0, 50.0, "m")
        within("street_width", self.street_width, 5.0, 50.0, "m")

    def breakpoint(self) -> float:
        """d_BP = 2 pi h_s h_u f / c [m]."""
        return 2 * np.pi * self.height * self.device_height * self.carrier / C

    def gain(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        d3 = slant(distance, self.height, self.device_height)
        turn = np.where(positive(distance) <= self.breakpoint(), d3, self.breakpoint())
        return power_gain(sight, self._near(turn) + 40 * np.log10(d3 / turn), self._hidden(d3))

    def _near(self, d3: NDArray) -> NDArray:
        """PL_1 [dB]."""
        h, d = self.building_height, np.log10(d3)
        return (20 * np.log10(40 * np.pi * d3 * self.carrier / GHZ / 3) + min(0.03 * h**1.72, 10.0) * d
                - min(0.044 * h**1.72, 14.77) + 0.002 * np.log10(h) * d3)

    def _hidden(self, d3: NDArray) -> NDArray:
        """PL'_NLoS [dB]."""
        h, top = self.building_height, np.log10(self.height)
        return (161.04 - 7.1 * np.log10(self.street_width) + 7.5 * np.log10(h) - (24.37 - 3.7 * (h / self.height) ** 2) * top
                + (43.42 - 3.1 * top) * (np.log10(d3) - 3) + 20 * np.log10(self.carrier / GHZ)
                - (3.2 * np.log10(11.75 * self.device_height) ** 2 - 4.97))

    def sight_probability(self, distance: ArrayLike) -> NDArray:
        return np.exp(-np.maximum(positive(distance) - 10.0, 0.0) / 1000)

    def spread(self, distance: ArrayLike, sight: ArrayLike = True) -> NDArray:
        seen = np.where(positive(distance) <= self.breakpoint(), db_to_neper(4.0), db_to_neper(6.0))
        return either(sight, seen, db_to_neper(8.0))

    def decorrelation(self, sight: ArrayLike = True) -> NDArray:
        return either(sight, 37.0, 120.0)
