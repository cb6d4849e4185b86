r"""What devices answer to a price of the band.

At a price lambda [1/Hz] an option costs a device least at the ratio rho where

.. math:: F(\rho) = \log\lambda + \log|b_{min}'(\rho)| - \log c'(\rho) = 0,                          \tag{1}

with F falling. Its argument here is the *depth* u = log((rho - origin) / reach of the range), in which F is nearly
linear: the origin is the lowest ratio where F has a pole there, and a little below it where F is smooth. Newton's
steps on (1) are closed (``optim.band``) and start from the answer to the last price; a bracket guards them.

Answers are kept in the object: it is the memory of one search, and belongs to it alone.
"""

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays, namespace
from optim.band import TINY, LeastBand, possible, ratio_range
from optim.problem import Deadline

POLE = 1e-16            # share of the range that counts as the pole
LEAST_RATIO = 1e-30     # below it, slopes are taken at it
SMOOTH = 0.1            # distance of the origin from the lowest ratio without a pole, over the range
EXACT = 1e-12           # of F
STEPS = 8               # Newton's steps before that tolerance loosens, tenfold with each more, and halving sets in
LOOSEST = 1e-9          # errors in the ratio enter costs squared


class Answer(NamedTuple):
    """What each option of each device answers to a price, (R, K, O)."""

    depth: NDArray
    pull: NDArray           # F without log(lambda)
    steep: NDArray          # dF / d depth
    ratio: NDArray
    band: NDArray           # [Hz]
    give: NDArray           # d band / d log(lambda) [Hz]
    loss: NDArray           # phi + c(ratio) [1]; inf where the option is impossible


class Kink(NamedTuple):
    """A depth at which F jumps, and F without log(lambda) on both sides."""

    depth: NDArray
    before: NDArray
    after: NDArray


