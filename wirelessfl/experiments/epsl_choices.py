"""What EPSL's allocation is compared with: each of its three choices left to chance or to equality, and all three."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from optim.epsl import EpslProblem, latency
from optim.epsl_answer import EpslAnswer, settle
from optim.epsl_descent import best_cut, floor, greedy, solve_descent
from optim.epsl_power import best_power
from wirelessfl.experiments.epsl_scene import only

Choice = Callable[[EpslProblem, np.random.Generator], EpslAnswer]


def random_subchannels(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """As many subchannels to each device, drawn by lot; power and cut as good as they can be."""
    assignment, each = _by_lot(problem, rng), np.arange(problem.sizes[2])
    power = best_power(problem, each, assignment)
    cut = latency(problem, each, assignment, power).total.argmin()
    return settle(problem, cut, assignment, power[cut], floor(problem).min(), 1)


def equal_power(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """The same power everywhere, less where a device would pass its peak; subchannels greedily, the best cut of those."""
    del rng
    found = [_equal(problem, greedy(problem, np.array(cut), _uniform(problem))) for cut in range(problem.sizes[2])]
    return min(found, key=lambda answer: float(answer.latency))


def middle_cut(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """The descent with the cut fixed to the middle."""
    del rng
    return _at(problem, problem.sizes[2] // 2)


def random_cut(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """The descent with the cut drawn by lot."""
    return _at(problem, int(rng.integers(problem.sizes[2])))


def nothing(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """Subchannels and cut by lot, equal power."""
    cut = int(rng.integers(problem.sizes[2]))
    found = _equal(only(problem, cut), _by_lot(problem, rng))
    return settle(problem, np.array(cut), found.assignment, found.power, floor(problem).min(), 1)


CHOICES: Mapping[str, Choice] = {
    "descent": lambda problem, rng: solve_descent(problem), "random subchannels": random_subchannels, "equal power": equal_power,
    "random cut": random_cut, "all three": nothing}


def _by_lot(problem: EpslProblem, rng: np.random.Generator) -> NDArray:
    """Owners of the subchannels: as many to each device."""
    return rng.permutation(np.arange(problem.sizes[1]) % problem.sizes[0])


def _uniform(problem: EpslProblem) -> NDArray:
    """The same power in each subchannel, all of the total [W]."""
    return np.full(problem.sizes[1], problem.total_power / problem.sizes[1])


def _equal(problem: EpslProblem, assignment: NDArray) -> EpslAnswer:
    """An assignment with equal power, cut down to the peaks, and its best cut."""
    power = _uniform(problem)
    used = power[0] * np.bincount(assignment, minlength=problem.sizes[0])
    power = power * np.minimum(1.0, problem.peak_power / np.maximum(used, power[0]))[assignment]
    return settle(problem, best_cut(problem, assignment, power), assignment, power, floor(problem).min(), 1)


def _at(problem: EpslProblem, cut: int) -> EpslAnswer:
    """The descent at one cut."""
    found = solve_descent(only(problem, cut))
    return settle(problem, np.array(cut), found.assignment, found.power, floor(problem).min(), found.steps)
