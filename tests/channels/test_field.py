import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import kstest

from channels.field import Field

MANY = 4000


def drawn(rng, places, decorrelation, waves, fields=MANY):
    """Values (fields, places) of that many independent fields."""
    return np.array([Field.draw(rng, decorrelation, waves)(places) for _ in range(fields)])


@pytest.mark.parametrize("waves", [1, 8, 64])
def test_the_value_at_a_place_is_normal_whatever_the_number_of_waves(rng, waves):
    values = drawn(rng, [[0.0, 0.0], [1234.5, -678.9]], 50.0, waves)
    for at_place in values.T:
        assert kstest(at_place, "norm").pvalue > 1e-3


@pytest.mark.parametrize("waves", [8, 64])
@pytest.mark.parametrize("decorrelation", [6.0, 50.0])
def test_correlation_falls_exponentially_with_distance(rng, decorrelation, waves):
    """Products of values at two places average to exp(-r / d0), within five standard errors, in any direction and anywhere."""
    away = decorrelation * np.array([0.02, 0.1, 0.3, 1.0, 2.0, 4.0])
    here, direction = np.array([300.0, -200.0]), np.array([np.cos(1.0), np.sin(1.0)])
    values = drawn(rng, here + np.concatenate([[0.0], away])[:, None] * direction, decorrelation, waves)
    products = values[:, :1] * values[:, 1:]
    error = products.std(0) / np.sqrt(MANY)
    assert np.all(np.abs(products.mean(0) - np.exp(-away / decorrelation)) < 5 * error)


def test_correlation_is_the_same_in_all_directions(rng):
    angle = np.linspace(0, np.pi, 6, endpoint=False)
    ring = 30.0 * np.stack([np.cos(angle), np.sin(angle)], -1)
    values = drawn(rng, np.concatenate([[[0.0, 0.0]], ring]), 50.0, 16)
    products = values[:, :1] * values[:, 1:]
    assert np.all(np.abs(products.mean(0) - np.exp(-0.6)) < 5 * products.std(0) / np.sqrt(MANY))


def test_one_field_has_the_correlation_along_its_own_plane(rng):
    """5000 pairs of places over 10,000 km^2 of one field: its waves, 1024 of random power, leave 1/sqrt(1024) of uncertainty."""
    field, here = Field.draw(rng, 50.0, 1024), rng.uniform(-50_000, 50_000, (5000, 2))
    angle = rng.uniform(0, 2 * np.pi, 5000)
    value, step = field(here), np.stack([np.cos(angle), np.sin(angle)], -1)
    error = 5 * np.hypot(1 / np.sqrt(1024), np.sqrt(2) / np.sqrt(5000))
    assert abs(np.mean(value**2) - 1) < error
    for away in (5.0, 25.0, 50.0, 150.0):
        assert abs(np.mean(value * field(here + away * step)) - np.exp(-away / 50)) < error


def test_fields_that_are_drawn_one_after_another_are_independent(rng):
    one, other = drawn(rng, [[10.0, 20.0]], 50.0, 16)[:, 0].reshape(2, -1)
    assert abs(np.mean(one * other)) < 5 / np.sqrt(MANY / 2)


def test_a_place_has_one_value_whoever_asks_and_in_whatever_company(rng):
    field, places = Field.draw(rng, 50.0), rng.uniform(-500, 500, (5000, 2))
    values = field(places)
    assert_array_equal(field(places[::-1])[::-1], values)
    assert_array_equal(np.array([field(place) for place in places[:50]]), values[:50])
    assert_array_equal(field(places[1:8]), values[1:8])
    assert_array_equal(field(places.reshape(50, 100, 2)), values.reshape(50, 100))


def test_neighbours_see_nearly_the_same(rng):
    """Over a thousandth of d0 the increments' mean square is 2 (1 - exp(-0.001)): a step of 0.3 is six deviations and more."""
    field, places = Field.draw(rng, 50.0), rng.uniform(-500, 500, (2000, 2))
    assert np.all(np.abs(field(places + np.array([0.05, 0.0])) - field(places)) < 0.3)


def test_seen_as_a_uniform_field_a_place_is_below_a_probability_as_often_as_it_says(rng):
    uniform = np.array([Field.draw(rng, 50.0, 16).uniform([3.0, 4.0]) for _ in range(MANY)])
    assert kstest(uniform, "uniform").pvalue > 1e-3
    for chance in (0.02, 0.3, 0.9):
        assert abs(np.mean(uniform < chance) - chance) < 5 * np.sqrt(chance * (1 - chance) / MANY)


def test_the_state_of_sight_lasts_over_its_correlation_distance(rng):
    """At P = 1/2 two places agree with probability 1/2 + arcsin(rho) / pi (Sheppard).

    64 waves leave rho a variance of 1/128 and less; with a curvature of 0.5 that moves the mean by less than 1/256.
    """
    uniform = np.array([Field.draw(rng, 50.0, 64).uniform([[0.0, 0.0], [20.0, 0.0]]) for _ in range(MANY)])
    same = np.mean((uniform[:, 0] < 0.5) == (uniform[:, 1] < 0.5))
    expected = 0.5 + np.arcsin(np.exp(-0.4)) / np.pi
    assert abs(same - expected) < 5 * np.sqrt(expected * (1 - expected) / MANY) + 1 / 256


@pytest.mark.parametrize("shape", [(2,), (1, 2), (0, 2), (7, 2), (2, 3, 2)])
def test_values_have_the_shape_of_the_places(rng, shape):
    field = Field.draw(rng, 50.0, 4)
    assert field(np.zeros(shape)).shape == field.uniform(np.zeros(shape)).shape == shape[:-1]


def test_the_same_seed_gives_the_same_field():
    once, again, other = (Field.draw(np.random.default_rng(seed), 50.0)([1.0, 2.0]) for seed in (7, 7, 8))
    assert once == again != other


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda rng: Field.draw(rng, 0.0), r"decorrelation must be positive and finite \[m\], got 0"),
    (lambda rng: Field.draw(rng, -50.0), r"decorrelation must be positive and finite \[m\], got -50"),
    (lambda rng: Field.draw(rng, np.nan), r"decorrelation must be positive and finite \[m\], got nan"),
    (lambda rng: Field.draw(rng, 50.0, 0), r"waves must be a whole number of one or more \[1\], got 0"),
    (lambda rng: Field.draw(rng, 50.0, 2.5), r"waves must be a whole number of one or more \[1\], got 2.5"),
    (lambda rng: Field.draw(rng, 50.0)(np.zeros((4, 3))), r"position must be places .* \[m\], got an array of shape \(4, 3\)"),
    (lambda rng: Field.draw(rng, 50.0)(3.0), r"position must be places .* \[m\], got an array of shape \(\)"),
])
def test_what_is_no_field_and_no_place_is_named(rng, make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(rng)
