"""Calibrations with constants that are wrong, for ``benchmarks.robustness``: each by a factor, or put to the wrong cuts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from learning.calibration import Calibration, fit_power_law, plainly

Wrong = Callable[[Calibration], Calibration]
PER_CUT = ("bias", "scale", "exponent", "ratio_max", "compression_bias", "compression_noise", "drift", "misalignment")
FACTOR, MOST_BIAS = 3.0, 0.75


def pruning(c: Calibration, factor: float) -> Calibration:
    """kappa of every cut and ratio so many times, at most one, and the law fitted to that."""
    bias = np.minimum(factor * np.array(c.bias), 1.0)
    fits = np.array([fit_power_law(np.array(c.ratios), row, MOST_BIAS) for row in bias]).T
    return replace(c, bias=plainly(bias), **dict(zip(("scale", "exponent", "ratio_max"), map(plainly, fits), strict=True)))


def scaled(*names: str) -> Callable[[Calibration, float], Calibration]:
    """Fields so many times."""
    def change(c: Calibration, factor: float) -> Calibration:
        return replace(c, **{name: plainly(factor * np.array(getattr(c, name))) for name in names})

    return change


def everything(c: Calibration, factor: float) -> Calibration:
    """All that decisions cost so many times; the loss to be gained, which they are measured by, so many times less."""
    return CHANGES["loss to gain"](_costs(pruning(c, factor), factor), 1 / factor)


def reversed_cuts(c: Calibration) -> Calibration:
    """What was measured of the shallowest cut is taken for the deepest, and so on."""
    return replace(c, **{name: getattr(c, name)[::-1] for name in PER_CUT})


_costs = scaled("compression_bias", "compression_noise", "misalignment", "sampling_noise")
CHANGES: dict[str, Callable[[Calibration, float], Calibration]] = {
    "pruning": pruning, "compression": scaled("compression_bias", "compression_noise"), "drift": scaled("misalignment"),
    "sampling noise": scaled("sampling_noise"), "loss to gain": scaled("start"), "everything": everything}


def _by(change: Callable[[Calibration, float], Calibration], factor: float) -> Wrong:
    return lambda c: change(c, factor)


CASES: dict[str, Wrong] = {
    "right": lambda c: c,
    **{f"{name} {sign} 3": _by(change, FACTOR if sign == "x" else 1 / FACTOR)
       for name, change in CHANGES.items() for sign in ("/", "x")},
    "cuts reversed": reversed_cuts}
