"""What absent devices cost: by hand, over all sets, and in the mean of the last rounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optim.absence import absence, absence_added, absence_of_rounds, fit_memory, made_up, missing, slower
from optim.bound import Constants

SHARES = np.array([0.25, 0.75])
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
ROUNDS = np.random.default_rng(3).random((400, 4)) < 0.5


def known(**changes):
    """eta R_0 = 10 and theta = 2, so that u = 0.4."""
    none = np.zeros(1)
    values = {"step": 0.1, "rounds": 100, "start": 2.0, "smoothness": 3.0, "sampling": 2.0, "scale": none, "exponent": none + 1,
              "bias": none, "noise": none, "gradient": none, "weight": none}
    return Constants(**{**values, **changes})


def kappa(off, unlike=4.0):
    """(B^2 - 1) |d|^2 / (1 - |omega|^2)."""
    return unlike * float(off @ off) / (1 - float(WEIGHTS @ WEIGHTS))


def played(memory, who=ROUNDS):
    """What is missing before and after each round."""
    m = [np.zeros(4)]
    for there in who:
        m.append(missing(WEIGHTS, there, m[-1], memory))
    return np.array(m)


def test_what_absent_devices_cost_is_the_mean_over_who_it_may_be():
    """Six devices of equal shares, over all sets of each size: with gradients g_k whose B^2 is known it is a finite sum."""
    gradient, weights = np.random.default_rng(0).normal(size=(6, 4)) + 1, np.full(6, 1 / 6)
    mean = gradient.mean(0)
    here = known(dissimilarity=float(np.sum(gradient**2) / 6 / np.sum(mean**2)))
    share = here.sampling_share(weights)
    for size in range(1, 7):
        sets = [np.isin(np.arange(6), some) for some in itertools.combinations(range(6), size)]
        bias = np.mean([np.sum((gradient[who].mean(0) - mean) ** 2) for who in sets]) / np.sum(mean**2)
        lost = [absence(here, weights, who) for who in sets]
        assert_allclose(lost, (1 + share) * bias + share * (6 / size - 1), atol=1e-12)


def test_what_absent_devices_of_unlike_shares_cost_if_their_gradients_scatter_alike():
    """g_k = m + e_k with independent e_k: the mean over devices is off by sum (omega' - omega) e."""
    weights, who = np.array([0.5, 0.3, 0.15, 0.05]), np.array([True, False, True, True])
    scatter = np.random.default_rng(1).normal(size=(200_000, 4))
    there = np.where(who, weights, 0) / weights[who].sum()
    square = np.mean((scatter @ (there - weights)) ** 2)
    spread = np.mean(((scatter - (scatter @ weights)[:, None]) ** 2) @ weights)          # B^2 - 1 where |m|^2 = 1
    quiet = known(dissimilarity=float(1 + spread), sampling=0.0)
    assert_allclose(absence(quiet, weights, who), square, rtol=0.02)


def test_if_all_are_there_nothing_is_lost_and_if_nobody_is_all_is():
    here = known(dissimilarity=5.0)
    assert absence(here, SHARES, np.array([True, True])) == pytest.approx(0, abs=1e-12)
    assert absence(here, SHARES, np.array([False, False])) == 1
    assert absence(here, np.ones(1), np.array([True])) == pytest.approx(0, abs=1e-12)
    noise = known().sampling_share(SHARES)
    alike = absence(known(), SHARES, np.array([False, True]))                             # the same data: noise alone
    assert alike == pytest.approx(noise * (1 / 0.625 - 1))


def test_with_a_memory_of_one_round_nothing_of_before_counts():
    here, who = known(dissimilarity=5.0), np.array([True, False, True, False])
    lost = absence(here, WEIGHTS, who)
    for missed in (np.zeros(4), np.array([0.3, -0.1, -0.1, -0.1])):
        assert absence(here, WEIGHTS, who, missed) == lost
        assert absence_added(here, WEIGHTS, who, missed) == lost
        assert_allclose(made_up(here, WEIGHTS, missed, 1.0), 0)


@pytest.mark.parametrize("memory", [2.0, 10.0])
def test_who_is_always_absent_costs_as_much_as_round_by_round(memory):
    """In the long run; the noise of fewer mini-batches counts a part, as it is said to."""
    who, noiseless, here = np.array([True, True, False, False]), known(dissimilarity=5.0, sampling=0.0), known(dissimilarity=5.0)
    m = played(memory, [who] * 300)[-1]
    assert absence(noiseless, WEIGHTS, who, m, memory) == pytest.approx(absence(noiseless, WEIGHTS, who))
    share, there = here.sampling_share(WEIGHTS), np.array([4, 3, 0, 0]) / 7
    noise = share * (np.sum(there**2) / np.sum(WEIGHTS**2) - 1)
    assert absence(here, WEIGHTS, who, m, memory) == pytest.approx((1 + share) * kappa(there - WEIGHTS) + noise / memory)


def test_devices_that_take_turns_are_missed_less_the_longer_rounds_are_remembered():
    """Four of equal shares, one a round: by kappa of each round 4; in the mean of many next to nothing."""
    weights, here, lost = np.full(4, 0.25), known(dissimilarity=5.0, sampling=0.0), {}
    for memory in (1.0, 4.0, 16.0):
        m, last = np.zeros(4), []
        for number in range(200):
            last.append(absence(here, weights, np.arange(4) == number % 4, m, memory))
            m = missing(weights, np.arange(4) == number % 4, m, memory)
        lost[memory] = np.mean(last[100:])
    assert lost[1.0] == pytest.approx(4)
    assert lost[4.0] < 0.6
    assert lost[16.0] < 0.05


@pytest.mark.parametrize("memory", [1.0, 3.0, 10.0])
def test_what_rounds_add_is_what_is_lost_in_all_of_them(memory):
    """And what the rounds after the last one are left with, sum (1 - 1 / H)^2j kappa, if they are not off themselves."""
    here, who = known(dissimilarity=5.0, sampling=0.0), ROUNDS[ROUNDS.any(1)]
    m = played(memory, who)
    added = sum(absence_added(here, WEIGHTS, *each, memory) for each in zip(who, m, strict=False))
    lost = sum(absence(here, WEIGHTS, *each, memory) for each in zip(who, m, strict=False))
    fades = (1 - 1 / memory) ** 2
    assert added == pytest.approx(lost + kappa(m[-1]) * fades / (1 - fades))


@pytest.mark.parametrize("stands", [2, 5])
def test_a_choice_that_stands_weighs_what_it_leaves_at_its_end(stands):
    """Summed, kappa at the ends of all choices, no less than in the mean of the rounds; and the noise of a round, as booked."""
    here, memory, who = known(dissimilarity=5.0), 4.0, ROUNDS[ROUNDS.any(1)][:100]
    fades, m, ends, added = (1 - 1 / memory) ** (2 * stands), np.zeros(4), [], []
    share, noise, lost = here.sampling_share(WEIGHTS), 0.0, []
    for there in who:
        added.append(absence_added(here, WEIGHTS, there, m, memory, stands))
        for _ in range(stands):
            lost.append(absence(here, WEIGHTS, there, m, memory))
            m = missing(WEIGHTS, there, m, memory)
        ends.append((1 + share) * kappa(m))
        shares = WEIGHTS * there / WEIGHTS[there].sum()
        noise += share * (np.sum(shares**2) / np.sum(WEIGHTS**2) - 1) / memory
    assert sum(added) == pytest.approx(sum(ends) + noise + ends[-1] * fades / (1 - fades))
    assert np.mean(lost) < np.mean(added) < 1.5 * np.mean(lost)


def test_a_share_makes_up_for_what_was_missed_by_the_derivative_of_what_it_adds():
    """Were shares free, by the derivative of what the round's own change adds, less that of its own square."""
    here, missed, memory, step = known(dissimilarity=5.0), np.array([0.1, -0.2, 0.05, 0.05]), 5.0, 1e-6
    own, grip = np.array([0.3, 0.1, -0.2, -0.2]), (1 + here.sampling_share(WEIGHTS)) * memory**2 / (2 * memory - 1)

    def added(off):
        return grip * (kappa((1 - 1 / memory) * missed + off / memory) - kappa((1 - 1 / memory) * missed))

    for k in range(4):
        there = np.arange(4) == k
        slope = (added(own + step * there) - added(own - step * there)) / (2 * step)
        alone = grip * 2 * own[k] * 4.0 / (1 - float(WEIGHTS @ WEIGHTS)) / memory**2
        assert made_up(here, WEIGHTS, missed, memory)[k] == pytest.approx(alone - slope, rel=1e-6)


def test_the_iterate_that_remembers_has_the_bias_of_the_mean():
    """w + eta H sum m grad F_k steps by grad F(w) + sum m grad F_k where devices' gradients stay as they are."""
    slopes, w, eta, memory = np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3), 0.1, 7.0
    m = played(memory)
    for number, who in enumerate(ROUNDS[:50]):
        there = np.where(who, WEIGHTS, 0) / WEIGHTS[who].sum() if who.any() else np.zeros(4)
        after = w - eta * there @ slopes
        before, behind = (at + eta * memory * here @ slopes for at, here in ((w, m[number]), (after, m[number + 1])))
        assert_allclose(behind, before - eta * (WEIGHTS + m[number]) @ slopes, atol=1e-12)
        w = after


