"""What every solver returns: the decision, how it ended, and how it is graded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from channels.arrays import among, float_arrays

EACH = ("option", "ratio", "bandwidth", "power", "latency", "energy")      # what an allocation has of each device


class Status(Enum):
    """How a solve ended. The value is what the user should read."""

    OPTIMAL = "optimal"
    DEADLINE = "the deadline is too short; allow more time, prune more or split earlier"
    BAND = "the band is too narrow for all devices by the deadline; add bandwidth or allow more time"
    ENERGY = "an energy budget is below what the device's round needs; raise it, allow more time or prune more"
    LINK = "a device has no usable link; move it, raise its power or leave it out of the round"
    PROGRESS = "with so much pruned or compressed, a round makes no progress by the bound; allow more time, or compress less"
    LOSS = "no decision loses as little progress as asked for; allow a higher loss, more time or more band"
    WAITING = "no device can take part in the round; the server waits for better channels"
    STALLED = "the tolerance was not reached; loosen `rtol`"

    @property
    def feasible(self) -> bool:
        """Whether the allocation meets every constraint."""
        return self in (Status.OPTIMAL, Status.STALLED)


def certified_gap(value: Any, bound: Any) -> NDArray:
    """Distance of a ``value`` >= 0 from a lower ``bound``, relative to it [1]; 0 for a value of 0, ``inf`` for ``inf``."""
    xp, found, least = float_arrays(value, bound)
    some = (found > 0) & (found < xp.inf)
    gap = (xp.where(some, found, 1.0) - xp.where(some, least, 0.0)) / xp.where(some, found, 1.0)
    return xp.where(some, gap, xp.where(found == 0, 0.0, xp.inf))


@dataclass(frozen=True)
class Allocation:
    """A decision for K devices in one round, or a batch of them with leading axes (...).

    Where the status is infeasible the arrays of a row hold zeros and the objective is ``inf``: never a NaN. PROGRESS alone keeps
    its numbers: the constraints hold, but by the bound the round is of no use.

    Attributes
    ----------
    option : (..., K) int array
        Index of the split option of each device.
    ratio : (..., K) array
        Pruning ratio rho [1].
    bandwidth, power : (..., K) array
        Uplink band [Hz] and transmit power [W].
    latency, energy : (..., K) array
        Time [s] and energy [J] that the round takes each device.
    deadline : (...,) array
        Time by which all devices are through [s].
    objective : (...,) array
        Progress lost by the bound, Phi [1].
    lower_bound : (...,) array
        Value of the dual problem: no decision can lose less [1].
    price : (...,) array
        Multiplier of the band: progress that one more hertz buys [1/Hz].
    status : Status, or (...,) array of them
    steps : int
        Prices that were tried.
    """

    option: NDArray
    ratio: NDArray
    bandwidth: NDArray
    power: NDArray
    latency: NDArray
    energy: NDArray
    deadline: NDArray
    objective: NDArray
    lower_bound: NDArray
    price: NDArray
    status: Any
    steps: int = 0

    @property
    def gap(self) -> NDArray:
        """Certified distance from the optimum, (objective - lower_bound) / objective [1]; 0 at an objective of 0."""
        return certified_gap(self.objective, self.lower_bound)

    def devices(self, index: Any) -> "Allocation":
        """The rows of some devices, at whose decision the others were there."""
        return self._each(lambda values: values[..., index])

    def among(self, who: NDArray) -> "Allocation":
        """The same with a row for every device (K,), of zeros for those that are not among ``who`` (K,)."""
        return self._each(lambda values: among(values, who))

    def _each(self, change: Callable[[NDArray], NDArray]) -> "Allocation":
        fields: dict[str, Any] = {name: change(getattr(self, name)) for name in EACH}
        return replace(self, **fields)

    def row(self, index: Any) -> "Allocation":
        """One member (or a slice of members) of a batch."""
        parts = {name: value if name == "steps" else value[index] for name, value in vars(self).items()}
        return Allocation(**parts)


@dataclass(frozen=True)
class Residual:
    """Violations of the optimality conditions, each relative, each zero at an optimum.

    Attributes
    ----------
    feasibility : float
        Largest violation of deadline, band, peak power, energy budget and ratio limits, relative to the limit.
    stationarity : float
        What devices could save on cost plus rent of the band by another ratio in their option, over the objective.
    complementarity : float
        Rent of the band that nobody uses, over the objective.
    gap : float
        Distance of the objective from the best dual value, both computed anew, over the objective.
    """

    feasibility: float
    stationarity: float
    complementarity: float
    gap: float
