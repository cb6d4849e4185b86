import numpy as np
import pytest
from numpy.testing import assert_allclose

from channels.units import db_to_linear, db_to_neper, dbm_to_watt, linear_to_db, watt_to_dbm


@pytest.mark.parametrize(("decibels", "ratio"), [(0, 1), (10, 10), (-30, 1e-3), (20, 100), (3, 10**0.3)])
def test_ten_decibels_are_a_factor_of_ten(decibels, ratio):
    assert_allclose(db_to_linear(decibels), ratio, rtol=1e-14)
    assert_allclose(linear_to_db(ratio), decibels, atol=1e-13)


@pytest.mark.parametrize(("dbm", "watt"), [(0, 1e-3), (30, 1.0), (20, 0.1), (-30, 1e-6)])
def test_thirty_dbm_are_one_watt(dbm, watt):
    assert_allclose(dbm_to_watt(dbm), watt, rtol=1e-14)
    assert_allclose(watt_to_dbm(watt), dbm, atol=1e-13)


def test_decibels_there_and_back_are_the_same(rng):
    values = rng.uniform(-200, 200, 100)
    assert_allclose(linear_to_db(db_to_linear(values)), values, atol=1e-12)
    assert_allclose(watt_to_dbm(dbm_to_watt(values)), values, atol=1e-12)


def test_the_thermal_noise_is_k_times_t():
    boltzmann, room = 1.380649e-23, 290.0
    assert_allclose(dbm_to_watt(-174), 10**-20.4, rtol=1e-12)
    assert_allclose(dbm_to_watt(-174), boltzmann * room, rtol=0.01)


def test_a_density_becomes_a_power_only_with_its_bandwidth():
    """-174 dBm/Hz over 20 MHz is the well-known floor of -101 dBm: 73 dB above the bare number."""
    assert_allclose(watt_to_dbm(dbm_to_watt(-174) * 20e6), -174 + 70 + 10 * np.log10(2), atol=1e-9)


def test_ten_decibels_are_a_natural_logarithm_of_ten():
    assert_allclose(db_to_neper(10.0), np.log(10), rtol=1e-15)
    assert_allclose(db_to_neper(8.0), 1.842, atol=1e-3)


def test_log_normal_gains_spread_by_their_decibels(rng):
    gains = np.exp(db_to_neper(8.0) * rng.standard_normal(20_000))
    assert abs(linear_to_db(gains).std() - 8) < 5 * 8 / np.sqrt(2 * 20_000)
