"""What decisions rest on, and measuring it anew on the way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from learning import average
from learning.calibrate import GradientLost
from learning.calibration import Calibration
from learning.params import Params
from wirelessfl import calibration_file, prepare
from wirelessfl.decider import Decider
from wirelessfl.world import World, measure, world

MOMENTARY = ("bias", "scale", "exponent", "ratio_max", "compression_bias", "drift")      # relative to the gradient as it is


@dataclass(frozen=True)
class Known:
    """A calibration, and the policy that was prepared with it."""

    measured: Calibration
    decider: Decider


def calibrated(w: World, seed: int) -> Calibration:
    """What the scenario's file says of the world of its first seed; measured in this world, of ``seed``, if it names none."""
    s = w.scenario
    if not s.decision.calibration:
        return measure(w)
    return calibration_file.load(s.decision.calibration, w if seed == s.seed else world(s, s.seed))


def due(w: World, number: int) -> bool:
    """Whether what is known is measured anew before round ``number``: when client sides have just been averaged."""
    every = w.scenario.decision.recalibrate
    return bool(every and number) and number % math.lcm(every, w.algorithm.interval) == 0


def renewed(w: World, known: Known, models: Sequence[Params]) -> Known:
    """The same with the relative biases of the ``models`` that serve now (their mean); what the pilot gave otherwise stays.

    So do the biases late in a training, where too little is left of the gradient to measure anything relative to it.
    """
    try:
        here = measure(w, average.middle(models))
    except GradientLost:
        return known
    measured = replace(known.measured, **{name: getattr(here, name) for name in MOMENTARY})
    return Known(measured, prepare.renewed(known.decider, w, measured))
