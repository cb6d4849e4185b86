"""All devices at one price of the band: their choices, their demand, and the dual value.

Summed over devices the demand falls with the price lambda, smoothly but for jumps where a device changes its option, and
the dual value q(lambda) = sum_k min_o cost - lambda B is concave with slope (demand - B).
"""

from copy import copy
from typing import NamedTuple

from numpy.typing import NDArray

from channels.arrays import namespace
from optim.curves import EXACT, LOOSE, Answer, Curves
from optim.problem import Deadline

BLOCK = 1 << 14      # entries (device, option) that are worked on at a time: their arrays fit the cache

FITS = 1e-4          # excess of the demand below which it counts as nearly fitting


class Point(NamedTuple):
    """The market at one price; (R,) and (R, K)."""

    price: NDArray
    excess: NDArray           # log of demand over band
    fall: NDArray             # its derivative in log(price), where no device changes its option
    slope: NDArray            # demand - band, slope of the dual value [Hz]
    dual: NDArray
    option: NDArray
    ratio: NDArray
    band: NDArray
    loss: NDArray


class Market:
    """R rows of devices that answer to prices; a long row is worked on in blocks of devices."""

    def __init__(self, problem: Deadline) -> None:
        rows, devices, options = problem.shape
        self.xp = xp = namespace(problem.gain)
        self.band, self.options = xp.broadcast_to(problem.band, (rows,)), options
        size = max(BLOCK // options, 1) if rows == 1 else devices
        parts = [slice(first, first + size) for first in range(0, devices, size)]
        self.blocks = [Curves(problem if len(parts) == 1 else problem.devices(part)) for part in parts]

    def rows(self, index: NDArray) -> "Market":
        """The market of some rows."""
        part, xp = copy(self), self.xp
        entries = xp.reshape(xp.arange(self.blocks[0].low.shape[0]), (self.band.shape[0], -1))
        part.band = self.band[index]
        part.blocks = [block.part(xp.reshape(entries[index], (-1,))) for block in self.blocks] if len(entries) > 1 else self.blocks
        return part

    def at(self, price: NDArray) -> Point:
        """The market at a positive price (R,) [1/Hz]: exact where the band nearly fits, nearly exact elsewhere."""
        point = self._sum(price, LOOSE)
        return self._sum(price, EXACT) if bool(self.xp.any(self.xp.abs(point.excess) < FITS)) else point

    def free(self) -> Point:
        """The market where the band costs nothing."""
        none = 0.0 * self.band
        return self._point(none, [self._choose(none, block, block.free) for block in self.blocks])

    def possible(self) -> NDArray:
        """Rows (R,) for which the band is enough if all devices prune as far as they may."""
        xp, need = self.xp, 0.0 * self.band
        for block in self.blocks:
            each = xp.min(self._table(xp.where(block.possible, block.deep.band, xp.inf)), axis=-1)
            need = need + xp.sum(each, axis=-1)
        fits: NDArray = need <= self.band
        return fits

    def _sum(self, price: NDArray, tolerance: float) -> Point:
        xp, parts = self.xp, []
        for block in self.blocks:
            each = block.low.shape[0] // price.shape[0]
            level = xp.reshape(xp.broadcast_to(xp.log(price)[:, None], (price.shape[0], each)), (-1,))
            parts.append(self._choose(price, block, block.answer(level, tolerance)))
        return self._point(price, parts)

    def _table(self, values: NDArray) -> NDArray:
        found: NDArray = self.xp.reshape(values, (self.band.shape[0], -1, self.options))
        return found

    def _choose(self, price: NDArray, block: Curves, answer: Answer) -> tuple[NDArray, ...]:
        """The cheapest option of each device (R, K), and what it gets there; of equals the one that asks for least."""
        xp = self.xp
        ratio, band, give, loss = (self._table(v) for v in (answer.ratio, answer.band, answer.give, block.loss(answer)))
        if self.options == 1:
            return xp.zeros_like(band[..., 0], dtype=xp.int64), ratio[..., 0], band[..., 0], give[..., 0], loss[..., 0]
        cost = loss + price[:, None, None] * band
        tied = cost <= xp.min(cost, axis=-1, keepdims=True) * (1 + 1e-14)
        option = xp.argmin(xp.where(tied, band, xp.inf), axis=-1)[..., None]
        return option[..., 0], *(xp.take_along_axis(v, option, axis=-1)[..., 0] for v in (ratio, band, give, loss))

    def _point(self, price: NDArray, parts: list[tuple[NDArray, ...]]) -> Point:
        xp = self.xp
        option, ratio, band, give, loss = (v[0] if len(v) == 1 else xp.concat(v, axis=1) for v in zip(*parts, strict=True))
        demand = xp.sum(band, axis=1)
        dual = xp.sum(loss, axis=1) + price * (demand - self.band)
        return Point(price, xp.log(demand / self.band), xp.sum(give, axis=1) / demand, demand - self.band, dual,
                     option, ratio, band, loss)


def where(condition: NDArray, yes: Point, no: Point) -> Point:
    """Row by row the one or the other."""
    xp = namespace(condition)
    if condition.shape == (1,):
        return yes if bool(condition[0]) else no
    return Point(*(xp.where(xp.reshape(condition, (-1,) + (1,) * (y.ndim - 1)), y, n)
                   for y, n in zip(yes, no, strict=True)))
