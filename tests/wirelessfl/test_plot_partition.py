import numpy as np
import pytest
from matplotlib.image import imread

from learning.partition import class_counts, dirichlet
from wirelessfl.plot_partition import draw, key, partition_picture, title

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
PARTS = [np.arange(0, 60), np.arange(60, 95), np.arange(95, 100)]
COUNTS = class_counts(LABELS, PARTS)                       # [[60, 0, 0], [0, 30, 5], [0, 0, 5]]


def bubbles(figure):
    """Places and areas of the bubbles, by (device, class)."""
    drawn = next(c for c in figure.axes[1].collections if len(c.get_offsets()))
    return {tuple(map(int, place)): area for place, area in zip(drawn.get_offsets(), drawn.get_sizes(), strict=True)}


def test_there_is_a_bubble_where_a_device_holds_a_class_with_an_area_in_proportion():
    found = bubbles(draw(COUNTS))
    assert set(found) == {(0, 0), (1, 1), (1, 2), (2, 2)}
    assert found[1, 1] == pytest.approx(found[0, 0] / 2)
    assert found[1, 2] == found[2, 2] == pytest.approx(found[0, 0] / 12)


def test_the_key_has_the_scale_of_the_bubbles():
    figure = draw(COUNTS)
    legend = figure.legends[0]
    assert legend.get_texts()[0].get_text() == "samples of a class on a device:"
    sizes = {int(text.get_text().replace(",", "")): handle.get_sizes()[0]
             for text, handle in zip(legend.get_texts()[1:], legend.legend_handles[1:], strict=True)}
    assert list(sizes) == [3, 15, 60]
    assert sizes[60] == pytest.approx(bubbles(figure)[0, 0])
    assert sizes[15] == pytest.approx(sizes[60] / 4)


@pytest.mark.parametrize("shape", [(1, 1), (10, 10), (100, 10), (5, 100)])
def test_bubbles_do_not_touch_their_neighbours(shape):
    figure = draw(np.full(shape, 7))
    box = figure.axes[1].get_window_extent()
    cell = 72 / figure.dpi * min(box.width / shape[0], box.height / shape[1])
    assert all(np.sqrt(area) < cell for area in bubbles(figure).values())


def test_a_single_sample_among_thousands_is_seen():
    """Two points across, while its share of the largest bubble would be less than a tenth of a point."""
    assert bubbles(draw(np.array([[1, 100_000], [0, 0]])))[0, 0] == 4


def test_bars_are_as_high_as_devices_have_samples():
    assert [bar.get_height() for bar in draw(COUNTS).axes[0].patches] == [60, 35, 5]


def test_the_title_counts_by_hand():
    assert title(COUNTS) == "100 samples on 3 devices\na device holds 5 to 60 samples of 1 to 2 classes"
    assert title(np.array([[1]])) == "1 sample on 1 device\na device holds 1 sample of 1 class"
    assert title(np.full((2, 5), 1000)) == "10,000 samples on 2 devices\na device holds 5,000 samples of 5 classes"


def test_numbers_of_the_key_are_round_and_do_not_exceed_the_largest():
    assert key(4873) == [200, 1000, 4000]
    assert key(60) == [3, 15, 60]
    assert key(1) == [1]


def test_axes_name_what_they_show_and_classes_may_have_names():
    bars, table = draw(COUNTS, ["nv", "mel", "df"]).axes
    assert (bars.get_ylabel(), table.get_xlabel(), table.get_ylabel()) == ("samples", "device", "class")
    assert [tick.get_text() for tick in table.get_yticklabels()] == ["nv", "mel", "df"]


@pytest.mark.parametrize("devices", [1, 10, 40])
def test_the_picture_lies_where_it_was_asked_for_and_is_not_blank(rng, tmp_path, devices):
    partition_picture(LABELS, dirichlet(LABELS, devices, rng), tmp_path / "who.png")
    pixels = imread(tmp_path / "who.png")
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05


def test_devices_and_names_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(ValueError, match="parts must hold the indices of at least one device, got none"):
        partition_picture(LABELS, [], tmp_path / "who.png")
    with pytest.raises(ValueError, match="names must be one for each of the 3 classes, got 2"):
        partition_picture(LABELS, PARTS, tmp_path / "who.png", ["nv", "mel"])
    assert not list(tmp_path.iterdir())
