r"""End a round soonest while it loses no more progress than a limit.

.. math::

    \min_{T,\,o,\,\rho,\,b,\,p}\; T \quad\text{s.t.}\quad \Phi \le \Phi^{max},\ \text{and the deadline problem's limits.}  \tag{1}

The least loss Phi*(T) that a deadline allows (``optim.deadline``) falls with T: the answer is the root of Phi*(T) = Phi^max; and
as its dual value q(T) <= Phi*(T) falls too, no decision of any options is through before the root of q(T) = Phi^max.     (2)

With h_k = -d b_min,k / dT, the hertz that a second saves, the conditions of (1) price the band and the progress at

.. math:: \mu = 1 / \textstyle\sum_k h_k\ [s/Hz],\qquad \eta = \mu / \lambda\ [s],                        \tag{3}

lambda the band's price in the deadline problem at T. A limit that forbids all pruning leaves ``optim.fastest.least_deadline``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import float_arrays, namespace, to_numpy
from optim.allocation import Allocation, Status, certified_gap
from optim.deadline import solve_kkt
from optim.fastest import LONGEST, least_deadline
from optim.multipliers import savings
from optim.problem import Deadline, check
from optim.roots import falling_root

ROUNDING = 1e-12


@dataclass(frozen=True)
class FastestRound:
    """Data of problem (1); leading axes (...) make a batch.

    Attributes
    ----------
    cell : Deadline
        Costs, links, band and the loss of progress; its own deadline is not used.
    most_loss : (...,) array or float
        Phi^max, progress that may be lost [1]; ``inf`` for no limit.
    """

    cell: Deadline
    most_loss: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "most_loss", float_arrays(self.most_loss, self.cell.gain)[1])
        check("most_loss", self.most_loss, "1", 0.0, np.inf, closed=True)


@dataclass(frozen=True)
class FastestAllocation:
    """The soonest round that was found, and how much sooner one could be.

    Attributes
    ----------
    allocation : Allocation
        With the latency of the round as its ``deadline`` [s]; its objective is the loss of progress. A row that no time suffices
        has the status LOSS (or the deadline problem's own), and its deadline is ``inf``.
    least_latency : (...,) array
        No decision ends the round before [s].
    band_price : (...,) array
        mu: seconds that one more hertz saves [s/Hz].
    loss_price : (...,) array
        eta: seconds that one more unit of lost progress would save [s]; ``inf`` where the limit forbids all pruning, and the
        first of it costs nothing.
    """

    allocation: Allocation
    least_latency: NDArray
    band_price: NDArray
    loss_price: NDArray

    @property
    def gap(self) -> NDArray:
        """Certified distance from the optimum, relative to the latency [1]."""
        return certified_gap(self.allocation.deadline, self.least_latency)


def solve_fastest(problem: FastestRound) -> FastestAllocation:
    """Solve (1) by its roots in T; one problem with several options is branched on, as in ``solve_kkt``."""
    xp, limit = namespace(problem.cell.gain), problem.most_loss
    rows = np.broadcast_shapes(problem.cell.shape[:-2], tuple(limit.shape))
    cell, limit = replace(problem.cell, deadline=1.0 + xp.zeros_like(xp.broadcast_to(limit, rows))), xp.broadcast_to(limit, rows)
    soonest, unpruned, floor = _ends(xp, cell)
    hopeless = (floor > limit * (1 + ROUNDING)) | (soonest == xp.inf)
    pinned = ~hopeless & (floor >= limit * (1 - ROUNDING)) & (unpruned < xp.inf)
    start = xp.where(soonest < xp.inf, soonest, 1.0) * (1 + ROUNDING)

    def loss(part: str) -> Callable[[NDArray], NDArray]:
        def excess(log_time: NDArray) -> NDArray:
            value = getattr(solve_kkt(replace(cell, deadline=xp.exp(log_time))), part)
            value = xp.where(value > -xp.inf, value, xp.inf)
            return xp.where(hopeless | pinned, 0.0, xp.where(limit > 0, value / xp.where(limit > 0, limit, 1.0) - 1, value))
        return excess

    latency = _root(xp, loss("objective"), start)
    least = xp.minimum(_root(xp, loss("lower_bound"), start), latency) if cell.shape[-1] > 1 else latency
    latency, least = (xp.where(pinned, unpruned, v) for v in (latency, least))
    return _answer(xp, cell, limit, xp.where(hopeless, xp.inf, latency), xp.where(hopeless, xp.inf, least), pinned, start)


def _ends(xp: Any, cell: Deadline) -> tuple[NDArray, NDArray, NDArray]:
    """Least latency with all pruning that is allowed; with none, and the best of the options that then lose least; that loss."""
    lost = xp.broadcast_to(cell.noise + cell.pruning.value(cell.prune_min), cell.shape)
    least = xp.min(xp.where(cell.prune_min <= cell.prune_max, lost, xp.inf), axis=-1)
    gentle = cell.unpruned().only(lost <= least[..., None] * (1 + ROUNDING))
    return least_deadline(cell), least_deadline(gentle), xp.sum(least, axis=-1)


def _root(xp: Any, excess: Callable[[NDArray], NDArray], start: NDArray) -> NDArray:
    """The deadline from ``start`` (...,) on at which a falling excess of the loss is gone; ``inf`` if it never is."""
    low = high = xp.log(start)
    value_low = value_high = excess(low)
    step = 0.1
    while step < np.log(LONGEST) and bool(xp.any(value_high > 0)):
        on = value_high > 0
        low, value_low = xp.where(on, high, low), xp.where(on, value_high, value_low)
        high, step = xp.where(on, high + step, high), 2 * step
        value_high = xp.where(on, excess(high), value_high)
    root = falling_root(excess, low, high, value_low, value_high, ftol=0.1 * ROUNDING)
    return xp.where(value_high > 0, xp.inf, xp.exp(root))


def _answer(xp: Any, cell: Deadline, limit: NDArray, latency: NDArray, least: NDArray, pinned: NDArray,
            start: NDArray) -> FastestAllocation:
    """The decision at the latency that was found, with (3)."""
    found = latency < xp.inf
    at = replace(cell, deadline=xp.where(found, latency, start) * xp.where(pinned, 1 + ROUNDING, 1.0))
    plain = solve_kkt(at)
    ok = found & (plain.objective < xp.inf)
    each = ok[..., None]
    with np.errstate(all="ignore"):
        second = savings(at.of(plain.option), plain.ratio).second
        saved = xp.sum(xp.where(xp.isfinite(second), second, 0.0), axis=-1)
        band_price = xp.where(ok & (saved > 0), 1 / saved, 0.0)
        binds = ok & (plain.objective >= limit * (1 - 1e-9))
        loss_price = xp.where(binds, xp.where(plain.price > 0, band_price / plain.price, xp.inf), 0.0)
    arrays = {name: xp.where(each, getattr(plain, name), 0.0) for name in ("ratio", "bandwidth", "power", "latency", "energy")}
    status = np.where(to_numpy(ok | (plain.objective == xp.inf)), np.asarray(plain.status), np.array(Status.LOSS, object))
    plain = replace(plain, **arrays, option=xp.where(each, plain.option, 0), deadline=xp.where(ok, at.deadline, xp.inf),
                    objective=xp.where(ok, plain.objective, xp.inf), lower_bound=xp.where(ok, plain.lower_bound, -xp.inf),
                    price=xp.where(ok, plain.price, 0.0), status=status if status.ndim else status.item())
    return FastestAllocation(plain, least, band_price, loss_price)
