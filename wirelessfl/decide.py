"""Who takes part in a round, and what is decided for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from learning.algorithm import Algorithm
from learning.calibration import Calibration
from optim.allocation import Allocation, Status
from optim.answer import at_full_power
from optim.problem import Deadline
from wirelessfl.policy import Decider
from wirelessfl.world import World, priced

Solve = Callable[[NDArray], tuple[Allocation, Deadline]]     # the decision for some devices (K,), and what it solves
TINY = 1e-300


@dataclass(frozen=True)
class Decision:
    """What was decided for a round.

    Attributes
    ----------
    who : (K,) bool array
        Devices that take part; all others have no row in ``now``.
    now : Allocation
        The round itself.
    problem : Deadline
        What it is a solution of.
    chosen : (K,) bool array
        Devices that had a part in the decision that stands.
    standing : Allocation
        The decision that stands, whose splits and ratios the next rounds may keep; a row for each of the ``chosen``.
    cuts : tuple of int
        What options stand for.
    idle : float
        How long the server waits for better channels, where nobody takes part [s].
    advice : str
        What stood in the way, where that ends the run.
    """

    who: NDArray
    now: Allocation
    problem: Deadline
    chosen: NDArray
    standing: Allocation
    cuts: tuple[int, ...]
    idle: float = 0.0
    advice: str = ""

    @cached_property
    def plan(self) -> Allocation:
        """The round with a row for every device (K,), of zeros for those that were left out."""
        return self.now.among(self.who)

    @property
    def cut(self) -> NDArray:
        """Blocks on each device (K,); 0 for those that were left out."""
        return np.where(self.who, np.array(self.cuts)[self.plan.option], 0)


@dataclass(frozen=True)
class Scene:
    """What a round is decided on; (K,).

    Attributes
    ----------
    number : int
        Of the round.
    seen : Gains
        What the gains are taken for [1].
    battery : array
        Energy that is left [J].
    holds : bool array
        Whether a device has the client side that it trains, and need not download it.
    """

    number: int
    seen: Gains
    battery: NDArray
    holds: NDArray


def transfers(algorithm: Algorithm, number: int, holds: NDArray) -> NDArray:
    """How often the client models go down and up (K, 2) in a round: down to who has none, up at the end of an interval."""
    last = float((number + 1) % algorithm.interval == 0)
    return np.stack([1.0 - holds, np.full(holds.shape, last)], axis=-1)


def decide(w: World, measured: Calibration, decider: Decider, scene: Scene, before: Decision | None = None) -> Decision:
    """Decide a round.

    Splits and ratios are decided when client sides have just been averaged, on the costs spread over the interval;
    in between, and on each round's own costs, only band and power are. Decided "once", on the mean channel, everything
    stays as it is and devices send at full power: a deadline is then not kept.

    Devices that cannot take part are left out, if the scenario allows it: those without a link, those that stand in the way of
    a deadline, those whose energy budgets or batteries hold less than the round takes. Where nobody is left, the server waits
    for as long as a round may last, if there is a deadline and there was a round before; else the run is over.
    """
    interval, once = w.algorithm.interval, w.scenario.decision.when == "once"
    everyone, energy = w.scenario.decision.absent == "stop", scene.battery

    def kept(who: NDArray) -> tuple[Allocation, Deadline]:
        mine = standing.devices(who[chosen])
        p = priced(w, measured, scene.seen, transfers(w.algorithm, scene.number, scene.holds), who)
        if once:
            return at_full_power(p, mine), replace(p, deadline=np.array(decider.patience))
        p = p.pinned(mine.option, mine.ratio)
        return replace(decider.solve(p), option=mine.option, ratio=mine.ratio), p

    if before is None or not before.chosen.any() or (scene.number % interval == 0 and not once):
        basis, own = Gains(w.air.mean_gain, w.air.mean_gain) if once else scene.seen, interval == 1 and not once
        chosen, standing, p = afresh(w, measured, decider, basis, 1 / interval, energy if own else energy + np.inf)
        if own or not standing.status.feasible:
            return _closed(Decision(chosen, standing, p, chosen, standing, w.cuts), decider, scene, before, everyone)
    else:
        chosen, standing = before.chosen, before.standing
    budget = 1e-3 * w.scenario.devices.energy_budget_mj or np.inf
    now = _most(kept, decider, chosen, np.minimum(energy, budget) if once else energy, everyone)
    return _closed(Decision(*now, chosen, standing, w.cuts), decider, scene, before, everyone)


def afresh(w: World, measured: Calibration, decider: Decider, gains: Gains, times: float, energy: NDArray,
           ) -> tuple[NDArray, Allocation, Deadline]:
    """Who can take part (K,), the decision for them, and what it solves: at gains (K,) [1], with so much energy (K,) left [J].

    The transfers of client models count so many ``times``.
    """
    def whole(who: NDArray) -> tuple[Allocation, Deadline]:
        p = priced(w, measured, gains, np.full((len(who), 2), times), who)
        return decider.decide(p), p

    return _most(whole, decider, np.ones(energy.shape, bool), energy, w.scenario.decision.absent == "stop")


def _most(solve: Solve, decider: Decider, who: NDArray, energy: NDArray, everyone: bool) -> tuple[NDArray, Allocation, Deadline]:
    """The decision for as many of ``who`` as there is one for: while there is none, those that stand in its way are left out.

    Where nobody is left, the last one, with what stood in its way.
    """
    while True:
        now, p = solve(who)
        stay = _may_stay(decider, p, now, energy[who])
        if everyone or stay.all() or not stay.any():
            if now.status.feasible and not stay.all():
                now = replace(now, status=Status.ENERGY if decider.alone(p).all() else Status.LINK)
            return who, now, p
        rest = who.copy()
        rest[who] = stay
        who = rest


def _may_stay(decider: Decider, p: Deadline, now: Allocation, energy: NDArray) -> NDArray:
    """Devices that need not leave the round: all that could do it alone, but the one in greatest need of band or energy."""
    stay = decider.alone(p)
    if not stay.all() or now.status is Status.PROGRESS:
        return stay
    if not now.status.feasible:
        need = decider.least_shares(p)
        return need < need.max()
    want = now.energy / np.maximum(energy, TINY)
    return (want <= 1) | (want < want.max())


def _closed(found: Decision, decider: Decider, scene: Scene, before: Decision | None, everyone: bool) -> Decision:
    """The decision, if there is one; a wait for better channels; or the end of the run, and why."""
    if found.now.status.feasible:
        return found
    if np.any(found.now.energy > scene.battery[found.who]):
        return replace(found, advice="the batteries hold less than the round takes: larger ones, or fewer rounds")
    if decider.deadline and before is not None and not everyone:
        nothing = replace(found.now.devices(np.arange(0)), status=Status.OPTIMAL, objective=np.array(1.0))
        return replace(found, who=found.who & False, now=nothing, chosen=found.chosen & found.standing.status.feasible,
                       idle=decider.deadline)
    return replace(found, advice=decider.advice(found.problem, found.now, np.flatnonzero(found.who)))
