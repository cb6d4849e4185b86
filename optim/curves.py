r"""What devices answer to a price of the band.

At a price lambda [1/Hz] an option costs a device least at the ratio rho where

.. math:: F(\rho) = \log\lambda + \log|b_{min}'(\rho)| - \log c'(\rho) = 0,                          \tag{1}

F falling. Its argument here is the *depth* u = log((rho - origin) / reach of the range), in which F is nearly
linear: the origin is the lowest ratio where F has a pole there, and a little below it where F is smooth. Newton's
steps on (1) are closed (``optim.band``) and start from the answer to the last price; a bracket guards them.

Answers are kept in the object: it is the memory of one search, and belongs to it alone.
"""

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays, namespace
from optim.band import TINY, LeastBand, Ratios, ratio_range
from optim.problem import Deadline

POLE = 1e-16                    # share of the range that counts as the pole
LEAST_RATIO = 1e-30             # added to a ratio where a cost is asked for its slope
STEEP, SMOOTH = 4.6, 0.1        # where log c' rises by less over the range, the origin lies so much of the range below it
EXACT, NOISE, ROUGH = 1e-7, 1e-7, 1e-4      # tolerances of F before the last step, along the tangents, which squares them
START = -0.3                    # depth to begin with
STEPS = 6                       # Newton's steps before a bracket guards them and the tolerance loosens
FEW, LONG = 8, 4096             # less than one in so many that are left over of so many are gone on with alone
NARROW = 1e-14                  # length of a bracket that is a point
MOST_STEPS = 200


class Answer(NamedTuple):
    """What options answer to a price, each (N,)."""

    depth: NDArray
    pull: NDArray           # F without log(lambda)
    steep: NDArray          # dF / d depth
    ratio: NDArray
    band: NDArray           # [Hz]
    slide: NDArray          # -d band / d depth [Hz]
    give: NDArray           # d band / d log(lambda) [Hz], once the answer is found


class Kink(NamedTuple):
    """A depth at which F jumps, and F without log(lambda) on both sides."""

    depth: NDArray
    before: NDArray
    after: NDArray


