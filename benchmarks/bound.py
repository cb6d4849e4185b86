"""Predicted against measured rounds: ``python -m benchmarks.bound [study ...] [--minutes M] [--seeds N]``.

Lightweight FedSL with one lever pulled (pruning at each cut, bits, dropout, interval, absent devices), or several, all devices
that are there alike or half of them pruned, SGD at the default learning rate, against what both forms of the bound say of it. A
cell (lever and what it is pulled to, seed) that is in docs/bound/STUDY.csv is not run again. Then each seed is calibrated, if it
is not (docs/bound/STUDY-calibration-SEED.json: of pruning, and of the other levers, which are not pulled at all cuts). Nothing is
begun after ``--minutes``. Predictions, tables and pictures are then made anew (``benchmarks.bound_report``).

Data sets other than digits are looked for in the folder that WIRELESSFL_DATA names.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bound_report import report
from benchmarks.bound_runs import Pull, by_square, known, losses, measured, missing, models
from benchmarks.study import append, chosen, done, revision
from learning.calibration import Calibration
from learning.evaluate import evaluate
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import World, world

FOLDER = Path(__file__).parents[1] / "docs" / "bound"
SMOOTHING = 5                    # tests whose mean reaches a goal
CELL = [*(field.name for field in fields(Pull)), "seed"]


@dataclass(frozen=True)
class Study:
    """A task and its runs.

    Attributes
    ----------
    settings : tuple of str
        Overrides of the default scenario.
    seeds : tuple of int
    pulls : tuple of Pull
        The first pulls no lever.
    most : int
        Rounds after which a run is given up.
    every : int
        Rounds from one test to the next.
    accuracies, losses : tuple of float
        Goals: accuracy [1] and loss [nat] on the test data. A run ends when all are reached.
    """

    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    pulls: tuple[Pull, ...]
    most: int
    every: int
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]


def pulls(cuts: Sequence[int], ratios: Sequence[float], some: Sequence[int], update: Sequence[int], smashed: Sequence[int],
          dropouts: Sequence[float], intervals: Sequence[int], absents: Sequence[float]) -> tuple[Pull, ...]:
    """No lever, pruning at ``cuts``, and the other levers at ``some`` cuts: absence at one, for there the cut changes nothing."""
    return (Pull(), *(Pull("pruning", c, ratio=r) for c, r in product(cuts, ratios)),
            *(Pull("update bits", c, update_bits=b) for c, b in product(some, update)),
            *(Pull("smashed bits", c, smashed_bits=b) for c, b in product(some, smashed)),
            *(Pull("dropout", c, dropout=d) for c, d in product(some, dropouts)),
            *(Pull("interval", c, interval=i) for c, i in product(some, intervals)),
            *(Pull("absence", c, absent=a) for c, a in product(some[:1], absents)),
            *(Pull("the same absent", c, absent=a, same=True) for c, a in product(some[:1], absents)))


def together(cuts: Sequence[int], ratios: Sequence[float], smashed: Sequence[int], dropouts: Sequence[float],
             intervals: Sequence[int]) -> tuple[Pull, ...]:
    """Two levers or more at once; the first of each sequence is not to pull that one."""
    every = product(cuts, ratios, smashed, dropouts, intervals)
    return tuple(Pull("together", c, r, smashed_bits=b, dropout=d, interval=i) for c, r, b, d, i in every
                 if (r != ratios[0]) + (b != smashed[0]) + (d != dropouts[0]) + (i != intervals[0]) > 1)


SELDOM = pulls((), (), (2, 4), (), (), (), (2, 4, 8, 16, 32), ())
HALF = tuple(Pull("half pruned", c, ratio=r, half=True) for c, r in product((2, 4), (0.3, 0.5, 0.7, 0.9)))

GOALS = ((0.85, 0.9, 0.93), (0.5, 0.35, 0.25))
FASHION_GOALS = ((0.65, 0.7, 0.75), (1.0, 0.8, 0.7))
FASHION = ("data.dataset=fashion-mnist", "data.train=4000", "data.test=1000")

STUDIES = {
    "digits": Study(("data.dataset=digits",), (0, 1, 2, 3, 4),
                    pulls((1, 2, 3, 4), (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (2, 4), (1, 2, 3, 4, 6, 8), (1, 2, 3, 4, 8),
                          (0.25, 0.5, 0.75, 0.9), (2, 4, 8, 16, 32), (0.2, 0.4, 0.5, 0.6, 0.7, 0.8)), 280, 2, *GOALS),
    "fashion-mnist": Study(FASHION, (0,),
                           pulls((2, 4), (0.25, 0.5, 0.7, 0.9), (2,), (2, 3, 4), (1, 2, 4), (0.5, 0.9), (4, 16), (0.3, 0.6)),
                           240, 2, *FASHION_GOALS),
    "digits-unlike": Study(("data.dataset=digits", "data.concentration=0.1"), tuple(range(10)),
                           (*SELDOM, *(replace(pull, lever="pruning", half=False) for pull in HALF), *HALF), 400, 2, *GOALS),
    "fashion-mnist-unlike": Study((*FASHION, "data.concentration=0.1"), (0, 1, 2), SELDOM, 400, 2, *FASHION_GOALS),
    "digits-together": Study(("data.dataset=digits",), (0, 1, 2),
                             (Pull(), *HALF, *together((2, 4), (0.0, 0.2, 0.4), (32, 4), (0.0, 0.25), (1, 4))), 280, 2, *GOALS),
}


def main() -> None:
    """Run what is missing for as long as there is time, and make tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell is begun after so long")
    parser.add_argument("--seeds", type=int, default=10, help="at most so many seeds")
    options = chosen(parser, STUDIES, "study")
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.time() + 60 * options.minutes
    for name in options.studies:
        for seed in STUDIES[name].seeds[:options.seeds]:
            go_on(name, seed, until)
        for seed in STUDIES[name].seeds[:options.seeds]:
            if time.time() < until:
                calibrate(name, seed)
        predict(name)
    report(FOLDER, [name for name in STUDIES if (FOLDER / f"{name}-predicted.csv").exists()])


