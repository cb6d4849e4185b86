"""One run: learning on the one side, the air on the other, decisions between them, and a clock."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from learning.algorithm import Plan
from learning.calibration import Calibration
from learning.evaluate import evaluate_all
from learning.threads import one_thread
from optim.allocation import Allocation, Status
from optim.answer import at_full_power
from wirelessfl.build import choose
from wirelessfl.config import Scenario
from wirelessfl.policy import POLICIES, Decider, cuts_of, prepare
from wirelessfl.record import Record
from wirelessfl.world import World, measure, problem, world


def simulate(scenario: Scenario, policy: str = "joint", seed: int | None = None,
             calibration: Calibration | None = None) -> Iterator[Record]:
    """Train under a policy, and yield one :class:`Record` a round: no files, no prints.

    Parameters
    ----------
    scenario : Scenario
    policy : str
        A name of ``wirelessfl.policy.POLICIES``.
    seed : int, optional
        Of placement, fading, partition, weights and batches; the scenario's first one without.
    calibration : Calibration, optional
        Measured here, by a pilot run in this seed's world, if it is not given (``run`` gives all seeds that of the first).

    Notes
    -----
    A round for which no decision is feasible is the last: its record says why, and its accuracy is the one before.
    """
    chosen = choose(POLICIES, policy, "policy")
    w = world(scenario, scenario.seed if seed is None else seed)
    measured = measure(w) if calibration is None else calibration
    return _rounds(w, policy, prepare(chosen, w, measured), measured, scenario.seed if seed is None else seed)


def _rounds(w: World, name: str, decider: Decider, measured: Calibration, seed: int) -> Iterator[Record]:
    fading, streams = w.rng("fading"), w.streams()
    state, decision = w.algorithm.init(len(w.shards)), None
    elapsed = spent = 0.0
    for number in range(w.scenario.training.rounds):
        gain = w.placement.draw(fading)
        decision, now = decide(w, measured, decider, gain, number, decision)
        cut = cuts_of(w, now)
        latency = energy = up = down = train_loss = 0.0
        if now.status.feasible:
            plans = [Plan(int(c), float(r)) for c, r in zip(cut, now.ratio, strict=True)]
            with one_thread():
                state, done = w.algorithm.step(state, w.shards, plans, streams)
            latency, energy = float(now.latency.max()), float(now.energy.sum())
            elapsed, spent, train_loss = elapsed + latency, spent + energy, float(np.mean(done.loss))
            up, down = (sum(getattr(t, side) for t in done.traffic) for side in ("uplink_bits", "downlink_bits"))
        with one_thread():
            scores = evaluate_all(w.net, w.algorithm.models(state), w.data.x_test, w.data.y_test, [s.y for s in w.shards])
        yield Record(name, seed, number, *scores, train_loss, latency, elapsed, energy, spent, up, down, cut, gain,
                     w.speed, now, "" if now.status.feasible else decider.advice(problem(w, measured, gain), now))
        if not now.status.feasible:
            return


def decide(w: World, measured: Calibration, decider: Decider, gain: np.ndarray, number: int,
           before: Allocation | None) -> tuple[Allocation, Allocation]:
    """The decision that stands, and the allocation of this round, at power gains ``gain`` (K,) [1].

    Splits and ratios are decided when client sides have just been averaged, on the costs spread over the interval;
    in between, and on each round's own costs, only band and power are. Decided "once", on the mean channel, everything
    stays as it is and devices send at full power: a deadline is then not kept, and an energy budget ends the run if broken.
    """
    interval, once = w.algorithm.interval, w.scenario.decision.when == "once"
    first = number % interval == 0
    if before is None or (first and not once):
        spread = 1 / interval
        basis = w.placement.mean_gain if once else gain
        before = decider.decide(problem(w, measured, basis, spread, spread))
    if not before.status.feasible or (interval == 1 and not once):
        return before, before
    actual = problem(w, measured, gain, float(first), float((number + 1) % interval == 0))
    if once:
        now = at_full_power(actual, before)
        broke = bool(np.any(now.energy > actual.energy_budget * (1 + 1e-9)))
        return before, replace(now, status=Status.ENERGY) if broke else now
    now = decider.solve(actual.pinned(before.option, before.ratio))
    return before, replace(now, option=before.option, ratio=before.ratio)
