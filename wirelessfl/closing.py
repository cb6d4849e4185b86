"""The table that a run ends with, as text."""

import numpy as np
import pandas as pd

from wirelessfl.air import coherence_time
from wirelessfl.record import SHARES
from wirelessfl.settings import Scenario


def closing_table(summary: pd.DataFrame, timing: pd.DataFrame, s: Scenario) -> str:
    """Time and energy to the target, and final accuracy, per policy: mean and standard deviation over the seeds.

    And what deciding took of this computer's time.
    """
    rows, first = [], s.decision.policies[0]
    reference = summary[summary["policy"] == first].set_index("seed")["time_s"]
    for policy, runs in summary.groupby("policy", sort=False):
        there = runs[np.isfinite(runs["time_s"])]
        ratio = there.set_index("seed")["time_s"] / reference
        ratio = ratio[np.isfinite(ratio)]
        rows.append({"policy": policy, "reached": f"{len(there)}/{len(runs)}", "time [s]": _spread(there["time_s"]),
                     "energy [J]": _spread(there["energy_j"]), "rounds": _spread(there["rounds"]),
                     "final accuracy": _spread(runs["final_accuracy"]), f"time / {first}": _spread(ratio),
                     **{f"{name.replace('_', ' ')} [%]": _spread(100 * runs[name]) for name in SHARES if summary[name].any()}})
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
    return "\n".join([title, pd.DataFrame(rows).to_string(index=False), blocks, *lines])


def _spread(values: pd.Series) -> str:
    """Mean and standard deviation to three digits."""
    if values.empty:
        return "-"
    return f"{values.mean():.3g}" + (f" ± {values.std():.2g}" if len(values) > 1 else "")
