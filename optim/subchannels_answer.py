"""What an assignment of subchannels is worth: options, ratios, least powers, times, energies and loss, for every solver.

A device that needs less rate than it could send radiates the least power that ends in time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import device

from channels.arrays import float_arrays, namespace, to_numpy
from optim.allocation import Status, certified_gap
from optim.costs import energy, latency, pick
from optim.subchannels import Subchannels, full_rate, held, hopeless, least_rate, loss_of, rate_for, sent
from optim.water_filling import least_power, water_fill

FREE = -1           # owner of a subchannel that nobody holds


@dataclass(frozen=True)
class SubchannelAllocation:
    """A decision for K devices on M subchannels, or a batch of them.

    Where the status is infeasible a row holds zeros and an objective of ``inf``, and the assignment that was tried.

    Attributes
    ----------
    assignment : (..., M) int array
        The device that holds each subchannel; -1 where nobody does.
    option : (..., K) int array
        Split option of each device.
    ratio : (..., K) array
        Pruning ratio [1].
    power : (..., M) array
        Power on each subchannel, of the device that holds it [W].
    rate, latency, energy : (..., K) array
        Uplink rate [bit/s], time [s] and energy [J] of each device's round.
    objective, lower_bound : (...,) array
        Progress lost by the bound, Phi, and what no decision undercuts, ``inf`` where it is proven that none is feasible [1].
    status : Status, or (...,) array of them
        OPTIMAL says that all constraints hold, and ``gap`` how near the optimum is. BAND speaks of this assignment; only a
        ``lower_bound`` of ``inf`` proves that no other would do.
    """

    assignment: Any
    option: Any
    ratio: Any
    power: Any
    rate: Any
    latency: Any
    energy: Any
    objective: Any
    lower_bound: Any
    status: Any

    @property
    def gap(self) -> Any:
        """Certified distance from the optimum, (objective - lower_bound) / objective [1]; 0 at an objective of 0."""
        return certified_gap(self.objective, self.lower_bound)


def evaluate(cells: Subchannels, assignment: Any, lower_bound: Any = -np.inf) -> SubchannelAllocation:
    """The best that ``assignment`` (..., M) allows: options, ratios, least powers, times and energies.

    Its leading axes may be more than the problem's: many assignments of one problem are tried at once.

    Raises
    ------
    ValueError
        For entries that are not whole numbers from -1 (nobody) to K - 1.
    """
    owner = _checked(cells, assignment)
    xp, gain, peak = namespace(cells.gain), held(cells, owner), cells.peak_power
    most = full_rate(gain, cells.width, peak)
    loss, option, ratio = loss_of(cells, most)
    objective = xp.sum(loss, axis=-1)
    ok = xp.isfinite(objective)[..., None]
    ratio = xp.where(ok, ratio, 0.0)
    enough = xp.where(ok, pick(rate_for(cells.table, 1 - ratio[..., None]), option)[..., 0], 0.0)
    power = xp.where((enough < most)[..., None], least_power(gain, cells.width, enough), water_fill(gain, cells.width, peak))
    power = xp.where(ok[..., None], power, 0.0)
    rate = sent(gain, cells.width, power)
    keep, costs = 1 - ratio[..., None], cells.problem.costs.of(option)
    times = latency(costs, keep, rate[..., None])[..., 0]
    joules = energy(costs, keep, xp.sum(power, axis=-1)[..., None], rate[..., None])[..., 0]
    times, joules = xp.where(ok, times, 0.0), xp.where(ok, joules, 0.0)
    bound = xp.broadcast_to(float_arrays(cells.gain, lower_bound)[2], objective.shape)
    return SubchannelAllocation(owner, option, ratio, xp.sum(power, axis=-2), rate, times, joules, objective, bound,
                                statuses(cells, ok[..., 0]))


def statuses(cells: Subchannels, feasible: Any) -> Any:
    """OPTIMAL where a row is feasible, and else what stands in the way: one Status or a (...,) array of them."""
    xp = namespace(cells.gain)
    deaf = xp.any(~xp.any(cells.gain * cells.peak_power[..., None] > 0, axis=-1) & (least_rate(cells) > 0), axis=-1)
    masks = np.broadcast_arrays(*(to_numpy(v) for v in (feasible, deaf, hopeless(cells))))
    kinds = [np.array(s, object) for s in (Status.OPTIMAL, Status.LINK, Status.DEADLINE, Status.BAND)]
    found = np.select(list(masks), kinds[:3], kinds[3])
    return found if found.ndim else found.item()


def _checked(cells: Subchannels, assignment: Any) -> Any:
    """The assignment as integers beside the gain, or a sentence."""
    xp, (devices, count) = namespace(cells.gain), cells.shape[-2:]
    owner = xp.asarray(assignment, device=device(cells.gain))
    if not xp.isdtype(owner.dtype, "integral") or owner.ndim < 1 or owner.shape[-1] != count or not bool(
            xp.all((owner >= FREE) & (owner < devices))):
        raise ValueError(f"assignment must be (..., {count}) whole numbers from -1 (nobody) to {devices - 1}, got {owner}")
    return owner
