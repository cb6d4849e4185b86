"""What decisions rest on, and measuring it anew on the way."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from learning import average
from learning.calibrate import GradientLost
from learning.calibration import Calibration
from learning.params import Params
from wirelessfl import calibration_file, prepare
from wirelessfl.decider import Decider
from wirelessfl.options import compressions, intervals
from wirelessfl.world import World, measure, world

# what is relative to the gradient as it is
MOMENTARY = ("bias", "scale", "exponent", "ratio_max", "compression_bias", "drift", "misalignment", "dissimilarity")
LEAST = 1e-12        # scale of the bias of pruning where it shall not count, for it must not be 0


@dataclass(frozen=True)
class Known:
    """A calibration, and the policy that was prepared with it."""

    measured: Calibration
    decider: Decider


def indifferent(w: World) -> Calibration:
    """A calibration by which nothing costs progress: it takes no pilot, and is enough where a policy has nothing to weigh."""
    cuts, ways = tuple(dict.fromkeys(w.cuts.tolist())), compressions(w.scenario, w.algorithm)
    every = tuple(dict.fromkeys((1, w.algorithm.interval, *intervals(w.scenario, w.algorithm))))
    c, blocks = len(cuts), (0.0,) * len(w.net)
    none, apart = ((0.0,) * len(ways),) * c, ((0.0,) * len(every),) * c
    return Calibration(
        cuts=cuts, ratios=(1.0,), bias=((0.0,),) * c, scale=(LEAST,) * c, exponent=(1.0,) * c, ratio_max=(1.0,) * c,
        compressions=tuple(map(asdict, ways)), compression_bias=none, compression_noise=none, intervals=every,
        drift=apart, misalignment=apart, energy=((0.0,),) * len(w.net), sampling_noise=0.0, square=1.0, dissimilarity=1.0,
        smoothness=1.0, start=1.0, sampling=blocks, gradient=blocks, weight=blocks, rounds=1, errors={})


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