def test_nobody_there_is_all_lost_whatever_is_remembered():
    assert absence(replace(known(), dissimilarity=5.0), WEIGHTS, np.zeros(4, bool), np.zeros(4), 10.0) == 1


# the memory, fitted

def sets(number, rounds, seed):
    """Who is in each of some rounds, so many of ten devices."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(10) < number, (rounds, 1)), axis=1)


TENTHS = np.full(10, 0.1)
SOME = [sets(1, 90, 0), sets(1, 80, 1), sets(2, 70, 2)]


@pytest.mark.parametrize("memory", [1.0, 2.0, 6.0, 25.0])
def test_sets_that_are_drawn_independently_cost_so_much_in_the_mean(memory):
    """The mean of H rounds, 1 / (2 H - 1) of the variance of one; and the noise of fewer mini-batches over H."""
    here = known(dissimilarity=5.0)
    share, kappa_alone = here.sampling_share(TENTHS), 4.0 * 8 / (2 * 9)
    expected = (1 + share) * kappa_alone / (2 * memory - 1) + share * 4 / memory
    assert absence_of_rounds(here, TENTHS, sets(2, 20_000, 3), memory).mean() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("memory", [1.0, 6.0])
def test_for_unlike_shares_what_such_sets_are_off_in_the_mean_is_not_forgotten(memory):
    """Devices drawn alike weigh alike in the mean of the rounds, whatever data they have."""
    here, who = known(dissimilarity=5.0, sampling=0.0), np.random.default_rng(5).permuted(
        np.tile(np.arange(4) < 1, (20_000, 1)), axis=1)
    mean, alone = np.full(4, 0.25) - WEIGHTS, np.mean([kappa(there - WEIGHTS) for there in who.astype(float)])
    expected = kappa(mean) + (alone - kappa(mean)) / (2 * memory - 1)
    assert absence_of_rounds(here, WEIGHTS, who, memory).mean() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_rounds_are_as_many_more_as_their_progress_is_less(exponent):
    """That of each is what a run counts: none, not less, where more than all is lost."""
    lost = np.array([0.5, 0.75, 3.0])
    assert slower(lost, exponent) == pytest.approx(3 / (0.5**exponent + 0.25**exponent))
    assert slower(np.array([1.0, 2.0]), exponent) == np.inf


def test_a_rounds_first_memory_is_of_nothing_missed():
    here, who = known(dissimilarity=5.0), SOME[0][:2]
    first = absence(here, TENTHS, who[0], 0.0, 4.0)
    second = absence(here, TENTHS, who[1], missing(TENTHS, who[0], 0.0, 4.0), 4.0)
    assert absence_of_rounds(here, TENTHS, who, 4.0) == pytest.approx([first, second])


@pytest.mark.parametrize("exponent", [1.0, 0.5])
@pytest.mark.parametrize("memory", [4.0, 7.5, 30.0])
def test_the_memory_that_trainings_were_made_with_is_found(memory, exponent):
    here = known(dissimilarity=2.5, sampling=1.0)
    took = [slower(absence_of_rounds(here, TENTHS, who, memory), exponent) for who in SOME]
    assert np.isfinite(took).all()
    assert fit_memory(here, TENTHS, SOME, took, 60, exponent) == pytest.approx(memory, rel=3e-3)
    off = np.array([1.1, 1 / 1.1, 1.0])
    assert fit_memory(here, TENTHS, SOME, took * off, 60, exponent) == pytest.approx(memory, rel=3e-3)      # their mean is right


def test_where_none_is_needed_the_memory_is_one_and_it_is_no_more_than_can_be_seen():
    here = known(dissimilarity=1.05, sampling=0.01)
    derived = [slower(absence_of_rounds(here, TENTHS, who)) for who in SOME]
    assert fit_memory(here, TENTHS, SOME, derived, 60) == 1
    assert fit_memory(here, TENTHS, SOME, np.array(derived) * 1.2, 60) == 1
    assert fit_memory(here, TENTHS, SOME, [1.0, 0.9, 1.0], 60) == 60


def test_who_never_arrived_is_trusted_with_no_memory():
    assert fit_memory(known(dissimilarity=9.0), TENTHS, SOME, [1.2, np.inf, 1.2], 60) == 1


@pytest.mark.parametrize(("changes", "says"), [
    ({"ratio": [1.0, 0.0, 1.0]}, r"ratio must be positive \[1\], got"), ({"ratio": [1.0]}, "one a training each.*got 3 and 1"),
    ({"sets": [], "ratio": []}, "of one training or more, got 0 and 0"),
    ({"most": 0.5}, r"most must be within \[1, inf\) \[rounds\]")])
def test_wrong_trainings_are_refused_in_a_sentence(changes, says):
    with pytest.raises(ValueError, match=says):
        fit_memory(**{"known": known(), "weights": TENTHS, "sets": SOME, "ratio": [1.0, 1.0, 1.0], "most": 60} | changes)
