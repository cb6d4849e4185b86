"""All devices at one price of the band: their choices, their demand, and the dual value.

Summed over devices the demand falls with the price lambda, smoothly but for jumps where a device changes its option, and
the dual value q(lambda) = sum_k min_o cost - lambda B is concave with slope (demand - B).
"""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from channels.arrays import namespace
from optim.curves import Answer, Curves
from optim.problem import Deadline

BLOCK = 1 << 14      # entries (device, option) that are worked on at a time: their arrays fit the cache


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
        self.band = xp.broadcast_to(problem.band, (rows,))
        size = max(BLOCK // options, 1) if rows == 1 else devices
        parts = [slice(first, first + size) for first in range(0, devices, size)]
        self.blocks = [Curves(problem if len(parts) == 1 else problem.devices(part)) for part in parts]

    def rows(self, index: Any) -> "Market":
        """The market of some rows."""
        part = object.__new__(Market)
        part.xp, part.band, part.blocks = self.xp, self.band[index], [block.rows(index) for block in self.blocks]
        return part

    def at(self, price: NDArray) -> Point:
        """The market at a positive price (R,) [1/Hz]."""
        return self._sum(price, [block.answer(price) for block in self.blocks])

    def free(self) -> Point:
        """The market where the band costs nothing."""
        return self._sum(0.0 * self.band, [block.free for block in self.blocks])

    def possible(self) -> NDArray:
        """Rows (R,) for which the band is enough if all devices prune as far as they may."""
        xp = self.xp
        need = sum(xp.sum(xp.min(xp.where(b.possible, b.deep.band, xp.inf), axis=-1), axis=-1) for b in self.blocks)
        fits: NDArray = need <= self.band
        return fits

    def _sum(self, price: NDArray, answers: list[Answer]) -> Point:
        xp = self.xp
        parts = [_choose(xp, price, answer) for answer in answers]
        option, ratio, band, loss, give = (v[0] if len(v) == 1 else xp.concat(v, axis=1) for v in zip(*parts, strict=True))
        demand = xp.sum(band, axis=1)
        dual = xp.sum(loss, axis=1) + price * (demand - self.band)
        return Point(price, xp.log(demand / self.band), xp.sum(give, axis=1) / demand, demand - self.band, dual,
                     option, ratio, band, loss)


def _choose(xp: Any, price: NDArray, answer: Answer) -> tuple[NDArray, ...]:
    """The cheapest option of each device (R, K), and what it gets there; of equals the one that asks for least."""
    if answer.band.shape[-1] == 1:
        return xp.zeros_like(answer.band[..., 0], dtype=xp.int64), *(
            v[..., 0] for v in (answer.ratio, answer.band, answer.loss, answer.give))
    cost = answer.loss + price[:, None, None] * answer.band
    tied = cost <= xp.min(cost, axis=-1, keepdims=True) * (1 + 1e-14)
    option = xp.argmin(xp.where(tied, answer.band, xp.inf), axis=-1)
    index = option[..., None]
    return option, *(xp.take_along_axis(v, index, axis=-1)[..., 0]
                     for v in (answer.ratio, answer.band, answer.loss, answer.give))


def where(condition: NDArray, yes: Point, no: Point) -> Point:
    """Row by row the one or the other."""
    xp = namespace(condition)
    if condition.shape == (1,):
        return yes if bool(condition[0]) else no
    return Point(*(xp.where(xp.reshape(condition, (-1,) + (1,) * (y.ndim - 1)), y, n)
                   for y, n in zip(yes, no, strict=True)))