class Curves:
    """The falling curves F of all options of all devices of a problem, and where the last price left them.

    N in a row, option after option: in the order (O, ..., K).
    """

    def __init__(self, problem: Deadline) -> None:
        self.xp = xp = namespace(problem.gain)
        shape = problem.shape

        def flat(v: NDArray) -> NDArray:
            v = v if v.shape == shape else xp.broadcast_to(v, shape)
            found: NDArray = xp.reshape(v if shape[-1] == 1 else xp.moveaxis(v, -1, 0), (-1,))
            return found

        least = LeastBand.of(problem)
        ratios = Ratios(*map(flat, ratio_range(problem, least)))
        low, high, self.pole = ratios
        self.possible = able = ratios.possible
        self.noise, self.pruning = xp.where(able, flat(problem.noise), xp.inf), problem.pruning.each(flat)
        self.least = LeastBand(*(None if v is None else flat(v) for v in least))  # type: ignore[arg-type]
        if not bool(xp.all(able)):
            self.least = LeastBand(*(None if v is None else xp.where(able, v, 1.0) for v in self.least))  # type: ignore[arg-type]
        self.low = xp.where(able, low, 0.5)
        width = xp.where(able, high, 0.5) - self.low
        smooth = self._log_slope(self.low) > self._log_slope(self.low + width) - STEEP
        offset = xp.where(smooth & ~self.pole, SMOOTH * width, 0.0)
        self.origin, self.range = self.low - offset + LEAST_RATIO, width + offset + LEAST_RATIO
        self.floor = self.low + LEAST_RATIO
        self.shallow = xp.log(xp.maximum(offset / self.range, POLE))
        self.kinks = [self._kink(ratio) for ratio in (*self.pruning.kinks, *map(flat, least.kinks()))]
        self.last: Answer | None = None

    def part(self, index: Any) -> "Curves":
        """Some of the curves, with their memory."""
        part = copy(self)
        for name in ("possible", "pole", "noise", "low", "origin", "range", "floor", "shallow"):
            setattr(part, name, getattr(self, name)[index])
        part.pruning = self.pruning.each(lambda v: v[index])
        part.least = LeastBand(*(None if v is None else v[index] for v in self.least))  # type: ignore[arg-type]
        part.kinks = [Kink(*(v[index] for v in kink)) for kink in self.kinks]
        part.last = None if self.last is None else Answer(*(v[index] for v in self.last))
        return part

    def answer(self, level: NDArray, tolerance: float = EXACT) -> Answer:
        """Solve (1) at log(lambda) = ``level``, (N,) or (1,), to the ``tolerance`` on F, from the answer to the last price on.

        The last of Newton's steps goes along the tangents: its error is the square of the tolerance, and it needs no look.
        """
        xp, (low, high) = self.xp, self._range(level)
        now = self.first()
        for step in range(STEPS + 1):
            miss = level + now.pull
            following = xp.minimum(xp.maximum(now.depth - miss / now.steep, low), high)
            ended = ((now.depth <= low) & (miss <= 0)) | ((now.depth >= high) & (miss >= 0))
            left = (xp.abs(miss) > tolerance) & ~ended
            count = int(xp.count_nonzero(left))
            if not count:
                break
            if step == STEPS or 0 < FEW * count < left.shape[0] > LONG:
                now = self._finished(now, xp.nonzero(left)[0], level, tolerance)
                break
            now = self.look(following)
        self.last = now
        depth = xp.minimum(xp.maximum(now.depth - (level + now.pull) / now.steep, low), high)
        step, stuck = depth - now.depth, (depth <= low) | (depth >= high)
        ratio = now.ratio + (now.ratio - self.origin) * step
        return now._replace(
            depth=depth, band=now.band - now.slide * step, give=xp.where(stuck, 0.0, now.slide / now.steep),
            ratio=xp.where((depth == self.shallow) & ~self.pole, self.low, ratio))       # the exponential misses it by rounding

    def follow(self, level: NDArray, close: float) -> float:
        """One of Newton's steps towards the answer to log(lambda) = ``level``, (N,) or (1,), and the share of them that went
        farther than ``close``."""
        xp, (low, high), now = self.xp, self._range(level), self.first()
        depth = xp.minimum(xp.maximum(now.depth - (level + now.pull) / now.steep, low), high)
        found = self.look(depth)
        self.last = found._replace(give=found.slide / found.steep * ((depth > low) & (depth < high)))
        far: float = xp.count_nonzero(~(xp.abs(depth - now.depth) <= close)) / depth.shape[0]
        return far

    def first(self) -> Answer:
        """Where the last price left off, or somewhere to begin."""
        if self.last is None:
            found = self.look(self.xp.maximum(self.shallow, 0.0 * self.shallow + START))
            self.last = found._replace(give=found.slide / found.steep)
        return self.last

    def end(self, share: float) -> Answer:
        """Ratios at the lowest (``share`` 0) or the highest (1) end of the range, and their band; nothing else."""
        ratio, none = self.low + share * (self.origin + self.range - self.low), 0.0 * self.low
        return Answer(none, none, none, ratio, self.least.at(ratio).band, none, none)

    def loss(self, ratio: NDArray) -> NDArray:
        """phi + c(ratio) [1]; inf where the option is impossible."""
        found: NDArray = self.noise + self.pruning.value(ratio)
        return found

    def look(self, depth: NDArray) -> Answer:
        """Everything at a ``depth`` (N,)."""
        xp = self.xp
        span = self.range * xp.exp(depth)
        ratio = xp.maximum(self.origin + span, self.floor)               # rounding must not take it below the lowest
        least = self.least.at(ratio)
        pull = xp.log(least.relief)
        pull -= self.pruning.log_slope(ratio)
        steep = least.growth + self.pruning.bend(ratio)
        steep *= -span
        slide = least.relief * span
        return Answer(depth, pull, steep, ratio, least.band, slide, slide)

    def _range(self, level: NDArray) -> tuple[NDArray, NDArray]:
        """Depths between which the root lies, or the nearer one of which it is; one, where it is a kink."""
        xp, low, high = self.xp, self.shallow, 0.0 * self.shallow
        for kink in self.kinks:
            low = xp.where(level + kink.before > 0, xp.maximum(low, kink.depth), low)
            high = xp.where(level + kink.after > 0, high, xp.minimum(high, kink.depth))
        return low, xp.maximum(low, high)

    def _finished(self, now: Answer, index: NDArray, level: NDArray, tolerance: float) -> Answer:
        """With those done, under the guard of a bracket, that Newton's steps left over."""
        xp, level = self.xp, level if level.shape[0] == 1 else level[index]
        rest = self.part(index)._guarded(Answer(*(v[index] for v in now)), level, tolerance)
        whole = [xp.asarray(v, copy=True) for v in now]
        for values, mended in zip(whole, rest, strict=True):
            values[index] = mended
        return Answer(*whole)

    def _guarded(self, now: Answer, level: NDArray, tolerance: float) -> Answer:
        xp, (low, high) = self.xp, self._range(level)
        ends, unseen = (low, high), (low - 1.0, high + 1.0)              # an end is no bracket before it has been looked at
        low, high = xp.where(low < high, unseen[0], low), xp.where(low < high, unseen[1], high)
        for step in range(MOST_STEPS):
            miss = level + now.pull
            right = miss > 0                                             # the root lies to the right
            low, high = xp.where(right, xp.maximum(low, now.depth), low), xp.where(right, high, xp.minimum(high, now.depth))
            narrow = (high - low <= NARROW) | (low >= ends[1]) | (high <= ends[0])
            there = xp.abs(miss) <= max(tolerance, NOISE if step > 2 * STEPS else 0.0)
            target = xp.minimum(xp.maximum(high, ends[0]), ends[1])
            if bool(xp.all(xp.where(narrow, now.depth == target, there))):
                break
            trial = xp.minimum(xp.maximum(now.depth - miss / now.steep, ends[0]), ends[1])
            good = (trial > low) & (trial < high) & (step % 2 == 0 or step < STEPS)
            trial = xp.where(good, trial, xp.where(narrow, target, xp.minimum(xp.maximum(0.5 * (low + high), ends[0]), ends[1])))
            now = self.look(xp.where(there & ~narrow, now.depth, trial))
        return now

    def _log_slope(self, ratio: NDArray) -> NDArray:
        return self.pruning.log_slope(ratio + LEAST_RATIO)

    def _kink(self, ratio: Any) -> Kink:
        xp = self.xp
        inside = (ratio > self.low) & (ratio <= (self.origin + self.range) * (1 + 1e-15))           # also at the very end
        ratio = xp.where(inside, ratio, self.low)
        before, after = (xp.log(self.least.at(v).relief) - self._log_slope(v) for v in (ratio * (1 - 1e-12), ratio * (1 + 1e-12)))
        depth = xp.log(xp.maximum((ratio - self.origin) / xp.maximum(self.range, TINY), POLE))
        none = xp.zeros_like(depth)
        return Kink(xp.where(inside, depth, self.shallow), xp.where(inside, before, none + xp.inf),
                    xp.where(inside, after, none + xp.inf))


def cheapest(problem: Deadline, price: ArrayLike) -> NDArray:
    """Least cost [1] of each option at ``price`` (...,) [1/Hz], its rent of the band included, (..., K, O)."""
    xp, rent = float_arrays(price, problem.gain)[:2]
    *rows, devices, options = problem.shape
    rent = xp.reshape(xp.broadcast_to(rent[None, ..., None], (options, *rows, devices)), (-1,))
    with np.errstate(all="ignore"):
        curves = Curves(problem)
        paid = curves.answer(xp.log(xp.maximum(rent, TINY)))
        costs = xp.where(rent > 0, curves.loss(paid.ratio) + rent * paid.band, curves.loss(curves.low))
    return xp.moveaxis(xp.reshape(costs, (options, *rows, devices)), 0, -1)
