r"""How long should a round be? Short rounds lose progress, full rounds lose time.

With R_0 rounds planned without pruning, R_0 / (1 - Phi) are needed (``optim.bound``). In one fixed channel the time to
the target is least where

.. math:: \min_T\; T / (1 - \Phi(T))^{\gamma}                                        \tag{1}

and over fading rounds it is R_0 E[T] / E[(1 - Phi)^gamma], a ratio of means. By Dinkelbach the best policy then solves,
round by round,

.. math:: \min_T\; T - \mu\,(1 - \Phi(T))^{\gamma},\qquad \mu = E[T] / E[(1 - \Phi)^{\gamma}]     \tag{2}

for one number mu [s], the worth of a round's progress: good channels train fully, bad ones are short and prune hard.
Phi(T) is the deadline problem, and with several options (2) has several valleys in T. So it is looked at roughly over the
whole range of T that may matter (``optim.scan``), closely around the best of it, and there among the options that devices then
take; the deadline problem at the best of these is solved in full. From the last round's decision on, the whole range is
looked at in larger steps.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from channels.arrays import changed, namespace, to_numpy
from optim.allocation import Allocation, Status
from optim.deadline import solve_kkt
from optim.deadlines import around, deadline_range, take
from optim.dominated import undominated
from optim.fastest import LONGEST, least_deadline
from optim.problem import Deadline, check
from optim.scan import POINTS
from optim.shares import solve_shares
from optim.valleys import FINER, ROUGH, View, best_deadline, first_grid, many
from optim.worth import Goal, progress


def time_to_accuracy(problem: Deadline, worth: float | None = None, *, exponent: float = 1.0, shares: Any = None,
                     start: Allocation | None = None) -> Allocation:
    """The decision of the deadline that is best by (1), or by (2) if the ``worth`` of progress is given.

    Parameters
    ----------
    problem : Deadline
        One problem, or a batch with leading axes; its own deadline is not used.
    worth : float, optional
        mu [s], from :func:`worth_of_progress` or the ``price`` of a running ``optim.worth.Worth``.
    exponent : float
        gamma [1]: 1 is the bound as derived, less trusts that pruning harms less than the bound says.
    shares : (..., K) array, optional
        Fixed fractions of the band [1].
    start : Allocation, optional
        The last round's decision, of as many rows: it saves time, and what is best now is found all the same.

    Returns
    -------
    Allocation
        Its certificate is that of the deadline problem at the chosen deadline; the deadline itself is searched on grids.
        Where every deadline loses all progress the status is PROGRESS, and the numbers are those of the shortest.
    """
    if worth is not None:
        check("worth", worth, "s", 0.0, np.inf, closed=True)
        if np.ndim(worth):
            raise ValueError(f"worth must be one number for all rows of the batch [s], got {worth}")
    check("exponent", exponent, "1", 0.0, np.inf)
    goal = Goal(worth, exponent)
    return telling_progress(_joint(problem, goal, start) if shares is None else _in_shares(problem, goal, shares))


def telling_progress(answer: Allocation) -> Allocation:
    """The same with the status PROGRESS where a decision loses all progress."""
    lost = (answer.objective >= 1) & (answer.objective < np.inf)
    if not bool(lost.any()):
        return answer
    status = np.where(to_numpy(lost), np.array(Status.PROGRESS, object), answer.status)
    return replace(answer, status=status if status.ndim else status.item())


def _joint(problem: Deadline, goal: Goal, start: Allocation | None) -> Allocation:
    """The best deadline where the band is to be decided too."""
    deadline, price = best_deadline(problem, goal, start)
    return solve_kkt(changed(problem, deadline=deadline), price=price)


def worth_of_progress(problems: Deadline, *, exponent: float = 1.0, shares: Any = None) -> float:
    """mu of (2) [s] from a batch of sampled channels, (S, K) gains; also the mean time that a full round's progress takes."""
    problems = undominated(problems)
    xp, (low, high) = namespace(problems.gain), deadline_range(problems) if shares is None else _range(problems, shares)
    usable, goal = xp.isfinite(low), Goal(None, exponent)
    high = xp.where(xp.isfinite(high), high, 16 * low)
    grid, mu = first_grid(xp.where(usable, low, 1.0), xp.where(usable, high, 1.0)), float("inf")     # (J, S)
    points = ROUGH if many(problems) else POINTS
    for _ in range(3):                                     # and twice between the neighbours of the best
        view = View.of(problems, goal, grid, points=points) if shares is None else None
        made = progress(_loss(problems, grid, shares) if view is None else view.seen.loss, exponent)
        time, gained = (to_numpy(xp.where(usable, v, 0.0)) for v in (grid, made))
        if not (gained > 0).any():
            break
        mu, best = _least_ratio(time, gained)
        at = xp.asarray(best, device=device(grid))
        problems, points = problems if view is None else view._replace(best=at).few(), POINTS
        grid = around(grid, at, FINER)
    return mu


def _least_ratio(time: NDArray, gained: NDArray) -> tuple[float, NDArray]:
    """The least ratio of means by Dinkelbach, choosing one of J entries of each row, (J, S), and the indices (S,)."""
    mu = float(np.min(np.where(gained > 0, time, np.inf) / np.maximum(gained, 1e-12)))
    for _ in range(50):
        best = np.argmin(time - mu * gained, axis=0)
        before, mu = mu, float(take(time, best).sum() / take(gained, best).sum())
        if abs(mu - before) <= 1e-9 * mu:
            break
    return mu, best


def _in_shares(problem: Deadline, goal: Goal, shares: Any) -> Allocation:
    """The best deadline where each device has its share of the band (..., K)."""
    xp, (low, high) = namespace(problem.gain), _range(problem, shares)
    usable = xp.isfinite(low)
    grid = first_grid(xp.where(usable, low, LONGEST), xp.where(usable, high, LONGEST), 2 * FINER)
    for _ in range(2):
        grid = around(grid, goal.best(grid, _loss(problem, grid, shares)), FINER)
    best = goal.best(grid, _loss(problem, grid, shares))
    return solve_shares(changed(problem, deadline=take(grid, best)), shares)


def _loss(problem: Deadline, deadline: NDArray, shares: Any) -> NDArray:
    return solve_shares(changed(problem, deadline=deadline), shares).objective


def _range(problem: Deadline, shares: Any) -> tuple[NDArray, NDArray]:
    """Deadlines worth trying in fixed shares (...,): from the shortest that is feasible to the one at which nothing is pruned."""
    xp, low = namespace(problem.gain), least_deadline(problem, shares)
    unpruned = problem.of(xp.argmin(xp.broadcast_to(problem.noise, problem.shape), axis=-1))
    high = least_deadline(unpruned.unpruned(), shares)
    return low * (1 + 1e-9), xp.where(xp.isfinite(high), xp.maximum(high, low) * (1 + 1e-9), 16 * low)
