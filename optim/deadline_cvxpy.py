r"""The deadline problem as cvxpy states it, for Clarabel: the yardstick of ``optim.deadline.solve_kkt``.

In units of the band and of the deadline, with options fixed, variables b and rho, and x = 1 - rho:

.. math::

    -\mathrm{rel\_entr}(b, b + s) / \ln 2 \;\ge\; r(x),\qquad
    r(x) = -D / C + (\alpha + D S / C)\,\mathrm{inv\_pos}(S - C x)          \tag{1}

with s the reach. The energy budget is convex too, but a modelling language sees that only where the slack does not depend
on x (no prunable computation, or a pinned ratio): then, with y = S b, (U ln2, y, y + spare) lies in the exponential cone. (2)

A constraint of one's own (fairness, a least rate, a cap per device) is a function of the :class:`Variables`. Here the device
with the weaker link may not be pruned more than the other:

>>> from numpy import array
>>> from optim.costs import RoundCosts
>>> from optim.problem import Deadline
>>> from optim.pruning_cost import PowerLaw
>>> costs = RoundCosts(array([[0.1], [0.1]]), 0.1, 1e5, 4e5, 0.0, 0.0)              # two devices: seconds and bits
>>> problem = Deadline(costs, gain=array([1e7, 1e8]), peak_power=0.1, band=4e5, deadline=0.5, pruning=PowerLaw(0.5, 2.0))
>>> free, fair = solve_cvxpy(problem), solve_cvxpy(problem, extra=lambda v: [v.ratio[0] <= v.ratio[1]])
>>> print(free.ratio.round(2), fair.ratio.round(2), free.objective.round(2), fair.objective.round(2))
[0.76 0.32] [0.66 0.66] 0.34 0.44
"""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.rates import LN2
from optim.allocation import Allocation, Status
from optim.answer import settle
from optim.costs import slack, uplink_load
from optim.curves import cheapest
from optim.problem import Deadline, one

MOST_CHOICES = 1024
TRIES: tuple[dict[str, Any], ...] = (        # the problem is scaled already, and Clarabel's own scaling mostly harms
    {"equilibrate_enable": False}, {"equilibrate_min_scaling": 1e-2, "equilibrate_max_scaling": 1e2}, {"presolve_enable": False})


class Variables(NamedTuple):
    """cvxpy expressions of one problem with its options fixed, each (K,)."""

    bandwidth: Any      # [Hz]
    ratio: Any          # pruning ratio [1]
    rate: Any           # at peak power, concave [bit/s]


def solve_cvxpy(problem: Deadline, extra: Callable[[Variables], list[Any]] | None = None) -> Allocation:
    """Solve one problem with a general conic solver; several options are enumerated, up to 1024 choices in all.

    Parameters
    ----------
    problem : Deadline
        One problem, of numpy arrays.
    extra : function, optional
        From the :class:`Variables` to a list of cvxpy constraints, added to those of the problem. The lower bound, and with
        it the gap, is that of the problem without them.

    Raises
    ------
    ValueError
        For a batch, too many choices of options (fix them with ``problem.of``), or an energy budget with prunable
        computation, which no cone known to cvxpy states.
    """
    one(problem, "solve_cvxpy")
    devices, options = problem.shape
    if options**devices > MOST_CHOICES:
        raise ValueError(f"{options}^{devices} choices of options are too many to enumerate; fix them with problem.of(option)")
    choices = (np.array(c) for c in itertools.product(range(options), repeat=devices))
    answers = (ConicModel(problem.of(option), extra).solve(option) for option in choices)
    return min(answers, key=lambda found: float(found.objective))


