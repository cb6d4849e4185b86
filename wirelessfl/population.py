"""What devices compute, send and live on: named profiles, mixes of them, and distributions of the clock.

A processor of clock f [Hz] does c FLOP a cycle and spends kappa f^2 joules on it, since the voltage goes up with the clock:

    speed = c f  [FLOP/s]        energy of a FLOP = kappa f^2 / c  [J]        power = kappa f^3  [W]                     (1)

kappa [J s^2], the effective switched capacitance, is given as the energy of a cycle at 1 GHz: kappa = cycle_energy / (1 GHz)^2.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.units import dbm_to_watt

GHZ = 1e9                # [Hz]
WATT_HOUR = 3600.0       # [J]


def _check_range(name: str, low: float, high: float, unit: str = "in the unit of what is drawn") -> None:
    if not 0 < low <= high < np.inf:
        got = f"{low}" if low == high or np.isnan(low) else f"{low} and {high}"
        raise ValueError(f"{name} must be above 0, finite and in rising order [{unit}], got {got}")


class Distribution(Protocol):
    """A law of positive numbers."""

    def sample(self, rng: np.random.Generator, count: int) -> NDArray:
        """Draw ``count`` of them (count,)."""


@dataclass(frozen=True)
class Fixed:
    """The same ``value`` for all; draws nothing."""

    value: float

    def __post_init__(self) -> None:
        _check_range("value", self.value, self.value)

    def sample(self, rng: np.random.Generator, count: int) -> NDArray:
        del rng
        return np.full(count, float(self.value))


@dataclass(frozen=True)
class Uniform:
    """Uniform from ``low`` to ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("low and high", self.low, self.high)

    def sample(self, rng: np.random.Generator, count: int) -> NDArray:
        return rng.uniform(self.low, self.high, count)


@dataclass(frozen=True)
class LogUniform:
    """``unit`` times a number whose logarithm is uniform from log(low) to log(high): ``LogUniform(0.03, 1.0, GHZ)``."""

    low: float
    high: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        _check_range("low and high", self.low, self.high)
        _check_range("unit", self.unit, self.unit)

    def sample(self, rng: np.random.Generator, count: int) -> NDArray:
        return self.unit * np.exp(rng.uniform(np.log(self.low), np.log(self.high), count))


class Hardware(NamedTuple):
    """K devices, as the cost table and the solvers take them."""

    speed: NDArray                # (K,) [FLOP/s]
    joules_per_flop: NDArray      # (K,) [J]
    peak_power: NDArray           # (K,) transmit power [W]
    battery: NDArray              # (K,) energy of a full battery [J], inf for a device on the mains


@dataclass(frozen=True)
class Profile:
    """One kind of device.

    Attributes
    ----------
    clock : Distribution
        Law of the clock f [Hz].
    flop_per_cycle : float
        c of (1), of all cores together and as training sustains it [1].
    cycle_energy : float
        Energy of a cycle at 1 GHz [J]; at another clock, by (1), times (f / 1 GHz)^2.
    peak_power : float
        Peak transmit power [W].
    battery : float
        Energy of a full battery [J], ``inf`` on the mains.
    """

    clock: Distribution
    flop_per_cycle: float = 1.0
    cycle_energy: float = 5e-10
    peak_power: float = 0.1
    battery: float = np.inf

    def __post_init__(self) -> None:
        _check_range("flop_per_cycle", self.flop_per_cycle, self.flop_per_cycle, "1")
        _check_range("peak_power", self.peak_power, self.peak_power, "W")
        if not 0 <= self.cycle_energy < np.inf:
            raise ValueError(f"cycle_energy must be zero or more and finite [J], got {self.cycle_energy}")
        if not self.battery > 0:
            raise ValueError(f"battery must be above 0 [J], inf on the mains, got {self.battery}")

    @property
    def kappa(self) -> float:
        """Effective switched capacitance [J s^2]."""
        return self.cycle_energy / GHZ**2

    def sample(self, rng: np.random.Generator, devices: int) -> Hardware:
        """Draw ``devices`` of this kind."""
        clock = self.clock.sample(rng, devices)
        energy = self.cycle_energy * (clock / GHZ) ** 2 / self.flop_per_cycle
        return Hardware(clock * self.flop_per_cycle, energy, np.full(devices, float(self.peak_power)),
                        np.full(devices, float(self.battery)))


