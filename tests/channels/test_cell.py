import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from channels.cell import Cell
from channels.fading import NoFading, Rayleigh
from channels.path_loss import LogDistance, Macro3GPP

MANY = 20_000


def test_devices_stand_uniformly_in_the_ring(rng):
    """Equal areas hold equally many: the square of the distance is uniform."""
    distance = Cell(radius=200.0, nearest=50.0).place(rng, MANY).distance
    assert np.all((distance >= 50) & (distance <= 200))
    assert kstest(distance**2, "uniform", args=(50**2, 200**2 - 50**2)).pvalue > 1e-3


@pytest.mark.parametrize("law", [Macro3GPP(), LogDistance(3.0)])
def test_shadowing_spreads_by_eight_decibels_around_the_path_loss(rng, law):
    there = Cell(path_loss=law).place(rng, MANY)
    shadowing_db = 10 * np.log10(there.mean_gain / law.gain(there.distance))
    assert abs(shadowing_db.std() - 8) < 5 * 8 / np.sqrt(2 * MANY)
    assert abs(shadowing_db.mean()) < 5 * 8 / np.sqrt(MANY)
    assert abs(np.corrcoef(shadowing_db, there.distance)[0, 1]) < 5 / np.sqrt(MANY)


def test_without_shadowing_the_mean_gain_is_the_path_loss(rng):
    there = Cell(shadowing=0.0).place(rng, 7)
    assert_allclose(there.mean_gain, Macro3GPP().gain(there.distance), rtol=1e-15)


@pytest.mark.parametrize(("asked", "shape"), [
    ({}, (5,)), ({"blocks": 3}, (3, 5)), ({"subchannels": 4}, (5, 4)), ({"blocks": 3, "subchannels": 4}, (3, 5, 4)),
    ({"blocks": 1}, (1, 5)), ({"subchannels": 1}, (5, 1)), ({"blocks": 5, "subchannels": 5}, (5, 5, 5))])
def test_gains_are_blocks_by_devices_by_subchannels(rng, asked, shape):
    assert Cell().place(rng, 5).draw(rng, **asked).shape == shape


def test_the_mean_gain_is_common_to_blocks_and_subchannels(rng):
    there = Cell(fading=NoFading()).place(rng, 4)
    gains = there.draw(rng, blocks=4, subchannels=4)
    assert_array_equal(gains, np.broadcast_to(there.mean_gain[:, None], (4, 4, 4)))


def test_over_many_blocks_the_gains_average_to_the_mean_gain(rng):
    there = Cell().place(rng, 6)
    mean = there.draw(rng, blocks=MANY).mean(0)
    assert np.all(np.abs(mean / there.mean_gain - 1) < 5 / np.sqrt(MANY))


def test_blocks_and_subchannels_fade_on_their_own(rng):
    there = Cell(fading=Rayleigh()).place(rng, 3)
    fading = there.draw(rng, blocks=50, subchannels=50) / there.mean_gain[:, None]
    assert kstest(fading.ravel(), "expon").pvalue > 1e-3
    assert abs(np.corrcoef(fading[:-1].ravel(), fading[1:].ravel())[0, 1]) < 5 / np.sqrt(fading.size)
    assert abs(np.corrcoef(fading[..., :-1].ravel(), fading[..., 1:].ravel())[0, 1]) < 5 / np.sqrt(fading.size)


@pytest.mark.parametrize("ring", [(250.0, 0.0), (250.0, -1.0), (10.0, 10.0), (10.0, 20.0), (np.nan, 10.0), (250.0, np.nan)])
def test_a_ring_without_room_is_named(ring):
    with pytest.raises(ValueError, match=r"nearest and radius must be 0 < nearest < radius \[m\], got"):
        Cell(*ring)


@pytest.mark.parametrize("shadowing", [-0.1, np.nan])
def test_a_bad_shadowing_is_named(shadowing):
    with pytest.raises(ValueError, match=r"shadowing must be zero or more \[1\], got"):
        Cell(shadowing=shadowing)


def test_the_same_seed_gives_the_same_gains():
    once, again, other = (np.random.default_rng(seed) for seed in (7, 7, 8))
    gains = Cell().place(once, 5).draw(once, blocks=2)
    assert_array_equal(gains, Cell().place(again, 5).draw(again, blocks=2))
    assert np.all(gains != Cell().place(other, 5).draw(other, blocks=2))


def test_drawing_leaves_the_placement_alone(rng):
    there = Cell().place(rng, 3)
    before = there.mean_gain.copy()
    there.draw(rng, blocks=2, subchannels=2)
    assert_array_equal(there.mean_gain, before)
