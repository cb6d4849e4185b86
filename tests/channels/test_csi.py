import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gammainc, gammaincinv, j0
from scipy.stats import kstest

from channels.csi import SURE, Estimate, Knowledge
from channels.fading import combined

MANY = 40_000


def rayleigh(rng, shape):
    return rng.normal(0, np.sqrt(0.5), (*shape, 2)) @ (1, 1j)


def rician(rng, shape, factor):
    mean = np.full(shape, np.sqrt(factor / (factor + 1)) * np.exp(0.7j))
    return mean + rayleigh(rng, shape) / np.sqrt(factor + 1), mean


def test_a_perfect_estimate_is_the_truth_and_is_never_wrong(rng):
    h = rayleigh(rng, (50, 2))
    known = Knowledge()
    seen = known.estimate(rng, h, 0 * h)
    assert known.perfect
    assert_allclose(seen.gain, combined(h), rtol=1e-12)
    for outage in (1e-3, 0.1, 0.9):
        assert_allclose(seen.exceeded(outage), combined(h), rtol=1e-12)
    assert not np.any(seen.outage(combined(h) * 0.999))
    assert np.all(seen.outage(combined(h) * 1.001) == 1)


@pytest.mark.parametrize("antennas", [1, 4])
def test_estimates_are_distributed_as_the_links_are(rng, antennas):
    h = rayleigh(rng, (MANY, antennas))
    seen = Knowledge(error=0.3).estimate(rng, h, 0 * h)
    assert kstest(seen.gain, "gamma", args=(antennas,)).pvalue > 1e-3


@pytest.mark.parametrize(("error", "delay", "doppler"), [(0.0, 2e-3, 50.0), (0.2, 0.0, 50.0), (0.2, 2e-3, 50.0)])
def test_estimate_and_truth_correlate_as_they_should(rng, error, delay, doppler):
    """The powers of two jointly normal numbers with correlation r correlate with r^2."""
    h = rayleigh(rng, (MANY, 1))
    seen = Knowledge(error, delay).estimate(rng, h, 0 * h, np.full(MANY, doppler))
    expected = (1 - error) * j0(2 * np.pi * doppler * delay) ** 2
    assert abs(np.corrcoef(seen.gain, combined(h))[0, 1] - expected) < 5 / np.sqrt(MANY)


@pytest.mark.parametrize("antennas", [1, 3])
@pytest.mark.parametrize("factor", [0.0, 4.0])
@pytest.mark.parametrize("error", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("outage", [0.01, 0.2])
def test_a_margin_is_wrong_as_often_as_was_asked_for(rng, antennas, factor, error, outage):
    h, mean = rician(rng, (MANY, antennas), factor)
    seen = Knowledge(error).estimate(rng, h, mean)
    wrong = np.mean(combined(h) < seen.exceeded(outage))
    assert abs(wrong - outage) < 4.5 * np.sqrt(outage * (1 - outage) / MANY)


@pytest.mark.parametrize("antennas", [1, 3])
def test_outages_are_as_likely_as_they_are_said_to_be(rng, antennas):
    """In classes of the probability that was said for a power of one's own choice."""
    h = rayleigh(rng, (MANY, antennas))
    seen = Knowledge(0.1).estimate(rng, h, 0 * h)
    asked = 0.8 * antennas * np.ones(MANY)
    said, happened = seen.outage(asked), combined(h) < asked
    for low in np.arange(0, 1, 0.25):
        inside = (said >= low) & (said < low + 0.25)
        assert abs(np.mean(happened[inside]) - np.mean(said[inside])) < 4.5 * 0.5 / np.sqrt(inside.sum())


def test_the_margin_is_the_inverse_of_the_outage(rng):
    h = rayleigh(rng, (200, 2))
    for error in (1e-9, 1e-6, 1e-3, 0.5):
        seen = Knowledge(error).estimate(rng, h, 0 * h)
        for outage in (1e-4, 0.05, 0.5, 0.99):
            assert_allclose(seen.outage(seen.exceeded(outage)), outage, rtol=1e-5)


@pytest.mark.parametrize("antennas", [1, 4])
def test_an_estimate_that_knows_nothing_leaves_the_law_of_the_link(rng, antennas):
    """Rayleigh: the outage of a power x is 1 - exp(-x), and the incomplete gamma function with more antennas."""
    h = rayleigh(rng, (20, antennas))
    seen = Knowledge(error=1.0).estimate(rng, h, 0 * h)
    assert_allclose(seen.outage(np.full(20, 0.3)), gammainc(antennas, 0.3), rtol=1e-9)
    assert_allclose(seen.exceeded(0.05), gammaincinv(antennas, 0.05), rtol=1e-9)


def test_a_very_good_estimate_passes_into_the_normal_law_without_a_step():
    below, above = (Estimate(np.ones(1), np.ones(1), np.array([2 / (SURE * factor)])) for factor in (0.999, 1.001))
    for outage in (1e-3, 0.1, 0.5):
        miss = [1 - float(each.exceeded(outage)[0]) for each in (below, above)]
        assert_allclose(miss[0], miss[1], rtol=2e-3, atol=3e-6)


def test_a_larger_outage_allows_a_larger_gain(rng):
    h = rayleigh(rng, (30, 1))
    seen = Knowledge(0.05).estimate(rng, h, 0 * h)
    steps = [seen.exceeded(outage) for outage in (1e-4, 1e-2, 0.1, 0.5, 0.9)]
    assert all(np.all(a < b) for a, b in itertools.pairwise(steps))
    assert np.all(steps[0] > 0)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Knowledge(error=1.5), r"error must be a share within \[0, 1\] \[1\], got 1.5"),
    (lambda: Knowledge(delay=-1.0), r"delay must be finite and zero or more \[s\], got -1.0"),
    (lambda: Estimate(np.ones(1), np.ones(1), 0.1).exceeded(1.0), r"outage must be a probability within \[0, 1\) \[1\], got 1.0"),
])
def test_what_cannot_be_gets_a_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
