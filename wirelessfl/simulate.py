"""One run: learning on the one side, the air on the other, decisions between them, and a clock."""

from collections.abc import Iterator

import numpy as np

from channels.links import Gains
from learning.algorithm import Plan, State
from learning.calibration import Calibration
from learning.evaluate import evaluate_all
from learning.threads import one_thread
from wirelessfl.config import choose
from wirelessfl.decide import Decision, decide, transfers
from wirelessfl.fate import NOTHING, Downlink, Fate, fate
from wirelessfl.policy import POLICIES, Decider, prepare
from wirelessfl.record import Record
from wirelessfl.settings import Scenario
from wirelessfl.world import World, measure, world


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
    fading, estimates, luck = w.rng("fading"), w.rng("estimates"), w.rng("delivery")
    state, decision, battery = w.algorithm.init(len(w.shards)), None, w.hardware.battery
    links, elapsed, spent = w.air.start(fading), 0.0, 0.0
    for number in range(w.scenario.training.rounds):
        seen = links.seen(estimates, w.knowledge, w.scenario.decision.outage)
        decision = decide(w, measured, decider, seen, number, battery, decision)
        done = happen(luck, w, decision, seen, links.gains, number)
        state, told = train(w, state, decision, done)
        with one_thread():
            scores = evaluate_all(w.net, w.algorithm.models(state), w.data.x_test, w.data.y_test, [s.y for s in w.shards])
        latency, energy = float(done.latency.max()), float(done.energy.sum())
        elapsed, spent, stopped = elapsed + latency, spent + energy, not decision.now.status.feasible
        yield Record(name, seed, number, *scores, *told, latency, elapsed, energy, spent, decision.cut, links.gains.up,
                     w.hardware.speed, decision.plan, decision.who, done,
                     (decision.advice or decider.advice(decision.problem, decision.now)) if stopped else "")
        if stopped:
            return
        links, battery = links.after(fading, latency), battery - done.energy


def happen(rng: np.random.Generator, w: World, decision: Decision, seen: Gains, truth: Gains, number: int) -> Fate:
    """What becomes of a round that was decided on gains as they were ``seen`` (K,), where they are what they are."""
    who, now = decision.who, decision.now
    if not now.status.feasible:
        return NOTHING.among(who & False)
    fixed, kept = w.work(transfers(w.algorithm, number))[3][:, who, now.option]
    down = Downlink(fixed + (1 - now.ratio) * kept, *(w.downlink_rate(gains.down)[who] for gains in (seen, truth)))
    return fate(rng, now, decision.problem, truth.up[who] / w.noise, down, w.packets, w.scenario.decision.patience).among(who)


def train(w: World, state: State, decision: Decision, done: Fate) -> tuple[State, tuple[float, float, float]]:
    """The state after a round of those that got through; their mean loss [nat], and their bits up and down."""
    if not done.arrived.any():
        return state, (0.0, 0.0, 0.0)
    plans = [Plan(int(cut), float(ratio)) if there else None
             for cut, ratio, there in zip(decision.cut, decision.plan.ratio, done.arrived, strict=True)]
    with one_thread():
        state, told = w.algorithm.step(state, w.shards, plans, w.streams())
    up, down = (sum(getattr(t, name) for t in told.traffic) for name in ("uplink_bits", "downlink_bits"))
    return state, (float(np.nanmean(told.loss)), up, down)