# Measured by others: speed (Linpack, double precision) and power at the wall, as github.com/geerlingguy/top500-benchmark lists
# them; we take the speed for what training sustains, and the power, idle parts and all, for the cycles at the clock of that run.
# Typical, ours: the ranges of clocks, batteries, and what is marked so. Transmit powers: 23 dBm is power class 3 of 3GPP
# TS 38.101-1, 20 dBm power class 5 of TS 36.101.
PROFILES: dict[str, Profile] = {
    # Raspberry Pi Zero 2 W: 0.370 GFLOP/s and 2.1 W at 1.0 GHz (its small memory shows)
    "iot-node": Profile(Uniform(0.6 * GHZ, 1.0 * GHZ), 0.37, 2.1e-9, float(dbm_to_watt(20.0)), 10 * WATT_HOUR),
    # Raspberry Pi CM4: 11.433 GFLOP/s and 5.2 W at 1.5 GHz
    "iot-board": Profile(
        Uniform(0.6 * GHZ, 1.5 * GHZ), 11.433 / 1.5, 5.2 / (1.5 * GHZ) / 1.5**2, float(dbm_to_watt(20.0)), 37 * WATT_HOUR),
    # Eight cores of a phone's kind (RK3588S2, Radxa CM5): 48.619 GFLOP/s and 10 W, by its makers at 2.4 GHz; ours: slower, cooler
    "phone": Profile(
        Uniform(0.8 * GHZ, 1.6 * GHZ), 48.619 / 2.4, 10 / (2.4 * GHZ) / 2.4**2, float(dbm_to_watt(23.0)), 15 * WATT_HOUR),
    # MacBook Air M2: 104.68 GFLOP/s at 3.5 GHz; ours: 20 W there
    "laptop": Profile(
        Uniform(2.0 * GHZ, 3.5 * GHZ), 104.68 / 3.5, 20 / (3.5 * GHZ) / 3.5**2, float(dbm_to_watt(23.0)), 53 * WATT_HOUR),
    # Jetson Nano: 128 cores, 0.92 GHz in its mode of 10 W, so 256 FLOP a cycle at most; ours: half of them
    "edge-gpu": Profile(
        Uniform(0.46 * GHZ, 0.92 * GHZ), 128.0, 10 / (0.92 * GHZ) / 0.92**2, float(dbm_to_watt(23.0)), np.inf),
}


@dataclass(frozen=True)
class Population:
    """A mix of kinds of devices.

    Attributes
    ----------
    profiles : tuple of Profile
        The kinds.
    shares : tuple of float
        Share of each among the devices [1], together 1.
    """

    profiles: tuple[Profile, ...]
    shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not 0 < len(self.profiles) == len(self.shares):
            raise ValueError("shares must be as many as profiles, one or more [1], "
                             f"got {len(self.shares)} and {len(self.profiles)}")
        if not (all(share >= 0 for share in self.shares) and abs(sum(self.shares) - 1) < 1e-9):
            raise ValueError(f"shares must be zero or more and together 1 [1], got {list(self.shares)}")

    def counts(self, devices: int) -> tuple[int, ...]:
        """How many of ``devices`` are of each kind: whole parts, the rest to the largest remainders, the first of ties."""
        exact = np.array(self.shares) * devices
        whole = np.floor(exact + 1e-9).astype(int)
        late = np.argsort(-np.round(exact - whole, 9), kind="stable")[:devices - whole.sum()]
        whole[late] += 1
        return tuple(int(count) for count in whole)

    def sample(self, rng: np.random.Generator, devices: int) -> Hardware:
        """Draw ``devices``, the kinds in random order; of one kind alone, nothing is drawn for the order."""
        drawn = [profile.sample(rng, count) for profile, count in zip(self.profiles, self.counts(devices), strict=True)]
        order = rng.permutation(devices) if len(self.profiles) > 1 else np.arange(devices)
        return Hardware(*(np.concatenate(column)[order] for column in zip(*drawn, strict=True)))


def mixed(shares: Mapping[str, float]) -> Population:
    """A population of ``PROFILES`` by name, each with its share [1]: ``mixed({"phone": 0.75, "iot-board": 0.25})``."""
    for name in shares:
        if name not in PROFILES:
            close = difflib.get_close_matches(name, list(PROFILES), 1, cutoff=0.4)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"profile: {name!r} is none of {list(PROFILES)}{hint}")
    return Population(tuple(PROFILES[name] for name in shares), tuple(shares.values()))
