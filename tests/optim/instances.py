"""Random instances of the deadline problem, from deep fades to strong links, at deadlines that bind."""

from dataclasses import replace

import numpy as np

from optim.costs import RoundCosts
from optim.fastest import least_deadline
from optim.problem import Deadline
from optim.pruning_cost import PiecewiseLinear, PowerLaw

BAND = 5e6      # [Hz]


def table(rng, devices, options):
    """Costs of a cell of small devices: milliseconds to seconds, kilobits to megabits, millijoules."""
    low_high = [(0.01, 0.1), (0.01, 0.3), (1e4, 1e6), (1e4, 2e6), (1e-3, 1e-2), (1e-3, 1e-2)]
    return RoundCosts(*(rng.uniform(a, b, (devices, options)) for a, b in low_high))


def pruning_cost(rng, devices, options, kind="power"):
    scale = rng.uniform(0.3, 1.0, (devices, options)) / devices
    if kind == "linear":
        return PowerLaw(scale)
    if kind == "power":
        return PowerLaw(scale, rng.uniform(1.2, 3.0, (devices, options)))
    knots = np.array([0.0, 0.2, 0.5, 0.9])
    return PiecewiseLinear(knots, scale[..., None] * np.cumsum([0.0, 0.1, 0.4, 1.0]))


def instance(rng, devices, options=1, *, kind="power", weakest_db=-27.0, spread_db=100.0, slack=None):
    """An instance whose deadline is ``slack`` above the shortest feasible one; drawn from 1 % to 200 % without.

    At 0.1 W the weakest link has a signal-to-noise ratio of ``weakest_db`` over the whole band, the strongest ``spread_db`` more.
    """
    weakest = 10 ** (weakest_db / 10) * BAND / 0.1
    problem = Deadline(
        table(rng, devices, options), gain=weakest * 10 ** rng.uniform(0, spread_db / 10, devices),
        peak_power=rng.uniform(0.05, 0.2, devices), band=BAND, deadline=1.0, pruning=pruning_cost(rng, devices, options, kind),
        noise=rng.uniform(0, 0.02, (devices, options)) / devices)
    return at_slack(problem, 10 ** rng.uniform(-2, 0.3) if slack is None else slack)


def at_slack(problem, slack):
    return replace(problem, deadline=least_deadline(problem) * (1 + slack))


def least_energy(problem):
    """What each device spends at least (K,) [J]: pruned to the limit in its first option, with time and band without end."""
    keep = 1 - problem.prune_max
    computing = problem.costs.fixed_energy + keep * problem.costs.kept_energy
    sending = (problem.costs.fixed_bits + keep * problem.costs.kept_bits) * np.log(2) / problem.gain[:, None]
    return np.broadcast_to(computing + sending, problem.shape)[:, 0]


def budgeted(rng, problem, slack, most=3.0):
    """The problem with budgets of 1.05 to ``most`` times the least energy, and a deadline ``slack`` above its shortest then."""
    budget = least_energy(problem) * rng.uniform(1.05, most, problem.shape[-2])
    return at_slack(replace(problem, energy_budget=budget), slack)
