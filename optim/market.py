"""All devices at one price of the band: their choices, their demand, and the dual value.

Summed over devices the demand falls with the price lambda, smoothly but for jumps where a device changes its option, and
the dual value q(lambda) = sum_k min_o cost - lambda B is concave with slope (demand - B).
"""

from typing import NamedTuple

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from channels.arrays import namespace
from optim.curves import EXACT, ROUGH, Answer, Curves
from optim.problem import Deadline

BLOCK = 1 << 17      # entries (device, option) that are worked on at a time: their arrays fit the cache
SAFE = 1e-6          # margin for costs that are known roughly
TIE = 1e-14          # relative difference of costs that are equal
LADDER = ((1e-2, 1e-2), (1e-5, 1e-5), (EXACT, 0.0))     # tolerances of F, and from which excess of the demand on they do
BLUR = 2.0           # an answer with so small an error of F is exact at a log(price) so near, and its option with it
NEARLY = 1e-3        # excess of the demand down to which rough answers do
FARTHEST, LEAST = 6.0, 0.02     # step of log(price) that a glide may take; share of the price that its tangent may leave of it
GLIDES, CLOSE, FEW = 8, 3e-4, 1 / 64     # steps of a glide; it ends when but few depths move by so much: squared, it is rounding


class Point(NamedTuple):
    """The market at one price; (R,) and (R, K)."""

    price: NDArray
    excess: NDArray           # log of demand over band
    fall: NDArray             # its derivative in log(price), where no device changes its option
    blur: NDArray             # by how much log(price) might be another for the answers to be exact, 0 where they are
    slope: NDArray            # demand - band, slope of the dual value [Hz]
    dual: NDArray             # -inf where answers are not exact
    option: NDArray
    ratio: NDArray
    band: NDArray
    loss: NDArray

    def reordered(self, order: NDArray) -> "Point":
        """With the devices in another order."""
        return self._replace(**{name: getattr(self, name)[:, order] for name in ("option", "ratio", "band", "loss")})


class Block(NamedTuple):
    """Some devices of R rows, with O options each: curves in the order (O, R, K)."""

    curves: Curves
    shape: tuple[int, int, int]
    name: NDArray | None = None      # (K,) the only option that is left, where O = 1

    def each(self, level: NDArray) -> NDArray:
        """The log(price) (R,) of each entry, (N,) or (1,)."""
        xp, (options, rows, devices) = namespace(level), self.shape
        return level if rows == 1 else xp.reshape(xp.broadcast_to(level[None, :, None], (options, rows, devices)), (-1,))

    def tangent(self, level: NDArray) -> tuple[NDArray, ...]:
        """Demand (R,) at the last depths, its derivative in log(price), and the mean of F without it, times that.

        Of the options that are cheapest at those depths.
        """
        xp, curves, now = namespace(level), self.curves, self.curves.first()
        amounts = [now.band, now.give, now.give * now.pull]
        if self.shape[0] > 1:
            cost = xp.reshape(curves.loss(now.ratio) + xp.exp(self.each(level)) * now.band, self.shape)
            cheapest = xp.reshape(cost <= xp.min(cost, axis=0), (-1,))
            amounts = [xp.where(cheapest, v, 0.0) for v in amounts]
        ones = xp.ones_like(now.band[:self.shape[2]])
        sums = [xp.reshape(v, self.shape) @ ones for v in amounts]           # quicker than the sums of many short rows
        return tuple(v[0] if self.shape[0] == 1 else xp.sum(v, axis=0) for v in sums)

    def chosen(self, price: NDArray, answer: Answer) -> tuple[NDArray, ...]:
        """The cheapest option of each device (R, K), and what it gets there; of equals the one that asks for least."""
        xp = namespace(price)
        columns = [xp.reshape(v, self.shape) for v in (answer.ratio, answer.band, answer.give, self.curves.loss(answer.ratio))]
        best = tuple(v[0] for v in columns)
        option = xp.zeros_like(best[0], dtype=xp.int64) if self.name is None else self.name[None, :]
        cost = best[3] + price[:, None] * best[1]
        for number in range(1, self.shape[0]):
            rival = tuple(v[number] for v in columns)
            other = rival[3] + price[:, None] * rival[1]
            wins = (other < cost * (1 - TIE)) | ((other <= cost * (1 + TIE)) & (rival[1] < best[1]))
            best = tuple(xp.where(wins, new, old) for new, old in zip(rival, best, strict=True))
            option, cost = xp.where(wins, number, option), xp.where(wins, other, cost)
        return option, *best

    def rows(self, index: NDArray) -> "Block":
        xp, (options, rows, devices) = namespace(index), self.shape
        entries = xp.reshape(xp.arange(options * rows * devices, device=device(index)), self.shape)[:, index, :]
        return Block(self.curves.part(xp.reshape(entries, (-1,))), (options, index.shape[0], devices), self.name)

    def split(self, price: NDArray, lowest: NDArray, least: NDArray, option: NDArray,
              ) -> tuple["Block", "Block", NDArray, NDArray]:
        """Devices whose option is sure and those whose is not, and who they are (K,), for one row.

        The cost of an option is concave in the price and rises with it. Where at the ``lowest`` price it is, by a chord from
        the last price, above what the device pays ``least`` (K,) at the highest, the option cannot win between them.
        """
        xp, (options, _, devices), answer = namespace(price), self.shape, self.curves.last
        assert answer is not None
        far = lowest / price
        cost = far * (self.curves.loss(answer.ratio) + price * answer.band) + (1 - far) * self.curves.loss(self.curves.low)
        alive = xp.count_nonzero(xp.reshape(cost, (options, devices)) <= least * (1 + SAFE), axis=0)
        sure, torn = xp.nonzero(alive <= 1)[0], xp.nonzero(alive > 1)[0]
        entries = xp.reshape(xp.arange(options * devices, device=device(price)), (options, devices))
        mine = option[sure] * devices + sure
        return (Block(self.curves.part(mine), (1, 1, sure.shape[0]), option[sure]),
                Block(self.curves.part(xp.reshape(entries[:, torn], (-1,))), (options, 1, torn.shape[0])), sure, torn)


