r"""The least energy as general solvers find it: the yardsticks of ``optim.least_energy.solve_energy``, options fixed.

Where the slack t does not depend on the ratio (no prunable computation, or pinned ratios) a cone states the problem: with
U ln2 = t n and y = t-free energy, all in units of the band,

.. math:: b\,e^{n / b} \le b + y,\qquad p = y / G \le P,\qquad E = E_0 + x E_1 + t y / G,                 \tag{1}

is linear but for exponential cones, and cvxpy hands it to Clarabel. Else the problem is convex in ratio and band but no modelling
language can see that, and SLSQP takes it as a smooth one.
"""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from channels.rates import LN2
from optim.allocation import Status
from optim.answer import settle
from optim.costs import slack, uplink_load
from optim.deadline import solve_kkt
from optim.energy_response import devices_cost
from optim.least_energy import EnergyAllocation, LeastEnergy
from optim.problem import Deadline


def energy_cvxpy(problem: LeastEnergy) -> EnergyAllocation:
    """Solve one problem with one option per device as (1).

    Raises
    ------
    ValueError
        For a batch, several options, or prunable computation at a ratio that is free.
    """
    import cvxpy as cp

    d, devices = _single(problem)
    low, high, fixed_joules, joules, bits, load, hours = (np.broadcast_to(v, (devices, 1))[:, 0] for v in (
        d.prune_min, d.prune_max, d.costs.fixed_energy, d.costs.kept_energy, d.costs.kept_bits, d.costs.fixed_bits,
        d.costs.kept_time))
    if np.any((low < high) & (hours > 0)):
        raise ValueError("prunable computation makes the slack depend on the ratio, which no cone states: use energy_slsqp, "
                         "or pin the ratio (prune_min = prune_max)")
    time = np.broadcast_to(slack(d.costs, 1 - d.prune_max, d.deadline), (devices, 1))[:, 0]
    strength, weights = d.gain / d.band, np.broadcast_to(problem.weights, (devices,))
    most = d.peak_power * strength                                       # of y
    b, y, ratio = cp.Variable(devices, nonneg=True), cp.Variable(devices, nonneg=True), cp.Variable(devices)
    keep = 1 - ratio
    nats = cp.multiply(LN2 / (time * float(d.band)), load + cp.multiply(bits, keep))
    energy = fixed_joules + cp.multiply(joules, keep) + cp.multiply(time / strength * most, y)
    unit = float(np.sum(weights * (fixed_joules + joules + time * d.peak_power)))
    full, lost = cp.sum(b) <= 1, d.pruning.expression(ratio) <= float(problem.most_loss - np.sum(d.noise))
    rules = [full, lost, y <= 1, ratio >= low, ratio <= high]
    rules += [cp.ExpCone(nats[k], b[k], b[k] + most[k] * y[k]) for k in range(devices)]
    limited = np.isfinite(np.broadcast_to(d.energy_budget, (devices,)))
    if limited.any():
        rules.append(energy[limited] <= np.broadcast_to(d.energy_budget, (devices,))[limited])
    model = cp.Problem(cp.Minimize(cp.sum(cp.multiply(weights / unit, energy))), rules)
    tries = []
    for equilibrate, tolerance in ((True, 1e-12), (False, 1e-12), (True, 1e-9), (False, 1e-9)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)             # "may be inaccurate": the bound tells
                model.solve(solver=cp.CLARABEL, tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance,
                            equilibrate_enable=equilibrate)
        except cp.SolverError:
            continue
        prices = max(float(full.dual_value), 0.0) * unit / float(d.band), max(float(lost.dual_value), 0.0) * unit
        found, shares = np.clip(np.asarray(ratio.value), low, high), np.asarray(b.value).clip(0.0)
        tries.append(_graded(problem, found, shares * d.band, *prices))
        if model.status == cp.OPTIMAL:
            break
    return min(tries, key=lambda found: abs(float(found.allocation.objective - found.allocation.lower_bound)))


def energy_slsqp(problem: LeastEnergy) -> EnergyAllocation:
    """Solve one problem with one option per device as a smooth one, from the answer of the deadline problem; prices are 0."""
    d, devices = _single(problem)
    start = solve_kkt(d)
    low, high = (np.broadcast_to(v, (devices, 1))[:, 0] for v in (d.prune_min, d.prune_max))
    weights = np.broadcast_to(problem.weights, (devices,))
    unit = float((weights * start.energy).sum())

    def state(v: NDArray) -> tuple[NDArray, NDArray]:
        """Power (K,) [W] and energy (K,) [J] at ratios and shares of the band."""
        keep, band = 1 - v[:devices, None], np.maximum(v[devices:, None], 1e-9) * d.band
        time, load = slack(d.costs, keep, d.deadline), uplink_load(d.costs, keep)
        power = band / d.gain[:, None] * np.expm1(np.minimum(load * LN2 / (np.maximum(time, 1e-9) * band), 100.0))
        spent = d.costs.fixed_energy + keep * d.costs.kept_energy + power * time
        return power[:, 0], spent[:, 0]

    def room(v: NDArray) -> NDArray:
        power, spent = state(v)
        lost = np.sum(d.noise + d.pruning.value(v[:devices, None]))
        return np.concatenate([1 - power / d.peak_power, 1 - spent / d.energy_budget,
                               [1 - v[devices:].sum(), 1 - lost / problem.most_loss]])

    def solve(first: NDArray, tolerance: float) -> NDArray:
        best: Any = minimize(
            lambda v: float((weights * state(v)[1]).sum()) / unit, first, method="SLSQP",
                        bounds=[*zip(low, high, strict=True), *[(1e-6, 1.0)] * devices],
                        constraints={"type": "ineq", "fun": room}, options={"ftol": tolerance, "maxiter": 1000})
        return np.asarray(best.x)

    first = np.concatenate([start.ratio, start.bandwidth / d.band])
    tries = [solve(first, tolerance) for tolerance in (1e-15, 1e-12, 1e-9)]          # it gives up on some, at random
    tries += [solve(v, 1e-15) for v in tries]
    kept = [v for v in tries if room(v).min() > -1e-7] or [first]
    best = min(kept, key=lambda v: float((weights * state(v)[1]).sum()))
    return _graded(problem, np.clip(best[:devices], low, high), best[devices:] * d.band, 0.0, 0.0)


def _single(problem: LeastEnergy) -> tuple[Deadline, int]:
    *rows, devices, options = problem.deadline.shape
    if rows or options > 1:
        raise ValueError(f"a reference takes one problem with one option per device, got {problem.deadline.shape}; "
                         "fix options with problem.deadline.of(option)")
    return problem.deadline, devices


def _graded(problem: LeastEnergy, ratio: NDArray, band: NDArray, rent: float, worth: float) -> EnergyAllocation:
    """The solver's answer, with a lower bound from the prices that it found."""
    d, option = problem.deadline, np.zeros(len(ratio), int)
    weights = np.broadcast_to(problem.weights, ratio.shape)
    loss = np.sum(d.noise + d.pruning.value(ratio[:, None]))
    bound = -np.inf
    if rent > 0:
        bound = devices_cost(d, weights, np.array(rent), np.array(worth)).sum() - rent * d.band - worth * problem.most_loss
    plain = settle(d, option, ratio, band, np.array(True), loss, np.array(bound), np.array(rent), status=np.array(Status.OPTIMAL))
    return EnergyAllocation(replace(plain, objective=(weights * plain.energy).sum()), loss, np.array(worth))
