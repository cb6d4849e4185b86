"""How far the worth of progress hangs on which channels it is found on: ``python -m benchmarks.worth [scenario ...]``.

Prints a table: for each scenario of ``benchmarks.ablation`` and each seed the least, the median and the highest price of
progress in eight runs of 32 channels each, for ``joint``, with all devices in every round; and how long the longest round would
be with everything pruned to the limit. Under Rayleigh fading that time has no mean (docs/theory.md, 3).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse

import numpy as np
import pandas as pd

from benchmarks.ablation import calibration
from benchmarks.ablation_arms import STUDIES, scenario
from benchmarks.study import chosen
from optim.fastest import least_deadline
from wirelessfl.decider import Decider
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import FORECASTS, sampled_problem, worth_of_runs
from wirelessfl.world import world

RUNS = 8


def main() -> None:
    """Find the prices, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="worlds of each scenario")
    options = chosen(parser, STUDIES, "scenario")
    rows = [{"scenario": study, "seed": seed, **prices(study, seed)}
            for study in options.studies for seed in range(options.seeds)]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


def prices(study: str, seed: int) -> dict[str, float]:
    """Of one world: least, median and highest price [s], their ratio [1], and the longest of the least times of rounds [s]."""
    w, measured = world(scenario(study, "joint"), seed), calibration(study, "joint")
    decider = Decider(POLICIES["joint"], 1.0, 0.0)
    many = sampled_problem(decider, w, measured, RUNS * FORECASTS)
    found = worth_of_runs(decider, many, RUNS)
    return {"least [s]": min(found), "median [s]": float(np.median(found)), "highest [s]": max(found),
            "highest / least": max(found) / min(found), "longest round [s]": float(least_deadline(decider.allowed(many)).max())}


if __name__ == "__main__":
    main()