class ConicModel:
    """The problem with its options fixed, stated once; gains are parameters (DPP): each fade is but another solve."""

    def __init__(self, problem: Deadline, extra: Callable[[Variables], list[Any]] | None = None) -> None:
        import cvxpy as cp

        self.problem, devices = problem, problem.shape[-2]
        self.tolerance = 1e-11 if extra is None else 1e-9
        self.share, self.ratio = cp.Variable(devices, nonneg=True), cp.Variable(devices)
        self.log_unit, self.per_unit, self.reach, self.quality = (cp.Parameter(devices, nonneg=True) for _ in range(4))
        self.low, self.high = (_column(v, devices) for v in (problem.prune_min, problem.prune_max))
        self.full, band = cp.sum(self.share) <= 1, float(problem.band)
        rate = (cp.multiply(self.log_unit, self.share)
                - cp.rel_entr(self.share, cp.multiply(self.per_unit, self.share) + self.reach)) / LN2
        rules = [self.full, self.ratio >= self.low, self.ratio <= self.high, *_by_power(cp, problem, rate, self.ratio),
                 *_by_energy(cp, problem, self.share, self.ratio, self.quality)]
        if extra is not None:
            rules += extra(Variables(band * self.share, self.ratio, band * rate))
        self.scale = float(np.sum(problem.pruning.value(self.high[:, None])))
        self.model = cp.Problem(cp.Minimize(problem.pruning.expression(self.ratio) / self.scale), rules)

    def solve(self, option: NDArray, gain: NDArray | None = None) -> Allocation:
        """The answer to ``gain`` (K,) [Hz/W], or to that of the problem; of several tries the one with the smallest gap."""
        import cvxpy as cp

        p = self.problem if gain is None else replace(self.problem, gain=gain)
        self.fade(p)
        found, ended = [], Status.STALLED
        for settings in TRIES:
            try:
                self.run(settings)
            except cp.SolverError:
                continue
            if self.model.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
                found.append(self._allocation(p, option))
            elif self.model.status == cp.INFEASIBLE:
                ended = Status.BAND
            if self.model.status == cp.OPTIMAL:
                break
        return min(found, key=lambda a: abs(float(a.objective - a.lower_bound)), default=_nothing(option, p, ended))

    def fade(self, p: Deadline) -> None:
        """Set the parameters to the gains of ``p``, the same problem otherwise."""
        devices = p.shape[-2]
        reach = _column(p.peak_power * p.gain / p.band, devices)
        unit = np.maximum(reach, 1.0)                     # entries of the cone near one, for strong links too
        self.log_unit.value, self.per_unit.value, self.reach.value = np.log(unit), 1 / unit, reach / unit
        self.quality.value = _column(p.gain, devices)

    def run(self, settings: dict[str, Any]) -> None:
        """Call Clarabel once with the parameters that are set."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)              # "may be inaccurate": the status says so too
            self.model.solve(solver="CLARABEL", tol_gap_abs=self.tolerance, tol_gap_rel=self.tolerance,
                             tol_feas=self.tolerance, **settings)

    def _allocation(self, p: Deadline, option: NDArray) -> Allocation:
        """The solver's answer, with a lower bound from the price that it found."""
        ratio, share = np.asarray(self.ratio.value, float), np.maximum(np.asarray(self.share.value, float), 0.0)
        ratio = np.clip(ratio, self.low, self.high)
        price = np.array(max(float(self.full.dual_value), 0.0) * self.scale / p.band)
        objective = np.sum(np.broadcast_to(p.noise + p.pruning.value(ratio[:, None]), p.shape))
        bound = cheapest(p, price).min(-1).sum() - price * p.band
        close = abs(objective - bound) <= 1e-7 * abs(objective)                # what it calls inaccurate mostly is not
        status = Status.OPTIMAL if close or self.model.status == "optimal" else Status.STALLED
        return settle(p, option, ratio, share * p.band, np.array(True), objective, bound, price, status=np.array(status, object))


def _column(values: NDArray, devices: int) -> NDArray:
    return np.broadcast_to(values[..., 0] if values.ndim == 2 else values, (devices,))


def _by_power(cp: Any, p: Deadline, rate: Any, ratio: Any) -> list[Any]:
    """(1), with bits in units of band times deadline."""
    devices, c = p.shape[-2], p.costs
    alpha, grows = (_column(v, devices) / (p.band * p.deadline) for v in (c.fixed_bits, c.kept_bits))
    room, shrinks = 1 - _column(c.fixed_time, devices) / p.deadline, _column(c.kept_time, devices) / p.deadline
    unit, keep, rules = alpha + grows, 1 - ratio, []
    free, tied = np.flatnonzero(shrinks > 0), np.flatnonzero(shrinks == 0)
    if free.size:
        line, pole = grows[free] / shrinks[free], alpha[free] + grows[free] * room[free] / shrinks[free]
        inverse = cp.inv_pos(room[free] - cp.multiply(shrinks[free], keep[free]))
        rules.append(cp.multiply(rate[free], 1 / unit[free]) >= cp.multiply(pole / unit[free], inverse) - line / unit[free])
    if tied.size:
        load = alpha[tied] / unit[tied] + cp.multiply(grows[tied] / unit[tied], keep[tied])
        rules += [cp.multiply(rate[tied], room[tied] / unit[tied]) >= load, cp.Constant(room[tied]) >= 0]
    return rules


def _by_energy(cp: Any, p: Deadline, share: Any, ratio: Any, quality: Any) -> list[Any]:
    """(2), in units of the slack times the band."""
    shape, band = (p.shape[-2], 1), float(p.band)
    limited = np.flatnonzero(np.isfinite(np.broadcast_to(p.energy_budget, shape[:1])))
    if not limited.size:
        return []
    free = np.any(np.broadcast_to(p.prune_min < p.prune_max, shape)[limited])
    if free and np.any(np.broadcast_to(p.costs.kept_time, shape)[limited] > 0):
        raise ValueError("an energy budget with prunable computation is convex but not DCP: cvxpy cannot state it; "
                         "use solve_kkt, or pin the ratio (prune_min = prune_max)")
    time = np.broadcast_to(slack(p.costs, 1 - p.prune_max, p.deadline), shape)[:, 0]
    load = uplink_load(p.costs, np.zeros(shape)), np.broadcast_to(p.costs.kept_bits, shape)
    budget = np.broadcast_to(p.energy_budget, shape[:1])
    computing, grows = (np.broadcast_to(v, shape)[:, 0] for v in (p.costs.fixed_energy, p.costs.kept_energy))
    rules = []
    for k in limited:
        unit, keep, b = time[k] * band, 1 - ratio[k], share[k]
        nats = (load[0][k, 0] + keep * load[1][k, 0]) * (LN2 / unit)
        spare = quality[k] * ((budget[k] - computing[k] - keep * grows[k]) / unit)
        rules.append(cp.ExpCone(nats, b, b + spare))
    return rules


def _nothing(option: NDArray, p: Deadline, status: Status) -> Allocation:
    none, zero = np.zeros(len(option)), np.array(0.0)
    return Allocation(option, none, none, none, none, none, p.deadline, zero + np.inf, zero - np.inf, zero, status)
