r"""Deadlines to try: the range in which the best one lies, and grids over it, for a batch of problems at once.

The shortest feasible deadline lies between two that need no search: what the slowest device takes in a band without end, and
what it takes in an equal share of the band, which any cell can give (budgets of energy apart).
"""

import numpy as np
from numpy.typing import NDArray

from channels.arrays import changed, namespace
from channels.rates import LN2, rate
from optim.band import least_band
from optim.costs import latency
from optim.fastest import LONGEST
from optim.problem import Deadline

SHORTEST = 1e-12                # [s]
SWEEP, SWEEPS, SURE = 8, 5, 1e-4     # deadlines looked at together, so often; and relative length of a bracket that is enough
STRETCH = 8.0                   # factor between the deadlines tried where energy is scarce


def deadline_range(problem: Deadline) -> tuple[NDArray, NDArray]:
    """Deadlines worth trying (...,) [s]: the shortest that is feasible, and the one at which nothing need be lost.

    ``inf`` where there is none; both are feasible, and somewhat too long (0.01 % or so). The deadline of ``problem`` is not used.
    """
    xp, noise = namespace(problem.gain), namespace(problem.gain).broadcast_to(problem.noise, problem.shape)
    gentle = noise <= xp.min(noise, axis=-1, keepdims=True)
    ratio = xp.stack([xp.broadcast_to(v, problem.shape) for v in (problem.prune_max, problem.prune_min)], axis=0)
    allowed = xp.stack([xp.ones_like(gentle), gentle], axis=0)

    def fits(deadline: NDArray) -> NDArray:
        least = xp.where(allowed, least_band(changed(problem, deadline=deadline), ratio), xp.inf)
        found: NDArray = xp.sum(xp.min(least, axis=-1), axis=-1) <= problem.band
        return found

    low, high = _bracket(problem, ratio, allowed)
    for _ in range(int(np.ceil(np.log(LONGEST / SHORTEST) / np.log(STRETCH)))):
        late = ~fits(high) & (high < LONGEST)
        if not bool(xp.any(late)):
            break
        low, high = xp.where(late, high, low), xp.where(late, STRETCH * high, high)
    able = high < LONGEST
    low, high = xp.where(able, low, 1.0), xp.where(able, high, 1.0)
    for _ in range(SWEEPS):
        if bool(xp.all(high <= low * (1 + SURE))):
            break
        grid = spaced(low, high, SWEEP)
        short = xp.count_nonzero(~fits(grid[1:-1, ...]), axis=0)                # the demand falls with the deadline
        low, high = take(grid, short), take(grid, short + 1)
    soonest, gentlest = xp.where(able, high, xp.inf)
    return soonest, xp.maximum(soonest, gentlest)


def quickest(problem: Deadline) -> NDArray:
    """No round is shorter (...,) [s]: the slowest device, pruned to the limit, in a band without end."""
    return _slowest(problem, problem.gain * problem.peak_power / LN2, problem.prune_max, problem.prune_max >= 0)


def _bracket(problem: Deadline, ratio: NDArray, allowed: NDArray) -> tuple[NDArray, NDArray]:
    """Deadlines (2, ...) between which the shortest is, at each of two ratios (2, ..., K, O) of the options that are allowed."""
    xp, heard = namespace(ratio), problem.gain * problem.peak_power
    share = problem.band[..., None] / problem.shape[-2]
    low, high = (xp.clip(_slowest(problem, speed, ratio, allowed), SHORTEST, LONGEST)
                 for speed in (heard / LN2, rate(share + 0 * heard, heard + 0 * share)))
    return low * (1 - SURE), xp.maximum(low, high) * (1 + SURE)


def _slowest(problem: Deadline, speed: NDArray, ratio: NDArray, allowed: NDArray) -> NDArray:
    """Time (...,) that the slowest device takes in its quickest option, at link rates (..., K) [bit/s]."""
    xp = namespace(speed)
    took = xp.where(allowed, latency(problem.costs, 1 - ratio, speed[..., None]), xp.inf)
    found: NDArray = xp.max(xp.min(took, axis=-1), axis=-1)
    return found


def spaced(low: NDArray, high: NDArray, count: int) -> NDArray:
    """A geometric grid (count, ...) from ``low`` to ``high`` (...,)."""
    xp, ratio = namespace(low), high / low
    return xp.stack([low * ratio ** (j / (count - 1)) for j in range(count)], axis=0)


def around(grid: NDArray, best: NDArray, count: int) -> NDArray:
    """A finer grid (count, ...) between the neighbours of the ``best`` (...,) of a grid (J, ...)."""
    xp, last = namespace(grid), grid.shape[0] - 1
    return spaced(take(grid, xp.clip(best - 1, 0, last)), take(grid, xp.clip(best + 1, 0, last)), count)


def take(values: NDArray, index: NDArray) -> NDArray:
    """values[index] row by row: (J, ...) or (J, ..., K) at an index (...,)."""
    xp, extra = namespace(values), values.ndim - 1 - index.ndim
    where = xp.broadcast_to(xp.reshape(index, (1, *index.shape, *(1,) * extra)), (1, *values.shape[1:]))
    found: NDArray = xp.take_along_axis(values, where, axis=0)[0]
    return found
