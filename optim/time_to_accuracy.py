r"""How long should a round be? Short rounds lose progress, full rounds lose time.

With R_0 rounds planned without pruning, R_0 / (1 - Phi) are needed (``optim.bound``). In one fixed channel the time to
the target is least where

.. math:: \min_T\; T / (1 - \Phi(T))^{\gamma}                                        \tag{1}

and over fading rounds it is R_0 E[T] / E[(1 - Phi)^gamma], a ratio of means. By Dinkelbach the best policy then solves,
round by round,

.. math:: \min_T\; T - \mu\,(1 - \Phi(T))^{\gamma},\qquad \mu = E[T] / E[(1 - \Phi)^{\gamma}]     \tag{2}

for one number mu [s], the worth of a round's progress: good channels train fully, bad ones are short and prune hard.
Phi(T) is the deadline problem, solved on a grid of T that is refined around its best point (with several
options it need not be convex).
"""

from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from channels.arrays import namespace, to_numpy
from optim.allocation import Allocation, Status
from optim.deadline import solve_kkt
from optim.fastest import LONGEST, least_deadline
from optim.price import search
from optim.problem import Deadline
from optim.shares import solve_shares

STEP = 1.08          # ratio of neighbouring deadlines of the first grid
FINER = 7            # deadlines of the two grids after it, each between the neighbours of the best
ROUGH = 1e-3         # relative tolerance on all


def time_to_accuracy(problem: Deadline, worth: float | None = None, *, exponent: float = 1.0,
                     shares: Any = None) -> Allocation:
    """The decision of the deadline that is best by (1), or by (2) if the ``worth`` of progress is given.

    Parameters
    ----------
    problem : Deadline
        One problem, or a batch with leading axes; its own deadline is not used.
    worth : float, optional
        mu [s], from :func:`worth_of_progress`.
    exponent : float
        gamma [1]: 1 is the bound as derived, less trusts that pruning harms less than the bound says.
    shares : (..., K) array, optional
        Fixed fractions of the band [1].

    Returns
    -------
    Allocation
        Its certificate is that of the deadline problem at the chosen deadline; the deadline itself is searched on grids.
        Where every deadline loses all progress the status is PROGRESS, and the numbers are those of the shortest.
    """
    xp, (low, high) = namespace(problem.gain), _range(problem, shares)
    usable = xp.isfinite(low)                              # elsewhere the longest deadline is tried: its status says why
    grid, price = _grid(xp.where(usable, low, LONGEST), xp.where(usable, high, LONGEST)), None
    for _ in range(2):                                     # by the bound, then between the neighbours of the best
        loss, prices = _loss(replace(problem, deadline=grid), shares, price)
        best = _best(grid, loss, worth, exponent)
        grid, price = _around(grid, best), _take(prices, best)
    found = _solve(replace(problem, deadline=grid), shares, price, ROUGH)
    best = _best(grid, found.objective, worth, exponent)
    answer = _solve(replace(problem, deadline=_take(grid, best)), shares, _take(found.price, best))
    lost = (answer.objective >= 1) & (answer.objective < np.inf)
    status = np.where(to_numpy(lost), np.array(Status.PROGRESS, object), answer.status)
    return replace(answer, status=status if status.ndim else status.item())


def worth_of_progress(problems: Deadline, *, exponent: float = 1.0, shares: Any = None) -> float:
    """mu of (2) [s] from a batch of sampled channels, (S, K) gains; also the mean time that a full round's progress takes."""
    xp, (low, high) = namespace(problems.gain), _range(problems, shares)
    usable = xp.isfinite(low)
    grid, mu = _grid(xp.where(usable, low, 1.0), xp.where(usable, high, 1.0)), float("inf")            # (J, S)
    for _ in range(3):                                     # and twice between the neighbours of the best
        progress = _progress(_loss(replace(problems, deadline=grid), shares)[0], exponent)
        time, gained = (to_numpy(xp.where(usable, v, 0.0)) for v in (grid, progress))
        if not (gained > 0).any():
            break
        mu, best = _least_ratio(time, gained)
        grid = _around(grid, xp.asarray(best, device=device(grid)))
    return mu


