r"""Spend the least energy on a round that ends in time and loses no more progress than a limit.

.. math::

    \min_{o,\,\rho,\,b,\,p}\; \sum_k \omega_k E_k \quad \text{s.t.}\quad
    T_k \le T,\quad \Phi = \textstyle\sum_k \varphi_k + c_k(\rho_k) \le \Phi^{max},\quad p_k \le P_k,\quad
    E_k \le \bar E_k,\quad \sum_k b_k \le B.                                                              \tag{1}

Sending slower costs less energy, so whoever has something to send is through at T exactly, which eliminates the power. Two prices
couple the devices: lambda of the band [J/Hz] and nu of progress [J]; ``optim.energy_response`` says what a device answers, at
what cost. The dual value

.. math:: q(\lambda, \nu) = \sum_k \min_{o, x, b} [\omega E + \lambda b + \nu (\varphi + c)] - \lambda B - \nu \Phi^{max}  \tag{2}

bounds the energy of every decision from below, and is concave: ``optim.summit`` raises it over nu for each lambda, and over
lambda. With options fixed the problem is convex, and the answers around the top, mixed so that they spend exactly what there is,
are a decision as good as the bound. Options that differ around the top are tried one way and the other, each with its own search.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import float_arrays, namespace, to_numpy
from optim.allocation import Allocation, Residual, Status
from optim.answer import settle, statuses
from optim.band import least_band
from optim.deadline import solve_kkt
from optim.energy_response import Devices, devices_cost, search
from optim.problem import Deadline, check
from optim.summit import Summit, best, blend

TINY = 1e-12      # a loss of progress below this is none


@dataclass(frozen=True)
class LeastEnergy:
    """Data of problem (1); leading axes (...) make a batch.

    Attributes
    ----------
    deadline : Deadline
        Costs, links, band, deadline T and the loss of progress.
    most_loss : (...,) array or float
        Phi^max, progress that may be lost [1]; ``inf`` for no limit. For a round without pruning set ``prune_max`` to 0.
    weights : (..., K) array or float
        omega, what a joule of each device counts [1].
    """

    deadline: Deadline
    most_loss: Any
    weights: Any = 1.0

    def __post_init__(self) -> None:
        for name in ("most_loss", "weights"):
            object.__setattr__(self, name, float_arrays(getattr(self, name), self.deadline.gain)[1])
        check("most_loss", self.most_loss, "1", 0.0, np.inf, closed=True)
        check("weights", self.weights, "1", 1e-9, 1e9, closed=True)


@dataclass(frozen=True)
class EnergyAllocation:
    """A decision that spends little energy, and the price of both its limits.

    Attributes
    ----------
    allocation : Allocation
        ``objective`` and ``lower_bound`` are weighted energies [J], ``price`` is lambda [J/Hz].
    loss : (...,) array
        Progress that is lost, Phi [1]; ``inf`` where the status is infeasible.
    loss_price : (...,) array
        nu: energy that would be saved by losing one more unit of progress [J].
    """

    allocation: Allocation
    loss: NDArray
    loss_price: NDArray


def solve_energy(problem: LeastEnergy, *, rtol: float = 1e-13) -> EnergyAllocation:
    """Solve (1) by its two prices.

    Parameters
    ----------
    problem : LeastEnergy
        One problem, or a batch with leading axes.
    rtol : float
        Relative tolerance on the dual value.

    Returns
    -------
    EnergyAllocation
        Infeasible rows hold zeros, and the status LOSS where the deadline could be met but not the limit on the loss. With
        several options the objective is the best decision found, certified by the lower bound.
    """
    with np.errstate(all="ignore"):
        return _solve(*_rows(problem), rtol)


def residual(problem: LeastEnergy, found: EnergyAllocation) -> Residual:
    """How far an answer to one problem, from whatever solver, is from the optimality conditions of (1)."""
    d, limit, weights = _rows(problem)
    rent, worth, a = found.allocation.price, found.loss_price, found.allocation
    fixed, ratio = d.of(a.option), a.ratio[..., None]
    loss = fixed.noise + fixed.pruning.value(ratio)
    excess = [a.bandwidth.sum() / d.band - 1, a.latency / d.deadline - 1, a.power / d.peak_power - 1,
              a.energy / d.energy_budget - 1, (loss.sum() - limit) / np.maximum(limit, TINY),
              ratio - fixed.prune_max, fixed.prune_min - ratio]
    paid = weights * a.energy + rent * a.bandwidth + worth * loss[..., 0]
    objective = (weights * a.energy).sum()
    least, mine = (devices_cost(p, weights, rent, worth) for p in (d, fixed))
    return Residual(
        feasibility=float(max(max(np.max(e) for e in excess), 0.0)),
        stationarity=float(np.maximum(paid - mine, 0.0).sum() / objective),
        complementarity=float((rent * np.abs(d.band - a.bandwidth.sum()) + worth * np.abs(limit - loss.sum())) / objective),
        gap=float((objective - least.sum() + rent * d.band + worth * limit) / objective))


def _rows(problem: LeastEnergy) -> tuple[Deadline, NDArray, NDArray]:
    """Deadline problem, limit (...,) and weights (..., K), with all leading axes broadcast."""
    d = problem.deadline
    xp, limit, weights = namespace(d.gain), problem.most_loss, problem.weights
    rows = np.broadcast_shapes(d.shape[:-2], tuple(limit.shape), tuple(weights.shape[:-1]))
    d = replace(d, band=xp.broadcast_to(d.band, rows), deadline=xp.broadcast_to(d.deadline, rows))
    worst = xp.sum(xp.max(xp.broadcast_to(d.noise + d.pruning.value(d.prune_max), d.shape), axis=-1), axis=-1)
    return d, xp.minimum(xp.broadcast_to(limit, rows), worst), xp.broadcast_to(weights, d.shape[:-1])


def _solve(d: Deadline, limit: NDArray, weights: NDArray, rtol: float) -> EnergyAllocation:
    xp = namespace(limit)
    least = solve_kkt(d, branches=0)
    possible = xp.isfinite(least.objective)
    hopeless = ~possible | (least.lower_bound > limit * (1 + 1e-12))
    spent, most = xp.sum(weights * least.energy, axis=-1), _most_energy(xp, d, weights)
    ceiling = xp.where(least.objective <= limit * (1 + 1e-12), spent, most) * (1 + 1e-9)
    relaxed = search(Devices(d, weights), limit, hopeless, ceiling, rtol)
    bound = xp.where(hopeless, -float("inf"), relaxed.value)
    options = _candidates(xp, relaxed, least.option)
    if options is None:
        return _answer(d, limit, weights, relaxed, relaxed.high.answer.high.answer.option, possible, bound)
    fixed = search(Devices(d.of(options), weights), limit, hopeless | (0 * options[..., 0] > 0), ceiling, rtol)
    return _cheapest(xp, _answer(d, limit, weights, fixed, options, possible, bound))


def _most_energy(xp: Any, d: Deadline, weights: NDArray) -> NDArray:
    """What no decision exceeds: everything computed, and peak power all the time."""
    computing = xp.max(xp.broadcast_to(d.costs.fixed_energy + d.costs.kept_energy, d.shape), axis=-1)
    return xp.sum(weights * (computing + d.peak_power * d.deadline[..., None]), axis=-1)


def _candidates(xp: Any, top: Summit, other: NDArray) -> NDArray | None:
    """Options (N, ..., K) to try where devices are torn between two around the top; None where none is.

    The first three torn devices in all ways; and of all torn devices as many switched as the mix of the ends asks for.
    """
    base, *rest = (end.answer.option for outer in (top.high, top.low) for end in (outer.answer.high, outer.answer.low))
    second = base
    for option in rest:
        second = xp.where(second == base, option, second)
    torn = second != base
    if not xp.any(torn):
        return None
    rank = xp.cumulative_sum(xp.astype(torn, xp.int64), axis=-1) - 1
    share = blend(top, lambda outer: blend(outer.answer, lambda end: xp.astype(end.answer.option != base, top.share.dtype)))
    wanted = xp.floor(xp.sum(share, axis=-1, keepdims=True))
    ways = [torn & (rank < wanted + n) for n in (-1, 0, 1, 2)] + [torn]
    for switched in product((False, True), repeat=3):
        ways.append(torn & xp.any(xp.stack([(rank == n) & s for n, s in enumerate(switched)]), axis=0))
    return xp.stack([other, *rest] + [xp.where(way, second, base) for way in ways])


def _answer(d: Deadline, limit: NDArray, weights: NDArray, top: Summit, option: NDArray, possible: NDArray,
            bound: NDArray) -> EnergyAllocation:
    """The answers around the top, mixed: feasible, and as good as the bound, where the problem with these options is."""
    xp, fixed = namespace(limit), d.of(option)
    ratio, band = (blend(top, lambda outer: blend(outer.answer, lambda end: getattr(end.answer, name)))  # noqa: B023
                   for name in ("ratio", "band"))
    least = least_band(fixed, ratio[..., None])
    loss = xp.sum((fixed.noise + fixed.pruning.value(ratio[..., None]))[..., 0], axis=-1)
    fits = (xp.sum(band, axis=-1) <= d.band * (1 + 1e-9)) & (loss <= limit * (1 + 1e-9) + 1e-15)
    feasible = possible & fits & xp.all(band >= least[..., 0] * (1 - 1e-9), axis=-1)
    ratio, band = (xp.where(feasible[..., None], v, 0.0) for v in (ratio, band))
    rent, worth = best(top, lambda end: end.price), best(top, lambda outer: best(outer.answer, lambda end: end.price))
    rent, worth = (xp.where(feasible & (xp.sum(band, axis=-1) > 0), v, 0.0) for v in (rent, worth))
    status = np.where(to_numpy(feasible | ~possible), statuses(d, feasible), np.array(Status.LOSS, object))
    plain = settle(fixed, option, ratio, band, feasible, loss, bound, rent, status=status, steps=top.steps)
    spent = xp.where(feasible, xp.sum(weights * plain.energy, axis=-1), float("inf"))
    bound = xp.where(xp.abs(spent - bound) <= 1e-11 * spent, xp.minimum(spent, bound), bound)
    return EnergyAllocation(replace(plain, objective=spent, lower_bound=bound), xp.where(feasible, loss, float("inf")), worth)


def _cheapest(xp: Any, every: EnergyAllocation) -> EnergyAllocation:
    """Row by row the candidate that spends least."""
    least = xp.argmin(every.allocation.objective, axis=0)

    def take(values: NDArray) -> NDArray:
        index = xp.reshape(least, (1, *least.shape) + (1,) * (values.ndim - 1 - least.ndim))
        return xp.take_along_axis(values, xp.broadcast_to(index, (1, *values.shape[1:])), axis=0)[0]

    parts: dict[str, Any] = {name: value if name == "steps" else take(value) for name, value in vars(every.allocation).items()}
    return EnergyAllocation(Allocation(**parts), take(every.loss), take(every.loss_price))
