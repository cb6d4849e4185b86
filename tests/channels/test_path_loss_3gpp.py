"""TR 38.901 V17.0.0 by hand. Grounds are chosen so that the slant distance is a round number, and its logarithm with it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

from channels.field import Field
from channels.path_loss_3gpp import InH, RMa, UMa, UMi

LAWS = [UMa(), UMa(28e9), UMa(device_height=22.5), UMi(), UMi(28e9), InH(), InH(office="open"), RMa(), RMa(3.5e9)]
DISTANCES = np.geomspace(1.0, 1e4, 200)


def loss(law, slant, sight):
    """Decibels that are lost between antennas ``slant`` metres apart."""
    ground = np.sqrt(slant**2 - (law.height - law.device_height) ** 2)
    return -10 * np.log10(law.gain(ground, sight))


# log10 of 2, 3.5, 5, 28: 0.3010300, 0.5440680, 0.6989700, 1.4471580
@pytest.mark.parametrize(("law", "slant", "sight", "by_hand"), [
    # UMa, 25 m above 1.5 m: the breakpoint is at 4 x 24 x 0.5 x 3.5e9 / 3e8 = 560 m
    (UMa(3.5e9), 100.0, True, 28.0 + 22 * 2 + 20 * 0.5440680),                          # = 82.881361
    # behind it: 560^2 + 23.5^2 = 314152.25 = 10^5.4971402
    (UMa(3.5e9), 1000.0, True, 28.0 + 40 * 3 + 20 * 0.5440680 - 9 * 5.4971402),         # = 109.407098
    (UMa(3.5e9), 100.0, False, 13.54 + 39.08 * 2 + 20 * 0.5440680 - 0.6 * 0),           # = 102.581361
    (UMa(10e9), 1000.0, False, 13.54 + 39.08 * 3 + 20 * 1),                             # = 150.78
    (UMa(1e9, device_height=21.5), 100.0, False, 13.54 + 78.16 + 0 - 0.6 * 20),         # = 79.7
    # high and near: PL' = 13.54 + 39.08 x 1.4771213 - 0.6 x 21 = 58.6659 is less than in sight
    (UMa(1e9, device_height=22.5), 30.0, False, 28.0 + 22 * 1.4771213 + 0),             # = 60.496669
    # an environment of 12 m: 4 x 13 x 9.5 x 1e9 / 3e8 = 1646.6667 m; 1646.6667^2 + 3.5^2 = 2711523.36 = 10^6.4332134
    (UMa(1e9, 25.0, 21.5, 12.0), 2000.0, True, 28.0 + 40 * 3.3010300 + 0 - 9 * 6.4332134),   # = 102.142279
    # UMi, 10 m above 1.5 m: 4 x 9 x 0.5 x 28e9 / 3e8 = 1680 m, and 210 m at 3.5 GHz
    (UMi(28e9), 100.0, True, 32.4 + 21 * 2 + 20 * 1.4471580),                           # = 103.343161
    # 210^2 + 8.5^2 = 44172.25 = 10^4.6451495
    (UMi(3.5e9), 1000.0, True, 32.4 + 40 * 3 + 20 * 0.5440680 - 9.5 * 4.6451495),       # = 119.152440
    (UMi(28e9), 100.0, False, 22.4 + 35.3 * 2 + 21.3 * 1.4471580),                      # = 123.824466
    (UMi(1e9, device_height=11.5), 100.0, False, 22.4 + 35.3 * 2 + 0 - 0.3 * 10),       # = 90
    # InH, 3 m above 1 m
    (InH(10e9), 10.0, True, 32.4 + 17.3 * 1 + 20 * 1),                                  # = 69.7
    (InH(10e9), 100.0, False, 17.3 + 38.3 * 2 + 24.9 * 1),                              # = 118.8
    # 2.5 m = 10^0.3979400: PL' = 17.3 + 38.3 x 0.39794 = 32.5411 is less than in sight
    (InH(1e9), 2.5, False, 32.4 + 17.3 * 0.3979400 + 0),                                # = 39.284362
    # RMa, 35 m above 1.5 m: 2 pi 35 x 1.5 x 3e9 / 3e8 = 3298.67 m; 40 pi 1000 x 3 / 3 = 10^5.0992099; 5^1.72 = 15.9304
    (RMa(3e9), 1000.0, True, 20 * 5.0992099 + 0.477913 * 3 - 0.700939 + 0.002 * 0.69897 * 1000),   # = 104.1149
    # high houses meet both caps: 0.03 x 50^1.72 = 25.1 > 10 and 0.044 x 50^1.72 = 36.8 > 14.77
    (RMa(3e9, building_height=50.0), 1000.0, True, 20 * 5.0992099 + 10 * 3 - 14.77 + 0.002 * 1.69897 * 1000),   # = 120.6121
    # 0.7 GHz: 2 pi 52.5 x 7 / 3 = 769.690 m = 10^2.8863160; 40 pi 769.690 x 0.7 / 3 = 10^4.3535026; 2000 / 769.690 = 10^0.4147140
    (RMa(0.7e9), 2000.0, True,
     20 * 4.3535026 + 0.477913 * 2.8863160 - 0.700939 + 0.002 * 0.69897 * 769.690 + 40 * 0.4147140),
    # 35 m = 10^1.5440680; (5 / 35)^2 = 0.0204082; 11.75 x 1.5 = 17.625 = 10^1.2461291
    (RMa(1e9), 1000.0, False, 161.04 - 7.1 * 1.30103 + 7.5 * 0.69897 - (24.37 - 3.7 * 0.0204082) * 1.5440680
     + (43.42 - 3.1 * 1.5440680) * 0 + 0 - (3.2 * 1.5528377 - 4.97)),
    # h = h_s = W = 10 m, h_u = 100 / 11.75 m: 161.04 - 7.1 + 7.5 - 20.67 - 40.32 x 0.69897 (500 m: 10^(3 - 0.30103)) + 20 - 7.83
    (RMa(10e9, 10.0, 100 / 11.75, 10.0, 10.0), 500.0, False,
     161.04 - 7.1 + 7.5 - (24.37 - 3.7) * 1 - 40.32 * 0.30103 + 20 * 1 - (3.2 * 4 - 4.97)),
])
def test_losses_are_those_of_table_7_4_1_1_by_hand(law, slant, sight, by_hand):
    assert_allclose(loss(law, slant, sight), by_hand, atol=2e-5)


@pytest.mark.parametrize(("law", "distance", "by_hand"), [
    (UMa(), 18.0, 1.0), (UMa(), 5.0, 1.0),
    (UMa(), 36.0, 0.5 + 0.5 * 0.5647181),                                   # e^(-36/63)
    (UMa(device_height=13.0), 36.0, 0.5 + 0.5 * 0.5647181),                 # C' begins above 13 m
    # C' = 0.5^1.5 = 0.3535534; 1.25 x 27 x e^-2 = 4.5675657; e^(-300/63) = 0.0085493
    (UMa(device_height=18.0), 300.0, (0.06 + 0.94 * 0.0085493) * (1 + 0.3535534 * 4.5675657)),
    (UMi(), 18.0, 1.0), (UMi(), 36.0, 0.5 + 0.5 * 0.3678794),               # e^-1
    (InH(), 1.2, 1.0), (InH(), 5.9, 0.3678794), (InH(), 39.1, 0.32 * 0.3678794),
    (InH(office="open"), 5.0, 1.0), (InH(office="open"), 40.4, 0.6065307), (InH(office="open"), 260.7, 0.54 * 0.3678794),
    (InH(), 6.5, 0.32), (InH(office="open"), 49.4, 0.54 * 0.9981123),       # e^(-0.4/211.7)
    (RMa(), 10.0, 1.0), (RMa(), 1010.0, 0.3678794), (RMa(), 2010.0, 0.1353353),
])
def test_probabilities_of_sight_are_those_of_table_7_4_2_1_by_hand(law, distance, by_hand):
    assert_allclose(law.sight_probability(distance), by_hand, atol=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_sight_is_a_probability_and_its_loss_costs_power(law):
    probability = law.sight_probability(DISTANCES)
    assert np.all((probability >= 0) & (probability <= 1))
    assert probability[0] == 1
    assert np.all(law.gain(DISTANCES, False) <= law.gain(DISTANCES, True))
    assert np.all(law.gain(DISTANCES) < 1)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sight", [True, False])
def test_power_falls_with_distance_also_where_the_table_has_ended(law, sight):
    assert np.all(np.diff(law.gain(np.geomspace(0.01, 1e6, 500), sight)) <= 0)


@pytest.mark.parametrize("law", [UMa(), UMa(0.5e9), UMa(28e9, 25.0, 10.0), UMi(), UMi(28e9), UMi(1e9, device_height=22.5)])
def test_urban_losses_are_continuous_at_the_breakpoint(law):
    before, behind = law.gain(law.breakpoint() * np.array([1 - 1e-9, 1 + 1e-9]))
    assert_allclose(before, behind, rtol=1e-7)


@pytest.mark.parametrize("law", [UMa(), UMi(), UMa(10e9)])
def test_behind_the_breakpoint_ten_times_the_slant_distance_costs_forty_decibels(law):
    far = 2 * law.breakpoint()
    assert_allclose(loss(law, 10 * far, True) - loss(law, far, True), 40, atol=1e-9)


def test_the_rural_step_at_the_breakpoint_is_the_one_of_the_table():
    """PL_2 begins at PL_1(d_BP), but the slant distance there is already longer: by 40 log10 of it against PL_1's own slope."""
    law = RMa()
    before, behind = -10 * np.log10(law.gain(law.breakpoint() * np.array([1 - 1e-9, 1 + 1e-9])))
    longer = np.log10(np.hypot(law.breakpoint(), 33.5) / law.breakpoint())
    assert 0 < behind - before < 0.01
    assert_allclose(behind - before, (40 - 20 - 0.4779) * longer - 0.002 * 0.699 * law.breakpoint() * (10**longer - 1), atol=1e-5)


