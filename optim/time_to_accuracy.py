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
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from channels.arrays import changed, float_arrays, namespace, to_numpy
from optim.allocation import Allocation, Status
from optim.deadline import solve_kkt
from optim.deadlines import around, deadline_range, quickest, spaced, take
from optim.dominated import undominated
from optim.fastest import LONGEST, least_deadline
from optim.problem import Deadline
from optim.scan import POINTS, Scan, picks, scan
from optim.shares import solve_shares
from optim.worth import Goal

STEP = 1.08          # ratio of neighbouring deadlines of the first grid
LEAST = 6            # deadlines that it has at least
MOST = 24            # and at most, in longer steps
FINER = 13           # deadlines of the grids after it, each between the neighbours of the best
MANY = 512           # entries (device, option) from which on a closer look is only taken at options that devices took nearby
CHOICES = 6          # of options, that a view is asked for
CROWD = 50           # devices of which one more or less in another option is no matter
BESIDE = 1.02 ** np.arange(-3.0, 4.0)                                  # deadlines to try over the last round's: close to it,
SHORTER, LONGER = (BESIDE[-1] * STEP ** np.arange(1.0, j) for j in (7.0, 4.0))      # and farther off
TRIED = np.concatenate([1 / SHORTER[::-1], BESIDE, LONGER])
COARSE = STEP ** np.arange(-6.0, 4.0)                                  # where each deadline costs much
ROUGH = 8            # points that options are at first (``optim.scan``)


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
    goal = Goal(worth, exponent)
    answer = _joint(problem, goal, start) if shares is None else _in_shares(problem, goal, shares)
    lost = (answer.objective >= 1) & (answer.objective < np.inf)
    if not bool(lost.any()):
        return answer
    status = np.where(to_numpy(lost), np.array(Status.PROGRESS, object), answer.status)
    return replace(answer, status=status if status.ndim else status.item())


def _joint(problem: Deadline, goal: Goal, start: Allocation | None) -> Allocation:
    """The best deadline where the band is to be decided too."""
    few = undominated(problem)
    found = None if start is None else _near(few, goal, start)
    deadline, price = _among_options(found or _anywhere(few, goal))
    return solve_kkt(changed(problem, deadline=deadline), price=price)


class View(NamedTuple):
    """What was seen on a grid of deadlines (J, ...)."""

    problem: Deadline
    goal: Goal
    grid: NDArray
    seen: Scan
    best: NDArray        # index of the best of them

    @classmethod
    def of(cls, problem: Deadline, goal: Goal, grid: NDArray, price: NDArray | None = None, points: int = POINTS) -> "View":
        """A look at the deadlines of a grid, from a ``price`` (...,) on where one is known."""
        seen = _scan(problem, grid, price, points)
        return cls(problem, goal, grid, seen, goal.best(grid, seen.loss))

    def closer(self) -> "View":
        """Between the neighbours of the best, at the few options that devices take there."""
        problem = self.problem
        if _many(problem):
            options = namespace(self.grid).moveaxis(self.options(), 0, -1)
            problem = problem.change(_same, _same, lambda v: picks(v, options))
        return View.of(problem, self.goal, around(self.grid, self.best, FINER), take(self.seen.price, self.best))

    def options(self) -> NDArray:
        """Six choices of options (6, ..., K): those at the best deadline and its neighbours, on both sides of the price."""
        xp, last = namespace(self.grid), self.grid.shape[0] - 1
        near = [xp.clip(self.best + j, 0, last) for j in (-1, 0, 1)]
        return xp.stack([take(end, j) for j in near for end in (self.seen.spent, self.seen.wanted)], axis=0)


def _anywhere(problem: Deadline, goal: Goal) -> View:
    """A look close to the best of all deadlines."""
    xp, (low, high) = namespace(problem.gain), deadline_range(problem)
    usable = xp.isfinite(low)                              # elsewhere the longest deadline is tried: its status says why
    low, high = xp.where(usable, low, LONGEST), xp.where(usable, xp.where(xp.isfinite(high), high, 16 * low), LONGEST)
    return View.of(problem, goal, _grid(low, high, LEAST), points=ROUGH).closer()


