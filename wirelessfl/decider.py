"""A policy at work: what it may decide is taken out of a round's problem, and solved."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from channels.arrays import over
from channels.rates import LN2
from optim.advice import advice
from optim.allocation import Allocation, Status
from optim.answer import at_full_power, statuses
from optim.band import least_band
from optim.costs import uplink_load
from optim.deadline import solve_kkt
from optim.fastest import LONGEST, least_deadline
from optim.problem import Deadline
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import telling_progress, time_to_accuracy, worth_of_progress
from optim.worth import Goal, Worth, progress
from wirelessfl.policy import Policy
from wirelessfl.schemes import SCHEMES

WINDOW = 20.0       # rounds over which the price of progress is looked at where devices may sit out


@dataclass(frozen=True)
class Decider:
    """A policy ready to decide in one world.

    Attributes
    ----------
    worth : float
        Seconds that a round's progress is worth, found on sampled channels; also the forecast of the mean time that
        a full round's progress takes; of a published scheme, the mean of its own times (``Scheme.times``) [s].
    exponent : float
        gamma, of the progress (1 - Phi)^gamma [1].
    deadline : float
        Deadline of every round [s], or 0 to choose it.
    columns : tuple of int or None
        The options that the policy leaves to choose from, by their numbers in the world; None leaves all.
    interval : int
        Rounds from one averaging of client sides to the next.
    longest : float
        What cannot be done within so long cannot be done, where there is no deadline [s].
    participation : float
        Least share of the rounds that are planned with a device; below 1 it may sit a round out [1].
    memory : float
        Rounds over which what absent devices would have said is averaged before it counts (``optim.absence``) [rounds].
    """

    policy: Policy
    exponent: float
    deadline: float
    longest: float = LONGEST
    worth: float = 0.0
    columns: tuple[int, ...] | None = None
    interval: int = 1
    participation: float = 1.0
    memory: float = 1.0

    @property
    def often(self) -> float:
        """How often the transfers of client models count where a decision is made for all rounds of an interval [1]: spread over
        them, or, where each round has a deadline, as in the dearest."""
        return 1.0 if self.deadline else 1 / self.interval

    def decide(self, whole: Deadline, start: Allocation | None = None, so_far: Worth | None = None) -> Allocation:
        """The decision for one round's problem; parameters as of :meth:`solve`."""
        found = self.solve(self.allowed(whole), start, so_far)
        return found if self.columns is None else replace(found, option=np.array(self.columns)[found.option])

    def own(self, found: Allocation) -> Allocation:
        """A decision with its options counted as in :meth:`allowed`."""
        return found if self.columns is None else replace(found, option=np.searchsorted(self.columns, found.option))

    def solve(self, p: Deadline, start: Allocation | None = None, so_far: Worth | None = None) -> Allocation:
        """Decide a problem of which everything that it leaves open may be decided: of :meth:`allowed`, or a pinned one.

        From the last round's decision on, if there is a ``start``; ``so_far`` is what was seen of times and progress.
        """
        if self.policy.scheme:
            return SCHEMES[self.policy.scheme].solve(p, self.deadline, self.worth)
        shares = self.shares(p)
        if not self.deadline:
            greedy = self.policy.worth == "greedy" or (self.policy.worth == "online" and so_far is None)
            worth = None if greedy else self.price(so_far)
            found = time_to_accuracy(p, worth, exponent=self.exponent, shares=shares, start=start)
        else:
            found = telling_progress(solve_kkt(p) if shares is None else solve_shares(p, shares))
        return found if self.policy.power else at_full_power(p, found)

    def price(self, so_far: Worth | None) -> float:
        """What a full round's progress is worth [s]: where devices may sit out, or progress is priced as rounds go by, what it
        has taken ``so_far``; otherwise, and at the beginning, as found beforehand."""
        running = self.participation < 1 or self.policy.worth in ("online", "greedy")
        return so_far.price if so_far and running else self.worth

    def shares(self, p: Deadline) -> NDArray | None:
        """The fixed fractions of the band (K,) [1], if it is not to be decided."""
        return None if self.policy.band else equal_shares(p.shape[-2])

    def after(self, so_far: Worth | None, now: Allocation, absence: float) -> Worth | None:
        """What was seen of times and progress, with one more round, in which those absent cost ``absence`` [1].

        It begins with the first round that makes some; where devices may sit out, with what was found beforehand, for all, as if
        some rounds had been, which is soon too high and forgotten.
        """
        time, loss = float(now.latency.max()), float(now.objective) + absence
        window = WINDOW if self.participation < 1 else np.inf
        if so_far is None and self.participation < 1 and 0 < self.worth < np.inf:
            so_far = Worth.prior(self.worth, exponent=self.exponent, window=window)
        if so_far is None:
            return Worth(time, float(progress(np.array(loss), self.exponent)), self.exponent, window) if loss < 1 else None
        return so_far.after(time, loss)

    def cost(self, now: Allocation, absence: float, worth: float) -> float:
        """T - worth (1 - Phi)^gamma of a round in which those absent cost ``absence`` [s]; ``inf`` where it makes no progress.

        The round itself was decided as if nobody were absent, which is the same for gamma = 1 and a price that is given.
        """
        if not now.status.feasible:
            return float("inf")
        return float(Goal(worth, self.exponent).score(now.latency.max(), now.objective + absence))

    def forecast(self, sampled: Deadline) -> tuple[float, float]:
        """Share of a batch of channels without feasible decision [1]; mean time of a full round's progress on the others [s].

        Where a deadline can be kept on none, the time is that of rounds without one.
        """
        p = self.allowed(sampled)
        if self.policy.scheme:
            times = SCHEMES[self.policy.scheme].times(p)
            there = np.isfinite(times)
            return float(np.mean(~there)), float(np.mean(times[there])) if there.any() else np.inf
        if self.deadline and np.isfinite((found := self.solve(p)).objective).any():
            there = np.isfinite(found.objective)
            return float(np.mean(~there)), self.mean_time(np.where(there, found.latency.max(-1), np.inf), found.objective)
        hopeless = 1.0 if self.deadline else float(np.mean(np.isinf(least_deadline(p, self.shares(p)))))
        return hopeless, worth_of_progress(p, exponent=self.exponent, shares=self.shares(p))

    def mean_time(self, time: NDArray, loss: NDArray) -> float:
        """Mean time of a full round's progress [s], where rounds (S,) take a ``time`` [s] and lose Phi [1]; of those that can be
        done and lose less than all, ``inf`` where there is none."""
        usable = np.isfinite(time) & (loss < 1)
        gained = progress(loss, self.exponent)
        return float(time[usable].sum() / gained[usable].sum()) if usable.any() else float("inf")

    def lasting(self, pinned: Deadline) -> NDArray:
        """How long rounds (...,) take whose options and ratios are fixed [s]; ``inf`` where they cannot be done."""
        if not self.deadline:
            return least_deadline(pinned, self.shares(pinned))
        found = self.solve(pinned)
        return np.where(np.isfinite(found.objective), found.latency.max(-1), np.inf)

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
        share = np.broadcast_to(least_band(p, np.broadcast_to(p.prune_max, p.shape)), p.shape).min(-1) / p.band
        air = over(*np.broadcast_arrays(uplink_load(p.costs, keep), (p.gain * p.peak_power / LN2)[..., None]))
        late = ((p.costs.fixed_time + keep * p.costs.kept_time + air) / p.deadline).min(-1)
        hungry = ((p.costs.fixed_energy + keep * p.costs.kept_energy) / p.energy_budget[..., None]).min(-1)
        hopeless = ~np.isfinite(share)
        shares = self.shares(p)
        own = np.where(hopeless, 0.0, share) / (1.0 if shares is None else shares)
        return np.where(hopeless, 1e100 * (1 + np.minimum(late + hungry, 1e100)), own)

    def alone(self, whole: Deadline) -> NDArray:
        """The least time that each device (K,) would need by itself, with the whole band and pruned to the limit [s]; ``inf``
        for never."""
        p = self.allowed(whole).alone()
        return least_deadline(p, np.ones(p.shape[:-1]))

    def able(self, whole: Deadline) -> NDArray:
        """Whether each device (K,) could do its round by itself."""
        able: NDArray = self.alone(whole) <= (self.deadline or self.longest)
        return able

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
        """The problem with what this policy may not decide taken out: options that are not left, or pruning."""
        p = p if self.columns is None else p.columns(self.columns)
        if self.policy.pruning:
            return p
        fixed = np.minimum(self.policy.ratio, p.prune_max)
        return replace(p, prune_max=fixed, prune_min=fixed)
