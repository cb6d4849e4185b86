"""What the browser draws rounds and allocations of: for each policy, what devices were given, and where their time went."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from channels.units import linear_to_db
from wirelessfl.report import looks
from wirelessfl.report.runs import Run

STAGES = {"download_s": ("download", 6), "computing_s": ("device computes", 2), "serving_s": ("server computes", 5),
          "upload_s": ("upload", 0)}                       # with the numbers of their looks
MOST = 40_000                                              # rows of devices and rounds on a page
STATES = ("", "left out", "lost", "late")


def turned(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One table a run and policy, of its first seed, column by column; of long runs, some of the rounds, evenly spread."""
    pairs = [(run, policy) for run in runs for policy in run.policies]
    return [_table(run, policy, MOST // len(pairs)) for run, policy in pairs]


def stages() -> list[dict[str, str]]:
    """Name, colour and hatch of what the time of a device goes into."""
    return [{"name": name, "colour": looks.colour(number), "pattern": looks.pattern(at)}
            for at, (name, number) in enumerate(STAGES.values())]


def _table(run: Run, policy: str, most: int) -> dict[str, Any]:
    mine = run.devices[run.devices["policy"] == policy]
    mine = mine[mine["seed"] == mine["seed"].iloc[0]]
    rounds = mine["round"].unique()
    few = max(1, min(len(rounds), most * len(rounds) // len(mine)))
    kept = rounds[np.linspace(0, len(rounds) - 1, few).astype(int)]
    mine = mine[mine["round"].isin(kept)]
    return {"name": f"{run.label}: {policy}" if run.label else policy, "seed": int(mine["seed"].iloc[0]),
            "rounds": [int(number) + 1 for number in kept], "all": len(rounds), "staged": set(STAGES) <= set(mine.columns),
            "columns": dict(_columns(mine))}


def _columns(t: pd.DataFrame) -> Iterator[tuple[str, list[Any]]]:
    """In the units of axes: ms, MHz, mW, GFLOP/s, dB."""
    yield "round", (t["round"] + 1).tolist()
    for name in ("device", "split"):
        yield name, t[name].tolist()
    for name, column, scale in (("pruned", "pruning_ratio", 1.0), ("band", "bandwidth_hz", 1e-6), ("power", "power_w", 1e3),
                                ("speed", "speed_flops", 1e-9), ("energy", "spent_j", 1e3), ("took", "took_s", 1e3)):
        yield name, looks.short(scale * t[column], 4)
    yield "gain", looks.short(linear_to_db(np.maximum(t["gain"].to_numpy(float), 1e-30)), 5)
    for column, (name, _) in STAGES.items():
        if column in t:
            yield name, looks.short(1e3 * t[column], 4)
    yield "state", _states(t).tolist()


def _states(t: pd.DataFrame) -> np.ndarray:
    """What became of each: a number of ``STATES``."""
    out = t["split"].to_numpy() == 0
    return np.select([out, ~t["arrived"].to_numpy(bool), t["late"].to_numpy(bool)], [1, 2, 3], 0)