def test_antennas_stand_apart_by_their_heights_right_below_the_server():
    """On the last metre of ground only the slant distance counts, 23.5 m: 28 + 22 x 1.3710679 + 20 log10 f."""
    assert_allclose(-10 * np.log10(UMa(1e9).gain(1e-6)), 28 + 22 * 1.3710679, atol=2e-5)
    assert_allclose(-10 * np.log10(InH(1e9, 1.0, 1.0).gain([1e-6, 1.0])), 32.4, atol=1e-9)


@pytest.mark.parametrize(("law", "seen", "hidden", "reach", "state"), [
    (UMa(), 4.0, 6.0, (37, 50), 50), (UMi(), 4.0, 7.82, (10, 13), 50),
    (InH(), 3.0, 8.03, (10, 6), 10), (RMa(), 4.0, 8.0, (37, 120), 60)])
def test_shadowing_is_that_of_tables_7_5_6_and_7_6_3_1_2(law, seen, hidden, reach, state):
    assert_allclose(law.spread([100.0, 100.0], [True, False]) * 10 / np.log(10), [seen, hidden], rtol=1e-12)
    assert_allclose(law.decorrelation([True, False]), reach)
    assert law.sight_decorrelation == state


def test_rural_shadowing_grows_behind_the_breakpoint():
    law = RMa()
    assert_allclose(law.spread(law.breakpoint() * np.array([0.99, 1.01])) * 10 / np.log(10), [4, 6], rtol=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_distances_and_states_broadcast(law):
    sight = np.array([[True], [False]])
    gains = law.gain([20.0, 50.0, 100.0], sight)
    assert gains.shape == law.spread([20.0, 50.0, 100.0], sight).shape == (2, 3)
    assert gains[1, 2] == law.gain(100.0, False)
    assert law.gain(100.0) == gains[0, 2]
    assert np.shape(law.spread(20.0)) == np.shape(law.decorrelation()) == np.shape(law.sight_probability(20.0)) == ()


@pytest.mark.parametrize(("law", "distance"), [(UMa(), 60.0), (UMi(), 60.0), (InH(), 8.0), (RMa(), 500.0)])
def test_places_see_the_server_as_often_as_the_law_says(rng, law, distance):
    """8000 places so far away, each in a field of its own: the share in sight is binomial around P(d), within five deviations."""
    share = np.mean([Field.draw(rng, law.sight_decorrelation, 8).uniform([distance, 0.0]) < law.sight_probability(distance)
                     for _ in range(8000)])
    chance = law.sight_probability(distance)
    assert abs(share - chance) < 5 * np.sqrt(chance * (1 - chance) / 8000)


def test_shadowed_gains_are_log_normal_around_the_path_loss(rng):
    law, places = UMa(), np.array([100.0, 0.0])
    shadowing = [Field.draw(rng, float(law.decorrelation(False)), 8)(places) for _ in range(4000)]
    gains = law.gain(100.0, False) * np.exp(law.spread(100.0, False) * np.array(shadowing))
    assert kstest(10 * np.log10(gains / law.gain(100.0, False)), "norm", args=(0, 6.0)).pvalue > 1e-3


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: UMa(3.5), r"carrier must be 5e\+08 to 1e\+11 \[Hz\], got 3.5"),
    (lambda: UMi(200e9), r"carrier must be 5e\+08 to 1e\+11 \[Hz\], got 2e\+11"),
    (lambda: RMa(60e9), r"carrier must be 5e\+08 to 3e\+10 \[Hz\], got 6e\+10"),
    (lambda: InH(np.nan), r"carrier must be 5e\+08 to 1e\+11 \[Hz\], got nan"),
    (lambda: UMa(device_height=1.0), r"device_height must be 1.5 to 22.5 \[m\], got 1"),
    (lambda: UMa(device_height=30.0), r"device_height must be 1.5 to 22.5 \[m\], got 30"),
    (lambda: UMa(environment=12.0), r"environment must be 0 to 1 \[m\], got 12"),
    (lambda: UMa(height=1.0), r"height must be 1.5 to 500 \[m\], got 1"),
    (lambda: UMi(height=0.0), r"height must be 1.5 to 500 \[m\], got 0"),
    (lambda: RMa(height=200.0), r"height must be 10 to 150 \[m\], got 200"),
    (lambda: RMa(building_height=3.0), r"building_height must be 5 to 50 \[m\], got 3"),
    (lambda: RMa(street_width=100.0), r"street_width must be 5 to 50 \[m\], got 100"),
    (lambda: InH(office="closed"), "office must be 'mixed' or 'open', got 'closed'"),
    (lambda: UMa().gain(0.0), r"distance must be positive and finite \[m\], got 0"),
    (lambda: RMa().sight_probability([10.0, -5.0]), r"distance must be positive and finite \[m\], got -5"),
    (lambda: InH().spread(np.inf), r"distance must be positive and finite \[m\], got inf"),
    (lambda: UMi().gain(10.0, 0.7), "sight must be True or False for each distance, got numbers of type float64"),
])
def test_what_the_standard_does_not_know_is_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
