"""The scattered waves of links. With n links a mean of unit variance is within 5 / sqrt(n), but for 1 time in 10^6."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.special import j0, j1
from scipy.stats import kstest

from channels.process import COHERENCE, Block, GaussMarkov, Jakes, Still

MANY = 20_000
CHANCE = 5 / np.sqrt(MANY)
ALL = [Block(), Still(), GaussMarkov(), Jakes()]
ALIKE = pytest.mark.parametrize("process", ALL, ids=lambda p: type(p).__name__)
DISTANCES = [0.02, 0.1, COHERENCE, 0.3827, 0.6, 1.0, 2.7, 40.0]       # J0(2 pi d) is zero at the fourth, -0.40 at the fifth


def powers(w):
    return np.abs(w) ** 2


def walk(power, steps):
    """Probability that so many random steps of 1 / sqrt(steps) end within the root of ``power`` (Kluyver)."""
    radius = np.sqrt(power)
    return quad(lambda u: radius * j1(radius * u) * j0(u / np.sqrt(steps)) ** steps, 0, 40, limit=400)[0]


@ALIKE
def test_power_is_one_at_all_times(rng, process):
    """Of fading by x' = r x + z the power would be 1 / (1 - r^2)."""
    now = process.start(rng, (MANY,))
    for moved in (0.0, 0.1, 0.02, 0.02, 0.02, 3.0, 1e9):
        now = now.after(rng, moved)
        assert abs(powers(now.w).mean() - 1) < CHANCE


@ALIKE
def test_no_phase_is_preferred(rng, process):
    w = process.start(rng, (MANY,)).after(rng, 0.3).w
    assert abs(w.mean()) < CHANCE
    assert abs((w**2).mean()) < 2 * CHANCE


@pytest.mark.parametrize("process", [Block(), Still(), GaussMarkov()], ids=lambda p: type(p).__name__)
def test_the_parts_of_the_amplitude_are_normal(rng, process):
    w = process.start(rng, (MANY,)).after(rng, 0.2).after(rng, 0.6).w
    assert kstest(np.sqrt(2) * np.concatenate([w.real, w.imag]), "norm").pvalue > 1e-3


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_next_step_of_gauss_markov_is_correlated_as_bessel_says(rng, distance):
    now = GaussMarkov().start(rng, (MANY,))
    found = np.mean(now.w.conj() * now.after(rng, distance).w)
    assert abs(found - j0(2 * np.pi * distance)) < 2 * CHANCE


def test_correlations_of_gauss_markov_multiply(rng):
    now = GaussMarkov().start(rng, (MANY,))
    found = np.mean(now.w.conj() * now.after(rng, 0.1).after(rng, 0.2).w)
    assert abs(found - j0(0.2 * np.pi) * j0(0.4 * np.pi)) < 2 * CHANCE


@pytest.mark.parametrize("distance", DISTANCES)
def test_jakes_is_correlated_as_bessel_says_however_the_way_is_cut(rng, distance):
    now = Jakes().start(rng, (MANY,))
    later = now.after(rng, 0.7 * distance).after(rng, 0.3 * distance)
    assert abs(np.mean(now.w.conj() * later.w) - j0(2 * np.pi * distance)) < 2 * CHANCE


@pytest.mark.parametrize("distance", [0.1, 1.0, 7.0])
def test_jakes_has_that_correlation_link_by_link_over_its_phases(rng, distance):
    """The mean of e^{2 pi j d cos(angle)} over waves, apart from a Doppler shift of the whole below 1 / W."""
    cosine = Jakes().start(rng, (50,)).cosine
    assert_allclose(np.cos(2 * np.pi * distance * cosine).mean(axis=-1), np.full(50, j0(2 * np.pi * distance)), atol=1e-5)
    assert np.all(np.abs(cosine.mean(axis=-1)) < 1 / 32)


def test_jakes_has_unit_power_link_by_link_in_the_long_run(rng):
    w = Jakes().trace(rng, (50,), 10_000, 0.37)
    assert_allclose(powers(w).mean(axis=0), np.ones(50), atol=0.02)


def test_jakes_draws_nothing_more_and_depends_on_the_whole_way(rng):
    start = Jakes().start(rng, (5, 2))
    before = rng.bit_generator.state
    way = np.array([0.0, 0.1, 1.0, 10.0, 1e4])
    assert_allclose(start.after(rng, way).after(rng, 2 * way).w, start.after(rng, 3 * way).w, atol=1e-9)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("power", [1e-3, 1e-2, 1e-1, 0.5, 1.0])
