"""Pictures of tables: colour-blind safe, units on the axes, legible in grey."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from channels.units import linear_to_db

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666", "#E69F00", "#56B4E9")     # Okabe and Ito
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)), (0, (2, 2)), "-", "--")
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
         "legend.frameon": False, "figure.constrained_layout.use": True}


def latency_accuracy(rounds: pd.DataFrame, target: float, smoothing: int, path: Path) -> None:
    """Accuracy against simulated time: the mean over seeds of each policy, and its range as a band."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.0))
        axes = figure.subplots()
        end = rounds.groupby(["policy", "seed"])["elapsed_s"].max().max()
        for number, (policy, runs) in enumerate(rounds.groupby("policy", sort=False)):
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            ends = runs.groupby("seed")["elapsed_s"].max()
            time = np.linspace(0, ends.min(), 300)                  # where all seeds are still running
            curves = np.array([_smooth(run, smoothing, time) for _, run in runs.groupby("seed")])
            axes.plot(time, curves.mean(0), color=colour, linestyle=dash, linewidth=2.2 if number == 0 else 1.5, label=policy,
                      zorder=5 if number == 0 else 3)
            if len(curves) > 1:
                axes.fill_between(time, curves.min(0), curves.max(0), color=colour, alpha=0.10, linewidth=0)
        axes.axhline(target, color="black", linewidth=0.8)
        axes.annotate(f"target {target:g}", (0.005 * end, target), xytext=(0, 3), textcoords="offset points", fontsize=8)
        seeds = rounds["seed"].nunique()
        axes.set(xlabel="simulated time [s]", ylabel=f"test accuracy, mean of {smoothing} rounds [1]",
                 ylim=(0, 1.02), xlim=(0, None),
                 title="Accuracy against simulated time" + (f" ({seeds} seeds: mean and range)" if seeds > 1 else ""))
        axes.legend(title="decided", loc="lower right")
        figure.savefig(path, dpi=160)


def _smooth(run: pd.DataFrame, smoothing: int, time: np.ndarray) -> np.ndarray:
    values = run["accuracy"].rolling(smoothing, min_periods=1).mean()
    return np.interp(time, run["elapsed_s"], values)


def allocation(devices: pd.DataFrame, path: Path) -> None:
    """Who got what, and why: band, power, pruning and split of every device and round against channel gain and speed."""
    gain_db = linear_to_db(np.maximum(devices["gain"], 1e-30))
    speed = devices["speed_flops"] / 1e9
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.6))
        grid = figure.subplots(2, 2)
        by_speed = {"c": speed, "cmap": "viridis", "norm": matplotlib.colors.LogNorm(speed.min(), speed.max() * 1.0001),
                    "s": 9, "alpha": 0.75, "linewidths": 0}
        for axes, column, scale, label, log in (
                (grid[0, 0], "bandwidth_hz", 1e-6, "bandwidth [MHz]", True),
                (grid[0, 1], "power_w", 1e3, "transmit power [mW]", False),
                (grid[1, 0], "pruning_ratio", 1.0, "pruning ratio [1]", False)):
            dots = axes.scatter(gain_db, devices[column] * scale, **by_speed)
            axes.set(xlabel="channel gain [dB]", ylabel=label, yscale="log" if log else "linear")
        figure.colorbar(dots, ax=grid[:, 1], label="device speed [GFLOP/s]", aspect=40)
        _splits(grid[1, 1], devices, gain_db)
        first = devices.iloc[0]
        figure.suptitle(f"Decisions of the policy {first['policy']!r}, seed {first['seed']}: one dot a device and round")
        figure.savefig(path, dpi=160)


def _splits(axes: Any, devices: pd.DataFrame, gain_db: np.ndarray) -> None:
    """Share of the rounds in which each split was chosen, over bins of the channel gain."""
    edges = np.unique(np.quantile(gain_db, np.linspace(0, 1, 9)))
    if len(edges) < 2:
        edges = np.array([gain_db.min() - 0.5, gain_db.max() + 0.5])
    which = np.clip(np.digitize(gain_db, edges) - 1, 0, len(edges) - 2)
    below = np.zeros(len(edges) - 1)
    splits = np.unique(devices["split"])
    for number, split in enumerate(splits):
        share = np.array([np.mean(devices["split"].to_numpy()[which == b] == split) if (which == b).any() else 0.0
                          for b in range(len(edges) - 1)])
        axes.bar(edges[:-1], share, np.diff(edges), bottom=below, align="edge", color=COLOURS[number % len(COLOURS)],
                 alpha=0.85, label=f"{split}", edgecolor="white", linewidth=0.5, hatch=("", "//", "..", "xx", "\\\\")[number % 5])
        below += share
    axes.set(xlabel="channel gain [dB]", ylabel="share of rounds [1]", ylim=(0, 1))
    axes.legend(title="blocks on the device", ncols=len(splits), loc="upper center", bbox_to_anchor=(0.5, 1.22), fontsize=8,
                title_fontsize=8)
