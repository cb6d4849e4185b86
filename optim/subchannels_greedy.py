r"""Subchannels handed out one by one, then moved and swapped while the loss falls; batched over leading axes.

With V_k the loss of device k at the rate that its subchannels carry by water-filling or, below its least rate, a penalty above
every loss that grows with what it lacks,

1. while a device is short of its least rate, the one that lacks the largest share of it takes its best free subchannel; from then
   on the device whose V_k its own best free subchannel lowers most;
2. of all moves of one subchannel to another device and all swaps of two, that which lowers sum_k V_k most, until none does.

Both start twice, from nothing and from the subchannels that one device won for most of the ascent to the bound
(``optim.subchannels_bound``, which certifies the answer), and the better end counts. A heuristic: where it ends in Status.BAND,
another assignment may do, unless ``lower_bound`` is ``inf``.
"""

from typing import Any

from array_api_compat import device

from channels.arrays import namespace
from optim.subchannels import Subchannels, full_rate, held, least_rate, loss_of
from optim.subchannels_answer import FREE, SubchannelAllocation, evaluate
from optim.subchannels_bound import ascend

SAVES = 1e-12       # fall of the loss, relative, that is worth a change
SURE = 0.5          # share of the ascent in which a device must have won a subchannel to start with it


def solve_greedy(cells: Subchannels, *, changes: int = 1000, steps: int = 300) -> SubchannelAllocation:
    """Assign subchannels by the two steps above.

    Parameters
    ----------
    cells : Subchannels
        One problem, or a batch with leading axes.
    changes : int
        Moves and swaps that are made at most in a row of the batch.
    steps : int
        Steps of the ascent to the lower bound.

    Returns
    -------
    SubchannelAllocation
        With its certificate: ``lower_bound`` holds for all assignments, powers, options and ratios; ``gap`` is measured to it.
    """
    xp, value = namespace(cells.gain), _Value(cells)
    nobody = xp.full((*cells.shape[:-2], cells.shape[-1]), FREE, device=device(cells.gain))
    first = hand_out(cells, nobody)
    climb = ascend(cells, evaluate(cells, first).objective, steps)
    sure = xp.where(xp.max(climb.share, axis=-2) > SURE, xp.argmax(climb.share, axis=-2), FREE)
    ends = exchange(cells, xp.stack([first, hand_out(cells, sure)]), changes)
    total = value.total(ends)
    owner = xp.where((total[0] <= total[1])[..., None], ends[0], ends[1])
    return evaluate(cells, owner, climb.bound)


def hand_out(cells: Subchannels, assignment: Any) -> Any:
    """Step 1 from ``assignment`` (..., M) on, which may have more leading axes than the problem."""
    xp, value, owner = namespace(cells.gain), _Value(cells), assignment
    devices, places = (xp.arange(n, device=device(cells.gain)) for n in cells.shape[-2:])
    mine = held(cells, owner)
    now = value.of(full_rate(mine, cells.width, cells.peak_power))
    for _ in range(cells.shape[-1]):
        offers = xp.where((owner == FREE)[..., None, :], cells.gain, 0.0)
        takes = (places == xp.argmax(offers, axis=-1)[..., None]) & (offers > 0)
        then = value.of(full_rate(xp.where(takes, offers, mine), cells.width, cells.peak_power))
        urge = xp.where(xp.any(takes, axis=-1), xp.where(now >= value.penalty, now, (now - then) / value.penalty), 0.0)
        gets = (devices == xp.argmax(urge, axis=-1)[..., None]) & (urge > 0)
        given = gets[..., None] & takes
        owner = xp.where(xp.any(given, axis=-2), xp.argmax(urge, axis=-1)[..., None], owner)
        mine, now = xp.where(given, offers, mine), xp.where(gets, then, now)
    return owner


