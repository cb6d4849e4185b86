"""From prices to an Allocation: spend the band that is left, find the power, read the clock, say how it ended."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
    feasible = np.isfinite(found.objective)
    chosen = problem.of(found.option)
    ratio = np.where(feasible[..., None], found.ratio, 0.0)
    band = np.where(feasible[..., None], found.band, 0.0)
    asked = band.sum(-1)
    rounding = np.isclose(bound, found.objective, rtol=1e-12, atol=0)
    bound = np.where(rounding, np.minimum(bound, found.objective), bound)
    left = np.where(found.price > 0, 1.0, np.divide(problem.band, asked, where=asked > 0, out=np.ones(asked.shape)))
    return settle(chosen, found.option, ratio, band * left[..., None], feasible, found.objective, bound, found.price,
                  status=statuses(problem, feasible), steps=found.steps)


def settle(chosen: Deadline, option: NDArray, ratio: NDArray, band: NDArray, feasible: NDArray, objective: NDArray,
           bound: NDArray, price: NDArray, *, status: NDArray, steps: int = 0) -> Allocation:
    """Fill in least power, latency and energy for bands, (..., K), that are known to be enough."""
    keep, ok = 1 - ratio[..., None], feasible[..., None]
    gain, peak = chosen.gain[..., None], chosen.peak_power[..., None]
    time = slack(chosen.costs, keep, chosen.deadline[..., None, None])
    load = uplink_load(chosen.costs, keep)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.where(load > 0, np.minimum(reach_for(load / time, band[..., None]) / gain, peak), 0.0)
        power = np.where(ok[..., None], power, 0.0)
        speed = rate(band[..., None], power * gain)
        took, spent = latency(chosen.costs, keep, speed)[..., 0], energy(chosen.costs, keep, power, speed)[..., 0]
    deadline = np.broadcast_to(chosen.deadline, objective.shape)
    return Allocation(option, ratio, band, power[..., 0], np.where(ok, took, 0.0), np.where(ok, spent, 0.0),
                      np.array(deadline), objective, bound, price, status if status.ndim else status.item(), steps)


def impossible(problem: Deadline) -> tuple[NDArray, NDArray, NDArray]:
    """Devices (..., K) without a link; that no band brings through by the deadline; nor within their energy budget."""
    def never(p: Deadline) -> NDArray:
        low, high, pole = (np.broadcast_to(v, p.shape) for v in ratio_range(p))
        return ((low > high) | ((low == high) & pole)).all(-1)

    load = np.broadcast_to(uplink_load(problem.costs, 1 - problem.prune_max), problem.shape).min(-1)
    dead = np.broadcast_to(problem.gain * problem.peak_power <= 0, load.shape) & (load > 0)
    late = never(replace(problem, energy_budget=np.array(np.inf)))
    return dead, late & ~dead, never(problem) & ~late & ~dead


def statuses(problem: Deadline, feasible: NDArray) -> NDArray:
    """OPTIMAL where a row is feasible, and else what stands in the way, (...,) array of Status."""
    dead, late, hungry = (mask.any(-1) for mask in impossible(problem))
    found: NDArray = np.select([feasible, dead, late, hungry], [_OPTIMAL, _LINK, _DEADLINE, _ENERGY], _BAND)
    return found


def at_full_power(problem: Deadline, found: Allocation) -> Allocation:
    """The same splits, ratios and bands with devices at peak power: sooner, and at a higher cost of energy.

    A device whose energy budget that would break keeps the power that was found for it.
    """
    chosen = problem.of(found.option)
    keep, gain = 1 - found.ratio[..., None], chosen.gain[..., None]
    power = np.broadcast_to(chosen.peak_power, found.power.shape)[..., None]
    loud = energy(chosen.costs, keep, power, rate(found.bandwidth[..., None], power * gain))
    power = np.where(loud > chosen.energy_budget[..., None], found.power[..., None], power)
    speed = rate(found.bandwidth[..., None], power * gain)
    ok = np.isfinite(found.objective)[..., None]
    took, spent = latency(chosen.costs, keep, speed)[..., 0], energy(chosen.costs, keep, power, speed)[..., 0]
    return replace(found, power=np.where(ok, power[..., 0], 0.0), latency=np.where(ok, took, 0.0),
                   energy=np.where(ok, spent, 0.0))
