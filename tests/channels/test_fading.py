import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

from channels.fading import NoFading, Rayleigh

MANY = 40_000


def test_fading_leaves_the_mean_power_as_it_was(rng):
    gains = Rayleigh().sample(rng, (MANY,))
    assert abs(gains.mean() - 1) < 5 / np.sqrt(MANY)             # an exponential spreads by its mean


def test_rayleigh_power_gains_are_exponential(rng):
    assert kstest(Rayleigh().sample(rng, (MANY,)), "expon").pvalue > 1e-3


def test_rayleigh_gains_are_squares_of_complex_normal_ones(rng):
    real, imaginary = rng.normal(0, np.sqrt(0.5), (2, MANY))
    assert kstest(Rayleigh().sample(rng, (MANY,)), real**2 + imaginary**2).pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_blocks_devices_and_subchannels_fade_independently(rng, axis):
    gains = Rayleigh().sample(rng, (40, 25, 40))
    here, there = np.delete(gains, -1, axis), np.delete(gains, 0, axis)
    assert abs(np.corrcoef(here.ravel(), there.ravel())[0, 1]) < 5 / np.sqrt(here.size)
    assert len(np.unique(gains)) == gains.size


@pytest.mark.parametrize("law", [Rayleigh(), NoFading()])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_a_sample_has_the_shape_that_was_asked_for(rng, law, shape):
    assert np.shape(law.sample(rng, shape)) == shape


def test_no_fading_is_a_gain_of_one_and_draws_nothing(rng):
    before = rng.bit_generator.state
    assert_allclose(NoFading().sample(rng, (2, 3)), np.ones((2, 3)), rtol=0)
    assert rng.bit_generator.state == before
