import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from channels.path_loss import CloseIn, FreeSpace, LogDistance, Macro3GPP, PathLoss
from channels.path_loss_3gpp import InH, RMa, UMa, UMi
from channels.units import db_to_neper

LAWS = [Macro3GPP(), LogDistance(), LogDistance(exponent=2.0, carrier=28e9), FreeSpace(), FreeSpace(28e9), CloseIn()]
ONE_STATE = [Macro3GPP(), LogDistance(), FreeSpace()]
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


@pytest.mark.parametrize("carrier", [7e8, 3.5e9, 28e9])
def test_free_space_is_the_power_law_of_two(carrier):
    assert_allclose(FreeSpace(carrier).gain(DISTANCES), LogDistance(2.0, carrier).gain(DISTANCES), rtol=1e-14)


def test_free_space_loses_32_45_decibels_at_a_metre_and_a_gigahertz():
    """The engineers' form: 32.45 + 20 log10(f / GHz) + 20 log10(d / m)."""
    assert_allclose(-10 * np.log10(FreeSpace(1e9).gain([1.0, 10.0, 1000.0])), [32.45, 52.45, 92.45], atol=0.01)


@pytest.mark.parametrize("law", ONE_STATE)
def test_laws_of_one_state_make_no_difference_between_sight_and_none(law):
    sight = np.array([True, False, True, False, False, True])
    assert_array_equal(law.gain(DISTANCES, sight), law.gain(DISTANCES))
    assert_array_equal(law.sight_probability(DISTANCES), np.ones(6))
    assert_array_equal(law.spread(DISTANCES, sight), law.spread(DISTANCES, ~sight))
    assert_array_equal(law.decorrelation(sight), np.full(6, 50.0))


def test_own_shadowing_is_eight_decibels_in_the_macro_cell_and_none_in_free_space():
    assert_array_equal(Macro3GPP().spread(DISTANCES), np.full(6, db_to_neper(8.0)))
    assert_array_equal(LogDistance().spread(DISTANCES), np.full(6, db_to_neper(8.0)))
    assert_array_equal(FreeSpace().spread(DISTANCES), np.zeros(6))


@pytest.mark.parametrize(("distance", "sight", "loss_db"), [
    (1.0, True, 61.4), (1.0, False, 72.0), (100.0, True, 61.4 + 40), (100.0, False, 72.0 + 58.4), (10.0, False, 72.0 + 29.2)])
def test_millimetre_waves_lose_the_decibels_of_new_york(distance, sight, loss_db):
    assert_allclose(-10 * np.log10(CloseIn().gain(distance, sight)), loss_db, atol=1e-9)


def test_in_sight_millimetre_waves_are_free_space_from_the_first_metre_on():
    """61.4 dB is free space's 61.385 dB at 28 GHz in three digits."""
    assert_allclose(CloseIn().gain(DISTANCES), FreeSpace(28e9).gain(DISTANCES), rtol=0.02 / 4.34)


def test_millimetre_waves_shadow_and_are_seen_as_in_new_york():
    law = CloseIn()
    assert_allclose(law.spread([50.0, 50.0], [True, False]), [db_to_neper(5.8), db_to_neper(8.7)])
    assert_allclose(law.sight_probability([67.1, 134.2]), np.exp([-1.0, -2.0]))
    assert_allclose(law.decorrelation([True, False]), [10, 13])


@pytest.mark.parametrize("law", [*LAWS, UMa(), UMi(), InH(), RMa()])
def test_every_law_answers_in_the_common_shape_of_its_arguments(law: PathLoss):
    sight = np.array([[True], [False]])
    assert law.gain(DISTANCES, sight).shape == law.spread(DISTANCES, sight).shape == (2, 6)
    assert law.sight_probability(DISTANCES).shape == (6,)
    assert law.decorrelation(sight).shape == (2, 1)
    assert law.sight_decorrelation > 0
    assert np.all((law.sight_probability(DISTANCES) > 0) & (law.sight_probability(DISTANCES) <= 1))


@pytest.mark.parametrize("law", [*LAWS, UMa(), UMi(), InH(), RMa()])
@pytest.mark.parametrize("distance", [0.0, -1.0, np.nan, np.inf, [100.0, -1.0]])
def test_a_distance_that_is_none_is_named(law, distance):
    for answer in (law.gain, law.sight_probability, law.spread):
        with pytest.raises(ValueError, match=r"distance must be positive and finite \[m\], got"):
            answer(distance)


@pytest.mark.parametrize("law", LAWS)
def test_a_sight_of_numbers_is_named(law):
    with pytest.raises(ValueError, match="sight must be True or False for each distance, got numbers of type float64"):
        law.gain(100.0, [0.3])


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: FreeSpace(3.5), r"carrier must be 1e\+06 to 1e\+12 \[Hz\], got 3.5"),
    (lambda: LogDistance(carrier=2.0), r"carrier must be 1e\+06 to 1e\+12 \[Hz\], got 2"),
    (lambda: LogDistance(exponent=-3.5), r"exponent must be 1 to 10 \[1\], got -3.5"),
    (lambda: LogDistance(reference=0.0), r"reference must be 0.001 to 100000 \[m\], got 0"),
    (lambda: CloseIn(first_metre=(-61.4, -72.0)), r"first_metre in sight must be 1e-20 to 1 \[1\], got -61.4"),
    (lambda: CloseIn(exponent=(2.0, 0.0)), r"exponent out of sight must be 1 to 10 \[1\], got 0"),
    (lambda: CloseIn(shadowing=(5.8, 8.7)), r"shadowing out of sight must be 0 to 6.90776 \[1\], got 8.7"),
    (lambda: CloseIn(sight_range=0.0), r"sight_range must be 0.001 to 1e\+09 \[m\], got 0"),
])
def test_parameters_in_a_wrong_unit_or_of_a_wrong_sign_are_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
