"""What a pilot's few checkpoints miss: ``python -m benchmarks.bound_checkpoints [--checkpoints N] [--seeds N]``.

A calibration looks at the pilot at five rounds, evenly spaced, the first one among them; the theory sums over all
(docs/theory.md, 1.3). The runs on the digits of ``benchmarks.bound`` beside predictions from more checkpoints: how well they
rank, and how far they are off. Into docs/bound/checkpoints.md; some minutes a seed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd

from benchmarks.bound import FOLDER, STUDIES, lost, parted
from benchmarks.bound_report import CELL, compared, joined, slowed
from benchmarks.bound_runs import measured
from benchmarks.tables import markdown
from wirelessfl.config import load
from wirelessfl.world import world

NAME = "digits"
HEADER = ("lever", "checkpoints", "Spearman, settings", "Spearman, runs", "measured / predicted", "error factor")


def main() -> None:
    """Measure, compare, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=20, help="of the 60 rounds of the pilot")
    parser.add_argument("--seeds", type=int, default=3, help="the first so many")
    options = parser.parse_args()
    more = pd.concat([predicted(seed, options.checkpoints) for seed in range(options.seeds)])
    few = joined(FOLDER, NAME)
    few = few[few["seed"].isin(more["seed"])]
    many = pd.read_csv(FOLDER / f"{NAME}.csv").merge(more, on=CELL)
    lines = [*markdown(HEADER), *rows(few, many, options.checkpoints)]
    text = f"Means over six goals, {options.seeds} seeds of the digits.\n\n" + "\n".join(lines) + "\n"
    (FOLDER / "checkpoints.md").write_text(text, encoding="utf-8")
    print(text)


def predicted(seed: int, checkpoints: int) -> pd.DataFrame:
    """Phi of every cell of a seed, by calibrations of so many checkpoints."""
    study = STUDIES[NAME]
    w = world(load(None, list(study.settings)), seed)
    found = [(some, measured(w, some, w.scenario.decision.pilot_rounds, checkpoints=checkpoints)) for some in parted(study.pulls)]
    return pd.DataFrame([asdict(pull) | {"seed": seed} | lost(w, known, pull) for some, known in found for pull in some])


def rows(few: pd.DataFrame, many: pd.DataFrame, checkpoints: int) -> Iterator[str]:
    """Lines: each lever by either, and all of them."""
    goals = [str(column) for column in few if str(column).startswith(("accuracy ", "loss "))]
    for lever in [*dict.fromkeys(few["lever"][few["lever"] != "none"]), "all"]:
        for number, runs in ((5, few), (checkpoints, many)):
            each = [compared(some if lever == "all" else some[some["lever"] == lever], "relative", 1.0)
                    for some in (slowed(runs, goal) for goal in goals)]
            values = [f"{np.mean([c[name] for c in each]):.2f}" for name in ("by_setting", "by_run", "over", "factor")]
            yield f"| {lever} | {number} | {' | '.join(values)} |"


if __name__ == "__main__":
    main()
