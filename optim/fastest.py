"""The shortest deadline that a cell can keep, pruned as far as it may be."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optim.band import least_band
from optim.problem import Deadline
from optim.roots import falling_root

LONGEST = 1e9       # [s]; what takes longer than this is called impossible
STRETCH = 4.0


def least_deadline(problem: Deadline, shares: NDArray | None = None) -> NDArray:
    """Shortest feasible deadline (...,) [s], at the largest pruning ratios and the best options; ``inf`` if there is none.

    The deadline of ``problem`` itself is not used. With ``shares`` (K,), the band of each device is that fraction of
    the whole [1]; without, it is the solver's to give.

    The demand for band falls with the deadline, so the answer is the root of log(demand / band).
    """
    most = np.broadcast_to(problem.prune_max, problem.shape)
    rows = problem.shape[:-2]

    def crowding(log_deadline: NDArray) -> NDArray:
        at = replace(problem, deadline=np.exp(log_deadline))
        least = least_band(at, most)[0].min(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            need = least.sum(-1) / problem.band if shares is None else (least / (shares * problem.band[..., None])).max(-1)
            return np.where(np.isnan(need), np.inf, np.log(need))

    low = high = np.broadcast_to(np.log(np.mean(problem.deadline)), rows)
    value_low = value_high = crowding(low)
    ceiling, step = np.log(LONGEST), np.log(STRETCH)
    for _ in range(200):
        up, down = (value_high > 0) & (high < ceiling), (value_low <= 0) & (low > -ceiling)
        if not (up | down).any():
            break
        value_low, value_high = np.where(up, value_high, value_low), np.where(down & ~up, value_low, value_high)
        low, high = (np.where(up, high, np.where(down, low - step, low)),
                     np.where(up, high + step, np.where(down, low, high)))
        value_low, value_high = np.where(down & ~up, crowding(low), value_low), np.where(up, crowding(high), value_high)
    root = falling_root(crowding, low, high, value_low, value_high)
    return np.where(value_high > 0, np.inf, np.exp(root))
