import numpy as np
import pytest

from learning.calibrate import RATIOS
from learning.calibration import fit_power_law


@pytest.mark.parametrize(("scale", "exponent"), [(0.5, 1.0), (0.7, 1.8), (0.01, 3.0)])
def test_an_exact_power_law_is_found(scale, exponent):
    ratios = np.array(RATIOS)
    found = fit_power_law(ratios, scale * ratios**exponent, most_bias=0.75)
    assert found == pytest.approx((scale, exponent, 1.0), rel=1e-9)       # it stays below 0.75 up to a ratio of one


def test_the_exponent_is_never_below_one():
    scale, exponent, _ = fit_power_law(np.array([0.1, 0.4]), np.array([0.1, 0.2]), most_bias=0.75)
    assert exponent == 1
    assert scale == pytest.approx((0.1 / 0.1 * 0.2 / 0.4) ** 0.5)         # the mean of the logarithms


@pytest.mark.parametrize(("bias", "crossing"), [
    ((0.02, 0.125, 0.5, 0.98, 1.62), 0.5 + 0.2 * 0.25 / 0.48),            # 2 rho^2: its chord from 0.5 to 0.7 crosses first
    ((0.01, 0.025, 0.05, 2.05, 3.0), 0.5 + 0.2 * 0.70 / 2.00),            # rho / 10, and then a jump
    ((0.30, 0.75, 1.50, 2.10, 2.7), 0.25),                                # 3 rho, to the limit on a point
    ((1.50, 2.0, 3.0, 4.0, 5.0), 0.05)])                                  # above from the first: a line through it
def test_the_largest_ratio_is_where_the_curve_crosses_the_most_bias(bias, crossing):
    assert fit_power_law(np.array(RATIOS), np.array(bias), most_bias=0.75)[2] == pytest.approx(crossing, rel=1e-9)


def test_a_bias_that_was_not_seen_is_left_out():
    ratios, bias = np.array(RATIOS), 0.7 * np.array(RATIOS) ** 1.8
    bias[:2] = 0.0
    assert fit_power_law(ratios, bias, most_bias=0.75)[:2] == pytest.approx((0.7, 1.8), rel=1e-9)


def test_points_above_the_most_bias_are_not_fitted():
    ratios, bias = np.array(RATIOS), 0.9 * np.array(RATIOS) ** 1.5
    bias[3:] = 1.0, 0.1                                                   # also not where the curve comes back
    assert fit_power_law(ratios, bias, most_bias=0.75)[:2] == pytest.approx((0.9, 1.5), rel=1e-9)