def _least_ratio(time: NDArray, gained: NDArray) -> tuple[float, NDArray]:
    """The least ratio of means by Dinkelbach, choosing one of J entries of each row, (J, S), and the indices (S,)."""
    mu = float(np.min(np.where(gained > 0, time, np.inf) / np.maximum(gained, 1e-12)))
    for _ in range(50):
        best = np.argmin(time - mu * gained, axis=0)
        before, mu = mu, float(_take(time, best).sum() / _take(gained, best).sum())
        if abs(mu - before) <= 1e-9 * mu:
            break
    return mu, best


def _solve(problem: Deadline, shares: Any, price: ArrayLike | None = None, rtol: float = 1e-12) -> Allocation:
    return solve_kkt(problem, price=price, rtol=rtol) if shares is None else solve_shares(problem, shares)


def _loss(problems: Deadline, shares: Any, price: ArrayLike | None = None) -> tuple[NDArray, NDArray]:
    """Phi of every row, by its dual value (the gap is a matter of the last device), and the price of the band."""
    if shares is not None:
        found = solve_shares(problems, shares)
        return found.objective, found.price
    rough = search(problems, price, ROUGH, bound=True)
    xp = namespace(rough.dual)
    return xp.where(xp.isfinite(rough.dual), rough.dual, xp.inf), rough.price


def _range(problem: Deadline, shares: Any) -> tuple[NDArray, NDArray]:
    """Deadlines worth trying (...,): from the shortest that is feasible to the one at which nothing is pruned."""
    xp, low = namespace(problem.gain), least_deadline(problem, shares)
    unpruned = problem.of(xp.argmin(xp.broadcast_to(problem.noise, problem.shape), axis=-1))
    high = least_deadline(replace(unpruned, prune_max=unpruned.prune_min), shares)
    return low * (1 + 1e-9), xp.where(xp.isfinite(high), xp.maximum(high, low) * (1 + 1e-9), 16 * low)


def _grid(low: NDArray, high: NDArray) -> NDArray:
    """Deadlines (J, ...) from low to high (...,), as many as the widest of the ranges needs."""
    widest = float(namespace(low).max(high / low))
    return _spaced(low, high, max(int(np.ceil(np.log(widest) / np.log(STEP))), 2 * FINER))


def _spaced(low: NDArray, high: NDArray, count: int) -> NDArray:
    xp, ratio = namespace(low), high / low
    return xp.stack([low * ratio ** (j / (count - 1)) for j in range(count)], axis=0)


def _around(grid: NDArray, best: NDArray) -> NDArray:
    """A finer grid between the neighbours of the best deadline of each row."""
    xp, last = namespace(grid), grid.shape[0] - 1
    return _spaced(_take(grid, xp.clip(best - 1, 0, last)), _take(grid, xp.clip(best + 1, 0, last)), FINER)


def _take(values: NDArray, index: NDArray) -> NDArray:
    """values[index] row by row, (J, ...) at (...,)."""
    found: NDArray = namespace(values).take_along_axis(values, index[None, ...], axis=0)[0]
    return found


def _progress(loss: NDArray, exponent: float) -> NDArray:
    found: NDArray = namespace(loss).clip(1 - loss, 0.0, 1.0) ** exponent
    return found


def _best(deadline: NDArray, loss: NDArray, worth: float | None, exponent: float) -> NDArray:
    """Index (...,) of the best of the deadlines (J, ...)."""
    xp, progress = namespace(loss), _progress(loss, exponent)
    if worth is None:
        score = deadline / xp.where(loss < 1, progress, 1.0)
    else:
        score = deadline - worth * progress if np.isfinite(worth) else -progress
    found: NDArray = xp.argmin(xp.where(loss < 1, score, xp.inf), axis=0)
    return found
