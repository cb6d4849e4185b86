"""Policies: which levers a decision may pull, and how it is made in a round."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from channels.arrays import over
from channels.rates import LN2
from learning.calibration import Calibration
from optim.advice import advice
from optim.allocation import Allocation, Status
from optim.answer import at_full_power, statuses
from optim.band import least_band
from optim.costs import uplink_load
from optim.deadline import solve_kkt
from optim.fastest import LONGEST, least_deadline
from optim.problem import Deadline
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import time_to_accuracy, worth_of_progress
from wirelessfl.build import ONE_CUT
from wirelessfl.world import World, priced

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
    exponent : float
        gamma, of the progress (1 - Phi)^gamma [1].
    deadline : float
        Deadline of every round [s], or 0 to choose it.
    option : int or None
        The common split of policies that fix it, as an index into the world's cuts.
    longest : float
        What cannot be done within so long cannot be done, where there is no deadline [s].
    """

    policy: Policy
    exponent: float
    deadline: float
    longest: float = LONGEST
    worth: float = 0.0
    option: int | None = None

    def decide(self, whole: Deadline) -> Allocation:
        """The decision for one round's problem."""
        found = self.solve(self.allowed(whole))
        return found if self.option is None else replace(found, option=np.full(found.option.shape, self.option))

    def solve(self, p: Deadline) -> Allocation:
        """Decide a problem of which everything that it leaves open may be decided: of :meth:`allowed`, or a pinned one."""
        shares = self.shares(p)
        if not self.deadline:
            found = time_to_accuracy(p, self.worth, exponent=self.exponent, shares=shares)
        else:
            found = solve_kkt(p) if shares is None else solve_shares(p, shares)
            found = replace(found, status=Status.PROGRESS) if 1 <= found.objective < np.inf else found
        return found if self.policy.power else at_full_power(p, found)

    def shares(self, p: Deadline) -> NDArray | None:
        """The fixed fractions of the band (K,) [1], if it is not to be decided."""
        return None if self.policy.band else equal_shares(p.shape[-2])

    def forecast(self, sampled: Deadline) -> tuple[float, float]:
        """Share of a batch of channels without feasible decision [1]; mean time of a full round's progress on the others [s]."""
        p = self.allowed(sampled)
        hopeless = float(np.mean(np.isinf(least_deadline(p, self.shares(p)))))
        return hopeless, worth_of_progress(p, exponent=self.exponent, shares=self.shares(p))

    def in_time(self, found: Allocation, p: Deadline) -> Allocation:
        """The decision for ``p`` as it is, or, where there is none for so long a round, with what stands in the way."""
        done = found.status.feasible and (self.deadline or found.latency.max() <= self.longest)
        if done or found.status is Status.PROGRESS:
            return found
        return replace(found, status=statuses(self._bounded(p), np.array(False)).item(), objective=np.array(np.inf))

    def need(self, whole: Deadline) -> NDArray:
        """How much stands in the way of each device (K,), to tell whose case is the worst: its share of the band over what it
        may have, and, where no band is enough, more than any of those: how far it is from the deadline and its budget."""
        p = self._bounded(whole)
        keep = 1 - p.prune_max
        share = np.broadcast_to(least_band(p, np.broadcast_to(p.prune_max, p.shape))[0], p.shape).min(-1) / p.band
        air = over(*np.broadcast_arrays(uplink_load(p.costs, keep), (p.gain * p.peak_power / LN2)[..., None]))
        late = ((p.costs.fixed_time + keep * p.costs.kept_time + air) / p.deadline).min(-1)
        hungry = ((p.costs.fixed_energy + keep * p.costs.kept_energy) / p.energy_budget[..., None]).min(-1)
        hopeless = ~np.isfinite(share)
        shares = self.shares(p)
        own = np.where(hopeless, 0.0, share) / (1.0 if shares is None else shares)
        return np.where(hopeless, 1e100 * (1 + np.minimum(late + hungry, 1e100)), own)

    def advice(self, whole: Deadline, found: Allocation, names: NDArray | None = None) -> str:
        """What stood in the way of an infeasible decision, among what this policy may decide, and the cure.

        ``names`` (K,) are the numbers of the devices, if they are not counted from 0.
        """
        p = self._bounded(whole)
        return advice(p, found, self.shares(p), names)

    def _bounded(self, whole: Deadline) -> Deadline:
        p = self.allowed(whole)
        return replace(p, deadline=np.array(self.deadline or self.longest))

    def allowed(self, p: Deadline) -> Deadline:
        """The problem with what this policy may not decide taken out: one option for all, or no pruning."""
        if self.option is not None:
            p = p.of(np.full(p.shape[-2], self.option))
        return p if self.policy.pruning else replace(p, prune_max=p.prune_min)


def prepare(policy: Policy, w: World, measured: Calibration) -> Decider:
    """Find what a policy needs to know beforehand: the worth of progress, and the best common split if it has one.

    Algorithms whose cut cannot change during a run (``build.ONE_CUT``) have one common split under every policy.
    """
    s = w.scenario
    gains = w.air.forecast(w.rng("forecast"), FORECASTS, w.knowledge, s.decision.outage)
    sampled = priced(w, measured, gains, np.full((len(w.shards), 2), 1 / s.training.interval))
    plain = Decider(policy, s.decision.exponent, 1e-3 * s.decision.deadline_ms, s.decision.longest_s)
    if policy.splits and not isinstance(w.algorithm, ONE_CUT):
        tries = [plain]
    elif s.decision.fixed_split:
        tries = [replace(plain, option=w.cuts.index(s.decision.fixed_split))]
    else:
        tries = [replace(plain, option=o) for o in range(len(w.cuts))]
    forecasts = [each.forecast(sampled) for each in tries]
    best = min(range(len(tries)), key=lambda number: forecasts[number])
    return replace(tries[best], worth=forecasts[best][1])


def cuts_of(w: World, found: Allocation) -> NDArray:
    """The cut of each device (K,)."""
    return np.array(w.cuts)[found.option]
