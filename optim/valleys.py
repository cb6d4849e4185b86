"""The deadline that is best for the time to accuracy: which of several valleys, and where in it.

Every option that a device might take makes a valley of its own in the score (``optim.worth.Goal``), with ridges where devices
change their options. They are looked at in three steps, all with ``optim.scan``: over the whole range, or about the last round's
deadline where the rest can be ruled out; close to the best; and there with the options of all devices fixed, as they must be in
the end, so that the gap between a mixture and a decision does not mislead.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import changed, float_arrays, namespace
from optim.allocation import Allocation
from optim.deadlines import around, deadline_range, quickest, spaced, take
from optim.dominated import undominated
from optim.fastest import LONGEST
from optim.problem import Deadline
from optim.scan import POINTS, Scan, picks, scan
from optim.worth import Goal

STEP = 1.08          # ratio of neighbouring deadlines of the first grid
LEAST = 6            # deadlines that it has at least
MOST = 24            # and at most, in longer steps
FINER = 13           # deadlines of the grids after it, each between the neighbours of the best
SOME = 128           # entries (device, option) from which on a first look costs so much that it is a coarse one
MANY = 512           # entries from which on a closer look is only taken at options that devices took nearby
CHOICES = 6          # of options, that a view is asked for
CROWD = 50           # devices of which one more or less in another option is no matter
BESIDE = 1.02 ** np.arange(-3.0, 4.0)                                  # deadlines to try over the last round's: close to it,
SHORTER, LONGER = (BESIDE[-1] * STEP ** np.arange(1.0, j) for j in (7.0, 4.0))      # and farther off
TRIED = np.concatenate([1 / SHORTER[::-1], BESIDE, LONGER])
COARSE = STEP ** np.arange(-6.0, 4.0)                                  # the same, coarsely
ROUGH = 8            # points that options are at first (``optim.scan``)


def best_deadline(problem: Deadline, goal: Goal, start: Allocation | None = None) -> tuple[NDArray, NDArray]:
    """The deadline [s] at which the score is least and the price of the band there [1/Hz], (...,); from the last round's on.

    Where no deadline will do it is the longest, where all lose all progress the shortest. The problem's own is not used.
    """
    few = undominated(problem)
    found = None if start is None else _near(few, goal, start)
    return _among_options(found or _anywhere(few, goal))


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
        return View.of(self.few(), self.goal, around(self.grid, self.best, FINER), take(self.seen.price, self.best))

    def few(self) -> Deadline:
        """The problem with the few options that devices take at the best and beside it; as it is where it has not many."""
        if not many(self.problem):
            return self.problem
        options = namespace(self.grid).moveaxis(self.options(), 0, -1)
        return self.problem.change(_same, _same, lambda v: picks(v, options))

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
    return View.of(problem, goal, first_grid(low, high), points=ROUGH).closer()


def _near(problem: Deadline, goal: Goal, start: Allocation) -> View | None:
    """The same from the last round's deadline and price on; nothing where a deadline farther off might be better.

    The loss falls with the deadline. So longer ones than were tried are no better than the longest tried would be without
    any loss that can be spared; shorter ones than the shortest lose no less, and are no shorter than the quickest round.
    """
    large = problem.shape[-1] * problem.shape[-2] > SOME
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


def many(problem: Deadline) -> bool:
    """Whether looks at all options of all devices cost more than what comes with them."""
    return problem.shape[-1] > CHOICES and problem.shape[-1] * problem.shape[-2] > MANY


def _scan(problem: Deadline, deadline: NDArray, price: NDArray | None = None, points: int = POINTS) -> Scan:
    return scan(changed(problem, deadline=deadline), price, points=points)


def _same(values: NDArray) -> NDArray:
    return values


def first_grid(low: NDArray, high: NDArray, least: int = LEAST) -> NDArray:
    """Deadlines (J, ...) from low to high (...,), as many as the widest of the ranges needs, but not less than ``least``."""
    widest = float(namespace(low).max(high / low))
    return spaced(low, high, min(max(int(np.ceil(np.log(widest) / np.log(STEP))), least), MOST))
