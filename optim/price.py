"""The price of the band: one search over it makes the devices' answers fit (``optim.market``).

Newton's steps find the root of a smooth demand; where a device changes its option the tangents of the dual value do, for the
two meet exactly at its kink. A bracket guards both.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays, namespace
from optim.market import Market, Point, where
from optim.problem import Deadline

STRETCH = 1.0             # by which log(price) grows first where Newton's step is of no use; doubled each time
FARTHEST = 12.0           # largest step of log(price)
CLOSE, BEYOND = 8.0, 3.0   # a bracket longer than so many Newton's steps is closed from so many steps beyond
MOST_STEPS = 300
BATCH = 1 << 15                # entries (row, device, option) that are searched together
LATE = 3                       # steps after which a row without both ends is asked whether it has them
MANY, STRIDE = 1 << 13, 64     # one row of more devices starts from the price among every so manieth of them,
NEAR = 0.1                     # and goes on without hopeless options once log(price) is known so far


@dataclass(frozen=True)
class Search:
    """What a search for the price found; (...,) and (..., K)."""

    price: NDArray
    dual: NDArray             # best value of the dual problem [1]; -inf where nothing is feasible
    option: NDArray           # at the price, where the band suffices
    option_below: NDArray     # at the last price where it did not
    band_below: NDArray       # what those options ask for there
    ratio: NDArray
    band: NDArray
    objective: NDArray        # inf where nothing is feasible
    closed: NDArray           # whether the search came to its end
    steps: int

    def better(self, rival: "Search", option: NDArray) -> "Search":
        """Row by row the one that loses less progress; ``rival`` had its options fixed to ``option``."""
        xp, wins = namespace(self.price), rival.objective < self.objective
        each = wins[..., None]
        return replace(
            self, price=xp.where(wins, rival.price, self.price), option=xp.where(each, option, self.option),
            ratio=xp.where(each, rival.ratio, self.ratio), band=xp.where(each, rival.band, self.band),
            objective=xp.where(wins, rival.objective, self.objective), steps=self.steps + rival.steps)


def search(problem: Deadline, start: ArrayLike | None = None, rtol: float = 1e-12) -> Search:
    """Raise the dual value to its top over the price, from ``start`` where there is one."""
    *rows, devices, options = problem.shape
    price, count, size = _first_price(problem, start), int(np.prod(rows)), max(BATCH // (devices * options), 1)
    with np.errstate(all="ignore"):
        found = [_search(problem.rows(slice(first, first + size)) if rows else problem, price[first:first + size], rtol)
                 for first in range(0, count, size)]
    return _joined(found, lambda v: namespace(v).reshape(v, (*rows, *v.shape[1:])))


def _first_price(problem: Deadline, start: ArrayLike | None) -> NDArray:
    """Prices (R,) to begin with: those given, or that of a sample of many devices; 0 where nothing is known."""
    *rows, devices, _ = problem.shape
    if start is None and not rows and devices > MANY:
        some = problem.devices(slice(None, None, STRIDE))
        some = replace(some, band=problem.band * (some.shape[-2] / devices))
        start = search(some, rtol=1e-3).price
    xp, price = float_arrays(0.0 if start is None else start, problem.gain)[:2]
    return xp.reshape(xp.broadcast_to(price, tuple(rows)), (-1,))


class Bracket(NamedTuple):
    """Prices on both sides of the root, row by row (R,), and what the last steps did."""

    low: NDArray              # log(price) where the band does not suffice, -inf before one is known
    high: NDArray             # log(price) where it does, inf before one is known; -inf where it does for nothing
    below: Point
    above: Point
    point: Point              # the last one
    width: NDArray            # of the bracket three steps ago
    stretch: NDArray          # next step where nothing better is known

    @classmethod
    def at(cls, point: Point) -> "Bracket":
        """What one price tells."""
        none = namespace(point.price).zeros_like(point.price)
        bracket = cls(none - np.inf, none + np.inf, point, point, point, none + np.inf, none + STRETCH)
        return bracket.narrowed(point)

    @property
    def both(self) -> NDArray:
        """Rows in which both ends are known."""
        return (self.low > -np.inf) & (self.high < np.inf)

    def rows(self, index: NDArray) -> "Bracket":
        parts: list[Any] = [Point(*(v[index] for v in part)) if isinstance(part, Point) else part[index] for part in self]
        return Bracket(*parts)

    def reordered(self, order: NDArray) -> "Bracket":
        """With the devices in another order."""
        return self._replace(**{end: getattr(self, end).reordered(order) for end in ("below", "above", "point")})

    def narrowed(self, point: Point) -> "Bracket":
        """With one more price looked at."""
        xp, short = namespace(point.price), point.excess > 0
        y = xp.log(point.price)
        return self._replace(
            low=xp.where(short, y - point.blur, self.low), high=xp.where(short, self.high, y + point.blur),
            below=where(short, point, self.below), above=where(short, self.above, point), point=point)

    def ended(self, market: Market) -> tuple["Bracket", NDArray]:
        """With the market at a price of zero for rows that have not found a lower end, and whether an upper end exists."""
        xp, free = namespace(self.low), market.free()
        fits = free.excess <= 0
        return self._replace(
            high=xp.where(fits, -xp.inf, self.high), above=where(fits, free, self.above),
            below=where(self.low == -xp.inf, free, self.below)), market.possible()

    def done(self, rtol: float) -> tuple[NDArray, NDArray, NDArray]:
        """Rows that are closed; rows in which a device changes its option; where the tangents of the dual meet."""
        xp, below, above = namespace(self.low), self.below, self.above
        fits = (self.high < xp.inf) & (above.excess >= -rtol) | (self.high - self.low <= 1e-14)
        kinked = self.both & xp.any(below.option != above.option, axis=-1)
        if not bool(xp.any(kinked)):
            return fits, kinked, self.low
        meet = ((above.dual - below.dual + below.slope * below.price - above.slope * above.price)
                / (below.slope - above.slope))
        roof = below.dual + below.slope * (meet - below.price)                        # above any dual value
        close = xp.isfinite(roof) & (roof - xp.maximum(below.dual, above.dual) <= rtol * xp.maximum(xp.abs(roof), 1e-9))
        return fits | close & kinked, kinked, meet

    def trial(self, rtol: float, kinked: NDArray, meet: NDArray, step: int) -> tuple["Bracket", NDArray]:
        """The next price, guarded: Newton's from the nearer end; in turn with it, where a device changes its option, a step
        beyond the root that brings the farther end near, or where the tangents of the dual meet."""
        xp, both = namespace(self.low), self.both
        nearer = (self.low == -xp.inf) | (both & (xp.abs(self.above.excess) <= xp.abs(self.below.excess)))
        near = where(nearer, self.above, self.below)
        y, length = xp.log(near.price), self.high - self.low
        move = xp.clip(-(near.excess + 0.5 * rtol) / near.fall, -FARTHEST, FARTHEST)
        trial, any_kinked = y + move, bool(xp.any(kinked))
        if any_kinked and step % 3 == 0:
            trial = xp.where(kinked, xp.where(CLOSE * xp.abs(move) < length, y + BEYOND * move, xp.log(meet)), trial)
        if any_kinked and step % 3 == 1:
            secant = self.high - self.above.excess * length / (self.above.excess - self.below.excess)
            trial = xp.where(kinked, secant, trial)
        slow, gone = xp.zeros_like(both), self._replace(stretch=xp.minimum(2 * self.stretch, xp.zeros_like(y) + FARTHEST))
        if step % 3 == 2:
            slow = both & (length > 0.5 * self.width)
            gone = gone._replace(width=length)
        good = (trial > self.low) & (trial < self.high) & ~slow
        away = xp.where(both, 0.5 * (self.low + self.high), y + xp.where(nearer, -self.stretch, self.stretch))
        return gone, xp.exp(xp.where(good, trial, away))


def _search(problem: Deadline, price: NDArray, rtol: float) -> Search:
    """Search one block of R rows, (R, K, O) or (K, O); rows that are done drop out once they are half of those that are left."""
    xp, whole = namespace(price), price.shape[0] == 1 and problem.shape[-2] > MANY and problem.shape[-1] > 1
    market = Market.of(problem, rough=whole)
    known, fits = price > 0, price < 0
    if not whole and market.ample():
        free = market.free()
        fits = free.excess <= 0
    if bool(xp.all(fits)):
        bracket = Bracket.at(free)
    else:
        glided = price if whole else market.glide(price, 1 - 0.5 * rtol)
        price = xp.where(fits, 0.0, xp.where((glided > 0) & (glided < xp.inf), glided, 1 / market.band))
        bracket = Bracket.at(market.at(price, known | (not whole)))
    feasible = price == price
    left, out, order = xp.arange(price.shape[0]), [], None
    for step in range(MOST_STEPS):
        done, kinked, meet = bracket.done(rtol)
        if step == LATE and not bool(xp.all(done | bracket.both)):
            bracket, feasible = bracket.ended(market)
        done = done | ~feasible | (bracket.high == -xp.inf)
        if bool(xp.all(done)) or 2 * int(xp.count_nonzero(done)) > done.shape[0]:
            bracket = bracket if order is None else bracket.reordered(xp.argsort(order))
            found = _result(bracket, feasible, done, step)
            if bool(xp.all(done)):
                out.append((left, found))
                break
            here, rest = xp.nonzero(done)[0], xp.nonzero(~done)[0]
            out.append((left[here], _joined([found], itemgetter(here))))
            market, bracket, left, feasible = market.rows(rest), bracket.rows(rest), left[rest], feasible[rest]
            done, kinked, meet = done[rest], kinked[rest], meet[rest]
        bracket, price = bracket.trial(rtol, kinked, meet, step)
        price = xp.where(done, bracket.point.price, price)
        bracket = bracket.narrowed(market.at(price, bracket.both))
        if whole and bool(bracket.both & (bracket.high - bracket.low < NEAR)):
            market, order = market.split(bracket.point, bracket.below, bracket.above)
            bracket, whole = bracket.reordered(order), False
    else:
        out.append((left, _result(bracket, feasible, done, MOST_STEPS)))
    if len(out) == 1:
        return out[0][1]
    rank = xp.argsort(xp.concat([each[0] for each in out]))
    return _joined([found for _, found in out], itemgetter(rank))


def _result(bracket: Bracket, feasible: NDArray, closed: NDArray, steps: int) -> Search:
    xp, above, below = namespace(feasible), bracket.above, bracket.below
    return Search(
        price=xp.where(feasible & (bracket.high < xp.inf), above.price, 0.0),
        dual=xp.where(feasible, xp.maximum(above.dual, below.dual), -xp.inf),
        option=above.option, option_below=below.option, band_below=below.band, ratio=above.ratio, band=above.band,
        objective=xp.where(feasible & (bracket.high < xp.inf), xp.sum(above.loss, axis=-1), xp.inf), closed=closed | ~feasible,
        steps=steps)


def _joined(found: list[Search], change: Callable[[NDArray], NDArray]) -> Search:
    """The rows of several searches after one another, changed."""
    xp, names = namespace(found[0].price), [name for name in vars(found[0]) if name != "steps"]
    columns = {name: change(xp.concat([getattr(each, name) for each in found], axis=0)) for name in names}
    return Search(**columns, steps=max(each.steps for each in found))
