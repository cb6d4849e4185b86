r"""How wrong may the constants be, and how seldom the decisions? ``python -m benchmarks.robustness``.

*forecast*: decided with wrong constants, judged with those that were measured: by how many seconds a full round's progress takes,
sum T / sum (1 - Phi)^gamma, in the median of as many runs of channels as the price itself is found by, which nobody prepared
for, in ``WORLDS`` worlds. kappa is capped at one where a decision prunes beyond the range of its law.

*training*: the same cases, trained on digits to the target; other policies decide with the right constants.

*deciding*: once, each round, every few rounds, and with constants that are measured anew: time to the target, and the share of
this computer's time that deciding takes.

Tables and a picture go to ``docs/robustness``; runs that are in the tables already are not made again.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import wirelessfl as wfl
from benchmarks.robustness_report import OTHERS, report
from benchmarks.robustness_wrong import CASES
from benchmarks.study import append, done, revision
from learning.calibration import Calibration
from optim.allocation import Allocation
from optim.problem import Deadline
from wirelessfl.calibration_file import FORMAT
from wirelessfl.folder import write_json
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import FORECASTS, RUNS, prepare
from wirelessfl.pricing import constants, priced
from wirelessfl.record import FEASIBLE, Record, reached, rounds_table
from wirelessfl.world import World

FOLDER = Path(__file__).parents[1] / "docs" / "robustness"
CACHE = Path("runs", "robustness")          # calibrations, measured once
LEVERS = ("decision.smashed_bits=[4, 8, 32]", "decision.dropouts=[0, 0.5]", "decision.intervals=[1, 2, 4]")
AVERAGED = ("training.evaluate_every=4", "training.smoothing=12")                # accuracy is read at averagings
TRAINED = (*LEVERS, *AVERAGED, "training.rounds=300")
CELLS = {"4 MHz": (), "1 MHz": ("cell.bandwidth_mhz=1",)}
TELLING = ("right", "everything / 3", "everything x 3", "cuts reversed")
STANDING = ("decision.every=4",)                 # plans of the trainings stand for as long, whatever the interval
WORLDS = 5
FASHION = (*LEVERS, *AVERAGED, "data.dataset=fashion-mnist", "data.train=2000", "data.test=1000", "training.rounds=120",
           "training.target_accuracy=0.7")
TASKS = {"digits": TRAINED, "fashion-mnist": FASHION}
WAYS = {"once": ("decision.when=once",), "every round": (), "every 4": ("decision.every=4",), "every 16": ("decision.every=16",),
        "every round, anew / 20": ("decision.recalibrate=20",)}


def main() -> None:
    """Run what is missing of the studies that are named, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=["forecast", "training", "deciding"])
    parser.add_argument("--seeds", type=int, default=[0, 1, 2, 3, 4], nargs="+", help="of trainings")
    parser.add_argument("--task", default="digits", help=f"of deciding: {', '.join(TASKS)}")
    parser.add_argument("--minutes", type=float, default=60.0, help="nothing is begun after so long")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * options.minutes
    rows = {"forecast": forecasts, "training": lambda: trainings(options.seeds),
            "deciding": lambda: decidings(options.task, options.seeds)}
    for study in options.studies:
        for key, make in rows[study]():
            if time.monotonic() > until:
                break
            keep(FOLDER / f"{study}.csv", key, make)
    print(report(FOLDER))


def keep(path: Path, key: dict, make: Callable[[], dict]) -> None:
    """Append a row to a table, unless there is one of this key."""
    if tuple(key.values()) not in done(path, list(key)):
        row = key | make() | {"commit": revision()}
        append(path, [row])
        print(*row.values(), sep=",", flush=True)


@cache
def calibration(*overrides: str) -> Calibration:
    """The constants of a scenario, measured in the world of its first seed; kept between two calls."""
    s = wfl.load_scenario(overrides=overrides)
    path = CACHE / f"{s.data.dataset}-{FORMAT}.json"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(wfl.measure(wfl.world(s, s.seed))))
    return Calibration.of({str(name): value for name, value in pd.read_json(path, typ="series").items()})


# forecast

