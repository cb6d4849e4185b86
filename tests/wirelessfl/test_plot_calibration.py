"""A picture shows what was measured, and nothing that was not."""

from dataclasses import asdict

import numpy as np
import pytest

from learning.calibration import Calibration
from learning.crossing import PLAIN, Compression
from wirelessfl.plot_calibration import SHOWN, calibration_picture, draw, words

VARIANTS = (PLAIN, Compression(update_bits=8), Compression(dropout=0.5))


def calibration(variants=VARIANTS, intervals=(1, 4), far=0.01):
    """Numbers that can be told apart."""
    cuts, ratios, blocks = (1, 3), (0.1, 0.5, 0.9), 4
    noise = np.outer((1.0, 2.0), np.arange(len(variants)))
    values = {"bias": [[0.01, 0.2, 0.6], [0.1, 0.5, 1.0]], "compression_bias": 0.01 * noise, "compression_noise": noise,
              "drift": np.outer((0.1, 0.2), np.arange(len(intervals))), "energy": np.outer((1, 1, 0, 1), (0.01, 0.2, 0.6)),
              "misalignment": np.outer((0.3, 0.4), np.arange(len(intervals)))}
    plain = {name: tuple(map(tuple, np.array(v, float).tolist())) for name, v in values.items()}
    errors = {name: tuple(tuple(far for _ in row) for row in v) for name, v in plain.items()}
    errors |= {"sampling_noise": far, "square": far, "dissimilarity": far}
    each = (1.0,) * blocks
    return Calibration(cuts=cuts, ratios=ratios, scale=(0.7, 1.1), exponent=(2.0, 1.2), ratio_max=(0.9, 0.7),
                       compressions=tuple(map(asdict, variants)), intervals=intervals,
                       sampling_noise=1.0, square=1.0, dissimilarity=1.0,
                       smoothness=1.0, start=1.0, sampling=each, gradient=each, weight=each, rounds=9, errors=errors, **plain)


def titles(found):
    return [axes.get_title() for axes in draw(found).axes if axes.axison]


def test_there_are_panels_for_what_was_measured_and_no_others():
    assert len(titles(calibration())) == 6
    assert len(titles(calibration(intervals=(1,)))) == 4
    assert len(titles(calibration(variants=VARIANTS[:1]))) == 4
    assert len(titles(calibration(variants=VARIANTS[:1], intervals=(1,)))) == 2


def test_what_goes_against_the_gradient_is_drawn_beside_its_square():
    against, squared = draw(calibration()).axes[-2:]
    for axes, slopes in ((against, (0.3, 0.4)), (squared, (0.1, 0.2))):
        assert [float(line[0].get_ydata()[-1]) for line in axes.containers] == list(slopes)


def test_curves_end_where_the_fit_does():
    first = draw(calibration()).axes[0]
    ends = {round(float(line.get_xdata()[-1]), 9) for line in first.get_lines() if len(line.get_xdata()) == 100}
    assert ends == {0.9, 0.7}


def test_blocks_without_weights_are_not_drawn():
    labels = [text.get_text() for text in draw(calibration()).axes[1].get_legend().get_texts()]
    assert labels == ["1", "2", "4"]


def test_a_compression_that_does_nothing_has_no_row():
    panel = next(axes for axes in draw(calibration()).axes if "bias" in axes.get_title())
    assert [text.get_text() for text in panel.get_yticklabels()] == ["update 8 bit", "drop 0.5"]


def test_many_compressions_are_cut_short():
    many = tuple(Compression(update_bits=bits) for bits in range(1, 17)) + VARIANTS[2:]
    panel = next(axes for axes in draw(calibration(many)).axes if "bias" in axes.get_title())
    assert len(panel.get_yticks()) == SHOWN


@pytest.mark.parametrize("far", [0.01, np.inf])
def test_intervals_without_end_are_left_out_of_a_picture_that_is_drawn_all_the_same(tmp_path, far):
    calibration_picture(calibration(far=far), tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(("compression", "said"), [
    (PLAIN, "none"), (Compression(update_bits=4, scales="channel"), "update 4 bit, scale a channel"),
    (Compression(dropout=0.25, dropout_kind="feature"), "drop 0.25, by feature")])
def test_a_compression_is_said_in_a_few_words(compression, said):
    assert words(asdict(compression)) == said
