r"""The least loss of progress at many deadlines at once, roughly: where to look closer.

Each option of each device is a handful of points (loss, least band) at pruning ratios between the lowest that its deadline
allows and the highest, closer together near the lowest, where the band grows fastest. At a price of the band a device takes
its cheapest point, and the dual value

.. math:: q(\lambda) = \textstyle\sum_k \min_i [\,\ell_{k,i} + \lambda b_{k,i}\,] - \lambda B                   \tag{1}

is a concave polygon: its top is bracketed by prices a few times apart, and met where the tangents at both ends do. As points
stand for curves it lies a little above the true one. Nothing is answered here; ``optim.deadline`` does that.
"""

from typing import NamedTuple

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from channels.arrays import float_arrays, namespace
from optim.band import LeastBand, ratio_range
from optim.problem import Deadline
from optim.summit import choose

BLOCK = 1 << 18                # points that are worked on together
POINTS, POLE = 16, 1e-3        # points of an option; where in its range the first of them lies, if it cannot be the end
FIRST = 0.3                    # a price to start from, times the band
ENDS = 1e-9, 1e6               # prices that stand for none and for any, over that
APART = 4.0                    # between the prices tried for a bracket
TOLERANCE = 5e-4               # of the loss [1]
MOST_STEPS = 40
HOPELESS = 1.0                 # a loss from which on no progress is left


class Scan(NamedTuple):
    """What was found of each row, (...,) and (..., K)."""

    loss: NDArray       # top of (1), inf where nothing is feasible [1]
    price: NDArray      # near it; 0 where the band is ample [1/Hz]
    spent: NDArray      # options of devices at a price where the band suffices
    wanted: NDArray     # at one where it does not


class Probe(NamedTuple):
    """The points taken at one price; (R,) and (R, K)."""

    price: NDArray
    value: NDArray      # q [1]
    slope: NDArray      # demand - band [Hz]
    point: NDArray


class Table(NamedTuple):
    """Points of all options."""

    loss: NDArray       # (R, K, points * O) [1]
    need: NDArray       # (R, K, points * O), least band [Hz]
    band: NDArray       # (R,) [Hz]

    @classmethod
    def of(cls, problem: Deadline, points: int) -> "Table":
        """So many ``points`` of each option of a problem (R, K, O), or (K, O)."""
        xp, shape = namespace(problem.gain), problem.shape
        least, ratios = LeastBand.of(problem), ratio_range(problem)
        shares = xp.asarray(np.linspace(0.0, 1.0, points) ** 2, dtype=xp.float64, device=device(problem.gain))
        shares = xp.reshape(shares, (-1,) + (1,) * ratios.low.ndim)
        ratio = ratios.low + (ratios.high - ratios.low) * xp.where(ratios.pole, xp.maximum(shares, POLE + 0 * shares), shares)
        able = ratios.possible
        need = xp.where(able, least.band(ratio), 0.0)
        loss = xp.where(able, problem.noise + problem.pruning.value(ratio), xp.inf)

        def rows(v: NDArray) -> NDArray:
            v = xp.moveaxis(xp.broadcast_to(v, (points, *shape)), 0, -2)
            return xp.reshape(v, (-1, shape[-2], points * shape[-1]))

        loss, need = rows(loss), rows(need)
        return cls(loss, need, xp.reshape(xp.broadcast_to(problem.band, shape[:-2]), (-1,)))

    def at(self, price: NDArray) -> Probe:
        """The cheapest points at a price (R,)."""
        xp = namespace(price)
        cost = self.loss + price[:, None, None] * self.need
        point = xp.argmin(cost, axis=-1)
        paid, need = (xp.sum(xp.take_along_axis(v, point[..., None], axis=-1)[..., 0], axis=-1) for v in (cost, self.need))
        return Probe(price, paid - price * self.band, need - self.band, point)


def scan(problem: Deadline, price: ArrayLike | None = None, *, points: int = POINTS) -> Scan:
    """The loss of every row of a batch, from a ``price`` (...,) where there is one [1/Hz], each option being so many ``points``.

    Rows that lose all progress are not looked at closer.
    """
    *rows, devices, options = problem.shape
    xp, start = float_arrays(0.0 if price is None else price, problem.gain)[:2]
    first = xp.where(start > 0, start, FIRST / problem.band)
    first = xp.reshape(xp.broadcast_to(first, tuple(rows)), (-1,))
    count, size = int(np.prod(rows)), max(BLOCK // (devices * options * points), 1)
    with np.errstate(all="ignore"):
        parts = [_scan(problem if size >= count else problem.rows(slice(at, at + size)), first[at:at + size], points)
                 for at in range(0, count, size)]
    columns = parts[0] if len(parts) == 1 else Scan(*(xp.concat(list(each), axis=0) for each in zip(*parts, strict=True)))
    return Scan(*(xp.reshape(v, (*rows, *v.shape[1:])) for v in columns))


def _scan(problem: Deadline, price: NDArray, points: int) -> Scan:
    xp, table = namespace(price), Table.of(problem, points)
    free, dear = (table.at(end * FIRST / table.band) for end in ENDS)
    ample, never = free.slope <= 0, (dear.slope > 0) | ~(dear.value < xp.inf)
    low, high, value = _climb(table, price, ample | never)
    at = xp.where(ample, 0.0, xp.where(high.value >= low.value, high.price, low.price))
    options = problem.shape[-1]
    spent, wanted = (xp.where(ample[:, None], free.point, end.point) % options for end in (high, low))
    nothing = free.value - free.price * free.slope
    return Scan(xp.where(ample, nothing, xp.where(never, xp.inf, value)), at, spent, wanted)


def _climb(table: Table, price: NDArray, settled: NDArray) -> tuple[Probe, Probe, NDArray]:
    """Prices on both sides of the top of (1), and the best value met."""
    xp, point = namespace(price), table.at(price)
    low = high = point
    below, above, value = point.slope > 0, point.slope <= 0, point.value
    for step in range(MOST_STEPS):
        both, bend = below & above, low.slope - high.slope
        meet = high.price - ((low.value - high.value + low.slope * (high.price - low.price)) / xp.where(bend > 0, bend, 1.0))
        roof = xp.where(both, low.value + low.slope * (meet - low.price), xp.inf)
        roof = xp.where(above, xp.minimum(roof, high.value - high.price * high.slope), roof)
        done = settled | (roof - value <= TOLERANCE) | (value >= HOPELESS)
        if bool(xp.all(done)):
            break
        inside = (meet > low.price) & (meet < high.price) & (step % 6 < 5)
        trial = xp.where(inside, meet, xp.sqrt(low.price * high.price))
        trial = xp.where(both, trial, xp.where(below, APART * low.price, high.price / APART))
        point = table.at(xp.where(done, price, trial))
        short = ~done & (point.slope > 0)
        over = ~done & ~short
        low, high = choose(short, point, low), choose(over, point, high)
        below, above, value = below | short, above | over, xp.where(done, value, xp.maximum(value, point.value))
    return low, high, value


def picks(values: NDArray, options: NDArray) -> NDArray:
    """Some columns ``options`` (..., K, C) of each row of ``values``, which broadcast to (..., K, O)."""
    if values.ndim == 0 or values.shape[-1] == 1:
        return values
    xp, rows = namespace(values), np.broadcast_shapes(tuple(values.shape[:-1]), tuple(options.shape[:-1]))
    found: NDArray = xp.take_along_axis(xp.broadcast_to(values, (*rows, values.shape[-1])),
                                        xp.broadcast_to(options, (*rows, options.shape[-1])), axis=-1)
    return found