def forecasts() -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Joint decisions in every case, cell and world, and other policies with the right constants."""
    for seed in range(WORLDS):
        for cell, more in CELLS.items():
            for case in CASES:
                for policy in ("joint", *(OTHERS if case == "right" else ())):
                    key = {"cell": cell, "seed": seed, "case": case, "policy": policy}
                    yield key, lambda c=case, p=policy, m=more, n=seed: forecast(c, p, m, n)


def forecast(case: str, policy: str, more: tuple[str, ...], seed: int) -> dict:
    """What a policy that is told wrong constants attains by the right ones."""
    w, right = wfl.world(wfl.load_scenario(overrides=(*LEVERS, *more)), seed), calibration(*LEVERS)
    wrong = CASES[case](right)
    decider = prepare(POLICIES[policy], w, wrong)
    there, times = w.averaging(decider.interval), np.full((len(w.shards), 2), 1 / decider.interval)
    gains = w.air.forecast(w.rng("fading"), RUNS * FORECASTS, w.knowledge, w.scenario.decision.outage)
    found = decider.decide(priced(there, wrong, gains, times))
    loss = lost(there, right, priced(there, right, gains, times), found)
    took, progress = found.latency.max(-1), np.clip(1 - loss, 0, 1) ** decider.exponent
    runs = took.reshape(RUNS, -1).sum(-1) / np.maximum(progress.reshape(RUNS, -1).sum(-1), 1e-12)
    return {"progress_s": np.median(runs), "promised_s": decider.worth, "round_s": took.mean(),
            "loss": loss.mean(), "ratio": found.ratio.mean(), "cut": there.cuts[found.option].mean(),
            "interval": decider.interval}


def lost(w: World, right: Calibration, p: Deadline, found: Allocation) -> NDArray:
    """Phi of decisions (S, K) by a calibration, with kappa at most one [1]."""
    one = p.of(found.option)
    most = (1 + constants(w, right).sampling_share(w.weights)) * w.weights
    pruned = np.minimum(one.pruning.value(found.ratio[..., None])[..., 0], most)
    return np.sum(one.noise[..., 0] + pruned, axis=-1)


# training and deciding

def trainings(seeds: list[int]) -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Joint decisions in every telling case, and no decisions; what else joint gains is less than some seeds can tell."""
    for seed in seeds:
        for case, policy in [*((case, "joint") for case in TELLING), ("right", "equal")]:
            yield ({"task": "digits", "case": case, "policy": policy, "seed": seed},
                   lambda c=case, p=policy, n=seed: trained((*TRAINED, *STANDING), p, n, CASES[c](calibration(*LEVERS))))


def decidings(task: str, seeds: list[int]) -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Every way of deciding under joint, and each round under the policy that decides nothing."""
    known = TASKS[task]
    for seed in seeds:
        for way, policy in [*((way, "joint") for way in WAYS), ("every round", "equal")]:
            yield ({"task": task, "way": way, "policy": policy, "seed": seed},
                   lambda w=way, p=policy, n=seed: trained((*known, *WAYS[w]), p, n, calibration(*known)))


def trained(overrides: tuple[str, ...], policy: str, seed: int, known: Calibration) -> dict:
    """One run to its target: simulated time, energy and rounds; what it decided on average; where this computer's time went."""
    s, records = wfl.load_scenario(overrides=overrides), []
    for record in wfl.simulate(s, policy, seed, known):
        records.append(record)
        if np.isfinite(record.accuracy) and _there(records, s):
            break
    row = reached(rounds_table(records), s.training.target_accuracy, s.training.smoothing).iloc[0]
    there = [r for r in records if r.status.name.lower() in FEASIBLE]
    return {**row[["time_s", "energy_j", "rounds", "final_accuracy", "status"]].to_dict(), "interval": records[0].interval,
            "ratio": np.mean([r.allocation.ratio.mean() for r in there]), "cut": np.mean([r.cut.mean() for r in there]),
            **{f"{name}_s": sum(getattr(r.wall, name) for r in records) for name in ("deciding", "training", "testing")}}


def _there(records: list[Record], s: wfl.Scenario) -> bool:
    return np.isfinite(reached(rounds_table(records), s.training.target_accuracy, s.training.smoothing).iloc[0]["time_s"])


if __name__ == "__main__":
    main()
