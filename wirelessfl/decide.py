"""Who takes part in a round, and what is decided for them."""

import math
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
from optim.worth import Worth
from wirelessfl.decider import Decider
from wirelessfl.options import Option
from wirelessfl.pricing import priced
from wirelessfl.world import World

Solve = Callable[[NDArray, NDArray], tuple[Allocation, Deadline]]      # of some devices (K,), with so much energy (K,) [J] each
SLOWER = 10.0        # a battery may stretch a round by so much; who asks for more is left out
ROUNDS = 20          # that the server waits for a device that can take part


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
    options : tuple of Option
        What options stand for.
    waited : int
        How many rounds nobody has taken part in, this one included.
    lasts : float
        Planned time of the round; where nobody takes part, how long the server waits [s].
    so_far : Worth or None
        Times and progress of the rounds that were planned, this one included.
    advice : str
        What stood in the way, where that ends the run.
    """

    who: NDArray
    now: Allocation
    problem: Deadline
    chosen: NDArray
    standing: Allocation
    options: tuple[Option, ...]
    waited: int = 0
    lasts: float = 0.0
    so_far: Worth | None = None
    advice: str = ""

    @cached_property
    def plan(self) -> Allocation:
        """The round with a row for every device (K,), of zeros for those that were left out."""
        return self.now.among(self.who)

    @property
    def chosen_options(self) -> list[Option]:
        """The option of each device (K,); of those that were left out, any."""
        return [self.options[number] for number in self.plan.option]

    @property
    def cut(self) -> NDArray:
        """Blocks on each device (K,); 0 for those that were left out."""
        return np.where(self.who, [option.cut for option in self.chosen_options], 0)


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


def stands(w: World) -> int:
    """Rounds from one decision of splits, ratios and compression to the next."""
    return math.lcm(w.algorithm.interval, w.scenario.decision.every)


def decide(w: World, measured: Calibration, decider: Decider, scene: Scene, before: Decision | None = None) -> Decision:
    """Decide a round.

    Splits, ratios and compression are decided when client sides have just been averaged, or every few such times; in between
    only band and power are. That is done on costs spread over the interval, or, where each round has a deadline or energy would
    not do for it, on those of the dearest. Decided "once", on the mean channel, everything stays as it is and devices send at
    full power: a deadline is then not kept.

    Devices that cannot take part are left out, if the scenario allows it. Where nobody is left, the server waits for as long as
    a round may last, or the last one did; after some such rounds the run is over, as it is if that is its first.
    """
    interval, once = w.algorithm.interval, w.scenario.decision.when == "once"
    everyone = w.scenario.decision.absent == "stop"
    last = (None, None) if before is None else (before.now if before.now.status.feasible else None, before.so_far)

    def kept(who: NDArray, energy: NDArray) -> tuple[Allocation, Deadline]:
        mine = standing.devices(who[chosen])
        p = priced(w, measured, scene.seen, transfers(w.algorithm, scene.number, scene.holds), who, energy)
        p = p.pinned(mine.option, mine.ratio)
        now = at_full_power(replace(p, deadline=np.array(decider.longest)), mine) if once else decider.solve(p, *last)
        return replace(now, option=mine.option, ratio=mine.ratio), p

    again = scene.number % stands(w) == 0 and not once
    if before is None or not before.chosen.any() or again:
        basis, own = Gains(w.air.mean_gain, w.air.mean_gain) if once else scene.seen, interval == 1 and not once
        chosen, standing, p = afresh(w, measured, decider, basis, decider.often, scene.battery * decider.often, *last)
        if decider.often < 1 and standing.status.feasible and np.isfinite(p.energy_budget).any():
            dear = priced(w, measured, basis, np.ones((len(chosen), 2)), chosen, scene.battery)
            if decider.lasting(dear.pinned(standing.option, standing.ratio)) > decider.longest:
                chosen, standing, p = afresh(w, measured, decider, basis, 1.0, scene.battery, *last)
        if own or not standing.status.feasible:
            return _closed(Decision(chosen, standing, p, chosen, standing, w.options), decider, scene, before, everyone)
    else:
        chosen, standing = before.chosen, before.standing
    patient = replace(decider, deadline=0.0) if once else decider
    budget = 1e-3 * w.scenario.devices.energy_budget_mj or np.inf
    found = _most(kept, patient, chosen, np.minimum(scene.battery, budget) if once else scene.battery, everyone)
    return _closed(Decision(*found, chosen, standing, w.options), patient, scene, before, everyone)


def afresh(w: World, measured: Calibration, decider: Decider, gains: Gains, times: float, energy: NDArray,
           start: Allocation | None = None, so_far: Worth | None = None) -> tuple[NDArray, Allocation, Deadline]:
    """Who can take part (K,), the decision for them, and what it solves: at gains (K,) [1], with so much energy (K,) left [J].

    The transfers of client models count so many ``times``; ``start`` and ``so_far`` as of ``Decider.solve``.
    """
    def whole(who: NDArray, energy: NDArray) -> tuple[Allocation, Deadline]:
        p = priced(w, measured, gains, np.full((len(who), 2), times), who, energy)
        return decider.decide(p, start, so_far), p

    return _most(whole, decider, np.ones(energy.shape, bool), energy, w.scenario.decision.absent == "stop")


def _most(solve: Solve, decider: Decider, who: NDArray, energy: NDArray, everyone: bool) -> tuple[NDArray, Allocation, Deadline]:
    """The decision for as many of ``who`` as there is one for: while there is none, who stands in its way most is left out.

    Where that would be the last one, what it was for all of them, infeasible.
    """
    at_first = None
    while True:
        now, p = solve(who, energy + np.inf)
        now = decider.in_time(now, p)
        want = now.energy / np.maximum(energy[who], 1e-300)
        if now.status.feasible and np.any(want > 1):
            poor, q = solve(who, energy)
            poor = decider.in_time(poor, q)
            if poor.status.feasible and np.all(poor.energy <= energy[who] * (1 + 1e-9)) and _lasts(poor) <= SLOWER * _lasts(now):
                return who, poor, q
            now, p = replace(now, status=Status.ENERGY), q
        elif not now.status.feasible:
            want = decider.need(p)
        if now.status.feasible or now.status is Status.PROGRESS:
            return who, now, p
        at_first = (who, now, p) if at_first is None else at_first
        if everyone or len(want) == 1:
            return at_first
        who = who.copy()
        who[np.flatnonzero(who)[np.argmax(want)]] = False


def _lasts(now: Allocation) -> float:
    return float(now.latency.max())


def _closed(found: Decision, decider: Decider, scene: Scene, before: Decision | None, everyone: bool) -> Decision:
    """The decision, if there is one; a wait for better channels; or the end of the run, and why."""
    so_far = None if before is None else before.so_far
    if found.now.status.feasible:
        return replace(found, lasts=_lasts(found.now), so_far=decider.after(so_far, found.now))
    if before is None or before.waited >= ROUNDS or found.now.status is Status.PROGRESS or everyone:
        advice = decider.advice(found.problem, found.now, np.flatnonzero(found.who))
        batteries = found.now.status is Status.ENERGY and np.isfinite(scene.battery).any()
        return replace(found, advice=advice + ("; what is left in the batteries is a budget, too" if batteries else ""))
    nothing = replace(found.now.devices(np.arange(0)), status=Status.WAITING)
    return replace(found, who=found.who & False, now=nothing, chosen=found.chosen & found.standing.status.feasible,
                   waited=before.waited + 1, lasts=decider.deadline or before.lasts, so_far=so_far)
