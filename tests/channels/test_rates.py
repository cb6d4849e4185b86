import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

from channels.arrays import over
from channels.rates import bandwidth_for, rate, reach_for, snr_for

SNR_DB = range(-60, 121, 20)


def test_at_the_reach_a_hertz_carries_a_bit():
    assert_allclose(rate([1e3, 2e7], [1e3, 2e7]), [1e3, 2e7], rtol=1e-15)


def test_at_a_snr_of_three_a_hertz_carries_two_bits():
    assert_allclose(rate(1e6, 3e6), 2e6, rtol=1e-15)


def test_no_band_and_no_reach_carry_nothing():
    assert_allclose(rate([0.0, 1e6, 0.0], [1e6, 0.0, 0.0]), 0, atol=0)


def test_the_rate_grows_with_the_band_up_to_the_wide_band_limit():
    rates = rate(np.logspace(2, 14, 60), 1e6)
    assert np.all(np.diff(rates) > 0)
    assert_allclose(rates[-1], 1e6 / np.log(2), rtol=1e-6)


def test_the_rate_is_concave_in_the_band(rng):
    left, right = rng.uniform(1e3, 1e8, (2, 200))
    middle = rate((left + right) / 2, 1e6)
    assert np.all(middle >= (rate(left, 1e6) + rate(right, 1e6)) / 2)


def test_bands_and_reaches_broadcast():
    rates = rate(np.array([[1e6], [2e6]]), np.array([1e6, 2e6, 4e6]))
    assert rates.shape == (2, 3)
    assert rates[1, 0] == rate(2e6, 1e6)


@pytest.mark.parametrize("snr_db", SNR_DB)
def test_the_inverse_holds_far_below_the_noise(snr_db):
    reach, bandwidth = 1e6, 1e6 / 10 ** (snr_db / 10)
    assert_allclose(bandwidth_for(rate(bandwidth, reach), reach), bandwidth, rtol=1e-8)


def test_bandwidth_for_undoes_rate_for_whole_arrays(rng):
    bandwidth, reach = rng.uniform(1e3, 1e8, (2, 4, 50))
    assert_allclose(bandwidth_for(rate(bandwidth, reach), reach), bandwidth, rtol=1e-9)


@pytest.mark.parametrize("share", [1 + 1e-12, 1.01, 100.0])
def test_no_bandwidth_beats_the_wide_band_limit(share):
    assert bandwidth_for(share * 1e6 / np.log(2), 1e6) == np.inf


def test_just_below_the_wide_band_limit_some_bandwidth_is_enough():
    found = bandwidth_for(0.999 * 1e6 / np.log(2), 1e6)
    assert 1e6 < found < np.inf
    assert_allclose(rate(found, 1e6), 0.999 * 1e6 / np.log(2), rtol=1e-9)


def test_no_rate_needs_no_bandwidth():
    assert_allclose(bandwidth_for(0.0, [0.0, 1e-9, 1e6]), 0, atol=0)


def test_a_dead_link_needs_endless_bandwidth():
    assert np.all(bandwidth_for([1e-6, 1e6], 0.0) == np.inf)


@pytest.mark.parametrize("crowding", [1e-14, 1e-16, 1e-18, 1e-30])
def test_a_very_strong_link_needs_next_to_no_bandwidth(crowding):
    reach = 1e18
    found = bandwidth_for(crowding * reach / np.log(2), reach)
    assert 0 < found < crowding * reach
    assert_allclose(rate(found, reach), crowding * reach / np.log(2), rtol=1e-6)


def root(crowding):
    """The positive root of log1p(x) = a x in fifty digits, by the formula of the textbooks."""
    with mpmath.workdps(50):
        a = mpmath.mpf(crowding)
        return float(-mpmath.lambertw(-a * mpmath.exp(-a), -1).real / a - 1)


@pytest.mark.parametrize("crowding", [3e-11, 1e-8, 1e-5, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 0.99999, 0.9999995])
def test_the_snr_is_the_root_of_fifty_digits(crowding):
    assert_allclose(snr_for(crowding), root(crowding), rtol=1e-9)


def test_nothing_asked_runs_at_any_snr_and_too_much_at_none():
    assert np.all(snr_for([0.0, -1.0]) == np.inf)
    assert np.all(snr_for([1.0, 1.5, np.inf]) == 0)


@pytest.mark.parametrize("snr_db", SNR_DB)
def test_reach_for_undoes_rate(snr_db):
    reach, bandwidth = 1e6 * 10 ** (snr_db / 10), 1e6
    assert_allclose(reach_for(rate(bandwidth, reach), bandwidth), reach, rtol=1e-12)


def test_nothing_sent_needs_no_reach_and_no_band_an_endless_one():
    assert_allclose(reach_for(0.0, [0.0, 1e6]), 0, atol=0)
    assert reach_for(1.0, 0.0) == np.inf


@pytest.mark.parametrize("bits_per_hertz", [1009.0, 1100.0, 1e9])
def test_a_rate_past_all_numbers_needs_an_endless_reach(bits_per_hertz):
    assert reach_for(bits_per_hertz * 20e6, 20e6) == np.inf


def test_what_is_not_known_costs_no_less_than_all():
    """A NaN is not taken for nothing to send; a link without band, a device without time, are not done at once."""
    assert reach_for(np.nan, 1e6) == np.inf
    assert np.isnan(rate(np.nan, 1e6))
    assert reach_for(1.0, [-1.0, -0.0]).tolist() == [np.inf, np.inf]
    rates = np.array([-0.0, -1e6, np.nan, 2.0, 0.0])
    assert over(np.array([1.0, 1.0, 1.0, 1.0, 0.0]), rates).tolist() == [np.inf, np.inf, np.inf, 0.5, 0.0]
    assert over(1.0, 0.0) == np.inf
