"""The table that a run ends with, as text."""

import numpy as np
import pandas as pd

from wirelessfl.air import coherence_time
from wirelessfl.record import SHARES
from wirelessfl.settings import Scenario

CAME = ["seed", "round", "accuracy", "latency_s", "energy_j", "uplink_bits", "downlink_bits", "left_out"]   # of decisions


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
    lasts, took = coherence_time(s), summary["round_s"][summary["round_s"] > 0]            # else no round took place
    blocks = "" if took.empty else f"\na round took {1e3 * took.median():.3g} ms in the median" + (
        f", and gains last for about {1e3 * lasts:.3g} ms (the coherence time); in the model they last for the round"
        if np.isfinite(lasts) else "")
    walls = timing[["deciding_s", "training_s", "testing_s"]].sum()
    blocks += (f"\non this computer a decision took {1e3 * walls['deciding_s'] / timing['rounds'].sum():.3g} ms, "
               f"{100 * walls['deciding_s'] / walls.sum():.2g} % of the time of the rounds")
    early = summary[summary["advice"] != ""]
    lines = [f"{policy} seed {seed} ended early: {why}" for policy, seed, why in
             zip(early["policy"], early["seed"], early["advice"], strict=True)]
    return "\n".join([title, headline(summary, s).to_string(index=False), blocks, *lines])


def alike(rounds: pd.DataFrame) -> str:
    """Which policies made the same decisions in every round, by what came of them up to rounding; empty where all differ.

    Parameters
    ----------
    rounds : DataFrame
        One row a round (``record.rounds_table``).
    """
    groups: list[tuple[np.ndarray, list[str]]] = []
    for policy, table in rounds.groupby("policy", sort=False):
        mine = table[CAME].to_numpy(float)
        same = next((names for other, names in groups if other.shape == mine.shape
                     and np.allclose(other, mine, rtol=1e-9, atol=0, equal_nan=True)), None)
        if same is not None:
            same.append(str(policy))
        elif table["latency_s"].any():                             # else no round took place
            groups.append((mine, [str(policy)]))
    said = [f"{' and '.join(', '.join(more).rsplit(', ', 1))} made the same decisions as {first} in every round"
            for _, (first, *more) in groups if more]
    return "; ".join(said)


def spread(values: pd.Series) -> str:
    """Mean and standard deviation of those that there are, to three digits."""
    values = values.dropna()
    if values.empty:
        return "-"
    return _digits(values.mean(), 3) + (f" ± {_digits(values.std(), 2)}" if len(values) > 1 else "")


def _digits(value: float, digits: int) -> str:
    """A number to so many digits: 120, and not 1.2e+02."""
    return f"{value:.{digits}g}" if not 1 <= abs(value) < 1e6 else f"{float(f'{value:.{digits}g}'):.7g}"
