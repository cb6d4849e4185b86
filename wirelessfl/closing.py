"""The table that a run ends with, as text."""

import numpy as np
import pandas as pd

from wirelessfl.air import coherence_time
from wirelessfl.record import SHARES
from wirelessfl.settings import Scenario


def headline(summary: pd.DataFrame, s: Scenario) -> pd.DataFrame:
    """Time and energy to the target, and final accuracy, per policy: mean and standard deviation over the seeds, in words.

    Of who was left out, lost, late or in outage, what there was.
    """
    rows, first = [], s.decision.policies[0]
    reference = summary[summary["policy"] == first].set_index("seed")["time_s"]
    for policy, runs in summary.groupby("policy", sort=False):
        there = runs[np.isfinite(runs["time_s"])]
        ratio = there.set_index("seed")["time_s"] / reference
        ratio = ratio[np.isfinite(ratio)]
        rows.append({"policy": policy, "reached": f"{len(there)}/{len(runs)}", "time [s]": spread(there["time_s"]),
                     "energy [J]": spread(there["energy_j"]), "rounds": spread(there["rounds"]),
                     "final accuracy": spread(runs["final_accuracy"]), f"time / {first}": spread(ratio),
                     **{f"{name.replace('_', ' ')} [%]": spread(100 * runs[name]) for name in SHARES if summary[name].any()}})
    return pd.DataFrame(rows)


def closing_table(summary: pd.DataFrame, timing: pd.DataFrame, s: Scenario) -> str:
    """The headline of a run, and what deciding took of this computer's time."""
    title = (f"\nto a test accuracy of {s.training.target_accuracy:g} (mean of {s.training.smoothing} rounds), "
             f"over {s.seeds} seed{'s' * (s.seeds > 1)}:\n")
    lasts = coherence_time(s)
    blocks = f"\na round took {1e3 * summary['round_s'].median():.3g} ms in the median" + (
        f", and gains last for about {1e3 * lasts:.3g} ms (the coherence time); in the model they last for the round"
        if np.isfinite(lasts) else "")
    walls = timing[["deciding_s", "training_s", "testing_s"]].sum()
    blocks += (f"\non this computer a decision took {1e3 * walls['deciding_s'] / timing['rounds'].sum():.3g} ms, "
               f"{100 * walls['deciding_s'] / walls.sum():.2g} % of the time of the rounds")
    early = summary[summary["advice"] != ""]
    lines = [f"{policy} seed {seed} ended early: {why}" for policy, seed, why in
             zip(early["policy"], early["seed"], early["advice"], strict=True)]
    return "\n".join([title, headline(summary, s).to_string(index=False), blocks, *lines])


def spread(values: pd.Series) -> str:
    """Mean and standard deviation to three digits."""
    if values.empty:
        return "-"
    return _digits(values.mean(), 3) + (f" ± {_digits(values.std(), 2)}" if len(values) > 1 else "")


def _digits(value: float, digits: int) -> str:
    """A number to so many digits: 120, and not 1.2e+02."""
    return f"{value:.{digits}g}" if not 1 <= abs(value) < 1e6 else f"{float(f'{value:.{digits}g}'):.7g}"
