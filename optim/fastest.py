"""The shortest deadline that a cell can keep, pruned as far as it may be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import changed, namespace
from optim.band import least_band
from optim.problem import Deadline
from optim.roots import falling_root

LONGEST = 1e9       # [s]; what takes longer than this is called impossible
STRETCH = 4.0


def least_deadline(problem: Deadline, shares: Any = None) -> NDArray:
    """Shortest feasible deadline (...,) [s], at the largest pruning ratios and the best options; ``inf`` if there is none.

    The deadline of ``problem`` itself is not used. With ``shares`` (..., K), the band of each device is that fraction of
    the whole [1]; without, it is the solver's to give.

    The demand for band falls with the deadline, so the answer is the root of log(demand / band).
    """
    xp, rows = namespace(problem.gain), problem.shape[:-2]
    most = xp.broadcast_to(problem.prune_max, problem.shape)
    left = problem.prune_min <= problem.prune_max                          # options without a ratio are left out

    def crowding(log_deadline: NDArray) -> NDArray:
        least = xp.min(xp.where(left, least_band(changed(problem, deadline=xp.exp(log_deadline)), most), xp.inf), axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            need = (xp.sum(least, axis=-1) / problem.band if shares is None
                    else xp.max(least / (shares * problem.band[..., None]), axis=-1))
            return xp.where(xp.isnan(need), xp.inf, xp.log(need))

    low = high = xp.broadcast_to(xp.log(xp.mean(problem.deadline)), rows)
    value_low = value_high = crowding(low)
    ceiling, step = float(np.log(LONGEST)), float(np.log(STRETCH))
    for _ in range(200):
        up, down = (value_high > 0) & (high < ceiling), (value_low <= 0) & (low > -ceiling)
        if not bool(xp.any(up | down)):
            break
        value_low, value_high = xp.where(up, value_high, value_low), xp.where(down & ~up, value_low, value_high)
        low, high = (xp.where(up, high, xp.where(down, low - step, low)),
                     xp.where(up, high + step, xp.where(down, low, high)))
        value_low, value_high = xp.where(down & ~up, crowding(low), value_low), xp.where(up, crowding(high), value_high)
    root = falling_root(crowding, low, high, value_low, value_high)
    return xp.where(value_high > 0, xp.inf, xp.exp(root))
