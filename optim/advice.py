"""What stands in the way of an infeasible problem, and what would mend it, in one sentence."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from channels.rates import LN2
from optim.allocation import Allocation, Status
from optim.answer import impossible
from optim.band import least_band
from optim.costs import uplink_load
from optim.fastest import LONGEST, least_deadline
from optim.problem import Deadline, one


def advice(problem: Deadline, found: Allocation, shares: NDArray | None = None, names: NDArray | None = None) -> str:
    """Name the constraint, the devices (from 0, or by their ``names`` (K,)) and the cure. For one problem, not a batch."""
    one(problem, "advice")
    dead, late, hungry = impossible(problem)
    names = np.arange(len(dead)) if names is None else names
    status: Status = found.status
    if status is Status.LINK and dead.any():
        return f"{_devices(names[dead])} no usable link (gain or power 0): move it, raise its power or leave it out of the round"
    if status is Status.ENERGY and hungry.any():
        return (f"{_devices(names[hungry])} too small an energy budget for a round of {float(problem.deadline):.4g} s; at least "
                f"{_least_energy(problem)[hungry].max():.4g} J would do with time and band without limit")
    if status is Status.DEADLINE and late.any():
        return (f"{_devices(names[late])} too little time by a deadline of {float(problem.deadline):.4g} s, whatever the band; "
                f"{_shortest(problem, shares)}")
    if status is Status.BAND:
        need = least_band(problem, np.broadcast_to(problem.prune_max, problem.shape)).min(-1)
        need = need.sum() if shares is None else (need / shares).max()
        return (f"a band of {float(problem.band) / 1e6:.4g} MHz is too narrow for a deadline of {float(problem.deadline):.4g} s: "
                f"{need / 1e6:.4g} MHz are needed, or {_shortest(problem, shares)}")
    if status is Status.PROGRESS and (noise := float(problem.noise.min(-1).sum())) >= 1:
        return ("even unpruned, a round makes no progress by the bound: quantisation, dropout and rare averaging alone lose "
                f"{noise:.3g} of it; take more bits, drop less, average more often")
    return status.value


def _devices(numbers: NDArray) -> str:
    if len(numbers) < 2:
        return f"device {numbers[0]} has" if len(numbers) else "some device has"
    return f"devices {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} have"


def _shortest(problem: Deadline, shares: NDArray | None) -> str:
    shortest = float(least_deadline(problem, shares))
    if np.isfinite(shortest):
        return f"allow at least {shortest:.4g} s" + " (pruned to the limit)" * bool((problem.prune_max > problem.prune_min).any())
    return "no deadline is long enough: raise the energy budgets too"


def _least_energy(problem: Deadline) -> NDArray:
    """Energy (K,) [J] that a device needs if pruned to the limit, with band and time without limit."""
    patient = replace(problem, deadline=np.array(LONGEST))
    keep = 1 - patient.prune_max
    needs = (patient.costs.fixed_energy + keep * patient.costs.kept_energy
             + uplink_load(patient.costs, keep) * LN2 / patient.gain[..., None])
    return np.broadcast_to(needs, patient.shape).min(-1)
