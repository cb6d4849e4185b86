"""Policies: which levers a decision may pull, and how it is made in a round."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.calibration import Calibration
from optim.allocation import Allocation
from optim.answer import at_full_power
from optim.deadline import solve_kkt
from optim.problem import Deadline
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import time_to_accuracy, worth_of_progress
from wirelessfl.build import World, problem

FORECASTS = 32      # channels on which the worth of progress, and the best common split, are found beforehand


@dataclass(frozen=True)
class Policy:
    """What may be decided per device; what may not is common to all devices, or not done."""

    splits: bool = True          # otherwise one common split
    pruning: bool = True         # otherwise nothing is pruned
    band: bool = True            # otherwise in equal shares
    power: bool = True           # otherwise everyone sends at full power


POLICIES = {
    "joint": Policy(),
    "equal-band": Policy(band=False),
    "fixed-split": Policy(splits=False),
    "no-pruning": Policy(pruning=False),
    "equal": Policy(splits=False, pruning=False, band=False, power=False),
}


@dataclass(frozen=True)
class Decider:
    """A policy ready to decide in one world.

    Attributes
    ----------
    worth : float
        Seconds that a round's progress is worth, found on sampled channels; also the forecast of the mean time that
        a full round's progress takes [s].
    option : int or None
        The common split of policies that fix it, as an index into the world's cuts.
    """

    policy: Policy
    exponent: float
    deadline: float
    worth: float = 0.0
    option: int | None = None

    def decide(self, whole: Deadline) -> Allocation:
        """The decision for one round's problem."""
        p, shares = self._allowed(whole), None if self.policy.band else equal_shares(whole.shape[-2])
        if self.deadline:
            found = solve_kkt(p) if shares is None else solve_shares(p, shares)
        else:
            found = time_to_accuracy(p, self.worth, exponent=self.exponent, shares=shares)
        if not self.policy.power:
            found = at_full_power(p, found)
        return found if self.option is None else replace(found, option=np.full(found.option.shape, self.option))

    def share(self, pinned: Deadline) -> Allocation:
        """Band and power alone, for splits and ratios that are fixed: the shortest round."""
        return replace(self, option=None, policy=replace(self.policy, splits=True, pruning=True)).decide(pinned)

    def forecast(self, sampled: Deadline) -> float:
        """Mean seconds of a full round's progress over a batch of channels."""
        shares = None if self.policy.band else equal_shares(sampled.shape[-2])
        return worth_of_progress(self._allowed(sampled), exponent=self.exponent, shares=shares)

    def _allowed(self, p: Deadline) -> Deadline:
        if self.option is not None:
            p = p.of(np.full(p.shape[-2], self.option))
        return p if self.policy.pruning else replace(p, prune_max=p.prune_min)


def prepare(policy: Policy, w: World, measured: Calibration) -> Decider:
    """Find what a policy needs to know beforehand: the worth of progress, and the best common split if it has one."""
    s = w.scenario
    gains = w.placement.draw(w.rng("forecast"), blocks=FORECASTS)
    spread = 1 / s.training.interval
    sampled = problem(w, measured, gains, spread, spread)
    plain = Decider(policy, s.decision.exponent, 1e-3 * s.decision.deadline_ms)
    if policy.splits:
        tries = [plain]
    elif s.decision.fixed_split:
        tries = [replace(plain, option=w.cuts.index(s.decision.fixed_split))]
    else:
        tries = [replace(plain, option=o) for o in range(len(w.cuts))]
    forecasts = [each.forecast(sampled) for each in tries]
    best = int(np.argmin(forecasts))
    return replace(tries[best], worth=forecasts[best])


def cuts_of(w: World, found: Allocation) -> NDArray:
    """The cut of each device (K,)."""
    return np.array(w.cuts)[found.option]
