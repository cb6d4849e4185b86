"""What a policy needs to know beforehand: the options that it fixes for all devices, and what a round's progress is worth."""

from dataclasses import replace

import numpy as np

from channels.links import Gains
from learning.calibration import Calibration
from optim.problem import Deadline
from wirelessfl import calibration_file
from wirelessfl.build import ONE_CUT
from wirelessfl.decider import Decider
from wirelessfl.options import grouped, intervals
from wirelessfl.policy import Policy
from wirelessfl.pricing import priced
from wirelessfl.schemes import check
from wirelessfl.standing import time_of_progress
from wirelessfl.world import World

FORECASTS = 32      # channels on which the worth of progress, and what is best for all, are found
RUNS = 9            # runs of so many channels, for the worth of progress in a typical one
FEW, SOME = 4, 8    # where there is more to choose from, so many channels tell what the best few are


def prepare(policy: Policy, w: World, measured: Calibration) -> Decider:
    """Try all that a policy has to fix, on sampled channels, and keep what reaches the target first by the bound.

    Of several intervals of averaging it is the one whose rounds take the least time for their progress, decisions standing from
    one averaging to the next (``wirelessfl.standing``).

    Algorithms whose cut cannot change during a run (``build.ONE_CUT``) have one common split under every policy.
    """
    s = w.scenario
    check(policy, w)
    policy = replace(policy, ratio=s.decision.fixed_ratio or policy.ratio) if policy.ratio else policy
    gamma, memory = calibration_file.fitted(s)
    least = 1.0 if policy.presence == "everyone" else s.decision.participation
    plain = Decider(policy, gamma, 1e-3 * s.decision.deadline_ms, s.decision.longest_s, participation=least,
                    memory=memory)
    common = not policy.splits or isinstance(w.algorithm, ONE_CUT)
    groups = grouped(w.options, cut=common, bits=not policy.bits, dropout=not policy.dropout)
    if common and s.decision.fixed_split:
        groups = [group for group in groups if w.options[group[0]].cut == s.decision.fixed_split]
    every = intervals(s, w.algorithm) if policy.interval else (w.algorithm.interval,)
    columns = [group if len(group) < len(w.options) else None for group in groups]
    some = max(SOME // len(every), 1)
    found = [_best([replace(plain, columns=each, interval=interval) for each in columns],
                   sampled_problem(replace(plain, interval=interval), w.averaging(interval), measured), some)
             for interval in every]
    best = found[0][1]
    if len(found) > 1:
        channels = _channels(w, FORECASTS)
        times = [(hopeless, time_of_progress(each, w.averaging(each.interval), measured, channels)) for hopeless, each in found]
        best = found[min(range(len(found)), key=lambda number: times[number])][1]
    return best if _runs(best) == 1 else renewed(best, w.averaging(best.interval), measured)


def _best(tries: list[Decider], sampled: Deadline, some: int) -> tuple[float, Decider]:
    """Of some ways to fix what is fixed, the one with the best forecast, and its share of channels without decision [1]."""
    if len(tries) > some:
        rough = sampled.rows(slice(FEW))
        tries = sorted(tries, key=lambda each: each.forecast(rough))[:some]
    forecasts = [each.forecast(sampled) for each in tries]
    best = min(range(len(tries)), key=lambda number: forecasts[number])
    return forecasts[best][0], replace(tries[best], worth=forecasts[best][1])


def renewed(decider: Decider, w: World, measured: Calibration) -> Decider:
    """The same policy after another measurement: what it fixed stays, the worth of progress is found anew.

    A mean over fades is what the rarest of them makes it: the time in a deep fade goes as one over its gain, of which Rayleigh
    fading has no mean, and most runs never meet what decides it. So it may be the median over several runs.
    """
    runs = _runs(decider)
    sampled = sampled_problem(decider, w, measured, runs * FORECASTS)
    return replace(decider, worth=float(np.median(worth_of_runs(decider, sampled, runs))))


def worth_of_runs(decider: Decider, sampled: Deadline, runs: int) -> list[float]:
    """The worth of progress on each of so many runs of ``FORECASTS`` channels, one after another in ``sampled`` [s]."""
    return [decider.forecast(sampled.rows(slice(begin, begin + FORECASTS)))[1] for begin in range(0, runs * FORECASTS, FORECASTS)]


def _runs(decider: Decider) -> int:
    """Of how many sampled runs the worth of progress is the median; where rounds have a deadline nothing is weighed by it."""
    return RUNS if decider.policy.worth == "typical" and not decider.deadline else 1


def sampled_problem(decider: Decider, w: World, measured: Calibration, count: int = FORECASTS) -> Deadline:
    """The problem on so many sampled channels, with transfers of client models as decisions count them."""
    return priced(w, measured, _channels(w, count), np.full((len(w.shards), 2), decider.often))


def _channels(w: World, count: int) -> Gains:
    return w.air.forecast(w.rng("forecast"), count, w.knowledge, w.scenario.decision.outage)
