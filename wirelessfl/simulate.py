"""One run: learning on the one side, the air on the other, decisions between them, and a clock."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains, Moment
from learning.algorithm import Plan, State
from learning.calibration import Calibration
from learning.evaluate import NOT_TESTED, Scores, evaluate_all
from learning.precision import precision
from learning.threads import one_thread
from wirelessfl.config import choose
from wirelessfl.decide import decide, transfers
from wirelessfl.decider import Decider
from wirelessfl.decision import Decision, Scene
from wirelessfl.fate import NOTHING, Downlink, Fate, fate
from wirelessfl.known import Known, calibrated, due, renewed
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.pricing import serving
from wirelessfl.record import Record, Wall, Watch
from wirelessfl.settings import Scenario
from wirelessfl.world import World, world


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
    A round for which there is no decision is the last, and its record says why; but where there were some before, the server
    first waits for better channels.
    """
    seed = scenario.seed if seed is None else seed
    for _, record in rounds(prepared(scenario, policy, seed, calibration).spending()):
        yield record


DIVERGED = ("training diverged in round {}: its loss is no finite number; a lower training.lr or training.server_lr is the first "
            "thing to try")


@dataclass(frozen=True)
class Run:
    """One policy in one world, ready to begin.

    Attributes
    ----------
    policy : str
    seed : int
    world : World
    measured : Calibration
    decider : Decider
    """

    policy: str
    seed: int
    world: World
    measured: Calibration
    decider: Decider

    def spending(self) -> "Run":
        """The same for who keeps no :class:`Progress` but the last: those before cannot be gone on from, and memory is saved."""
        return replace(self, world=self.world.spending())


@dataclass(frozen=True)
class Progress:
    """A run between two rounds: what the next one needs.

    Attributes
    ----------
    number : int
        Rounds that were.
    state : State
        What the algorithm keeps.
    links : Moment
    battery : (K,) array
        Energy that devices have left [J].
    holds : (K,) bool array
        Devices that have their client side already, and need not download it.
    elapsed, spent : float
        Time [s] and energy [J] since the start.
    decision : Decision or None
        The last one.
    known : Known or None
        What decisions rest on, if a round was decided.
    over : bool
        Whether there is no next round.
    """

    number: int
    state: State
    links: Moment
    battery: NDArray
    holds: NDArray
    elapsed: float = 0.0
    spent: float = 0.0
    decision: Decision | None = None
    known: Known | None = None
    over: bool = False


def prepared(scenario: Scenario, policy: str, seed: int, calibration: Calibration | None = None) -> Run:
    """Draw the world and find what the policy needs to know beforehand."""
    chosen = choose(POLICIES, policy, "policy")
    w = world(scenario, seed)
    measured = calibrated(w, seed) if calibration is None else calibration
    decider = prepare(chosen, w, measured)
    return Run(policy, seed, w.averaging(decider.interval), measured, decider)


def rounds(run: Run, now: Progress | None = None) -> Iterator[tuple[Progress, Record]]:
    """Round by round from the beginning, or from ``now`` on."""
    now = begun(run.world) if now is None else now
    while not now.over:
        now, record = played(run, now)
        yield now, record


def begun(w: World) -> Progress:
    """A run before its first round."""
    devices = len(w.shards)
    return Progress(0, w.algorithm.init(devices), w.air.start(w.rng("fading", 0)), w.hardware.battery, np.zeros(devices, bool))


def played(run: Run, now: Progress) -> tuple[Progress, Record]:
    """One round: draw, decide, let it happen, train, read the clock."""
    w, number, watch = run.world, now.number, Watch()
    truth, seen = now.links.gains, now.links.seen(w.rng("estimates", number), w.knowledge, w.scenario.decision.outage)
    scene = Scene(number, seen, now.battery, now.holds, now.links.mean_gain)
    known = now.known or Known(run.measured, run.decider)
    if due(w, number):
        known = renewed(w, known, w.algorithm.models(now.state))
    decision = decide(w, known.measured, known.decider, scene, now.decision)
    watch.lap()
    done = happen(w, decision, scene, truth)
    state, told = train(w, now.state, decision, done)
    watch.lap()
    t, lost = w.scenario.training, bool(done.arrived.any() and not np.isfinite(told[0]))
    last = lost or bool(decision.advice) or number + 1 >= t.rounds
    scores = tested(w, state) if last or (number + 1) % t.evaluate_every == 0 else NOT_TESTED
    watch.lap()
    lost = lost or (scores is not NOT_TESTED and not np.isfinite(scores.loss))
    advice = DIVERGED.format(number) if lost else decision.advice
    latency, energy = float(done.latency.max()) if decision.who.any() else decision.lasts, float(done.energy.sum())
    after = Progress(number + 1, state, now.links.after(w.rng("fading", number + 1), latency), now.battery - done.energy,
                     (now.holds | done.arrived) & ((number + 1) % w.algorithm.interval > 0), now.elapsed + latency,
                     now.spent + energy, decision, known, over=last or lost)
    return after, Record(
        run.policy, run.seed, number, *scores, *told, latency, after.elapsed, energy, after.spent, decision.cut, truth.up,
        w.hardware.speed, decision.plan, decision.who, decision.absence, done,
        [chosen.compression for chosen in decision.chosen_options], w.algorithm.interval, Wall(*watch.laps), advice)


def happen(w: World, decision: Decision, scene: Scene, truth: Gains) -> Fate:
    """What becomes of a round that was decided on a ``scene``, where gains are what they are."""
    who, now = decision.who, decision.now
    if not who.any() or not now.status.feasible:
        return NOTHING.among(who & False)
    times, devices = transfers(w.algorithm, scene.number, scene.holds), int(who.sum())
    fixed, kept = w.work(times, devices)[3][:, who, now.option]
    down = Downlink(fixed + (1 - now.ratio) * kept,
                    *(w.downlink_rate(gains.down[who], devices) for gains in (scene.seen, truth)))
    return fate(w.rng("delivery", scene.number), now, decision.problem, truth.up[who] / w.noise, down, w.packets,
                w.scenario.decision.patience, scene.battery[who], serving(w, scene.seen, times, who, now)).among(who)


def tested(w: World, state: State) -> Scores:
    """How good the models that serve are, in float32 whatever the precision of training."""
    with one_thread():
        return evaluate_all(w.net, w.algorithm.models(state), w.data.x_test, w.data.y_test, [s.y for s in w.shards])


def train(w: World, state: State, decision: Decision, done: Fate) -> tuple[State, tuple[float, float, float]]:
    """The state after a round of those that got through; their mean loss [nat], and their bits up and down."""
    able = hasattr(w.algorithm, "compression")
    plans = [Plan(chosen.cut, float(ratio), chosen.compression if able else None) if there else None
             for chosen, ratio, there in zip(decision.chosen_options, decision.plan.ratio, done.arrived, strict=True)]
    with one_thread(), precision(w.scenario.training.precision, w.scenario.training.device):
        state, told = w.algorithm.step(state, w.shards, plans, w.streams())
    up, down = (sum(getattr(t, name) for t in told.traffic) for name in ("uplink_bits", "downlink_bits"))
    loss = np.array(told.loss)[done.arrived]
    return state, (float(np.nanmean(loss)) if len(loss) else float("nan"), up, down)
