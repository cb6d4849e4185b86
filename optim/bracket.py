"""Two prices between which the best one lies, row by row, and the next to try.

Newton's steps find the root of a smooth demand; where a device changes its option the tangents of the dual value do, for the
two meet exactly at its kink. The bracket guards both.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace
from optim.market import Market, Point, where

STRETCH = 1.0             # by which log(price) grows first where Newton's step is of no use; doubled each time
FARTHEST = 12.0           # largest step of log(price)
CLOSE, BEYOND = 8.0, 3.0   # a bracket longer than so many Newton's steps is closed from so many steps beyond


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
