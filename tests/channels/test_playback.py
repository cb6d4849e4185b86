"""A recording in place of a cell. Numbers of rows that were hit are within 5 spreads of what is expected."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare

from channels.csi import Knowledge
from channels.links import over_band
from channels.playback import Playback
from channels.trace import Trace

PERFECT = Knowledge()


@pytest.fixture
def trace(rng):
    """Three devices, two subchannels, a row every half second: it goes round after two seconds."""
    return Trace(np.arange(4) * 0.5, 10 ** rng.uniform(-14, -6, (4, 3, 2)))


def row_of(trace, gain):
    """The row of the recording whose links have the ``gain`` (K,)."""
    found = np.flatnonzero((over_band(trace.gain) == gain).all(-1))
    assert len(found) == 1
    return int(found[0])


def test_the_gains_are_those_of_the_recording_in_both_directions(rng, trace):
    start = Playback(trace).start(rng)
    for time in (0.0, 0.4, 0.5, 1.9):
        gains = start.after(rng, time).gains
        assert_array_equal(gains.up, over_band(trace.at(time)))
        assert_array_equal(gains.up, gains.down)
        assert gains.up.shape == (3,)


def test_the_gain_of_a_device_is_the_geometric_mean_over_its_subchannels(rng):
    by_hand = Trace(np.zeros(1), np.array([[[1e-9, 4e-9], [5e-12, 5e-12]]]))
    assert_allclose(Playback(by_hand).start(rng).gains.up, [2e-9, 5e-12], rtol=1e-12)


def test_two_steps_are_as_good_as_one_and_the_end_is_the_beginning(rng, trace):
    start = Playback(trace).start(rng)
    for first, second in ((0.3, 0.4), (1.9, 0.1), (1.0, 5.6), (0.0, 0.0)):
        assert_array_equal(start.after(rng, first).after(rng, second).gains.up, start.after(rng, first + second).gains.up)
    assert_array_equal(start.after(rng, trace.duration).gains.up, start.gains.up)


def test_a_step_leaves_the_moment_alone(rng, trace):
    start = Playback(trace).start(rng)
    start.after(rng, 0.7).gains.up[:] = 0
    assert_array_equal(start.gains.up, over_band(trace.gain[0]))


def test_playing_draws_nothing(rng, trace):
    before = rng.bit_generator.state
    now = Playback(trace).start(rng).after(rng, 0.3)
    now.seen(rng, Knowledge(delay=0.1))
    assert rng.bit_generator.state == before


@pytest.mark.parametrize(("time", "delay", "row"), [
    (1.2, 0.0, 2), (1.2, 0.1, 2), (1.2, 0.3, 1), (1.2, 1.2, 0), (2.1, 0.2, 3),
    (0.2, 0.7, 0)])                                              # nothing is older than the start of the recording
def test_what_is_seen_is_what_was_a_delay_ago(rng, trace, time, delay, row):
    now = Playback(trace).start(rng).after(rng, time)
    seen = now.seen(rng, Knowledge(delay=delay))
    assert_array_equal(seen.up, over_band(trace.gain[row]))
    assert_array_equal(seen.up, seen.down)


@pytest.mark.parametrize(("knowledge", "outage"), [(Knowledge(error=0.1), 0.0), (PERFECT, 0.1), (Knowledge(0.1, 0.1), 0.1)])
def test_errors_and_margins_need_a_law_that_a_recording_has_not(rng, trace, knowledge, outage):
    with pytest.raises(ValueError, match=r"^a recording of gains has no law to draw errors from: .* must be 0 \[1\], got"):
        Playback(trace).start(rng).seen(rng, knowledge, outage)
    with pytest.raises(ValueError, match="has no law"):
        Playback(trace).forecast(rng, 3, knowledge, outage)


def test_a_forecast_takes_rows_at_random_moments(rng, trace):
    blocks = 8000
    gains = Playback(trace).forecast(rng, blocks, PERFECT)
    assert gains.up.shape == (blocks, 3)
    assert_array_equal(gains.up, gains.down)
    hits = np.bincount([row_of(trace, gain) for gain in gains.up], minlength=4)
    assert chisquare(hits).pvalue > 1e-3


def test_a_row_that_holds_longer_is_forecast_more_often(rng):
    """Rows of 1, 7 and, as the one before, 7 parts in 15 of the recording."""
    trace = Trace(np.array([0.0, 0.1, 0.8]), 10 ** rng.uniform(-14, -6, (3, 2, 1)))
    rows = [row_of(trace, gain) for gain in Playback(trace).forecast(rng, 6000, PERFECT).up]
    assert chisquare(np.bincount(rows, minlength=3), 6000 * np.array([1, 7, 7]) / 15).pvalue > 1e-3


def test_the_mean_gain_is_what_a_long_forecast_averages_to(rng, trace):
    playback, blocks = Playback(trace), 8000
    gains = playback.forecast(rng, blocks, PERFECT).up
    assert np.all(np.abs(gains.mean(0) - playback.mean_gain) < 5 * gains.std(0) / np.sqrt(blocks))
    uneven = Trace(np.array([0.0, 0.1, 0.8]), np.array([1e-9, 1e-12, 1e-10])[:, None, None])
    assert_allclose(Playback(uneven).mean_gain, (0.1 * 1e-9 + 0.7 * 1e-12 + 0.7 * 1e-10) / 1.5)


def test_a_single_row_is_all_there_is(rng):
    one = Playback(Trace(np.zeros(1), np.full((1, 2, 3), 4e-10)))
    assert_allclose(one.start(rng).after(rng, 1e7).gains.up, 4e-10)
    assert_allclose(one.forecast(rng, 5, Knowledge(delay=3.0)).up, np.full((5, 2), 4e-10))


def test_a_forecast_is_of_what_will_be_seen(rng, trace):
    """With a delay, of rows a delay ago: the same rows, one earlier where the moment is less than that into its row."""
    for knowledge in (PERFECT, Knowledge(delay=0.2)):
        one, other = np.random.default_rng(4), np.random.default_rng(4)
        foreseen = Playback(trace).forecast(one, 200, knowledge).up
        start = Playback(trace).start(rng)
        seen = [start.after(rng, time).seen(rng, knowledge).up for time in other.uniform(0, trace.duration, 200)]
        assert_array_equal(foreseen, seen)


def test_the_same_seed_makes_the_same_forecast(trace):
    one, again, other = (Playback(trace).forecast(np.random.default_rng(seed), 50, PERFECT).up for seed in (1, 1, 2))
    assert_array_equal(one, again)
    assert np.any(one != other)