def go_on(name: str, seed: int, until: float) -> None:
    """Run the cells of one seed that are missing."""
    study, path = STUDIES[name], FOLDER / f"{name}.csv"
    left = list(cells(study, seed, path))
    if not left or time.time() > until:
        return
    w = world(load(None, list(study.settings)), seed)
    for pull in left:
        if time.time() < until:
            row = asdict(pull) | {"seed": seed, **run(w, pull, study), "commit": revision()}
            append(path, [row])


def calibrate(name: str, seed: int) -> None:
    """Measure what the bound is to know of a seed, if it is not there."""
    study, kept = STUDIES[name], FOLDER / f"{name}-calibration-{seed}.json"
    if not kept.exists():
        w = world(load(None, list(study.settings)), seed)
        found = [measured(w, some, w.scenario.decision.pilot_rounds) for some in parted(study.pulls)]
        kept.write_text(json.dumps(list(map(asdict, found))) + "\n", encoding="utf-8")


def parted(pulls: Sequence[Pull]) -> tuple[list[Pull], list[Pull]]:
    """Those with no lever or pruning alone, and all others."""
    alone = ("none", "pruning", "half pruned")
    return [p for p in pulls if p.lever in alone], [p for p in pulls if p.lever not in alone]


def cells(study: Study, seed: int, path: Path) -> Iterator[Pull]:
    """Pulls of a seed that are not in the table yet."""
    there = done(path, CELL)
    yield from (pull for pull in study.pulls if (*asdict(pull).values(), seed) not in there)


def run(w: World, pull: Pull, study: Study) -> dict[str, float]:
    """Rounds until each goal (``inf`` for never), rounds run, where it ended, and its CPU time [s]."""
    start, scores, taken = time.process_time(), list[tuple[float, float]](), goals(study, ())
    for model, _ in islice(models(w, pull), study.every, study.most + 1, study.every):
        if not all(bool(p.isfinite().all()) for p in model.values()):
            break                                                                  # diverged
        with one_thread():
            scores.append(evaluate(w.net, model, w.data.x_test, w.data.y_test)[:2])
        taken = goals(study, scores)
        if max(taken.values()) < math.inf:
            break
    accuracy, loss = scores[-1] if scores else (math.nan, math.nan)
    return {**taken, "rounds": study.every * len(scores), "accuracy": round(accuracy, 4), "loss": round(loss, 4),
            "cpu_s": round(time.process_time() - start, 1)}


def goals(study: Study, scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Rounds until the mean of the last ``SMOOTHING`` tests reaches each goal [rounds]; ``inf`` for never."""
    table = pd.DataFrame(scores, columns=["accuracy", "loss"], dtype=float).rolling(SMOOTHING).mean()
    found = {f"accuracy {goal}": table["accuracy"] >= goal for goal in study.accuracies}
    found |= {f"loss {goal}": table["loss"] <= goal for goal in study.losses}
    return {name: study.every * (int(np.argmax(there)) + 1) if there.any() else math.inf for name, there in found.items()}


def predict(name: str) -> None:
    """Phi of each form for every cell of the calibrated seeds, cause by cause, into STUDY-predicted.csv."""
    rows, study = [], STUDIES[name]
    for seed in study.seeds:
        kept = FOLDER / f"{name}-calibration-{seed}.json"
        if kept.exists():
            w, found = world(load(None, list(study.settings)), seed), json.loads(kept.read_text(encoding="utf-8"))
            for some, each in zip(parted(study.pulls), map(Calibration.of, found), strict=True):
                rows += [asdict(pull) | {"seed": seed} | lost(w, each, pull) for pull in some]
    if rows:
        pd.DataFrame(rows).to_csv(FOLDER / f"{name}-predicted.csv", index=False, float_format="%.6g")


def lost(w: World, found: Calibration, pull: Pull) -> dict[str, float]:
    """Phi and its causes by each form, the share r of sampling noise, and how far the step is from 1 / beta [1]."""
    here = known(w, found, pull)
    row = {"sampling": here.sampling_share(w.weights), "lr_beta": here.step * here.smoothness}
    away = missing(w, here, pull)
    squared = losses(w, by_square(found, here, pull), pull)["relative"]
    for name, (_, loss) in {**losses(w, here, pull), "squared": squared}.items():
        causes = {f"{name}_{cause}": float(value) for cause, value in vars(loss).items()}
        row |= {name: float(loss.total) + away} | causes | {f"{name}_absence": away}
    return row


if __name__ == "__main__":
    main()
