"""Pictures of tables: colour-blind safe, units on the axes, legible in grey."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from channels.units import linear_to_db
from wirelessfl.record import smoothed
from wirelessfl.style import COLOURS, DASHES, HATCHES, STYLE


def latency_accuracy(rounds: pd.DataFrame, runs: pd.DataFrame, target: float, smoothing: int, path: Path) -> None:
    """Accuracy against simulated time, the mean over seeds of each policy; below it, when each reached the target.

    Parameters
    ----------
    rounds : DataFrame
        One row a round (``record.rounds_table``).
    runs : DataFrame
        One row a run (``record.reached``).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.2))
        curves, bars = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.25))
        last = runs["time_s"][np.isfinite(runs["time_s"])].max()
        time = np.linspace(0, np.nanmin([1.15 * last, rounds["elapsed_s"].max()]), 400)
        for number, (policy, of_policy) in enumerate(rounds.groupby("policy", sort=False)):
            look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            each = np.array([accuracy_at(run, smoothing, time) for _, run in of_policy.groupby("seed")])
            curves.plot(time, each.mean(0), **look, linewidth=2.2 if number == 0 else 1.4, label=policy, zorder=5 - number)
            _whisker(bars, number, runs[runs["policy"] == policy]["time_s"], look["color"])
        curves.axhline(target, color="black", linewidth=0.8)
        curves.annotate(f"target {target:g}", (0, target), xytext=(4, 3), textcoords="offset points", fontsize=8)
        seeds = rounds["seed"].nunique()
        curves.set(ylabel="test accuracy [1]", ylim=(0, 1.02), xlim=(0, time[-1] or 1.0),
                   title=f"Test accuracy against simulated time (mean of {seeds} seeds and {smoothing} rounds)")
        curves.set_xlabel("runs that have ended keep their last accuracy", fontsize=8, loc="right")
        curves.legend(title="policy", loc="lower right")
        bars.set(yticks=range(rounds["policy"].nunique()), yticklabels=rounds["policy"].unique(), xlabel="simulated time [s]",
                 ylim=(-0.6, rounds["policy"].nunique() - 0.4), title="time to the target: each seed, and the mean")
        bars.invert_yaxis()
        bars.grid(axis="y", visible=False)
        figure.savefig(path, dpi=160)


def accuracy_at(run: pd.DataFrame, smoothing: int, time: np.ndarray) -> np.ndarray:
    """Accuracy at each ``time`` [s], the mean of the last rounds, straight between tests; a run that has ended keeps its last."""
    tested = run["accuracy"].notna()
    return np.interp(time, run["elapsed_s"][tested], smoothed(run["accuracy"], smoothing)[tested])


def _whisker(axes: Any, row: int, times: pd.Series, colour: str) -> None:
    """The time to the target of each seed, and their mean where all of them reached it."""
    there = times[np.isfinite(times)]
    axes.plot(there, np.full(len(there), row), "o", color=colour, markersize=3.5, alpha=0.6, markeredgewidth=0)
    if len(there) == len(times):
        axes.plot([there.mean()], [row], "|", color=colour, markersize=13, markeredgewidth=2.5)
    else:
        axes.annotate(f"{len(there)} of {len(times)} seeds", (0.99, row), xycoords=("axes fraction", "data"), ha="right",
                      va="center", fontsize=8)


def allocation(devices: pd.DataFrame, path: Path) -> None:
    """Who got what, and why: band, power, pruning and split of every device and round against channel gain and speed."""
    gain_db = linear_to_db(np.maximum(devices["gain"], 1e-30))
    speed = devices["speed_flops"] / 1e9
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.6))
        grid = figure.subplots(2, 2)
        by_speed = {"c": speed, "cmap": "viridis", "norm": matplotlib.colors.LogNorm(speed.min(), speed.max() * 1.0001),
                    "s": 9, "alpha": 0.75, "linewidths": 0}
        loud = devices["power_w"].std() > 1e-6 * devices["power_w"].mean()       # else everyone sends at the same power
        third = ("power_w", 1e3, "transmit power [mW]") if loud else ("energy_j", 1e3, "energy of the round [mJ]")
        for axes, column, scale, label, log in (
                (grid[0, 0], "bandwidth_hz", 1e-6, "bandwidth [MHz]", True), (grid[0, 1], *third, False),
                (grid[1, 0], "pruning_ratio", 1.0, "pruning ratio [1]", False)):
            dots = axes.scatter(gain_db, devices[column] * scale, **by_speed)
            axes.set(xlabel="channel gain [dB]", ylabel=label, yscale="log" if log and devices[column].max() > 0 else "linear")
        bar = figure.colorbar(dots, ax=grid[:, 1], label="device speed [GFLOP/s]", aspect=40)
        for axis in (bar.ax.yaxis.set_major_formatter, bar.ax.yaxis.set_minor_formatter):
            axis(matplotlib.ticker.StrMethodFormatter("{x:.2g}"))
        _splits(grid[1, 1], devices, gain_db)
        first, power = devices.iloc[0], "" if loud else f"; all send at {1e3 * devices['power_w'].mean():.3g} mW"
        figure.suptitle(f"Policy {first['policy']!r}, seed {first['seed']}: one dot a device and round{power}", fontsize=10)
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
                 alpha=0.85, label=f"{split}", edgecolor="white", linewidth=0.5, hatch=HATCHES[number % len(HATCHES)])
        below += share
    axes.set(xlabel="channel gain [dB]", ylabel="share of rounds [1]", ylim=(0, 1))
    axes.legend(title="blocks on the device", ncols=len(splits), loc="upper center", bbox_to_anchor=(0.5, 1.22), fontsize=8,
                title_fontsize=8)
