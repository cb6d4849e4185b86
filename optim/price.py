"""The price of the band: one search over it (``optim.bracket``) makes the devices' answers fit (``optim.market``)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays, namespace
from optim.ample import Ample
from optim.bracket import Bracket
from optim.market import Market
from optim.problem import Deadline

MOST_STEPS = 300
BATCH, FREE = 1 << 15, 8        # entries (row, device, option) that are searched together; times as many are asked at no price
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

    @property
    def arrays(self) -> dict[str, Any]:
        """All but the number of steps."""
        return {name: values for name, values in vars(self).items() if name != "steps"}

    def each(self, change: Callable[[NDArray], NDArray]) -> "Search":
        """The same with every array changed."""
        columns: dict[str, Any] = {name: change(values) for name, values in self.arrays.items()}
        return replace(self, **columns)

    def with_rows(self, index: NDArray, found: "Search") -> "Search":
        """The same with what was ``found`` of some rows."""
        columns: dict[str, Any] = {name: namespace(values).asarray(values, copy=True) for name, values in self.arrays.items()}
        for name, values in columns.items():
            values[index] = getattr(found, name)
        return replace(self, **columns, steps=max(self.steps, found.steps))

    def better(self, rival: "Search", option: NDArray) -> "Search":
        """Row by row the one that loses less progress; ``rival`` had its options fixed to ``option``."""
        xp, wins = namespace(self.price), rival.objective < self.objective
        each = wins[..., None]
        return replace(
            self, price=xp.where(wins, rival.price, self.price), option=xp.where(each, option, self.option),
            ratio=xp.where(each, rival.ratio, self.ratio), band=xp.where(each, rival.band, self.band),
            objective=xp.where(wins, rival.objective, self.objective), steps=self.steps + rival.steps)


def search(problem: Deadline, start: ArrayLike | None = None, rtol: float = 1e-12) -> Search:
    """Raise the dual value to its top over the price, from ``start`` where there is one.

    Whether the band is ample is asked first, unless that takes long and a price is known.
    """
    *rows, devices, options = problem.shape
    count, size = int(np.prod(rows)), max(BATCH // (devices * options), 1)

    def blocks(many: int, times: int = 1) -> list[slice]:
        return [slice(first, first + times * size) for first in range(0, many, times * size)]

    with np.errstate(all="ignore"):
        price = _first_price(problem, start)
        xp, rest = namespace(price), namespace(price).arange(count, device=device(price))
        if devices <= MANY or bool(xp.any(price <= 0)):
            found = _joined([_free(problem.rows(here) if rows else problem) for here in blocks(count, FREE)])
            rest = xp.nonzero(~found.closed)[0]
        if rest.shape[0] == count:
            found = _joined([_search(problem.rows(here) if rows else problem, price[here], rtol) for here in blocks(count)])
        elif rest.shape[0]:
            searched = [_search(problem.rows(rest[here]), price[rest[here]], rtol) for here in blocks(rest.shape[0])]
            found = found.with_rows(rest, _joined(searched))
    return found.each(lambda v: xp.reshape(v, (*rows, *v.shape[1:])))


def _free(problem: Deadline) -> Search:
    """What R rows, (R, K, O) or (K, O), are where the band costs nothing; not closed where there is not enough of it."""
    free = Ample.of(problem)
    xp, one = namespace(free.loss), free.loss.ndim == 0
    fits, loss, option, ratio, band = (v[None] if one else v for v in (free.fits, free.loss, free.option, free.ratio, free.band))
    return Search(xp.zeros_like(loss), loss, option, option, band, ratio, band, loss, fits, 1)


def _first_price(problem: Deadline, start: ArrayLike | None) -> NDArray:
    """Prices (R,) to begin with: those given, or that of a sample of many devices; 0 where nothing is known."""
    *rows, devices, _ = problem.shape
    if start is None and not rows and devices > MANY:
        some = problem.devices(slice(None, None, STRIDE))
        some = replace(some, band=problem.band * (some.shape[-2] / devices))
        start = search(some, rtol=1e-3).price
    xp, price = float_arrays(0.0 if start is None else start, problem.gain)[:2]
    return xp.reshape(xp.broadcast_to(price, tuple(rows)), (-1,))


def _search(problem: Deadline, price: NDArray, rtol: float) -> Search:
    """Search R rows, (R, K, O) or (K, O), for a price; those that are done drop out once they are half of those that are left."""
    xp, whole = namespace(price), price.shape[0] == 1 and problem.shape[-2] > MANY and problem.shape[-1] > 1
    market, known = Market.of(problem, rough=whole), price > 0
    price = price if whole else market.glide(price, 1 - 0.5 * rtol)
    price = xp.where((price > 0) & (price < xp.inf), price, 1 / market.band)
    bracket = Bracket.at(market.at(price, known | (not whole)))
    feasible = price == price
    left, out, order = xp.arange(price.shape[0], device=device(price)), [], None
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
            out.append((left[here], found.each(itemgetter(here))))
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
    rank = xp.argsort(xp.concat([rows for rows, _ in out]))
    return _joined([found for _, found in out]).each(itemgetter(rank))


def _result(bracket: Bracket, feasible: NDArray, closed: NDArray, steps: int) -> Search:
    xp, above, below = namespace(feasible), bracket.above, bracket.below
    return Search(
        price=xp.where(feasible & (bracket.high < xp.inf), above.price, 0.0),
        dual=xp.where(feasible, xp.maximum(above.dual, below.dual), -xp.inf),
        option=above.option, option_below=below.option, band_below=below.band, ratio=above.ratio, band=above.band,
        objective=xp.where(feasible & (bracket.high < xp.inf), xp.sum(above.loss, axis=-1), xp.inf), closed=closed | ~feasible,
        steps=steps)


def _joined(found: list[Search]) -> Search:
    """The rows of several searches after one another."""
    if len(found) == 1:
        return found[0]
    xp = namespace(found[0].price)
    columns: dict[str, Any] = {name: xp.concat([getattr(each, name) for each in found], axis=0) for name in found[0].arrays}
    return replace(found[0], **columns, steps=max(each.steps for each in found))
