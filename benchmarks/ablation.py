"""Every lever taken away in turn, and what others publish: ``python -m benchmarks.ablation [scenario ...] [--minutes M]``.

A cell (scenario, arm, seed) is one training until its target, or to the end of its rounds; what is in docs/ablation/SCENARIO.csv
is not run again, so a study goes on where it stopped, and no cell is begun after ``--minutes``. Arms of one algorithm share one
calibration, of the first seed (in runs/calibrations, measured once). One thread a process; results do not depend on how many.
The tables within docs/ablation.md are written anew.

Models are tested every four rounds, where all intervals of averaging end. The target is that of the mean of three such tests:
of the test accuracy, and, beside it, of that on classes mixed as in the devices' own data, which is what personal models are for.

Data sets other than digits are looked for in the folder that WIRELESSFL_DATA names.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from benchmarks.ablation_arms import ARMS, CLOSE, COMMON, FEW, FITTED, LEVERS, PERSONAL, STUDIES, first, kept, scenario
from benchmarks.ablation_page import filled, tables
from benchmarks.ablation_report import report
from benchmarks.study import append, chosen, declare, done, revision
from learning.calibration import Calibration
from wirelessfl import calibration_file
from wirelessfl.record import Record, reached, rounds_table
from wirelessfl.settings import Scenario
from wirelessfl.simulate import prepared, rounds

FOLDER = Path(__file__).parents[1] / "docs" / "ablation"
PAGE = FOLDER.with_suffix(".md")
Cell = tuple[str, str, int]      # study, arm, seed


def main() -> None:
    """Run what is missing for as long as there is time, and make tables and pictures, those of the page, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell is begun after so long")
    parser.add_argument("--seeds", type=int, default=max(study.seeds for study in STUDIES.values()), help="no more seeds than so")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = chosen(parser, STUDIES, "scenario")
    os.environ["OMP_NUM_THREADS"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.time() + 60 * options.minutes
    for study in options.studies:
        declare(FOLDER / f"{study}.csv", declaration(study))
        cells = (cell for cell in missing(study, options.seeds) if time.time() < until)
        jobs = (joblib.delayed(run)(cell, calibration(cell[0], first(cell[1]))) for cell in cells)
        pool = joblib.Parallel(n_jobs=options.workers, return_as="generator_unordered", pre_dispatch=options.workers)
        for cell, row in pool(jobs):
            append(FOLDER / f"{study}.csv", [row])
            print(*cell, {name: row[name] for name in ("time_s", "rounds", "own_time_s", "cpu_s")}, flush=True)
    print(json.dumps(report(FOLDER, list(STUDIES), list(ARMS), PERSONAL)))
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """``docs/ablation.md`` with its tables as the cells that there are make them."""
    fewer = [name for name, arm in ARMS.items() if arm.participation < 1]
    return filled(PAGE.read_text(encoding="utf-8"), tables(FOLDER, list(STUDIES), list(ARMS), PERSONAL, fewer))


@cache
def calibration(study: str, arm: str) -> Calibration:
    """What decisions rest on, measured with the levers of an arm."""
    memory = any(first(name) == arm and other.memory == FITTED for name, other in ARMS.items())
    return calibration_file.make(scenario(study, arm), kept(study, arm), memory=memory).measured


def declaration(study: str) -> dict[str, Any]:
    """How the table of a study is made."""
    return {"settings": STUDIES[study].settings, "common": COMMON, "levers": LEVERS,
            "arms": {name: vars(arm) for name, arm in ARMS.items()}}


def missing(study: str, most: int) -> Iterator[Cell]:
    """Cells that are not in the table yet: all arms for the first seed, then for the next."""
    there = done(FOLDER / f"{study}.csv", ("arm", "seed"))
    every = itertools.product(range(min(STUDIES[study].seeds, most)), ARMS)
    yield from ((study, arm, seed) for seed, arm in every if (seed < FEW or arm in CLOSE) and (arm, seed) not in there)


def run(cell: Cell, measured: Calibration) -> tuple[Cell, dict[str, Any]]:
    """Train one cell until both targets are reached, or its rounds are over."""
    study, arm, seed = cell
    s, records, begun = scenario(study, arm), list[Record](), time.process_time()
    wanted = ["own_time_s"] if ARMS[arm].personal else ["time_s", "own_time_s"]
    ready = prepared(s, ARMS[arm].policy, seed, measured)
    for _, record in rounds(ready):
        records.append(record)
        if near(records, s) and np.isfinite(times(records, s)[wanted].to_numpy(float)).all():
            break
    end = times(records, s)
    plain = ("final_accuracy", "left_out", "status")
    return cell, {
        "arm": arm, "seed": seed, **{name: _short(end[name]) for name in (*MEASURES, *OWN, *plain)}, "ran": len(records),
        "interval": records[-1].interval, "round_s": _short(np.mean([r.latency for r in records])),
        "progress_lost": _short(np.mean([r.progress_lost for r in records if r.who.any()])),
        "ratio": _short(np.mean([r.allocation.ratio[r.who].mean() for r in records if r.who.any()])),
        "blocks": _short(np.mean([r.cut[r.who].mean() for r in records if r.who.any()])),
        "deciding_s": _short(sum(r.wall.deciding for r in records)), "cpu_s": _short(time.process_time() - begun),
        "commit": revision()}


def near(records: list[Record], s: Scenario) -> bool:
    """Whether the target may just have been reached: the mean of some tests is no more than the largest of them."""
    some = [max(r.accuracy, r.own_accuracy) for r in records[-s.training.smoothing:] if not np.isnan(r.accuracy)]
    return not np.isnan(records[-1].accuracy) and max(some) >= s.training.target_accuracy


MEASURES = ("time_s", "energy_j", "rounds")
OWN = tuple(f"own_{name}" for name in MEASURES)


def times(records: list[Record], s: Scenario) -> pd.Series:
    """Time, energy and rounds to the target, by the test accuracy and by that on the devices' own classes (``own_``)."""
    table, t = rounds_table(records), s.training
    both = table, table.assign(accuracy=table["own_accuracy"])
    one, own = (reached(each, t.target_accuracy, t.smoothing).iloc[0] for each in both)
    return pd.concat([one, own[list(MEASURES)].add_prefix("own_")])


def _short(value: Any) -> Any:
    return value if isinstance(value, str) else float(f"{float(value):.6g}")


if __name__ == "__main__":
    main()
