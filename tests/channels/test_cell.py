import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import j0
from scipy.stats import kstest

from channels.cell import Cell
from channels.csi import Knowledge
from channels.fading import Nakagami, NoFading, Rayleigh
from channels.mobility import Straight
from channels.path_loss import SPEED_OF_LIGHT, LogDistance, Macro3GPP
from channels.path_loss_3gpp import UMa
from channels.process import Jakes
from channels.tapped_delay import TappedDelay

MANY = 20_000


def test_devices_stand_uniformly_in_the_ring(rng):
    """Equal areas hold equally many: the square of the distance is uniform."""
    distance = Cell(radius=200.0, nearest=50.0).place(rng, MANY).distance
    assert np.all((distance >= 50) & (distance <= 200))
    assert kstest(distance**2, "uniform", args=(50**2, 200**2 - 50**2)).pvalue > 1e-3


@pytest.mark.parametrize("law", [Macro3GPP(), LogDistance(3.0)])
def test_shadowing_spreads_by_eight_decibels_around_the_path_loss(rng, law):
    """Over cells: devices of one cell share its map."""
    cells = 1500
    there = [Cell(path_loss=law).place(rng, 1) for _ in range(cells)]
    distance, mean = (np.array([getattr(each, name)[0] for each in there]) for name in ("distance", "mean_gain"))
    shadowing_db = 10 * np.log10(mean / law.gain(distance))
    assert abs(shadowing_db.std() - 8) < 5 * 8 / np.sqrt(2 * cells)
    assert abs(shadowing_db.mean()) < 5 * 8 / np.sqrt(cells)
    assert abs(np.corrcoef(shadowing_db, distance)[0, 1]) < 5 / np.sqrt(cells)


def test_shadowing_of_neighbours_is_correlated_and_of_strangers_is_not(rng):
    """Two devices on a small ring, at 1/e of the correlation per decorrelation distance (50 m here)."""
    near, far, cells = [], [], 1200
    for _ in range(cells):
        there = Cell(radius=400.0, nearest=300.0).place(rng, 1)
        places = np.array([[350.0, 0.0], [350.0, 50.0], [-350.0, 0.0]])
        values = there.maps[1](places)
        near.append(values[[0, 1]])
        far.append(values[[0, 2]])
    for pairs, expected in ((near, np.exp(-1)), (far, np.exp(-14))):
        assert abs(np.mean(np.prod(pairs, -1)) - expected) < 4.5 * np.sqrt(2 / cells)


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


def test_who_comes_back_finds_the_place_as_it_was():
    """Path loss, sight and shadowing are of the place, and the way is a function of time."""
    there = Cell(path_loss=UMa(), mobility=Straight(5.0, 20.0)).place(np.random.default_rng(3), 40)
    first, later, again = (there.at(time) for time in (0.0, 60.0, 0.0))
    assert_array_equal(first.mean_gain, again.mean_gain)
    assert np.all(first.mean_gain != later.mean_gain)
    assert_allclose(later.travelled, 60 * later.speed)
    assert np.any(first.sight != later.sight)


def test_sight_is_as_frequent_as_the_law_says(rng):
    cells, law = 1500, UMa()
    spots = [Cell(path_loss=law).place(rng, 1).at(0.0) for _ in range(cells)]
    expected = np.array([float(law.sight_probability(s.distance)[0]) for s in spots])
    assert abs(np.mean([s.sight[0] for s in spots]) - expected.mean()) < 4.5 * np.sqrt(np.mean(expected * (1 - expected)) / cells)


@pytest.mark.parametrize("sight", [True, False])
def test_sight_can_be_settled(rng, sight):
    spot = Cell(path_loss=UMa(), sight=sight, shadowing=0.0).place(rng, 50).at(0.0)
    assert np.all(spot.sight == sight)
    assert_allclose(spot.mean_gain, UMa().gain(spot.distance, sight), rtol=1e-12)


def test_antennas_add_up(rng):
    """Maximum-ratio combining of four: four times the mean, Gamma(4) around it, by start as by draw."""
    there = Cell(antennas=4, shadowing=0.0).place(rng, 2000)
    for small in (there.start(rng).gains.up, there.draw(rng)):
        assert kstest(small / there.at(0.0).mean_gain, "gamma", args=(4,)).pvalue > 1e-3
    assert_allclose(there.mean_gain, 4 * there.at(0.0).mean_gain)


def test_the_downlink_fades_as_the_uplink_does_or_on_its_own(rng):
    shared, apart = (Cell(paired=paired).place(rng, 3000).start(rng) for paired in (False, True))
    assert_array_equal(shared.gains.up, shared.gains.down)
    assert abs(np.corrcoef(*(g / apart.spot.mean_gain for g in apart.gains))[0, 1]) < 5 / np.sqrt(3000)


