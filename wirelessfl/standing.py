"""What a round takes where a decision stands for several: splits, ratios and compression as decided for the first channel, the
others on channels of their own.

Rounds between two averagings share a decision, and rare averagings save transfers at the price of decisions that are old.
"""

import numpy as np

from channels.links import Gains
from learning.calibration import Calibration
from optim.worth import Worth
from wirelessfl.decide import transfers
from wirelessfl.decider import Decider
from wirelessfl.pricing import priced
from wirelessfl.world import World


def time_of_progress(decider: Decider, w: World, measured: Calibration, gains: Gains) -> float:
    """Mean time of a full round's progress [s] over all rounds from one decision to the next; ``inf`` where there is none.

    Parameters
    ----------
    w : World
        With client sides averaged at the decider's interval.
    gains : Gains
        Sampled channels (S, K) [1], independent of each other: as if links faded afresh in each round.

    Notes
    -----
    Decided is on costs spread over the interval, or those of the dearest round, and then paid what each round transfers, as in
    ``wirelessfl.decide``. Channels on which a device could not afford one of the rounds are not counted.
    """
    if not np.isfinite(decider.worth):
        return float("inf")
    interval, devices = w.algorithm.interval, len(w.shards)
    p = decider.allowed(priced(w, measured, gains, np.full((devices, 2), decider.often)))
    found = decider.solve(p, so_far=Worth.prior(decider.worth, exponent=decider.exponent))
    rounds, time = w.stands, np.zeros(len(gains.up))
    for number in range(rounds):
        now = Gains(*(np.roll(each, -number, axis=0) for each in gains))
        often = transfers(w.algorithm, number, np.full(devices, number % interval > 0))
        time += decider.lasting(decider.allowed(priced(w, measured, now, often)).pinned(found.option, found.ratio))
    return decider.mean_time(time / rounds, found.objective)
