"""Decisions when the band is already shared out: the baseline that leaves the band's price unused."""

import numpy as np
from numpy.typing import NDArray

from optim.allocation import Allocation
from optim.answer import settle, statuses
from optim.band import least_band
from optim.curves import Curves
from optim.problem import Deadline
from optim.roots import falling_root


def equal_shares(devices: int) -> NDArray:
    """The same fraction of the band for each device (K,) [1]."""
    return np.full(devices, 1 / devices)


def solve_shares(problem: Deadline, shares: NDArray) -> Allocation:
    """The best split, pruning ratio and power of each device alone, by the deadline and in its share of the band.

    Parameters
    ----------
    shares : (K,) array
        Fraction of the band that each device has [1].

    Returns
    -------
    Allocation
        Its price is 0 and its lower bound what the devices would lose with a band each of their own: a valid
        certificate, and a loose one.
    """
    curves, mine = Curves(problem), (shares * problem.band[..., None])[..., None]
    low, high = curves.low, curves.low + curves.width

    def crowding(ratio: NDArray) -> NDArray:
        with np.errstate(divide="ignore"):
            return np.log(least_band(problem, ratio)[0] / mine)

    ends = crowding(low), crowding(high)
    ratio = np.where(ends[0] <= 0, low, falling_root(crowding, low, high, *ends))
    fits = curves.possible & (crowding(ratio) <= 1e-9)
    loss = np.where(fits, problem.noise + problem.pruning.value(ratio), np.inf)
    option = loss.argmin(-1)
    ratio, loss = (np.take_along_axis(v, option[..., None], -1)[..., 0] for v in (ratio, loss))
    objective = loss.sum(-1)
    feasible, each = np.isfinite(objective), np.isfinite(objective)[..., None]
    free = np.where(feasible, curves.shallow.cost.min(-1).sum(-1), -np.inf)
    band = np.where(each, np.broadcast_to(mine[..., 0], ratio.shape), 0.0)
    return settle(problem.of(option), option, np.where(each, ratio, 0.0), band, feasible, objective, free,
                  np.zeros(objective.shape), status=statuses(problem, feasible))
