"""The price of the band: one search over it makes the devices' answers fit.

Summed over devices the demand for band falls with its price lambda, smoothly but for jumps where a device changes its option,
and the dual value q(lambda) = sum_k min_o cost - lambda B is concave with slope (demand - B).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.curves import Answer, Curves
from optim.problem import Deadline
from optim.roots import anderson_bjorck

STRETCH = 1.5                   # factor by which a bracket of prices grows at first; squared each time


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
    steps: int

    def better(self, rival: "Search", option: NDArray) -> "Search":
        """Row by row the one that loses less progress; ``rival`` had its options fixed to ``option``."""
        wins = rival.objective < self.objective
        each = wins[..., None]
        return Search(
            price=np.where(wins, rival.price, self.price), dual=self.dual, option=np.where(each, option, self.option),
            option_below=self.option_below, band_below=self.band_below, ratio=np.where(each, rival.ratio, self.ratio),
            band=np.where(each, rival.band, self.band), objective=np.where(wins, rival.objective, self.objective),
            steps=self.steps + rival.steps)


class Market(NamedTuple):
    """Answers to one price, the chosen option of each device, and their sums."""

    price: NDArray
    excess: NDArray           # (...,) log of demand over band
    slope: NDArray            # (...,) demand - band, slope of the dual value [Hz]
    dual: NDArray             # (...,)
    option: NDArray           # (..., K)
    answer: Answer

    def chosen(self, values: NDArray) -> NDArray:
        return np.take_along_axis(values, self.option[..., None], -1)[..., 0]


def _market(problem: Deadline, price: NDArray, answer: Answer) -> Market:
    tied = answer.cost <= answer.cost.min(-1, keepdims=True) * (1 + 1e-14)
    option = np.where(tied, answer.band, np.inf).argmin(-1)          # of equals the one that asks for least
    band, cost = (np.take_along_axis(v, option[..., None], -1)[..., 0] for v in (answer.band, answer.cost))
    demand = band.sum(-1)
    with np.errstate(divide="ignore"):
        return Market(price, np.log(demand / problem.band), demand - problem.band,
                      cost.sum(-1) - price * problem.band, option, answer)


def _where(condition: NDArray, yes: Market, no: Market) -> Market:
    def each(y: NDArray, n: NDArray) -> NDArray:
        return np.where(condition.reshape(condition.shape + (1,) * (y.ndim - condition.ndim)), y, n)

    price, excess, slope, dual, option = (each(y, n) for y, n in zip(yes[:-1], no[:-1], strict=True))
    return Market(price, excess, slope, dual, option, _answers(condition, yes.answer, no.answer))


def _answers(condition: NDArray, yes: Answer, no: Answer) -> Answer:
    rows = condition[..., None, None]
    return Answer(*(np.where(rows, y, n) for y, n in zip(yes, no, strict=True)))


def search(problem: Deadline, start: ArrayLike | None = None, rtol: float = 1e-12, *, bound: bool = False) -> Search:
    """Raise the dual value to its top over the price, from ``start`` where there is one.

    If only the ``bound`` is wanted, the search ends once the dual value is known to ``rtol``: long before the band fits.
    """
    curves, rows = Curves(problem, 0.1 * rtol), problem.shape[:-2]
    feasible = curves.deep.band.min(-1).sum(-1) <= problem.band
    free = _market(problem, np.zeros(rows), curves.shallow)
    settled = (free.excess <= 0) | ~feasible
    above, below, steps = free, free, 0
    if not settled.all():
        above, below, steps = _bracket(curves, settled, _first_price(problem, start))
        above, below, steps = _close_in(curves, settled, above, below, steps, rtol, bound)
        above, below = _where(settled, free, above), _where(settled, free, below)
    ratio, band, cost = (above.chosen(v) for v in above.answer[2:])
    rent = np.multiply(above.price[..., None], band, where=above.price[..., None] > 0, out=np.zeros(band.shape))
    objective = (cost - np.where(feasible[..., None], rent, 0.0)).sum(-1)
    return Search(
        price=np.where(feasible, above.price, 0.0), dual=np.where(feasible, np.maximum(above.dual, below.dual), -np.inf),
        option=above.option, option_below=below.option, band_below=below.chosen(below.answer.band), ratio=ratio, band=band,
        objective=np.where(feasible, objective, np.inf), steps=steps)


def _first_price(problem: Deadline, start: ArrayLike | None) -> NDArray:
    worth = np.broadcast_to(problem.pruning.value(problem.prune_max), problem.shape).mean(-1).sum(-1)
    guess = np.maximum(worth, 1e-30) / problem.band
    if start is not None:
        guess = np.where(np.asarray(start) > 0, start, guess)
    return np.array(np.broadcast_to(guess, problem.shape[:-2]), float)


def _bracket(curves: Curves, settled: NDArray, price: NDArray) -> tuple[Market, Market, int]:
    """Markets at a price where the band suffices and at one where it does not."""
    problem = curves.problem
    below = above = point = _market(problem, price, curves.answer(price, curves.shallow, curves.deep))
    steps, stretch = 1, STRETCH
    for _ in range(300):
        short = point.excess > 0
        below, above = _where(short, point, below), _where(short, above, point)
        up, down = above.excess > 0, below.excess <= 0
        if not ((up | down) & ~settled).any():
            break
        price = point.price * np.where(settled, 1.0, np.where(up, stretch, np.where(down, 1 / stretch, 1.0)))
        left, right = _answers(up, point.answer, curves.shallow), _answers(down, point.answer, curves.deep)
        point, steps, stretch = _market(problem, price, curves.answer(price, left, right)), steps + 1, min(stretch**2, 1e6)
    return above, below, steps


def _close_in(curves: Curves, settled: NDArray, above: Market, below: Market, steps: int, rtol: float,
              bound: bool) -> tuple[Market, Market, int]:
    """Close the bracket by secants of the demand; where a device changes its option, by tangents of the dual in turn.

    Secants find a smooth root in a few steps; the two tangents meet exactly where the dual value has a kink.
    """
    heavy_above, heavy_below = above.excess, below.excess
    side, before = np.zeros(settled.shape), np.full(settled.shape, np.inf)
    for step in range(200):
        kinked = (above.option != below.option).any(-1)
        meet, roof = _tangents(below, above)
        close = roof - np.maximum(above.dual, below.dual) <= rtol * np.maximum(np.abs(roof), 1e-2 if bound else 1e-9)
        done = settled | (above.excess >= -rtol) | ((kinked | bound) & close) | (above.price <= below.price * (1 + 1e-14))
        if done.all():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = np.log(below.price), np.log(above.price)
            trial = np.exp(y - heavy_above * (y - x) / (heavy_above - heavy_below))
        trial = np.where(kinked & (step % 2 == 1), meet, trial)
        slow = (y - x > 0.5 * before) if step % 3 == 2 else np.False_
        before = y - x if step % 3 == 2 else before
        inside = (trial > below.price) & (trial < above.price) & ~slow
        price = np.where(done, above.price, np.where(inside, trial, np.exp(0.5 * (x + y))))
        point = _market(curves.problem, price, curves.answer(price, below.answer, above.answer))
        short = point.excess > 0
        heavy_below, heavy_above = anderson_bjorck(short, side, point.excess, below.excess, above.excess,
                                                   heavy_below, heavy_above)
        side = np.where(short, 1.0, -1.0)
        below, above = _where(short & ~done, point, below), _where(~short & ~done, point, above)
        steps += 1
    return above, below, steps


def _tangents(below: Market, above: Market) -> tuple[NDArray, NDArray]:
    """The price at which the tangents of the dual at both ends of a bracket meet, and the height, above any dual value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = ((above.dual - below.dual + below.slope * below.price - above.slope * above.price)
                / (below.slope - above.slope))
        return meet, below.dual + below.slope * (meet - below.price)
