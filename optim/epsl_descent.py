r"""Block-coordinate descent for EPSL's allocation (``optim.epsl``), the published method, reconstructed.

Three blocks, each solved with the others held, round after round until a round gains nothing:

1. subchannels, greedily: the device that is through last, T_i^F + S/R_i + U/D_i + T_i^B at present, gets the free subchannel that
   shortens this most, until none is free; the powers of the subchannels are given, and a device above its limit is scaled down;
2. power, a convex program, solved exactly (``optim.epsl_power``);
3. the cut, by enumeration.

A block keeps what it had if its new value is worse, so a round never is. It starts with equal power densities and the middle cut.
What stops it is a point that no block alone improves: nothing says how far from the optimum (``optim.epsl_exact`` does).

Source: Lin et al., IEEE TMC 2024 (arXiv 2303.15991); reconstructed: the three blocks and a greedy rule are the paper's; the
details of the rule, its start and its ties are ours, as is the comparison of each new block with the old.
"""

from typing import Any

from array_api_compat import array_namespace, device

from channels.arrays import over
from channels.rates import LN2
from optim.epsl import EpslProblem, at, device_times, latency, owners, uplink_rates
from optim.epsl_answer import EpslAnswer, settle
from optim.epsl_power import best_power
from optim.water_filling import water_fill

NEVER = 1e300       # seconds that a useless subchannel takes, short of infinity, where a free one is to be chosen


def solve_descent(problem: EpslProblem, *, rtol: float = 1e-9, most: int = 50) -> EpslAnswer:
    """Solve one problem or a batch by block-coordinate descent.

    Parameters
    ----------
    problem : EpslProblem
    rtol : float
        A round that shortens no latency by more than this share is the last [1].
    most : int
        Rounds at most.

    Returns
    -------
    EpslAnswer
        OPTIMAL means that the descent came to rest. Its ``lower_bound`` is :func:`floor`, rough: the certificate of
        ``optim.epsl_exact`` is sharp. Where every link is alive but the greedy rule strands a device, the status is BAND.
    """
    xp, (_, _, cuts) = array_namespace(problem.gain), problem.sizes
    rows, where = problem.gain.shape[:-2], device(problem.gain)
    cut = xp.full(rows, cuts // 2, dtype=xp.int64, device=where)
    density = problem.total_power[..., None] / xp.sum(problem.width, axis=-1, keepdims=True)
    assignment = greedy(problem, cut, density * problem.width)
    power = best_power(problem, cut, assignment)
    cut = best_cut(problem, assignment, power)
    before, steps = latency(problem, cut, assignment, power).total, 1
    while steps < most:
        steps += 1
        power = best_power(problem, cut, assignment)
        assignment, power = _faster(problem, cut, (assignment, power), greedy(problem, cut, power))
        cut = best_cut(problem, assignment, power)
        now = latency(problem, cut, assignment, power).total
        if not bool(xp.any(now < before * (1 - rtol))):
            break
        before = now
    return settle(problem, cut, assignment, power, xp.min(floor(problem), axis=-1), steps)


def greedy(problem: EpslProblem, cut: Any, power: Any) -> Any:
    """Owner of each subchannel, (..., M) int, by rule 1, at given ``power`` (..., M) [W]."""
    xp, (devices, bands, _) = array_namespace(problem.gain), problem.sizes
    where, width = device(problem.gain), problem.width[..., None, :]
    names, places = xp.arange(devices, device=where), xp.arange(bands, device=where)
    up, down = width * xp.log1p(power[..., None, :] * problem.gain / width) / LN2, problem.downlink_rates
    bits_up, bits_down = (at(v, cut)[..., None] for v in (problem.uplink_bits, problem.unicast_bits))
    fixed = at(problem.device_forward + problem.device_backward, cut[..., None])
    assignment = xp.full((*problem.gain.shape[:-2], bands), -1, dtype=xp.int64, device=where)
    for _ in range(bands):
        owned, free = owners(problem, assignment), (assignment == -1)[..., None, :]
        used = xp.sum(xp.where(owned, power[..., None, :], 0.0), axis=-1)
        fits = xp.clip(problem.peak_power / xp.where(used > 0, used, 1.0), 0.0, 1.0)[..., None]
        sent = width * xp.log1p(fits * power[..., None, :] * problem.gain / width) / LN2
        carried, heard = (xp.sum(xp.where(owned, v, 0.0), axis=-1) for v in (sent, down))
        now = fixed + over(bits_up, carried) + over(bits_down, heard)
        then = (fixed[..., None] + over(bits_up[..., None], carried[..., None] + up)
                + over(bits_down[..., None], heard[..., None] + down))
        then = xp.where(free, xp.minimum(then, NEVER), xp.inf)
        latest = _last(now, xp.min(then, axis=-1))
        best = xp.argmin(xp.max(xp.where((names == latest[..., None])[..., None], then, -xp.inf), axis=-2), axis=-1)
        assignment = xp.where(places == best[..., None], latest[..., None], assignment)
    return assignment


def _last(now: Any, then: Any) -> Any:
    """Index of the device that is through last; of several without a link, of the one that is last with its best subchannel."""
    xp = array_namespace(now)
    linked = xp.isfinite(now)
    beyond = xp.max(xp.where(linked, now, 0.0), axis=-1, keepdims=True)
    return xp.argmax(xp.where(linked, now, beyond + then), axis=-1)


def best_cut(problem: EpslProblem, assignment: Any, power: Any) -> Any:
    """The fastest cut, (...,) int, by rule 3."""
    xp, owned = array_namespace(problem.gain), owners(problem, assignment)
    ahead, behind = device_times(problem, owned, uplink_rates(problem, owned, power))
    return xp.argmin(xp.max(ahead, axis=-2) + problem.server + problem.broadcast + xp.max(behind, axis=-2), axis=-1)


def _faster(problem: EpslProblem, cut: Any, held: tuple[Any, Any], assignment: Any) -> tuple[Any, Any]:
    """The faster of the decision that is ``held`` and a new assignment with its best power."""
    xp, power = array_namespace(problem.gain), best_power(problem, cut, assignment)
    gains = latency(problem, cut, assignment, power).total < latency(problem, cut, *held).total
    return xp.where(gains[..., None], assignment, held[0]), xp.where(gains[..., None], power, held[1])


def floor(problem: EpslProblem) -> Any:
    """A latency that no decision undercuts, at each cut, (..., O) [s]: every device as in :func:`alone`."""
    ahead, behind = alone(problem)
    xp = array_namespace(problem.gain)
    return xp.max(ahead, axis=-2) + problem.server + problem.broadcast + xp.max(behind, axis=-2)


def alone(problem: EpslProblem) -> tuple[Any, Any]:
    """Least T^F + S/R and U/D + T^B of each device, (..., C, O) [s], at its peak power in the M - C + 1 best subchannels.

    The others need one each. Unequal widths count as the widest.
    """
    xp, (devices, bands, _) = array_namespace(problem.gain), problem.sizes
    first = max(devices - 1, 0) if devices <= bands else 0
    best, width = xp.sort(problem.gain, axis=-1)[..., first:], xp.max(problem.width, axis=-1)[..., None, None]
    power = water_fill(best, width, xp.minimum(problem.peak_power, problem.total_power[..., None]))
    up = xp.sum(width * xp.log1p(power * best / width), axis=-1)[..., None] / LN2
    down = xp.sum(xp.sort(problem.downlink_rates, axis=-1)[..., first:], axis=-1)[..., None]
    return (problem.device_forward + over(problem.uplink_bits[..., None, :], up),
            problem.device_backward + over(problem.unicast_bits[..., None, :], down))