def _near(problem: Deadline, goal: Goal, start: Allocation) -> View | None:
    """The same from the last round's deadline and price on; nothing where a deadline farther off might be better.

    The loss falls with the deadline. So longer ones than were tried are no better than the longest tried would be without
    any loss that can be spared; shorter ones than the shortest lose no less, and are no shorter than the quickest round.
    """
    large = _many(problem)
    xp, tried = float_arrays(COARSE if large else TRIED, problem.gain)[:2]
    grid = xp.reshape(tried, (-1,) + (1,) * start.deadline.ndim) * start.deadline
    view = View.of(problem, goal, grid, start.price, ROUGH if large else POINTS)
    least = xp.sum(xp.min(xp.broadcast_to(problem.noise, problem.shape), axis=-1), axis=-1)
    first = view.seen.loss[0, ...]
    score = xp.min(goal.score(grid, view.seen.loss), axis=0)
    closed = (goal.score(grid[-1, ...], least) >= score) & (goal.score(quickest(problem), first) >= score)
    if not bool(xp.all(closed & (score < xp.inf))):
        return None
    if large:
        return view.closer()
    beside = (view.best > len(SHORTER)) & (view.best < len(TRIED) - len(LONGER) - 1)
    return view if bool(xp.all(beside)) else view.closer()


def _among_options(view: View) -> tuple[NDArray, NDArray]:
    """The best deadline and its price (...,) about the best of a view, with the options of all devices fixed."""
    if view.problem.shape[-1] == 1:
        closer = view.closer()
        return take(closer.grid, closer.best), take(closer.seen.price, closer.best)
    xp, best, finer = namespace(view.grid), view.best, around(view.grid, view.best, FINER)
    options = view.options() if view.problem.shape[-2] < CROWD else view.options()[2:4, ...]       # those at the best itself
    seen = _scan(view.problem.of(options[:, None, ...]), finer[None, ...], take(view.seen.price, best))
    loss, flat, price = (xp.reshape(xp.broadcast_to(v, seen.loss.shape), (-1, *best.shape)) for v in
                         (seen.loss, finer[None, ...], seen.price))
    best = view.goal.best(flat, loss)
    return take(flat, best), take(price, best)


def _many(problem: Deadline) -> bool:
    """Whether looks at all options of all devices cost more than what comes with them."""
    return problem.shape[-1] > CHOICES and problem.shape[-1] * problem.shape[-2] > MANY


def _scan(problem: Deadline, deadline: NDArray, price: NDArray | None = None, points: int = POINTS) -> Scan:
    return scan(changed(problem, deadline=deadline), price, points=points)


def _same(values: NDArray) -> NDArray:
    return values


def worth_of_progress(problems: Deadline, *, exponent: float = 1.0, shares: Any = None) -> float:
    """mu of (2) [s] from a batch of sampled channels, (S, K) gains; also the mean time that a full round's progress takes."""
    xp, (low, high) = namespace(problems.gain), deadline_range(problems) if shares is None else _range(problems, shares)
    usable, goal = xp.isfinite(low), Goal(None, exponent)
    high = xp.where(xp.isfinite(high), high, 16 * low)
    grid, mu = _grid(xp.where(usable, low, 1.0), xp.where(usable, high, 1.0), LEAST), float("inf")     # (J, S)
    for _ in range(3):                                     # and twice between the neighbours of the best
        progress = goal.progress(_scan(problems, grid).loss if shares is None else _loss(problems, grid, shares))
        time, gained = (to_numpy(xp.where(usable, v, 0.0)) for v in (grid, progress))
        if not (gained > 0).any():
            break
        mu, best = _least_ratio(time, gained)
        grid = around(grid, xp.asarray(best, device=device(grid)), FINER)
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
    grid = _grid(xp.where(usable, low, LONGEST), xp.where(usable, high, LONGEST), 2 * FINER)
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
    high = least_deadline(replace(unpruned, prune_max=unpruned.prune_min), shares)
    return low * (1 + 1e-9), xp.where(xp.isfinite(high), xp.maximum(high, low) * (1 + 1e-9), 16 * low)


def _grid(low: NDArray, high: NDArray, least: int) -> NDArray:
    """Deadlines (J, ...) from low to high (...,), as many as the widest of the ranges needs, but not less than ``least``."""
    widest = float(namespace(low).max(high / low))
    return spaced(low, high, min(max(int(np.ceil(np.log(widest) / np.log(STEP))), least), MOST))