class Curves:
    """The falling curves F of a problem (R, K, O), and where the last price left them."""

    def __init__(self, problem: Deadline) -> None:
        self.xp = xp = namespace(problem.gain)
        shape = problem.shape
        low, high, pole = (xp.broadcast_to(v, shape) for v in ratio_range(problem))
        self.possible = xp.broadcast_to(possible(problem), shape)
        self.noise = xp.where(self.possible, problem.noise, xp.inf)
        self.low, self.pole = xp.where(self.possible, low, 0.5), pole
        width = xp.where(self.possible, high, 0.5) - self.low
        self.least, self.pruning = LeastBand.of(problem), problem.pruning
        first, last = self._slope(self.low), self._slope(self.low + width)
        offset = xp.where(~pole & (first > 1e-2 * last), SMOOTH * width, 0.0)
        self.origin, self.range = self.low - offset, width + offset
        self.shallow = xp.log(xp.maximum(offset / xp.maximum(self.range, TINY), POLE))
        self.free, self.deep = self._look(self.shallow), self._look(0.0 * self.shallow)
        self.kinks = [self._kink(ratio) for ratio in (*self.pruning.kinks, *self.least.kinks())]
        self.last: Answer | None = None

    def answer(self, price: NDArray) -> Answer:
        """Solve (1) at ``price`` (R,), from the answer to the last price on."""
        xp = self.xp
        level = xp.log(price)[:, None, None]
        low, high = self.shallow, 0.0 * self.shallow
        top = level + self.deep.pull >= 0
        fixed = top | (level + self.free.pull <= 0)
        end = xp.where(top, high, low)
        for kink in self.kinks:
            before, after = level + kink.before > 0, level + kink.after > 0
            at = before & ~after & (kink.depth > self.shallow) & (kink.depth < 0)
            low, high = xp.where(after, xp.maximum(low, kink.depth), low), xp.where(before, high, xp.minimum(high, kink.depth))
            fixed, end = fixed | at, xp.where(at, kink.depth, end)
        now = self.last if self.last is not None else self._look(xp.where(fixed, end, self._between(level)))
        for step in range(200):
            miss = level + now.pull
            right = miss > 0                                             # the root lies to the right
            low, high = xp.where(right, xp.maximum(low, now.depth), low), xp.where(right, high, xp.minimum(high, now.depth))
            narrow = high - low <= 1e-14
            there = xp.abs(miss) <= min(EXACT * 10.0 ** max(step - STEPS, 0), LOOSEST)
            done = xp.where(fixed, now.depth == end, there | (narrow & (now.depth == high)))
            if bool(xp.all(done)):
                break
            trial = now.depth - miss / now.steep
            good = (trial > low) & (trial < high) if step <= STEPS or step % 2 else xp.zeros_like(right)
            trial = xp.where(good, trial, xp.where(narrow, high, 0.5 * (low + high)))
            now = self._look(xp.where(fixed, end, xp.where(done, now.depth, trial)))
        self.last = now = now._replace(give=xp.where(fixed, 0.0, now.give))
        return now

    def rows(self, index: Any) -> "Curves":
        """The curves of some rows, with their memory."""
        part, xp, shape = copy(self), self.xp, self.low.shape

        def cut(v: NDArray) -> NDArray:
            found: NDArray = xp.broadcast_to(v, shape)[index]
            return found

        for name in ("possible", "noise", "low", "pole", "origin", "range", "shallow"):
            setattr(part, name, cut(getattr(self, name)))
        part.least = LeastBand(*(None if v is None else cut(v) for v in self.least))  # type: ignore[arg-type]
        part.pruning = self.pruning.each(cut)
        part.free, part.deep = (Answer(*map(cut, v)) for v in (self.free, self.deep))
        part.last = None if self.last is None else Answer(*map(cut, self.last))
        part.kinks = [Kink(*map(cut, v)) for v in self.kinks]
        return part

    def _between(self, level: NDArray) -> NDArray:
        """Where a straight line between the ends crosses zero."""
        xp = self.xp
        fall = xp.maximum(self.free.pull - self.deep.pull, TINY)
        found: NDArray = self.shallow * (1 - xp.clip((level + self.free.pull) / fall, 0.0, 1.0))
        return found

    def _slope(self, ratio: NDArray) -> NDArray:
        found: NDArray = self.xp.maximum(self.pruning.slope(self.xp.maximum(ratio, LEAST_RATIO)), TINY)
        return found

    def _look(self, depth: NDArray) -> Answer:
        xp = self.xp
        span = self.range * xp.exp(depth)
        ratio = xp.where((depth <= self.shallow) & ~self.pole, self.low, self.origin + span)
        least = self.least.at(ratio)
        pull = xp.log(xp.maximum(least.relief, TINY)) - xp.log(self._slope(ratio))
        bend = self.pruning.bend(xp.maximum(ratio, LEAST_RATIO))
        steep = xp.minimum(-(least.growth + bend) * span, -TINY)
        return Answer(depth, pull, steep, ratio, least.band, least.relief * span / steep, self.noise + self.pruning.value(ratio))

    def _kink(self, ratio: NDArray) -> Kink:
        xp = self.xp
        inside = xp.where((ratio > self.low) & (ratio < self.origin + self.range), ratio, self.low)
        sides = [xp.log(xp.maximum(self.least.at(v).relief, TINY)) - xp.log(self._slope(v))
                 for v in (inside * (1 - 1e-12), inside * (1 + 1e-12))]
        depth = xp.log(xp.maximum((inside - self.origin) / xp.maximum(self.range, TINY), POLE))
        return Kink(xp.where(inside > self.low, depth, self.shallow), *sides)


def cheapest(problem: Deadline, price: ArrayLike) -> NDArray:
    """Least cost [1] of each option at ``price`` (...,) [1/Hz], its rent of the band included, (..., K, O)."""
    xp, rent = float_arrays(price, problem.gain)[:2]
    with np.errstate(all="ignore"):
        flat = Curves(problem.rows(slice(None)))
        rent = xp.reshape(xp.broadcast_to(rent, problem.shape[:-2]), (-1,))
        found = xp.where((rent > 0)[:, None, None], _cost(flat.answer(xp.maximum(rent, TINY)), rent), _cost(flat.free, rent))
    return xp.reshape(found, problem.shape)


def _cost(answer: Answer, price: NDArray) -> NDArray:
    return answer.loss + price[:, None, None] * answer.band
