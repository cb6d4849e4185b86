"""What a joint decision is compared with: rules that give up a part of it, and decide the rest as well as they can.

A rule that shares out the band beforehand lets each device choose the best split, pruning ratio and power in its share
(``optim.shares``). Each is a function (problem, rng) -> Allocation, for one problem or a batch; only "random" draws from the
generator. An infeasible problem of the rule's own is an answer as everywhere. The lower bound of an answer holds for what the
rule leaves open, not for the joint decision.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from channels.arrays import float_arrays, namespace, to_numpy
from channels.rates import rate
from optim.allocation import Allocation
from optim.answer import at_full_power
from optim.costs import uplink_load
from optim.deadline import solve_kkt
from optim.problem import Deadline
from optim.shares import equal_shares, solve_shares


def equal_band(problem: Deadline, rng: Generator) -> Allocation:
    """The same share of the band for each device."""
    return solve_shares(problem, equal_shares(problem.shape[-2]))


def load_proportional(problem: Deadline, rng: Generator) -> Allocation:
    """Shares proportional to what a device has to send without pruning, averaged over its options."""
    xp = namespace(problem.gain)
    load = xp.broadcast_to(uplink_load(problem.costs, 1.0 + 0 * problem.prune_max), problem.shape)
    return solve_shares(problem, _normal(xp, xp.mean(load, axis=-1)))


def inverse_rate(problem: Deadline, rng: Generator) -> Allocation:
    """Shares proportional to 1 / rate, the rate at peak power in an equal share: the slow get more."""
    xp, devices = namespace(problem.gain), problem.shape[-2]
    speed = rate(problem.band[..., None] / devices, xp.broadcast_to(problem.gain * problem.peak_power, problem.shape[:-1]))
    return solve_shares(problem, _normal(xp, 1 / xp.clip(speed, 1e-300, xp.inf)))


def random_shares(problem: Deadline, rng: Generator) -> Allocation:
    """Shares drawn uniformly among all that add up to the band, for each row its own."""
    *rows, devices, _ = problem.shape
    return solve_shares(problem, rng.dirichlet(np.ones(devices), size=tuple(rows)))


def fixed_split(problem: Deadline, rng: Generator) -> Allocation:
    """One split option for all devices, the best one for each row; ratio, band and power decided jointly."""
    xp, (*rows, devices, options) = namespace(problem.gain), problem.shape
    each = [solve_kkt(problem.of(xp.zeros((*rows, devices), dtype=xp.int64) + option)) for option in range(options)]
    best = np.argmin([to_numpy(found.objective) for found in each], axis=0)
    found = each[0]
    for option in range(1, options):
        found = _where(xp, best == option, replace(each[option], option=0 * each[option].option + option), found)
    return found


def no_pruning(problem: Deadline, rng: Generator) -> Allocation:
    """No more pruning than the least that is asked for; split, band and power decided jointly."""
    return solve_kkt(problem.unpruned())


def max_power(problem: Deadline, rng: Generator) -> Allocation:
    """The joint decision, sent at peak power: nobody waits for the deadline, and everybody pays for it."""
    return at_full_power(problem, solve_kkt(problem))


#: Rules by name, which take a problem and a generator, and answer with an allocation.
BASELINES: dict[str, Callable[[Deadline, Generator], Allocation]] = {
    "equal-band": equal_band,
    "load-proportional": load_proportional,
    "inverse-rate": inverse_rate,
    "random": random_shares,
    "fixed-split": fixed_split,
    "no-pruning": no_pruning,
    "max-power": max_power,
}


def _normal(xp: Any, amounts: NDArray) -> NDArray:
    """Shares in proportion to ``amounts`` (..., K); equal ones where all amounts are 0."""
    largest = xp.max(amounts, axis=-1, keepdims=True)
    relative = xp.where(largest > 0, amounts / xp.where(largest > 0, largest, 1.0), 1.0)
    return relative / xp.sum(relative, axis=-1, keepdims=True)


def _where(xp: Any, wins: NDArray, rival: Allocation, found: Allocation) -> Allocation:
    """Row by row ``rival`` where it ``wins``, (...,) bool array."""
    def choose(name: str) -> Any:
        yes, no = getattr(rival, name), getattr(found, name)
        if name == "steps":
            return yes + no
        if name == "status":
            status = np.where(wins, np.asarray(yes, object), np.asarray(no, object))
            return status if status.ndim else status.item()
        _, condition = float_arrays(wins, yes)[:2]
        return xp.where(xp.reshape(condition, condition.shape + (1,) * (yes.ndim - condition.ndim)) > 0, yes, no)

    return Allocation(**{name: choose(name) for name in vars(found)})