class Market:
    """R rows of devices that answer to prices; a long row is worked on in blocks of devices."""

    def __init__(self, band: NDArray, blocks: list[Block], *, rough: bool = False) -> None:
        self.band, self.blocks, self.xp = band, blocks, namespace(band)
        self.rough = rough               # a row that will be split is not looked at closely before, and has no dual value

    @classmethod
    def of(cls, problem: Deadline, *, rough: bool = False) -> "Market":
        """The market of a problem (R, K, O)."""
        *leading, devices, options = problem.shape
        rows = leading[0] if leading else 1
        size = max(BLOCK // options, 1) if rows == 1 else devices
        parts = [problem if size >= devices else problem.devices(slice(first, first + size)) for first in range(0, devices, size)]
        band = namespace(problem.gain).broadcast_to(problem.band, (rows,))
        return cls(band, [Block(Curves(part), (options, rows, part.shape[-2])) for part in parts], rough=rough)

    def rows(self, index: NDArray) -> "Market":
        """The market of some rows."""
        return Market(self.band[index], [block.rows(index) for block in self.blocks] if self.band.shape[0] > 1 else self.blocks)

    def split(self, last: Point, below: Point, above: Point) -> tuple["Market", NDArray]:
        """The market of one row, ``last`` looked at from one of two ends, without options that cannot win between them.

        Also the order (K,) in which its devices are.
        """
        xp, least, parts, first = self.xp, (above.loss + above.price[:, None] * above.band)[0], [], 0
        for block in self.blocks:
            here = slice(first, first + block.shape[2])
            parts.append((first, block.split(last.price, below.price, least[here], last.option[0, here])))
            first = here.stop
        order = xp.concat([first + who for first, part in parts for who in part[2:]])
        return Market(self.band, [block for _, part in parts for block in part[:2] if block.shape[2]]), order

    def at(self, price: NDArray, sure: NDArray | None = None) -> Point:
        """The market at a positive price (R,) [1/Hz].

        Rough, and without dual value, where the band is far from fitting and there are no prices on both sides (``sure``) yet.
        """
        xp, sure = self.xp, price < 0 if sure is None else sure
        if self.rough:
            point = self._sum(price, ROUGH)
            self.rough = bool(xp.all(xp.abs(point.excess) > NEARLY))
            if self.rough:
                return point._replace(dual=0.0 * price - np.inf, blur=0.0 * price + BLUR * ROUGH)
        for tolerance, enough in LADDER[-1:] if bool(xp.all(sure)) else LADDER:
            point = self._sum(price, tolerance)
            far = (xp.abs(point.excess) > enough) & ~sure
            if bool(xp.all(far)):
                break
        rough = far if enough > 0 else sure & ~sure
        return point._replace(dual=xp.where(rough, -np.inf, point.dual), blur=xp.where(rough, BLUR * tolerance, 0.0))

    def glide(self, price: NDArray, share: float) -> NDArray:
        """Prices (R,) close to where a ``share`` of the band is asked for, from those given, or from nothing where they are 0.

        Newton's steps of prices and depths together, a look for each: what the devices ask for along their tangents is the
        band. Errors fall as their squares once they are small, but nothing guards them: the search looks at what is found.
        """
        xp, level = self.xp, self.xp.log(price)
        known, close = price > 0, CLOSE if self.blocks[0].shape[0] == 1 else NEARLY
        if not bool(xp.all(known)):
            level = xp.where(known, level, self._tangents(-xp.log(self.band), share))
        for _ in range(GLIDES):
            far = max([block.curves.follow(block.each(level), close) for block in self.blocks])
            level = self._tangents(level, share)
            if far < FEW:
                break
        return xp.exp(level)

    def _tangents(self, level: NDArray, share: float) -> NDArray:
        """The log(price) (R,) at which the demand, at the last depths, meets a ``share`` of the band.

        By its tangent in the price, for devices that prune little; where that would be no price, of logarithms.
        """
        xp, parts = self.xp, [block.tangent(level) for block in self.blocks]
        demand, give, pull = (sum(part[which] for part in parts) for which in range(3))
        times = 1 - (demand - share * self.band) / give
        move = xp.where(times > LEAST, xp.log(times), -xp.log(demand / (share * self.band)) * demand / give)
        met = xp.minimum(xp.maximum(move, -FARTHEST), FARTHEST) - pull / give
        return xp.where(xp.isfinite(met), met, level)

    def free(self) -> Point:
        """The market where the band costs nothing."""
        none = 0.0 * self.band
        return self._point(none, [block.chosen(none, block.curves.end(0.0)) for block in self.blocks])

    def possible(self) -> NDArray:
        """Rows (R,) for which the band is enough if all devices prune as far as they may."""
        xp, need = self.xp, 0.0 * self.band
        for block in self.blocks:
            band = xp.where(block.curves.possible, block.curves.end(1.0).band, xp.inf)
            need = need + xp.sum(xp.min(xp.reshape(band, block.shape), axis=0), axis=-1)
        fits: NDArray = need <= self.band
        return fits

    def _sum(self, price: NDArray, tolerance: float) -> Point:
        level = self.xp.log(price)
        answers = [block.curves.answer(block.each(level), tolerance) for block in self.blocks]
        return self._point(price, [block.chosen(price, found) for block, found in zip(self.blocks, answers, strict=True)])

    def _point(self, price: NDArray, parts: list[tuple[NDArray, ...]]) -> Point:
        xp = self.xp
        demand, fall, loss = (sum(xp.sum(part[which], axis=1) for part in parts) for which in (2, 3, 4))
        each = [parts[0][which] if len(parts) == 1 else xp.concat([part[which] for part in parts], axis=1)
                for which in (0, 1, 2, 4)]
        slope = demand - self.band
        return Point(price, xp.log(demand / self.band), fall / demand, 0.0 * demand, slope, loss + price * slope, *each)


def where(condition: NDArray, yes: Point, no: Point) -> Point:
    """Row by row the one or the other."""
    xp = namespace(condition)
    if condition.shape == (1,):
        return yes if bool(condition[0]) else no
    return Point(*(xp.where(xp.reshape(condition, (-1,) + (1,) * (y.ndim - 1)), y, n)
                   for y, n in zip(yes, no, strict=True)))
