"""Decisions when the band is already shared out: the baseline that leaves the band's price unused."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays
from optim.allocation import Allocation
from optim.answer import settle, statuses
from optim.band import least_band, ratio_range
from optim.costs import pick
from optim.problem import Deadline, check
from optim.roots import falling_root


def equal_shares(devices: int) -> NDArray:
    """The same fraction of the band for each device (K,) [1]."""
    return np.full(devices, 1 / devices)


def solve_shares(problem: Deadline, shares: ArrayLike) -> Allocation:
    """The best split, pruning ratio and power of each device alone, by the deadline and in its share of the band.

    Parameters
    ----------
    shares : (..., K) array
        Fraction of the band that each device has [1].

    Returns
    -------
    Allocation
        Its price is 0 and its lower bound what the devices would lose with a band each of their own: a valid
        certificate, and a loose one.
    """
    xp, each = float_arrays(shares, problem.gain)[:2]
    check("shares", each, "1", 0.0, 1.0, closed=True)
    if not bool(xp.all(xp.sum(xp.broadcast_to(each, problem.shape[:-1]), axis=-1) <= 1 + 1e-9)):
        raise ValueError(f"shares must add up to 1 at most over the devices [1], got {each}")
    mine = xp.broadcast_to((each * problem.band[..., None])[..., None], problem.shape)
    ratios = ratio_range(problem)
    low, high, able = (xp.broadcast_to(v, problem.shape) for v in (ratios.low, ratios.high, ratios.possible))
    low, high = xp.where(able, low, 0.5), xp.where(able, high, 0.5)

    def crowding(ratio: NDArray) -> NDArray:
        with np.errstate(divide="ignore"):
            return xp.log(least_band(problem, ratio) / mine)

    ends = crowding(low), crowding(high)
    ratio = xp.where(ends[0] <= 0, low, falling_root(crowding, low, high, *ends))
    fits = able & (crowding(ratio) <= 1e-9)
    loss = xp.where(fits, problem.noise + problem.pruning.value(ratio), xp.inf)
    unshared = xp.where(able, problem.noise + problem.pruning.value(low), xp.inf)
    option = xp.argmin(loss, axis=-1)
    ratio, loss = (pick(v, option)[..., 0] for v in (ratio, loss))
    objective = xp.sum(loss, axis=-1)
    feasible = objective < np.inf
    bound = xp.where(feasible, xp.sum(xp.min(unshared, axis=-1), axis=-1), -np.inf)
    ratio, band = (xp.where(feasible[..., None], v, 0.0) for v in (ratio, mine[..., 0]))
    return settle(problem.of(option), option, ratio, band, feasible, objective, bound, xp.zeros_like(objective),
                  status=statuses(problem, feasible))
