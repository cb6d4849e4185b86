"""One round's decision: made afresh, or one that stands, or a wait."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from learning.algorithm import Algorithm
from learning.calibration import Calibration
from optim.absence import missing
from optim.allocation import Allocation, Status
from optim.answer import at_full_power
from optim.problem import Deadline
from wirelessfl.decider import Decider
from wirelessfl.decision import Decision, Scene
from wirelessfl.presence import afresh, credited, lasts, of_those_who_can
from wirelessfl.pricing import absence, priced
from wirelessfl.world import World

ROUNDS = 20          # that the server waits for a device that can take part


def transfers(algorithm: Algorithm, number: int, holds: NDArray) -> NDArray:
    """How often the client models go down and up (K, 2) in a round: down to who has none, up at the end of an interval."""
    last = float((number + 1) % algorithm.interval == 0)
    return np.stack([1.0 - holds, np.full(holds.shape, last)], axis=-1)


def decide(w: World, measured: Calibration, decider: Decider, scene: Scene, before: Decision | None = None) -> Decision:
    """Decide a round.

    Splits, ratios and compression are decided when client sides have just been averaged, or every few such times; in between
    only band and power are. That is done on costs spread over the interval, or, where each round has a deadline or energy would
    not do for it, on those of the dearest. Decided "once", on the mean channel, everything stays as it is and devices send at
    full power: a deadline is then not kept.

    Devices that cannot take part are left out, if the scenario allows it, and others may sit out (``wirelessfl.presence``), for
    as many rounds as the decision stands. Where nobody is left, the server waits for as long as a round may last, or the last one
    did; after some such rounds the run is over, as it is if that is its first.
    """
    interval, once = w.algorithm.interval, w.scenario.decision.when == "once"
    everyone = w.scenario.decision.absent == "stop"
    last = (None, None) if before is None else before.last

    def kept(who: NDArray, energy: NDArray) -> tuple[Allocation, Deadline]:
        mine = standing.devices(who[chosen])
        p = priced(w, measured, scene.seen, transfers(w.algorithm, scene.number, scene.holds), who, energy)
        p = p.pinned(mine.option, mine.ratio)
        now = at_full_power(replace(p, deadline=np.array(decider.longest)), mine) if once else decider.solve(p, *last)
        return replace(now, option=mine.option, ratio=mine.ratio), p

    number, rest = divmod(scene.number, w.stands)
    again = rest == 0 and not once
    if before is None or not before.chosen.any() or again:
        basis, own = Gains(w.air.mean_gain, w.air.mean_gain) if once else scene.seen, interval == 1 and not once
        chosen, standing, p = afresh(w, measured, decider, basis, decider.often, scene.battery * decider.often, before,
                                    number, scene.mean)
        if decider.often < 1 and standing.status.feasible and np.isfinite(p.energy_budget).any():
            dear = priced(w, measured, basis, np.ones((len(chosen), 2)), chosen, scene.battery)
            if decider.lasting(dear.pinned(standing.option, standing.ratio)) > decider.longest:
                chosen, standing, p = afresh(w, measured, decider, basis, 1.0, scene.battery, before, number,
                                            scene.mean)
        if own or not standing.status.feasible:
            return _closed(w, measured, Decision(chosen, standing, p, chosen, standing, w.options), decider, scene, before)
    else:
        chosen, standing = before.chosen, before.standing
    patient = replace(decider, deadline=0.0) if once else decider
    budget = 1e-3 * w.scenario.devices.energy_budget_mj or np.inf
    energy = np.minimum(scene.battery, budget) if once else scene.battery
    found = of_those_who_can(kept, patient, chosen, energy, everyone)
    return _closed(w, measured, Decision(*found, chosen, standing, w.options), patient, scene, before)


def _closed(w: World, measured: Calibration, found: Decision, decider: Decider, scene: Scene,
            before: Decision | None) -> Decision:
    """The decision, if there is one; a wait for better channels; or the end of the run, and why."""
    none = np.zeros(len(found.who))
    so_far, credit, missed = (None, none, none) if before is None else (before.so_far, before.credit, before.missed)
    if found.now.status.feasible:
        lost = absence(w, measured, found.who, missed, decider.memory)
        done = replace(found, lasts=lasts(found.now), so_far=decider.after(so_far, found.now, lost), absence=lost,
                       missed=missing(w.weights, found.who, missed, decider.memory))
        return replace(done, credit=credited(decider, done, credit))
    everyone = w.scenario.decision.absent == "stop"
    if before is None or before.waited >= ROUNDS or found.now.status is Status.PROGRESS or everyone:
        advice = decider.advice(found.problem, found.now, np.flatnonzero(found.who))
        batteries = found.now.status is Status.ENERGY and np.isfinite(scene.battery).any()
        return replace(found, advice=advice + ("; what is left in the batteries is a budget, too" if batteries else ""))
    nothing = replace(found.now.devices(np.arange(0)), status=Status.WAITING)
    return replace(found, who=found.who & False, now=nothing, chosen=found.chosen & found.standing.status.feasible,
                   waited=before.waited + 1, lasts=decider.deadline or before.lasts, so_far=so_far, credit=credit,
                   missed=missed)
