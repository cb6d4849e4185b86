"""From prices to an Allocation: spend the band that is left, find the power, read the clock, say how it ended."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace, to_numpy
from channels.rates import rate, reach_for
from optim.allocation import Allocation, Status
from optim.band import ratio_range
from optim.costs import energy, latency, slack, uplink_load
from optim.price import Search
from optim.problem import Deadline

_OPTIMAL, _LINK, _DEADLINE, _ENERGY, _BAND = (
    np.array(s, object) for s in (Status.OPTIMAL, Status.LINK, Status.DEADLINE, Status.ENERGY, Status.BAND))


def answer(problem: Deadline, found: Search, bound: NDArray) -> Allocation:
    """The allocation of a finished search; infeasible rows hold zeros, an infinite objective and their reason."""
    xp, feasible = namespace(found.objective), found.objective < np.inf
    ratio, band = (_held(feasible[..., None], v) for v in (found.ratio, found.band))
    rounding = xp.abs(bound - found.objective) <= 1e-12 * xp.abs(found.objective)
    bound = xp.where(rounding, xp.minimum(bound, found.objective), bound)
    asked = xp.sum(band, axis=-1)
    left = xp.where((found.price > 0) | (asked <= 0), 1.0, problem.band / xp.where(asked > 0, asked, 1.0))
    return settle(problem.of(found.option), found.option, ratio, band * left[..., None], feasible, found.objective, bound,
                  found.price, status=_stalled(statuses(problem, feasible), found.closed), steps=found.steps)


def settle(chosen: Deadline, option: NDArray, ratio: NDArray, band: NDArray, feasible: NDArray, objective: NDArray,
           bound: NDArray, price: NDArray, *, status: NDArray, steps: int = 0) -> Allocation:
    """Fill in least power, latency and energy for bands, (..., K), that are known to be enough."""
    xp, keep, ok = namespace(band), 1 - ratio[..., None], feasible[..., None, None]
    gain, peak = chosen.gain[..., None], chosen.peak_power[..., None]
    time = slack(chosen.costs, keep, chosen.deadline[..., None, None])
    load = uplink_load(chosen.costs, keep)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = xp.where(load > 0, xp.minimum(reach_for(load / time, band[..., None]) / gain, peak), 0.0)
    power = _held(ok, power)
    speed = rate(band[..., None], power * gain)
    took, spent = latency(chosen.costs, keep, speed), energy(chosen.costs, keep, power, speed)
    deadline = xp.broadcast_to(chosen.deadline, objective.shape)
    power, took, spent = (_held(ok, v)[..., 0] for v in (power, took, spent))
    return Allocation(option, ratio, band, power, took, spent, deadline, objective, bound, price,
                      status if status.ndim else status.item(), steps)


def _held(ok: NDArray, values: NDArray) -> NDArray:
    """The values with zeros where they are not ``ok``."""
    xp = namespace(values)
    found: NDArray = values if bool(xp.all(ok)) else xp.where(ok, values, 0.0)
    return found


def impossible(problem: Deadline) -> tuple[NDArray, NDArray, NDArray]:
    """Devices (..., K) without a link; that no band brings through by the deadline; nor within their energy budget."""
    xp, rows = namespace(problem.gain), problem.shape[:-1]

    def never(p: Deadline) -> NDArray:
        none: NDArray = ~xp.any(xp.broadcast_to(ratio_range(p).possible, p.shape), axis=-1)
        return none

    load = xp.min(xp.broadcast_to(uplink_load(problem.costs, 1 - problem.prune_max), problem.shape), axis=-1)
    dead = xp.broadcast_to(problem.gain * problem.peak_power <= 0, rows) & (load > 0)
    late = never(replace(problem, energy_budget=np.inf))
    return dead, late & ~dead, never(problem) & ~late & ~dead


def statuses(problem: Deadline, feasible: Any) -> NDArray:
    """OPTIMAL where a row is feasible, and else what stands in the way, (...,) array of Status."""
    feasible = to_numpy(feasible)
    if feasible.all():
        return np.broadcast_to(_OPTIMAL, feasible.shape)
    dead, late, hungry = (to_numpy(mask).any(-1) for mask in impossible(problem))
    found: NDArray = np.select([feasible, dead, late, hungry], [_OPTIMAL, _LINK, _DEADLINE, _ENERGY], _BAND)
    return found


def _stalled(status: NDArray, closed: Any) -> NDArray:
    found: NDArray = np.where((status == Status.OPTIMAL) & ~to_numpy(closed), np.array(Status.STALLED, object), status)
    return found


def at_full_power(problem: Deadline, found: Allocation) -> Allocation:
    """The same splits, ratios and bands with devices at peak power: sooner, and at a higher cost of energy.

    A device whose energy budget that would break keeps the power that was found for it.
    """
    xp, chosen = namespace(found.power), problem.of(found.option)
    keep, gain, ok = 1 - found.ratio[..., None], chosen.gain[..., None], (found.objective < np.inf)[..., None, None]
    power = xp.broadcast_to(chosen.peak_power, found.power.shape)[..., None]
    loud = energy(chosen.costs, keep, power, rate(found.bandwidth[..., None], power * gain))
    power = xp.where(loud > chosen.energy_budget[..., None], found.power[..., None], power)
    speed = rate(found.bandwidth[..., None], power * gain)
    took, spent = latency(chosen.costs, keep, speed), energy(chosen.costs, keep, power, speed)
    power, took, spent = (xp.where(ok, v, 0.0)[..., 0] for v in (power, took, spent))
    return replace(found, power=power, latency=took, energy=spent)
