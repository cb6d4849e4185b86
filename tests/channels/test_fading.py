"""The laws of fading against theory. With n independent gains, means are within 5 spreads / sqrt(n) but for 1 time in 10^6.

A right law fails a Kolmogorov-Smirnov test (p below 1e-3) 1 time in 1000; seeds are fixed.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import exp1, gammainc
from scipy.stats import expon, gamma, kstest, ncx2

from channels.fading import Nakagami, NoFading, Rayleigh, Rician
from channels.process import Block, GaussMarkov, Jakes, Still

MANY, FEWER = 40_000, 10_000         # 10^4 gains of 32 waves cannot be told from Rayleigh's by their law as a whole
PROCESSES = [Block(), Still(), GaussMarkov(), Jakes()]
LAWS = [Rayleigh(), Rician(3.0), Nakagami(2.5), NoFading()]
THEORY = [(Rayleigh(), expon()), (Rician(0.0), expon()), (Rician(3.0), ncx2(2, 6.0, scale=1 / 8)),
          (Rician(40.0), ncx2(2, 80.0, scale=1 / 82)), (Nakagami(1.0), expon()), (Nakagami(0.5), gamma(0.5, scale=2.0)),
          (Nakagami(4.0), gamma(4.0, scale=0.25))]


def name(value):
    if hasattr(value, "dist"):                                     # a law of scipy's, whose text is an address
        return value.dist.name
    return type(value).__name__ if isinstance(value, Block | Still | GaussMarkov | Jakes) else str(value)


@pytest.mark.parametrize("law", LAWS, ids=name)
def test_fading_leaves_the_mean_power_as_it_was(rng, law):
    gains = law.sample(rng, (MANY,))
    assert abs(gains.mean() - 1) < 5 / np.sqrt(MANY)             # an exponential spreads by its mean, the others by less


@pytest.mark.parametrize(("law", "theory"), THEORY, ids=name)
def test_gains_have_the_law_of_the_books(rng, law, theory):
    assert theory.mean() == pytest.approx(1)
    assert kstest(law.sample(rng, (MANY,)), theory.cdf).pvalue > 1e-3
    assert kstest(law.start(rng, MANY).gain, theory.cdf).pvalue > 1e-3
    assert kstest(law.start(rng, MANY).after(rng, 0.2).gain, theory.cdf).pvalue > 1e-3


def test_rayleigh_gains_are_squares_of_complex_normal_ones(rng):
    real, imaginary = rng.normal(0, np.sqrt(0.5), (2, MANY))
    assert kstest(Rayleigh().sample(rng, (MANY,)), real**2 + imaginary**2).pvalue > 1e-3


@pytest.mark.parametrize("process", PROCESSES, ids=name)
@pytest.mark.parametrize("antennas", [1, 2, 8])
def test_antennas_add_up_to_a_gamma_law(rng, process, antennas):
    fade = Rayleigh(process).start(rng, FEWER, antennas).after(rng, 0.3)
    assert kstest(fade.gain, gamma(antennas).cdf).pvalue > 1e-3
    assert fade.h.shape == (FEWER, antennas)
    assert_allclose(fade.gain, np.sum(np.abs(fade.h) ** 2, axis=1))


@pytest.mark.parametrize("process", PROCESSES, ids=name)
def test_antennas_of_a_dominant_path_add_up_to_a_noncentral_law(rng, process):
    fade = Rician(2.0, process, heading=0.5).start(rng, FEWER, 4).after(rng, 0.3)
    assert kstest(fade.gain, ncx2(8, 16.0, scale=1 / 6).cdf).pvalue > 1e-3


def test_antennas_of_nakagami_add_up_to_a_gamma_law_of_all_their_shapes(rng):
    assert kstest(Nakagami(1.5).start(rng, MANY, 4).after(rng, 0.1).gain, gamma(6.0, scale=1 / 1.5).cdf).pvalue > 1e-3


def test_the_rician_factor_is_the_dominant_power_over_all_scattered_power(rng):
    """Not the dominant share of the whole, not over the power of one of the two parts (twice as much), and not in decibels."""
    fade = Rician(3.0).start(rng, MANY)
    dominant = np.abs(fade.h.mean()) ** 2
    scattered = np.var(fade.h)
    assert dominant / scattered == pytest.approx(3.0, rel=0.05)
    assert_allclose(np.abs(fade.mean) ** 2, 0.75)
    assert np.var(Rician(3.0).sample(rng, (MANY,))) == pytest.approx((2 * 3 + 1) / (3 + 1) ** 2, rel=0.05)


@pytest.mark.parametrize("process", PROCESSES, ids=name)
def test_power_is_the_number_of_antennas_at_all_times(rng, process):
    fade = Rician(1.0, process, heading=1.0).start(rng, FEWER, 2)
    for moved in (0.0, 0.05, 0.05, 2.0, 1e7):
        fade = fade.after(rng, moved)
        assert abs(fade.gain.mean() - 2) < 5 * np.sqrt(2 / FEWER)
        assert_allclose(np.abs(fade.mean) ** 2, 0.5)


@pytest.mark.parametrize("heading", [-1.0, 0.0, 0.6])
def test_the_dominant_path_turns_by_how_far_the_device_moves_towards_it(rng, heading):
    fade = Rician(5.0, GaussMarkov(), heading).start(rng, 3)
    turned = fade.after(rng, [0.25, 0.5, 1.0]).mean[:, 0] / fade.mean[:, 0]
    assert_allclose(turned, np.exp(2j * np.pi * heading * np.array([0.25, 0.5, 1.0])), atol=1e-12)


@pytest.mark.parametrize("snr", [0.1, 1.0, 10.0, 1000.0])
def test_the_ergodic_rate_of_rayleigh_is_the_exponential_integral(rng, snr):
    rates = np.log2(1 + snr * Rayleigh().sample(rng, (MANY,)))
    assert abs(rates.mean() - np.exp(1 / snr) * exp1(1 / snr) / np.log(2)) < 5 * rates.std() / np.sqrt(MANY)


@pytest.mark.parametrize("process", [Block(), GaussMarkov(), Jakes()], ids=name)
@pytest.mark.parametrize("antennas", [1, 3])
@pytest.mark.parametrize("power", [0.05, 0.3, 1.0])
def test_outage_is_the_incomplete_gamma_function(rng, process, antennas, power):
    """32 waves an antenna are 1 part in 64 short of it, for each antenna, at most."""
    gain, theory = Rayleigh(process).start(rng, MANY, antennas).after(rng, 0.1).gain, gammainc(antennas, power)
    chance, short = 5 * np.sqrt(theory / MANY), theory * antennas / 64 if process == Jakes() else 0.0
    assert theory - short - chance < np.mean(gain < power) < theory + chance


def test_outage_of_one_antenna_is_that_of_an_exponential_law(rng):
    gain = np.sort(Rayleigh().sample(rng, (25 * MANY,)))
    for power in (0.001, 0.01, 0.1, 1.0):
        theory = 1 - np.exp(-power)
        assert abs(np.searchsorted(gain, power) / len(gain) - theory) < 5 * np.sqrt(theory / len(gain))


@pytest.mark.parametrize("law", [Rayleigh(), Nakagami(2.0), Rician(1.0)], ids=name)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_blocks_devices_and_subchannels_fade_independently(rng, law, axis):
    gains = law.sample(rng, (40, 25, 40))
    here, there = np.delete(gains, -1, axis), np.delete(gains, 0, axis)
    assert abs(np.corrcoef(here.ravel(), there.ravel())[0, 1]) < 5 / np.sqrt(here.size)
    assert len(np.unique(gains)) == gains.size


@pytest.mark.parametrize("law", LAWS, ids=name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_a_sample_has_the_shape_that_was_asked_for(rng, law, shape):
    assert np.shape(law.sample(rng, shape)) == shape


def test_the_default_law_is_numpys_exponential_to_the_bit():
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    assert_array_equal(Rayleigh().sample(one, (100, 3)), other.standard_exponential((100, 3)))


def test_no_fading_is_a_gain_of_one_and_draws_nothing(rng):
    before = rng.bit_generator.state
    assert_allclose(NoFading().sample(rng, (2, 3)), np.ones((2, 3)), rtol=0)
    fade = NoFading().start(rng, 5, 4).after(rng, 2.0)
    assert_array_equal(fade.gain, np.full(5, 4.0))
    assert_array_equal(fade.h, fade.mean)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("law", [*LAWS, *(Rician(2.0, process, 0.5) for process in PROCESSES)], ids=str)
def test_what_is_drawn_does_not_depend_on_how_far_devices_moved(law):
    """So that policies which let rounds last longer or shorter meet the same random numbers."""
    ends = []
    for moved in (0.0, [0.1, 1e5, 3.0]):
        rng = np.random.default_rng(5)
        law.start(rng, 3, 2).after(rng, moved).after(rng, moved)
        ends.append(rng.bit_generator.state)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("process", PROCESSES, ids=name)
@pytest.mark.parametrize("antennas", [1, 3])
def test_a_trace_is_the_start_and_what_comes_after(process, antennas):
    law, moved = Rician(2.0, process, 0.7), np.array([0.0, 0.02, 0.4])
    one, other = np.random.default_rng(2), np.random.default_rng(2)
    fade = law.start(other, 3, antennas)
    for gain in law.trace(one, 3, 30, moved, antennas):
        assert_allclose(gain, fade.gain, atol=1e-9)
        fade = fade.after(other, moved)
    assert_allclose(Rayleigh(process).trace(np.random.default_rng(7), 4, 6, 0.1),
                    Rician(0.0, process).trace(np.random.default_rng(7), 4, 6, 0.1))


@pytest.mark.parametrize("law", LAWS, ids=name)
def test_a_step_leaves_its_state_alone(rng, law):
    fade = law.start(rng, 4, 2)
    gain = fade.gain.copy()
    fade.after(rng, 0.3)
    assert_array_equal(fade.gain, gain)
    assert gain.shape == (4,)


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Rician(-3.0), r"factor must be a ratio of powers, zero or more and finite \[1\], got -3.0"),
    (lambda: Rician(np.nan), "factor must be"),
    (lambda: Rician(np.inf), "factor must be"),
    (lambda: Rician(1.0, heading=60.0), r"heading must be a cosine within \[-1, 1\] \[1\], got 60.0"),
    (lambda: Nakagami(0.3), r"shape must be 0.5 or more and finite \[1\], got 0.3"),
    (lambda: Rayleigh().start(np.random.default_rng(0), 0), "devices must be a whole number of 1 or more, got 0"),
    (lambda: Nakagami(1.0).start(np.random.default_rng(0), 3, 1.5), "antennas must be a whole number of 1 or more, got 1.5"),
    (lambda: Rayleigh().trace(np.random.default_rng(0), 3, 0, 0.1), "steps must be a whole number of 1 or more, got 0"),
    (lambda: Nakagami(1.0).start(np.random.default_rng(0), 3).after(np.random.default_rng(0), -1.0),
     r"moved must be .* \[wavelengths\]"),
])
def test_bad_input_gets_a_sentence(make, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        make()
