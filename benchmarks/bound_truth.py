"""Is the bound one? ``python -m benchmarks.bound_truth [case ...] [--minutes M]``.

Along real runs of lightweight FedSL with a lever pulled, the squared norm of the gradient over all training data at the averaged
model, every few rounds; beside the mean of it what both forms of the bound say, with constants from a calibration of the same
length at the same learning rate, on all training data. A case and seed that is in docs/bound/truth.csv is not run again;
docs/bound/truth.md is the table.

Data sets other than digits are looked for in the folder that WIRELESSFL_DATA names.
"""

import argparse
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bound_runs import Pull, by_square, known, losses, measured, models
from benchmarks.study import append, chosen, done, revision
from benchmarks.tables import markdown
from learning import params
from learning.calibration import Calibration
from learning.probe import Probe
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import World, world

FOLDER = Path(__file__).parents[1] / "docs" / "bound"
PULLS = (Pull("none"), Pull("pruning 0.5", ratio=0.5), Pull("8 bit, dropout 0.25", update_bits=8, dropout=0.25),
         Pull("interval 4", interval=4))
HEADER = ("case", "lever", "ηβ", "measured", "relative", "constants", "measured / relative", "measured / constants")
ALL = 10**6              # samples of a device on which gradients are measured: all


@dataclass(frozen=True)
class Case:
    """A task: settings, rounds, every how many of them the gradient is measured, and the seeds."""

    settings: tuple[str, ...]
    rounds: int
    every: int
    seeds: tuple[int, ...]


CASES = {
    "digits": Case(("data.dataset=digits", "training.lr=0.01"), 140, 3, (0, 1, 2)),
    "digits, lr 0.02": Case(("data.dataset=digits", "training.lr=0.02"), 120, 3, (0, 1, 2)),
    "digits, lr 0.05": Case(("data.dataset=digits", "training.lr=0.05"), 120, 3, (0, 1, 2)),
    "fashion-mnist": Case(("data.dataset=fashion-mnist", "data.train=1500", "data.test=500", "training.lr=0.003"), 60, 5, (0,)),
    "cifar-10": Case(("data.dataset=cifar-10", "data.train=600", "data.test=300", "data.standardise=true",
                      "data.partition=dirichlet-equal", "training.model=resnet18", "training.norm=group", "training.batch=50",
                      "training.lr=0.0005"), 20, 1, (0,)),
}


def main() -> None:
    """Run what is missing for as long as there is time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="no case is begun after so long")
    options = chosen(parser, CASES, "case")
    until, path = time.time() + 60 * options.minutes, FOLDER / "truth.csv"
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in options.studies:
        for seed in CASES[name].seeds:
            if (name, seed) not in done(path, ("case", "seed")) and time.time() < until:
                rows = run(CASES[name], seed)
                append(path, [{"case": name, "seed": seed} | row for row in rows])
    if path.exists():
        lines = "\n".join(table(pd.read_csv(path))) + "\n"
        (FOLDER / "truth.md").write_text(lines, encoding="utf-8")
        print(lines)


def table(rows: pd.DataFrame) -> list[str]:
    """Lines: a row a case and lever, its seeds one after another."""
    lines = markdown(HEADER)
    rows = rows.sort_values("case", key=lambda names: names.map(list(CASES).index), kind="stable")
    for (case, lever), some in rows.groupby(["case", "lever"], sort=False):
        cells = [some[name] for name in ("lr_beta", "measured", "relative", "constants")]
        cells += [some["measured"] / some[name] for name in ("relative", "constants")]
        words = [", ".join(f"{value:.2g}" for value in cell) for cell in cells]
        lines.append(f"| {case} | {lever} | {' | '.join(words)} |")
    return lines


def run(case: Case, seed: int) -> list[dict]:
    """One row a lever."""
    w, start = world(load(None, list(case.settings)), seed), time.process_time()
    found = measured(w, PULLS, case.rounds, ALL)
    return [{"lever": pull.lever, **compared(w, found, pull, case), "cpu_s": round(time.process_time() - start, 1),
             "commit": revision()} for pull in PULLS]


def compared(w: World, found: Calibration, pull: Pull, case: Case) -> dict[str, float]:
    """The mean squared gradient of a run, and both bounds on it."""
    with one_thread():
        squares = [square(w, model) for model, _ in islice(models(w, pull), 0, case.rounds, case.every)]
    here = replace(by_square(found, known(w, found, pull), pull), descent=0.0)      # the bound as derived
    row = {"lr": here.step, "lr_beta": here.step * here.smoothness, "rounds": case.rounds, "measured": float(np.mean(squares)),
           "error": float(np.std(squares, ddof=1) / np.sqrt(len(squares)))}
    for name, (form, loss) in losses(w, here, pull).items():
        parts = form.squared_gradient(loss, case.rounds)
        row |= {name: float(parts.total)} | {f"{name}_{cause}": float(value) for cause, value in vars(parts).items()}
    return row


def square(w: World, model: params.Params) -> float:
    """|grad F|^2 over all training data."""
    whole = Probe(w.net, model, [s for s in w.shards if len(s)], [len(s) for s in w.shards if len(s)])
    return params.squared_norm(whole.mean(model))


if __name__ == "__main__":
    main()
