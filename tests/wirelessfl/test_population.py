import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from wirelessfl.population import GHZ, PROFILES, Fixed, LogUniform, Population, Profile, Uniform, mixed

NAMED = [pytest.param(profile, id=name) for name, profile in PROFILES.items()]


@pytest.mark.parametrize(("slow", "fast", "energy_pj"), [(0.03, 1.0, 500.0), (0.07, 3.3, 123.4), (1.1, 1.1, 0.0)])
def test_a_range_of_speeds_and_an_energy_are_a_population_to_the_last_bit(slow, fast, energy_pj):
    """What the default scenario means: log-uniform speeds, and energies that grow with their squares."""
    one = Profile(LogUniform(slow, fast, GHZ), 1.0, 1e-12 * energy_pj, 0.1)
    found = Population((one,)).sample(np.random.default_rng(3), 50)
    speed = 1e9 * np.exp(np.random.default_rng(3).uniform(np.log(slow), np.log(fast), 50))
    assert_array_equal(found.speed, speed)
    assert_array_equal(found.joules_per_flop, 1e-12 * energy_pj * (speed / 1e9) ** 2)
    assert_array_equal(found.peak_power, np.full(50, 0.1))
    assert_array_equal(found.battery, np.full(50, np.inf))


@pytest.mark.parametrize("profile", NAMED)
def test_a_flop_costs_kappa_f_squared_over_the_flop_of_a_cycle(rng, profile):
    found = profile.sample(rng, 40)
    clock = found.speed / profile.flop_per_cycle
    assert_allclose(found.joules_per_flop, profile.kappa * clock**2 / profile.flop_per_cycle, rtol=1e-12)
    assert_allclose(found.joules_per_flop * found.speed, profile.kappa * clock**3, rtol=1e-12)            # [W]
    assert np.all((clock >= profile.clock.low * (1 - 1e-12)) & (clock <= profile.clock.high * (1 + 1e-12)))


def test_an_energy_by_hand():
    """kappa = 1e-28 J s^2 at 2 GHz: 4e-10 J a cycle, 0.8 W, and 1e-10 J for each of four FLOP."""
    found = Profile(Fixed(2 * GHZ), 4.0, 1e-10).sample(np.random.default_rng(0), 1)
    assert_allclose(Profile(Fixed(2 * GHZ), 4.0, 1e-10).kappa, 1e-28, rtol=1e-15)
    assert_allclose(found.speed, 8e9)
    assert_allclose(found.joules_per_flop, 1e-10)
    assert_allclose(found.speed * found.joules_per_flop, 0.8)


@pytest.mark.parametrize(("name", "clock", "gflops", "watt"), [
    ("iot-node", 1.0, 0.370, 2.1), ("iot-board", 1.5, 11.433, 5.2), ("phone", 2.4, 48.619, 10.0), ("laptop", 3.5, 104.68, 20.0),
    ("edge-gpu", 0.92, 0.5 * 128 * 2 * 0.92, 10.0),
])
def test_a_profile_gives_back_what_it_was_made_from(name, clock, gflops, watt):
    profile = PROFILES[name]
    assert_allclose(profile.flop_per_cycle * clock, gflops, rtol=1e-12)
    assert_allclose(profile.kappa * (clock * GHZ) ** 3, watt, rtol=1e-12)


@pytest.mark.parametrize(("name", "most"), [("iot-node", 3), ("iot-board", 6), ("phone", 4), ("laptop", 30), ("edge-gpu", 10.1)])
def test_no_profile_is_hotter_than_its_kind_can_be(rng, name, most):
    """Without a fan a phone gets rid of some 3 to 4 W for long, a laptop of 30 W."""
    found = PROFILES[name].sample(rng, 200)
    assert np.all(found.speed * found.joules_per_flop <= most)
    assert np.all(found.battery / (found.speed * found.joules_per_flop) > 3600)           # and lives for an hour


