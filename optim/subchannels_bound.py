r"""Bounds from below on the deadline problem of subchannels: no assignment, powers, options and ratios lose less.

Let devices share a subchannel in time, a_km of it with power q_km <= P_k a_km: the rate of the share,

.. math:: r_{km} = a_{km} W \log_2(1 + q_{km} G_{km} / (a_{km} W)),\qquad
          \textstyle\sum_k a_{km} \le 1,\quad \sum_m q_{km} \le P_k,\quad R_k \le \sum_m r_{km},               \tag{1}

is the perspective of a concave function, so the relaxation is convex, and its whole shares are the problem itself. With a worth
w_k of the rate and a price nu_k of the power of each device its dual value is

.. math::

    q(w, \nu) = \sum_k \Big[\min_{o,\rho} \varphi_k + c_k(\rho) + w_k R_{k,o}(\rho) - \nu_k P_k\Big] - \sum_m \max_k h_{km},\qquad
    h_{km} = \max_{0 \le p \le P_k} w_k W \log_2(1 + p G_{km} / W) - \nu_k p,                                \tag{2}

R_{k,o}(rho) the rate that just ends in time. By weak duality (2) bounds the loss for all w, nu >= 0, whoever found them. It is
concave; ``ascend`` climbs it by Polyak's steps with momentum, in the units of each device (its rate and its power are one),
towards a level above the best value so far that comes nearer when it is not reached.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from channels.arrays import namespace
from channels.rates import LN2
from optim.costs import latency
from optim.subchannels import Subchannels, filled, full_rate, held, hopeless, rate_for, sent, slope_of
from optim.subchannels_answer import SubchannelAllocation
from optim.water_filling import least_power

HALVINGS = 60
KNOTS = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 65))     # places in the range of the ratio, dense at its ends
START = 0.3, 0.1                            # worth and price that an ascent starts from, of the loss that is at stake
PATIENCE, NEARER, MOMENTUM = 12, 0.6, 0.7   # steps below the level before it comes nearer, by how much, and drag
FLOOR = 1e-6                                # least worth and price, of the loss that is at stake
SURE = 1e-9                                 # a bound above every loss by this much proves that nothing is feasible


@dataclass(frozen=True)
class Grade:
    """How far an answer is from what it claims to be, each relative, (...,), each zero for a true optimum that is proven.

    Attributes
    ----------
    feasibility : array
        Largest violation of deadline, peak power and ratio limits.
    objective : array
        Distance of the objective that it states from the one of its options and ratios.
    waste : array
        Power radiated beyond what the same rates need.
    gap : array
        Distance of its objective from a bound (2), computed anew.
    """

    feasibility: Any
    objective: Any
    waste: Any
    gap: Any


class Slope(NamedTuple):
    """A value of (2), (...,), its supergradient, and who wins the subchannels."""

    value: Any
    worth: Any          # (..., K) rate asked less rate sent, over the device's unit
    price: Any          # (..., K) power radiated less peak power, over peak power
    wins: Any           # (..., K, M) whether the device's h is the highest


class Climb(NamedTuple):
    """What an ascent found."""

    bound: Any          # (...,) [1]; inf where it is proven that nothing is feasible
    worth: Any          # (..., K) of the rate [s/bit]
    price: Any          # (..., K) of power [1/W]
    share: Any          # (..., K, M) of the later half of the steps in which the device won the subchannel


def dual_value(cells: Subchannels, worth: Any, price: Any) -> Any:
    """The bound (2), (...,) [1], at a worth of the rate [s/bit] and a price of power [1/W], both (..., K), zero or more."""
    xp = namespace(cells.gain)
    paid = xp.sum(_cheapest(cells, worth) - price * cells.peak_power, axis=-1)
    return paid - xp.sum(xp.max(_bids(cells, worth, price)[0], axis=-2), axis=-1)


def ascend(cells: Subchannels, target: Any, steps: int = 300) -> Climb:
    """Climb (2) towards ``target`` (...,), the loss of a known answer, or where that is ``inf`` above every loss."""
    xp, (loss, rate), power = namespace(cells.gain), _polygon(cells), filled(cells.peak_power)
    unit = filled(full_rate(cells.gain, cells.width, power) / cells.shape[-2])
    worst = xp.max(xp.where(xp.isfinite(loss), loss, 0.0), axis=-1)
    ceiling, stake = xp.sum(worst, axis=-1), xp.clip(worst - xp.min(loss, axis=-1), 0.0, xp.inf)
    target = xp.where(xp.isfinite(target), target, 2 * ceiling)
    worth, price = START[0] * stake, START[1] * stake                       # per unit of rate and peak power
    best, top = (worth, price), 0 * target - xp.inf
    reach, since, push, pull, share = 0 * target, 0 * target, 0 * worth, 0 * worth, 0 * cells.gain
    for step in range(steps):
        here = _slope(cells, loss, rate, unit, worth, price)
        reach = xp.where(xp.isfinite(top), reach, target - here.value)
        since = xp.where(here.value > top + 0.05 * reach, 0.0, since + 1)
        better = (here.value > top)[..., None]
        best, top = (xp.where(better, worth, best[0]), xp.where(better, price, best[1])), xp.maximum(top, here.value)
        reach, since = xp.where(since < PATIENCE, reach, NEARER * reach), xp.where(since < PATIENCE, since, 0.0)
        push, pull = here.worth + MOMENTUM * push, here.price + MOMENTUM * pull
        ahead = (xp.minimum(top + reach, target) - here.value) / filled(xp.sum(push**2 + pull**2, axis=-1))
        worth = xp.maximum(worth + ahead[..., None] * push, FLOOR * stake)
        price = xp.maximum(price + ahead[..., None] * pull, FLOOR * stake)
        share = share + xp.where(here.wins, 2.0 / steps, 0.0) * (2 * step >= steps)
    bound = dual_value(cells, best[0] / unit, best[1] / power)
    proof = hopeless(cells) | (bound > ceiling * (1 + SURE))
    return Climb(xp.where(proof, xp.inf, bound), best[0] / unit, best[1] / power, share)


def residual(cells: Subchannels, found: SubchannelAllocation) -> Grade:
    """Grade a feasible answer, from whatever solver: what of its numbers follows from its decisions is computed anew."""
    xp, problem, peak = namespace(cells.gain), cells.problem.of(found.option), filled(cells.peak_power)
    gain, keep = held(cells, found.assignment), 1 - found.ratio
    power = xp.where(gain > 0, found.power[..., None, :], 0.0)
    rate, spent = sent(gain, cells.width, power), xp.sum(power, axis=-1)
    late = latency(problem.costs, keep[..., None], rate[..., None])[..., 0] / problem.deadline[..., None] - 1
    over = [late, spent / peak - 1, (found.ratio[..., None] - problem.prune_max)[..., 0],
            (problem.prune_min - found.ratio[..., None])[..., 0]]
    objective = xp.sum((problem.noise + problem.pruning.value(found.ratio[..., None]))[..., 0], axis=-1)
    needed = xp.sum(least_power(gain, cells.width, rate), axis=-1)
    bound = ascend(cells, objective).bound
    worst = [xp.max(v, axis=-1) for v in xp.broadcast_arrays(*over)]
    return Grade(feasibility=xp.clip(xp.max(xp.stack(worst), axis=0), 0.0, xp.inf),
                 objective=xp.abs(found.objective - objective) / filled(objective),
                 waste=xp.max((spent - needed) / filled(spent), axis=-1),
                 gap=(objective - bound) / filled(objective))


def _slope(cells: Subchannels, loss: Any, rate: Any, unit: Any, worth: Any, price: Any) -> Slope:
    xp, power = namespace(cells.gain), filled(cells.peak_power)
    paid = loss + (worth / unit)[..., None] * rate
    at = xp.argmin(paid, axis=-1)[..., None]
    bid, spent, carries = _bids(cells, worth / unit, price / power)
    first = xp.argmax(bid, axis=-2)[..., None, :]
    wins = (xp.arange(bid.shape[-2], device=device(bid))[:, None] == first) & (spent > 0)
    value = xp.sum(xp.min(paid, axis=-1) - price, axis=-1) - xp.sum(xp.max(bid, axis=-2), axis=-1)
    asked = xp.take_along_axis(rate, at, axis=-1)[..., 0]
    return Slope(value, (asked - xp.sum(xp.where(wins, carries, 0.0), axis=-1)) / unit,
                 xp.sum(xp.where(wins, spent, 0.0), axis=-1) / power - 1, wins)


def _bids(cells: Subchannels, worth: Any, price: Any) -> tuple[Any, Any, Any]:
    """h of (2), the power [W] that attains it and the rate [bit/s] at that power, each (..., K, M)."""
    xp, width, gain = namespace(cells.gain), cells.width, cells.gain
    w, nu = worth[..., None], price[..., None]
    level = xp.where(nu > 0, w * (width / LN2) / filled(nu), xp.inf)
    spent = xp.where((gain > 0) & (w > 0), xp.clip(level - width / filled(gain), 0.0, cells.peak_power[..., None]), 0.0)
    carries = xp.log1p(spent * gain / width) * (width / LN2)
    return w * carries - nu * spent, spent, carries


def _polygon(cells: Subchannels) -> tuple[Any, Any]:
    """Losses and rates of each device at many ratios of each option, (..., K, O * J).

    The loss is ``inf`` where no rate is enough, and 0 for a device to which none ever is.
    """
    xp, table = namespace(cells.gain), cells.table
    ratios = [table.least + (table.most - table.least) * float(place) for place in KNOTS]
    rate = xp.concat([rate_for(table, 1 - ratio) for ratio in ratios], axis=-1)
    loss = xp.concat([table.noise + cells.problem.pruning.value(ratio) for ratio in ratios], axis=-1)
    sends = xp.isfinite(rate)
    beyond = xp.where(xp.any(sends, axis=-1, keepdims=True), xp.inf, 0.0)
    return xp.where(sends, loss, beyond), xp.where(sends, rate, 0.0)


def _cheapest(cells: Subchannels, worth: Any) -> Any:
    """Least loss plus worth of the rate, over options and ratios, (..., K): halving towards where the slope changes its sign."""
    xp, table, pruning = namespace(cells.gain), cells.table, cells.problem.pruning
    low, high = table.least, table.most
    rent = worth[..., None] * (table.kept_bits * table.slack + table.fixed_bits * table.kept_time)
    for _ in range(HALVINGS):
        ratio = 0.5 * (low + high)
        time = table.slack - (1 - ratio) * table.kept_time
        deeper = (time <= 0) | (slope_of(cells, ratio) * time**2 < rent)              # c'(rho) < w |dR / drho|
        low, high = xp.where(deeper, ratio, low), xp.where(deeper, high, ratio)
    costs = []
    for ratio in (low, high):
        rate = rate_for(table, 1 - ratio)
        sends = xp.isfinite(rate)
        costs.append(xp.where(sends, table.noise + pruning.value(ratio) + worth[..., None] * xp.where(sends, rate, 0.0), xp.inf))
    return xp.min(xp.concat(costs, axis=-1), axis=-1)