def exchange(cells: Subchannels, assignment: Any, most: int = 1000) -> Any:
    """Step 2 from ``assignment`` (..., M) on, ``most`` changes at most."""
    xp, value, owner, (devices, count) = namespace(cells.gain), _Value(cells), assignment, cells.shape[-2:]
    places = xp.arange(count, device=device(cells.gain))
    for _ in range(most):
        falls = xp.concat([xp.reshape(v, (*owner.shape[:-1], -1)) for v in _changes(cells, value, owner)], axis=-1)
        best = xp.argmin(falls, axis=-1, keepdims=True)
        pays = xp.take_along_axis(falls, best, axis=-1) < -SAVES * value.total(owner)[..., None]
        if not bool(xp.any(pays)):
            break
        swap, pair = best >= devices * count, xp.clip(best - devices * count, 0, count * count - 1)
        one, other = pair // count, pair % count
        swapped = xp.where(places == one, xp.take_along_axis(owner, other, axis=-1),
                           xp.where(places == other, xp.take_along_axis(owner, one, axis=-1), owner))
        moved = xp.where(places == best % count, best // count, owner)
        owner = xp.where(pays, xp.where(swap, swapped, moved), owner)
    return owner


def _changes(cells: Subchannels, value: "_Value", owner: Any) -> tuple[Any, Any]:
    """What each move (..., K, M) of a subchannel to a device and each swap (..., M, M) adds to sum_k V_k."""
    xp, width, count = namespace(cells.gain), cells.width, cells.shape[-1]
    devices, places = (xp.arange(n, device=device(cells.gain)) for n in cells.shape[-2:])
    mine, holds = held(cells, owner), owner[..., None, :] == devices[:, None]
    now = value.of(full_rate(mine, width, cells.peak_power))
    axes = (1,) * (owner.ndim - 1)
    this = xp.reshape(places[:, None] == places, (count, *axes, count))                         # (M', ..., M): m is m'
    other = value.of(full_rate(xp.where(this[..., None, :], cells.gain - mine, mine), width, cells.peak_power)) - now
    other = xp.moveaxis(other, 0, -1)                               # (..., K, M): V_k with m taken away, or given
    loses = xp.sum(xp.where(holds, other, 0.0), axis=-2, keepdims=True)
    takes = []
    for m in range(count):
        his = holds[..., m]
        row, whole = (xp.sum(xp.where(his[..., None], v, 0.0), axis=-2) for v in (mine, cells.gain))
        rate = full_rate(xp.where(this, whole, xp.where(places == m, 0.0, row)), width,
                         xp.sum(xp.where(his, cells.peak_power, 0.0), axis=-1))
        after = value.of(xp.where(his, rate[..., None], 0.0)) - now
        takes.append(xp.moveaxis(xp.sum(xp.where(his, after, 0.0), axis=-1), 0, -1))
    gives = xp.stack(takes, axis=-2)                                # (..., M, M'): V of m's owner with m' instead of m
    owned = (owner >= 0)[..., :, None] & (owner >= 0)[..., None, :] & (owner[..., :, None] != owner[..., None, :])
    return xp.where(holds, 0.0, other + loses), xp.where(owned, gives + xp.moveaxis(gives, -1, -2), 0.0)


class _Value:
    """V_k of the steps above."""

    def __init__(self, cells: Subchannels) -> None:
        xp, table, least = namespace(cells.gain), cells.table, least_rate(cells)
        worst = xp.max(table.noise + cells.problem.pruning.value(table.most), axis=-1)
        self.cells, self.least = cells, xp.where(xp.isfinite(least) & (least > 0), least, 1.0)
        self.penalty = 2 * xp.sum(worst, axis=-1)[..., None]

    def of(self, rate: Any) -> Any:
        """(..., K) at ``rate`` (..., K) [bit/s]."""
        xp, loss = namespace(rate), loss_of(self.cells, rate)[0]
        return xp.where(xp.isfinite(loss), loss, self.penalty * (2 - xp.clip(rate / self.least, 0.0, 1.0)))

    def total(self, owner: Any) -> Any:
        """Sum over the devices."""
        gain = held(self.cells, owner)
        return namespace(gain).sum(self.of(full_rate(gain, self.cells.width, self.cells.peak_power)), axis=-1)
