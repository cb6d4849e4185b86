r"""EPSL's allocation by its published block-coordinate descent and exactly, in one table: ``python -m benchmarks.epsl``.

The cell is that of the EPSL figures (``wirelessfl.experiments.epsl_scene``, where it is said what is reconstructed), with half of
the batch aggregated. The network is ResNet-18 for images of 64 x 64 x 3 and 7 classes (HAM10000, scaled down).
"""

import argparse
import json
from collections.abc import Mapping
from functools import cache
from time import perf_counter

import numpy as np
import pandas as pd

from optim.epsl import EpslProblem
from optim.epsl_answer import epsl_residual
from optim.epsl_exact import solve_exact
from wirelessfl.experiments.epsl_choices import CHOICES, Choice, middle_cut
from wirelessfl.experiments.epsl_scene import BANDS, Load, load_named, scene

COMPARED = ("descent", "random subchannels", "equal power")


@cache
def load() -> Load:
    """Work and traffic of the network."""
    return load_named("resnet18", (3, 64, 64), 7)


def problem_of(rng: np.random.Generator, devices: int) -> EpslProblem:
    """A random round."""
    return scene(rng, devices).problem(load(), 0.5)


def methods(seconds: float) -> Mapping[str, Choice]:
    """Name to solver, the exact one first."""
    return {"exact": lambda problem, rng: solve_exact(problem, seconds=seconds), **{name: CHOICES[name] for name in COMPARED},
            "middle cut": middle_cut}


def measure(devices: list[int], realisations: int, seconds: float, seed: int = 0) -> pd.DataFrame:
    """One row a method and realisation; every answer is graded before it counts."""
    rows = []
    for count in devices:
        for number in range(realisations):
            problem = problem_of(np.random.default_rng([seed, count, number]), count)
            for name, solve in methods(seconds).items():
                start = perf_counter()
                found = solve(problem, np.random.default_rng([seed, count, number, 1]))
                took = perf_counter() - start
                grade = epsl_residual(problem, found)
                if max(grade.feasibility, grade.clock) > 1e-9:
                    raise RuntimeError(f"{name} broke a limit: {grade}")
                rows.append((count, number, name, float(found.latency), float(found.gap), took))
    return pd.DataFrame(rows, columns=["devices", "realisation", "method", "latency", "gap", "seconds"])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Per number of devices and method: latency, what it is above the exact answer, the certified gap of that, and the time."""
    exact = rows[rows.method == "exact"].set_index(["devices", "realisation"]).latency
    above = rows.latency / exact.loc[pd.MultiIndex.from_frame(rows[["devices", "realisation"]])].to_numpy() - 1
    groups = rows.assign(above=100 * above).groupby(["devices", "method"], sort=False)
    return groups.agg(latency=("latency", "mean"), above_mean=("above", "mean"), above_max=("above", "max"),
                      gap_max=("gap", "max"), median_s=("seconds", "median"), longest_s=("seconds", "max")).reset_index()


def markdown(table: pd.DataFrame) -> str:
    """The table as a person reads it."""
    heads = ["devices", "method", "latency [s]", "above exact, mean [%]", "max [%]", "certified gap, max", "time, median [s]",
             "max [s]"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.itertuples(index=False):
        gap = f"{row.gap_max:.1e}" if row.method == "exact" else ""
        lines.append(f"| {row.devices} | {row.method} | {row.latency:.3f} | {row.above_mean:.2f} | {row.above_max:.2f} | {gap} "
                     f"| {row.median_s:.3f} | {row.longest_s:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="EPSL's allocation: published descent and exact method side by side")
    options.add_argument("--devices", type=int, nargs="+", default=[5, 10, 15, 20])
    options.add_argument("--realisations", type=int, default=20)
    options.add_argument("--seconds", type=float, default=15.0, help="limit of the exact method for one realisation [s]")
    options.add_argument("--quick", action="store_true", help="two realisations of a few seconds")
    chosen = options.parse_args()
    realisations, seconds = (2, 2.0) if chosen.quick else (chosen.realisations, chosen.seconds)
    table = summary(measure(chosen.devices, realisations, seconds))
    print(markdown(table))
    print(json.dumps({"benchmark": "epsl", "subchannels": BANDS, "realisations": realisations,
                      "rows": table.round(6).to_dict("records")}))


if __name__ == "__main__":
    main()
