r"""The deadline problem as cvxpy states it, for Clarabel: the yardstick of ``optim.deadline.solve_kkt``.

In units of the band and of the deadline, with options fixed, variables b and rho, and x = 1 - rho:

.. math::

    -\mathrm{rel\_entr}(b, b + s) / \ln 2 \;\ge\; r(x),\qquad
    r(x) = -D / C + (\alpha + D S / C)\,\mathrm{inv\_pos}(S - C x)          \tag{1}

The energy budget is convex too, but a modelling language sees that only where the slack does not depend on x (no
prunable computation, or a pinned ratio): then, with y = S b, (U ln2, y, y + spare) lies in the exponential cone. (2)
"""

import itertools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.rates import LN2
from optim.allocation import Allocation, Status
from optim.answer import settle
from optim.costs import slack, uplink_load
from optim.curves import cheapest
from optim.problem import Deadline

MOST_CHOICES = 1024


def solve_cvxpy(problem: Deadline) -> Allocation:
    """Solve one problem with a general conic solver; several options are enumerated, up to 1024 choices in all.

    Raises
    ------
    ValueError
        For a batch, too many choices of options (fix them with ``problem.of``), or an energy budget with prunable
        computation, which no cone known to cvxpy states.
    """
    *rows, devices, options = problem.shape
    if rows:
        raise ValueError(f"solve_cvxpy takes one problem, got a batch of shape {tuple(rows)}")
    if options**devices > MOST_CHOICES:
        raise ValueError(f"{options}^{devices} choices of options are too many to enumerate; fix them with problem.of(option)")
    choices = (np.array(c) for c in itertools.product(range(options), repeat=devices))
    return min((_solve_fixed(problem, option) for option in choices), key=lambda found: float(found.objective))


def _solve_fixed(problem: Deadline, option: NDArray) -> Allocation:
    import cvxpy as cp

    p = problem.of(option)
    devices = len(option)
    band, deadline = float(p.band), float(p.deadline)
    b, ratio = cp.Variable(devices, nonneg=True), cp.Variable(devices)
    low, high = (np.broadcast_to(v, (devices, 1))[:, 0] for v in (p.prune_min, p.prune_max))
    full = cp.sum(b) <= 1
    rules = [full, ratio >= low, ratio <= high, *_by_power(cp, p, b, ratio, band, deadline),
             *_by_energy(cp, p, b, ratio, band)]
    scale = float(np.sum(p.pruning.value(high[:, None])))
    model = cp.Problem(cp.Minimize(p.pruning.expression(ratio) / scale), rules)
    tries = []
    for equilibrate in (False, True):                    # the problem is scaled already, which mostly serves better
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)          # "may be inaccurate": the status says so too
                model.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11,
                            equilibrate_enable=equilibrate)
        except cp.SolverError:
            continue
        if model.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return _nothing(option, deadline, Status.BAND)
        shares, ratios = np.maximum(np.asarray(b.value, float), 0.0), np.clip(np.asarray(ratio.value, float), low, high)
        price = max(float(full.dual_value), 0.0) * scale / band
        tries.append(_allocation(p, option, ratios, shares * band, price, model.status == cp.OPTIMAL))
        if model.status == cp.OPTIMAL:
            break
    if not tries:
        return _nothing(option, deadline, Status.STALLED)
    return min(tries, key=lambda found: abs(float(found.objective - found.lower_bound)))


def _allocation(p: Deadline, option: NDArray, ratio: NDArray, band: NDArray, price: float, converged: bool) -> Allocation:
    """The solver's answer, with a lower bound from the price that it found."""
    objective = (p.noise + p.pruning.value(ratio[:, None])).sum()
    bound = cheapest(p, price).min(-1).sum() - price * p.band
    return settle(p, option, ratio, band, np.array(True), np.array(objective), np.array(bound), np.array(price),
                  status=np.array(Status.OPTIMAL if converged else Status.STALLED, object))


def _by_power(cp: Any, p: Deadline, b: Any, ratio: Any, band: float, deadline: float) -> list[Any]:
    """(1), with bits in units of band times deadline."""
    shape = (len(p.gain), 1)
    alpha, grows = (np.broadcast_to(v, shape)[:, 0] / (band * deadline) for v in (p.costs.fixed_bits, p.costs.kept_bits))
    fixed, shrinks = (np.broadcast_to(v, shape)[:, 0] / deadline for v in (p.costs.fixed_time, p.costs.kept_time))
    room, rules = 1 - fixed, []
    for k in range(len(p.gain)):
        s, keep, c = p.peak_power[k] * p.gain[k] / band, 1 - ratio[k], shrinks[k]
        t = max(s, 1.0)                                  # entries of the cone near one, for strong links too
        rate = (b[k] * np.log(t) - cp.rel_entr(b[k], (b[k] + s) / t)) / LN2
        unit = alpha[k] + grows[k]                       # and both sides of the rule
        if c > 0:
            needed = -grows[k] / c + (alpha[k] + grows[k] * room[k] / c) * cp.inv_pos(room[k] - c * keep)
            rules.append(rate / unit >= needed / unit)
        else:
            rules += [rate * room[k] / unit >= (alpha[k] + keep * grows[k]) / unit, cp.Constant(room[k]) >= 0]
    return rules


def _by_energy(cp: Any, p: Deadline, b: Any, ratio: Any, band: float) -> list[Any]:
    """(2), in units of the slack times the band."""
    shape = (len(p.gain), 1)
    limited = np.flatnonzero(np.isfinite(np.broadcast_to(p.energy_budget, shape[:1])))
    if not limited.size:
        return []
    free = np.any(np.broadcast_to(p.prune_min < p.prune_max, shape)[limited])
    if free and np.any(np.broadcast_to(p.costs.kept_time, shape)[limited] > 0):
        raise ValueError("an energy budget with prunable computation is convex but not DCP: cvxpy cannot state it; "
                         "use solve_kkt, or pin the ratio (prune_min = prune_max)")
    time = np.broadcast_to(slack(p.costs, 1 - p.prune_max, p.deadline), shape)[:, 0]
    load = uplink_load(p.costs, np.zeros(shape)), np.broadcast_to(p.costs.kept_bits, shape)
    computing, grows = (np.broadcast_to(v, shape)[:, 0] for v in (p.costs.fixed_energy, p.costs.kept_energy))
    rules = []
    for k in limited:
        unit, keep = time[k] * band, 1 - ratio[k]
        nats = (load[0][k, 0] + keep * load[1][k, 0]) * (LN2 / unit)
        spare = (p.energy_budget[k] - computing[k] - keep * grows[k]) * (p.gain[k] / unit)
        rules.append(cp.ExpCone(nats, b[k], b[k] + spare))
    return rules


def _nothing(option: NDArray, deadline: float, status: Status) -> Allocation:
    none = np.zeros(len(option))
    return Allocation(option, none, none, none, none, none, np.array(deadline), np.array(np.inf), np.array(-np.inf),
                      np.array(0.0), status)