def test_transmit_powers_are_those_of_the_power_classes():
    assert_allclose(PROFILES["phone"].peak_power, 0.2, rtol=0.005)                        # 23 dBm
    assert_allclose(PROFILES["iot-node"].peak_power, 0.1, rtol=1e-12)                     # 20 dBm


def test_clocks_have_their_distributions(rng):
    assert_array_equal(Fixed(5.0).sample(rng, 3), [5, 5, 5])
    assert kstest(Uniform(2.0, 6.0).sample(rng, 5000), "uniform", args=(2, 4)).pvalue > 1e-3
    assert kstest(np.log10(LogUniform(1.0, 100.0, 10.0).sample(rng, 5000)), "uniform", args=(1, 2)).pvalue > 1e-3


@pytest.mark.parametrize(("shares", "devices", "counts"), [
    ((0.5, 0.5), 10, (5, 5)),
    ((0.5, 0.5), 7, (4, 3)),                      # a tie: the first
    ((0.5, 0.3, 0.2), 7, (4, 2, 1)),              # 3.5, 2.1, 1.4: one left, for 0.5
    ((0.45, 0.45, 0.1), 5, (2, 2, 1)),            # 2.25, 2.25, 0.5
    ((0.1,) * 10, 10, (1,) * 10),                 # 0.1 ten times is 0.9999999999999999
    ((1.0, 0.0), 3, (3, 0)),
    ((0.6, 0.4), 0, (0, 0)),
])
def test_counts_are_by_largest_remainder(shares, devices, counts):
    profile = PROFILES["phone"]
    assert Population((profile,) * len(shares), shares).counts(devices) == counts


def test_a_mix_has_its_counts_in_random_order():
    kinds = (Profile(Fixed(GHZ)), Profile(Fixed(2 * GHZ)))
    mix, firsts = Population(kinds, (0.25, 0.75)), []
    for seed in range(400):
        found = mix.sample(np.random.default_rng(seed), 8)
        assert np.sum(found.speed == 1e9) == 2
        assert_array_equal(found.joules_per_flop, 5e-10 * (found.speed / 1e9) ** 2)       # a device's numbers stay together
        firsts.append(found.speed[0] == 1e9)
    assert abs(np.mean(firsts) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_same_seed_same_devices():
    mix = mixed({"phone": 0.5, "iot-board": 0.5})
    for one, other in zip(*(mix.sample(np.random.default_rng(7), 9) for _ in range(2)), strict=True):
        assert_array_equal(one, other)
        assert one.shape == (9,)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: mixed({"fone": 1.0}), r"profile: 'fone' is none of \['iot-node', .* did you mean 'phone'\?"),
    (lambda: mixed({}), "shares must be as many as profiles, one or more"),
    (lambda: mixed({"phone": 0.5}), r"shares must be zero or more and together 1 \[1\], got \[0.5\]"),
    (lambda: mixed({"phone": 1.5, "laptop": -0.5}), r"together 1 \[1\], got \[1.5, -0.5\]"),
    (lambda: Uniform(2.0, 1.0), r"low and high must be above 0, finite and in rising order .* got 2.0 and 1.0"),
    (lambda: LogUniform(0.0, 1.0), r"low and high must be above 0.* got 0.0 and 1.0"),
    (lambda: LogUniform(1.0, 2.0, -1.0), r"unit must be above 0"),
    (lambda: Fixed(np.nan), r"value must be above 0.* got nan"),
    (lambda: Profile(Fixed(GHZ), flop_per_cycle=0.0), r"flop_per_cycle must be above 0.* \[1\], got 0.0"),
    (lambda: Profile(Fixed(GHZ), cycle_energy=-1.0), r"cycle_energy must be zero or more and finite \[J\], got -1.0"),
    (lambda: Profile(Fixed(GHZ), peak_power=0.0), r"peak_power must be above 0.* \[W\], got 0.0"),
    (lambda: Profile(Fixed(GHZ), battery=0.0), r"battery must be above 0 \[J\], inf on the mains, got 0.0"),
])
def test_a_population_that_cannot_be_gets_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