def test_thirty_two_waves_fade_as_thirty_two_random_steps(rng, power):
    deep, there = np.mean(powers(Jakes().start(rng, (5 * MANY,)).w) < power), walk(power, 32)
    assert abs(deep - there) < 5 * np.sqrt(there * (1 - there) / (5 * MANY))


def test_thirty_two_waves_have_rayleighs_outage_of_one_per_cent_within_five_per_cent_of_it():
    """And others within 1 part in 2 W, which is why there are so many."""
    for waves in (8, 16, 32, 64):
        assert walk(0.01, waves) / -np.expm1(-0.01) == pytest.approx(1 - 1 / (2 * waves), abs=0.02)
    assert walk(0.01, Jakes().waves) / -np.expm1(-0.01) > 0.98
    assert walk(0.01, 8) / -np.expm1(-0.01) < 0.95


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 101])
@ALIKE
def test_a_trace_is_the_start_and_what_comes_after(process, steps):
    moved, one, other = np.array([0.0, 0.03, 0.5, 2e3]), np.random.default_rng(steps), np.random.default_rng(steps)
    trace = process.trace(one, (4, 3), steps, moved)
    now = process.start(other, (4, 3))
    for w in trace:
        assert_allclose(w, now.w, atol=1e-8)
        now = now.after(other, moved)
    assert trace.shape == (steps, 4, 3)


def test_more_links_than_fit_at_once_are_their_own(rng):
    w = Jakes().trace(rng, (70,), 400, np.linspace(0.1, 1.0, 70))
    assert abs(np.corrcoef(powers(w).T) - np.eye(70)).max() < 0.5
    assert abs(powers(w).mean() - 1) < 0.05


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_traces_are_correlated_over_time(rng, lag):
    """Over 2 10^6 gains, each as good as independent after some ten."""
    for process, theory in ((GaussMarkov(), j0(0.2 * np.pi) ** lag), (Jakes(), j0(0.2 * np.pi * lag))):
        w = process.trace(rng, (4000,), 100, 0.1)
        assert abs(np.mean(w[lag:] * w[:-lag].conj()) - theory) < CHANCE


@ALIKE
def test_what_is_drawn_does_not_depend_on_how_far_devices_moved(process):
    states = []
    for moved in (0.0, np.array([0.1, 7.0, 1e6])):
        rng = np.random.default_rng(3)
        process.start(rng, (3, 2)).after(rng, moved).after(rng, moved)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


@pytest.mark.parametrize("process", [Still(), GaussMarkov(), Jakes()], ids=lambda p: type(p).__name__)
def test_who_does_not_move_stays_as_it_is(rng, process):
    now = process.start(rng, (3, 2))
    later = now.after(rng, [0.0, 0.4, 0.0])
    assert_array_equal(later.w[[0, 2]], now.w[[0, 2]])
    assert np.all(later.w[1] != now.w[1]) == (process != Still())


def test_blocks_and_antennas_are_independent(rng):
    now = Block().start(rng, (MANY, 2))
    for one, other in ((now.w[:, 0], now.w[:, 1]), (now.w, now.after(rng, 0.0).w)):
        assert abs(np.mean(one.conj() * other)) < 2 * CHANCE


def test_correlation_is_a_half_after_the_coherence_distance():
    assert j0(2 * np.pi * COHERENCE) == pytest.approx(0.5, abs=1e-6)


@ALIKE
@pytest.mark.parametrize("moved", [-0.1, np.nan, np.inf, [0.1, 0.2], [[0.1], [0.2], [0.3]]])
def test_a_way_that_is_none_gets_a_sentence(rng, process, moved):
    with pytest.raises(ValueError, match=r"^moved must be .* \[wavelengths\], one number or 3, got"):
        process.start(rng, (3,)).after(rng, moved)
    with pytest.raises(ValueError, match="moved must be"):
        process.trace(rng, (3,), 5, moved)


@pytest.mark.parametrize("waves", [0, 7, 32.5, np.nan])
def test_too_few_waves_get_a_sentence(waves):
    with pytest.raises(ValueError, match="waves must be a whole number of 8 or more, got"):
        Jakes(waves)