def test_fading_goes_on_with_the_way_of_device_and_surroundings(rng):
    """Jakes: half a wavelength away links have another gain, and after no way the same."""
    there = Cell(fading=Rayleigh(Jakes()), surroundings=1.0, carrier=3e8, shadowing=0.0).place(rng, 2000)
    begun = there.start(rng)
    moved = begun.after(rng, 0.4).gains.up / begun.gains.up
    assert_allclose(begun.after(rng, 0.0).gains.up, begun.gains.up)
    small = begun.gains.up / there.mean_gain, begun.after(rng, 0.4).gains.up / there.mean_gain
    assert abs(np.corrcoef(*small)[0, 1] - j0(2 * np.pi * 0.4 * 3e8 / SPEED_OF_LIGHT) ** 2) < 0.1
    assert np.all(moved != 1)


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 20.0, 60.0])
def test_a_link_over_the_band_carries_no_less_than_its_gain_says(rng, snr_db):
    """And just as much where the SNR is high; the mean over the subchannels would promise more than there is."""
    links = Cell(fading=TappedDelay("tdl-c", 1e-6, 1e7, 64), shadowing=0.0).place(rng, 40).start(rng)
    snr = 10 ** (snr_db / 10) * links.subchannels / links.gains.up[:, None]
    carried, said, promised = np.log1p(snr).mean(-1), np.log1p(10 ** (snr_db / 10)), np.log1p(snr.mean(-1))
    assert np.all(said <= carried * (1 + 1e-12))
    assert np.all(carried <= promised * (1 + 1e-12))
    if snr_db == 60:
        assert_allclose(carried, said, rtol=1e-3)


def test_a_frequency_selective_link_is_known_by_its_subchannels_and_their_geometric_mean(rng):
    fading = TappedDelay("tdl-a", 1e-6, 1e7, 12)
    links = Cell(fading=fading, antennas=2).place(rng, 5).start(rng)
    assert links.subchannels.shape == (5, 12)
    assert_allclose(links.gains.up, np.prod(links.subchannels, -1) ** (1 / 12))


def test_what_is_seen_is_the_truth_where_it_is_known_and_errs_as_often_as_asked_where_it_is_not(rng):
    there = Cell(antennas=2, surroundings=2.0).place(rng, MANY)
    links = there.start(rng)
    assert_array_equal(links.seen(rng, Knowledge()).up, links.gains.up)
    seen = links.seen(rng, Knowledge(0.1, 1e-3), outage=0.05)
    assert abs(np.mean(seen.up > links.gains.up) - 0.05) < 4.5 * np.sqrt(0.05 * 0.95 / MANY)


def test_a_forecast_is_of_what_will_be_seen(rng):
    there, known = Cell(shadowing=0.0).place(rng, 4), Knowledge(0.1)
    foreseen = there.forecast(rng, MANY // 4, known, 0.1).up / there.mean_gain
    links = Cell(shadowing=0.0).place(rng, MANY).start(rng)
    seen = links.seen(rng, known, 0.1).up / links.spot.mean_gain
    assert kstest(foreseen.ravel(), seen).pvalue > 1e-3


def test_estimates_need_a_law_that_says_what_they_are_worth(rng):
    links = Cell(fading=Nakagami(2.0)).place(rng, 3).start(rng)
    assert_array_equal(links.seen(rng, Knowledge()).up, links.gains.up)
    with pytest.raises(ValueError, match="flat over the band, got"):
        links.seen(rng, Knowledge(0.1))


@pytest.mark.parametrize(("fields", "words"), [
    ({"antennas": 0}, "antennas must be a whole number of 1 or more, got 0"),
    ({"carrier": 0.0}, r"carrier must be 1e6 to 1e12 \[Hz\], got 0"),
    ({"surroundings": -1.0}, r"surroundings must be zero or more \[m/s\], got -1.0"),
])
def test_what_a_cell_cannot_be_gets_a_sentence(fields, words):
    with pytest.raises(ValueError, match=words):
        Cell(**fields)


@pytest.mark.parametrize("shadowing", [-0.1, np.nan, 8.0])
def test_a_bad_shadowing_is_named(shadowing):
    with pytest.raises(ValueError, match=r"shadowing must be within 0 and 3.45 \[1\], 15 dB, got"):
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


def test_a_path_loss_of_the_wrong_sign_gets_a_sentence(rng):
    class Loss(Macro3GPP):
        def gain(self, distance, sight=True):
            return 1 / super().gain(distance, sight)

    with pytest.raises(ValueError, match=r"path_loss must give power gains within \(0, 1\] \[1\], got"):
        Cell(path_loss=Loss()).place(rng, 3).at(0.0)
