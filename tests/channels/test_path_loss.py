import numpy as np
import pytest
from numpy.testing import assert_allclose

from channels.path_loss import LogDistance, Macro3GPP

LAWS = [Macro3GPP(), LogDistance(), LogDistance(exponent=2.0, carrier=28e9)]
DISTANCES = np.array([10.0, 35.0, 100.0, 250.0, 1e3, 2e4])


@pytest.mark.parametrize("law", LAWS)
def test_a_path_loses_power_and_more_the_longer_it_is(law):
    gains = law.gain(DISTANCES)
    assert np.all((gains > 0) & (gains < 1))
    assert np.all(np.diff(gains) < 0)


@pytest.mark.parametrize(("distance", "loss_db"), [(1000.0, 128.1), (100.0, 90.5), (10.0, 52.9), (10_000.0, 165.7)])
def test_the_macro_cell_loses_its_3gpp_decibels(distance, loss_db):
    assert_allclose(10 * np.log10(Macro3GPP().gain(distance)), -loss_db, atol=1e-9)


@pytest.mark.parametrize("reference", [0.5, 1.0, 10.0])
def test_an_exponent_of_two_is_free_space(reference):
    """Friis: (wavelength / 4 pi d)^2 between isotropic antennas, wherever the reference lies."""
    wavelength = 299_792_458.0 / 3.5e9
    law = LogDistance(exponent=2.0, carrier=3.5e9, reference=reference)
    assert_allclose(law.gain(DISTANCES), (wavelength / (4 * np.pi * DISTANCES)) ** 2, rtol=1e-12)


def test_free_space_loses_forty_decibels_in_the_first_metre_at_2_4_ghz():
    assert_allclose(10 * np.log10(LogDistance(carrier=2.4e9).gain(1.0)), -40.05, atol=0.01)


@pytest.mark.parametrize("exponent", [2.0, 3.5, 4.0])
def test_ten_times_the_distance_costs_ten_exponents_of_decibels(exponent):
    near, far = LogDistance(exponent).gain([20.0, 200.0])
    assert_allclose(10 * np.log10(near / far), 10 * exponent, rtol=1e-12)


def test_nearer_than_the_reference_it_is_free_space():
    far, near = LogDistance(3.5, reference=10.0), LogDistance(2.0)
    assert_allclose(far.gain([1.0, 5.0, 10.0]), near.gain([1.0, 5.0, 10.0]))
    assert_allclose(far.gain(100.0), far.gain(10.0) * 10**-3.5)
