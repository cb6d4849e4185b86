from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from optim.time_to_accuracy import time_to_accuracy, worth_of_progress
from optim.worth import Goal, Worth


def rounds(menu, draws, worth):
    """Play rounds, each a draw from a ``menu`` of channels, (S, J) times and losses to choose from; the worth after them."""
    time, loss = menu
    for channel in draws:
        best = np.argmin(Goal(worth.price, worth.exponent).score(time[channel], loss[channel]))
        worth = worth.after(time[channel, best], loss[channel, best])
    return worth


def least_ratio(time, progress):
    """The least ratio of means over all policies, by bisection on the sign of the least of E[T - mu progress]."""
    low, high = 0.0, float(np.max(time) / np.min(progress))
    for _ in range(80):
        mu = 0.5 * (low + high)
        low, high = (mu, high) if np.mean(np.min(time - mu * progress, axis=1)) > 0 else (low, mu)
    return mu


@pytest.mark.parametrize("exponent", [1.0, 0.3])
@pytest.mark.parametrize("prior", [0.02, 50.0])
def test_the_running_worth_goes_to_the_least_ratio_of_means(rng, exponent, prior):
    """Any choice on a menu, from priors a hundred times too low and too high."""
    time = np.sort(rng.uniform(0.1, 2.0, (8, 6)), axis=1)
    loss = np.sort(rng.uniform(0.0, 0.9, (8, 6)), axis=1)[:, ::-1]
    found = rounds((time, loss), rng.integers(8, size=12_000), Worth.prior(prior, 0.3, exponent))
    assert_allclose(found.price, least_ratio(time, (1 - loss) ** exponent), rtol=0.02)


def test_the_running_worth_goes_to_the_one_found_beforehand(rng):
    """On the same few channels in random order, decided by the solver, each round from the last one on."""
    problem = instance(rng, 3, spread_db=20.0)
    many = replace(problem, gain=problem.gain * rng.exponential(size=(12, 3)))
    beforehand = worth_of_progress(many)
    worth, last = Worth.prior(10 * beforehand, rounds=1.0), None
    for channel in np.concatenate([rng.permutation(12) for _ in range(15)]):
        last = time_to_accuracy(replace(problem, gain=many.gain[channel]), worth.price, start=last)
        worth = worth.after(float(last.deadline), float(last.objective))
    without_prior = (worth.time - 10 * beforehand) / (worth.progress - 1)
    assert_allclose(without_prior, beforehand, rtol=0.02)


def test_a_round_without_progress_makes_progress_dearer():
    worth = Worth.prior(2.0, rounds=3.0)
    assert worth.price == 2.0
    assert worth.after(1.0, 1.0) == Worth(7.0, 3.0)
    assert worth.after(1.0, 5.0) == Worth(7.0, 3.0)
    assert worth.after(2.0, 0.0).price == 2.0
    assert_allclose(replace(worth, exponent=0.5).after(0.0, 0.75).progress, 3.5)


def test_in_a_window_what_was_long_ago_does_not_count():
    """A price of rounds that were dear goes by a factor of 1 - 1 / window a round to that of those that are cheap."""
    worth = Worth.prior(100.0, rounds=5.0, window=10.0)
    for _ in range(200):
        worth = worth.after(2.0, 0.5)
    assert worth.price == pytest.approx(4.0, rel=1e-6)
    assert worth.progress == pytest.approx(5.0)
    assert Worth.prior(100.0, window=10.0).after(2.0, 0.5).time == pytest.approx(0.9 * 500 + 2)
    with pytest.raises(ValueError, match=r"window of a worth must be 1 or more \[rounds\], got 0\.5"):
        Worth(1.0, 1.0, window=0.5)


def test_a_window_without_any_progress_makes_it_dearer_without_end_and_no_error():
    worth = Worth.prior(1.0, window=20.0)
    for _ in range(16000):
        worth = worth.after(10.0, 1.0)
    assert 1e100 < worth.price < np.inf


@pytest.mark.parametrize("name", ["time", "progress"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_a_worth_of_nothing_is_refused_in_a_sentence(name, value):
    with pytest.raises(ValueError, match=f"{name} of a worth must be positive and finite"):
        Worth(**{"time": 1.0, "progress": 1.0, name: value})
