"""Tables and the picture of ``benchmarks.robustness``, from the rows that there are."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.tables import markdown, middle, reached, spread
from wirelessfl.style import COLOURS, DASHES, STYLE

OTHERS = ("equal", "fixed-split", "no-pruning")
EDGE = 2.0          # of the picture
BY = {"forecast": "cell", "training": "task", "deciding": "task"}


def report(folder: Path) -> str:
    """Write ``tables.md`` and ``forecast.png``; the tables as text."""
    parts, tables = {"forecast": forecast, "training": training, "deciding": deciding}, []
    for name, make in parts.items():
        if (folder / f"{name}.csv").exists():
            rows = pd.read_csv(folder / f"{name}.csv")
            rows[BY[name]] = [f"{what}, commit {commit}" for what, commit in zip(rows[BY[name]], rows["commit"], strict=True)]
            tables += make(rows)
            if name == "forecast":
                picture(rows, folder / "forecast.png")
    text = "\n\n".join(tables) + "\n"
    (folder / "tables.md").write_text(text, encoding="utf-8")
    return text


def forecast(rows: pd.DataFrame) -> list[str]:
    """A table a cell: what joint attains with wrong constants, and what is left of its gains."""
    found = []
    for cell, of_cell in complete(rows, "cell").items():
        times = of_cell.pivot_table("progress_s", ["case", "policy"], "seed", sort=False)
        lines = []
        for case in of_cell["case"].unique():
            own = of_cell[(of_cell["case"] == case) & (of_cell["policy"] == "joint")]
            ratio = times.loc[(case, "joint")] / times.loc[("right", "joint")]
            lines.append([case, spread(ratio, ratios=True), *(kept(times, case, other) for other in OTHERS),
                          f"{middle(own['promised_s'] / own['progress_s'])[0]:.2f}", f"{own['ratio'].mean():.2f}",
                          f"{own['cut'].mean():.2f}", "/".join(f"{n:g}" for n in sorted(own["interval"].unique()))])
        head = ["constants", "time / right", *(f"left over {other} [%]" for other in OTHERS), "promised / attained", "pruned",
                "split", "interval"]
        right = times.loc["right"]
        gains = ", ".join(f"{other} {middle(right.loc[other] / right.loc['joint'])[0]:.3f}" for other in right.index[1:])
        found += [f"{cell}, {of_cell['seed'].nunique()} world(s); with the right constants, time over joint's: {gains}",
                  "\n".join(markdown(head, lines))]
    return found


def training(rows: pd.DataFrame) -> list[str]:
    """A table a task: joint in every case, and no decisions, trained to the target on the seeds that all of them have."""
    found = []
    for task, of_task in complete(rows, "task").items():
        times, lines = of_task.pivot_table("time_s", ["case", "policy"], "seed", sort=False), []
        for case, policy in times.index:
            own = of_task[(of_task["case"] == case) & (of_task["policy"] == policy)]
            ratio = times.loc[(case, policy)] / times.loc[("right", "joint")]
            lines.append([policy, case, reached(own), spread(own["time_s"]), spread(ratio, ratios=True),
                          kept(times, case, "equal") if policy == "joint" else "", spread(own["rounds"]),
                          f"{own['ratio'].mean():.2f}", "/".join(f"{n:g}" for n in sorted(own["interval"].unique()))])
        head = ["policy", "constants", "reached", "time [s]", "time / joint, right", "left over equal [%]", "rounds", "pruned",
                "interval"]
        found += [f"{task}, trained, {of_task['seed'].nunique()} seed(s)", "\n".join(markdown(head, lines))]
    return found


def deciding(rows: pd.DataFrame) -> list[str]:
    """A table a task: how often decisions are made, and what they cost."""
    found = []
    for task, of_task in complete(rows, "task", ("way", "policy")).items():
        times, lines = of_task.pivot_table("time_s", ["way", "policy"], "seed", sort=False), []
        for way, policy in times.index:
            own = of_task[(of_task["way"] == way) & (of_task["policy"] == policy)]
            spent = own[["deciding_s", "training_s", "testing_s"]].sum()
            share, each = spent["deciding_s"] / spent.sum(), spent["deciding_s"] / own["rounds"].sum()
            ratio = times.loc[(way, policy)] / times.loc[("every round", "joint")]
            lines.append([policy, way, reached(own), spread(own["time_s"]), spread(ratio, ratios=True), spread(own["rounds"]),
                          f"{100 * share:.0f}", f"{1e3 * each:.0f}"])
        head = ["policy", "decided", "reached", "time [s]", "time / each round", "rounds", "deciding [% of the computer's time]",
                "deciding a round [ms]"]
        found += [f"{task}, {of_task['seed'].nunique()} seed(s)", "\n".join(markdown(head, lines))]
    return found


def complete(rows: pd.DataFrame, by: str, what: Sequence[str] = ("case", "policy")) -> dict[str, pd.DataFrame]:
    """The rows of each group, of the seeds for which all that its first seed has is there."""
    found = {}
    for name, of in rows.groupby(by, sort=False):
        counts = of.groupby("seed")[what[0]].count()
        found[str(name)] = of[of["seed"].isin(counts.index[counts == counts.max()])]
    return found


def kept(times: pd.DataFrame, case: str, other: str) -> str:
    """How much of joint's gain over another policy is left, of the means of ratios [%]; nothing to keep where there was none."""
    if ("right", other) not in times.index:
        return "-"
    ratios = [times.T[key] / times.T[("right", "joint")] for key in ((case, "joint"), ("right", other))]
    wrong, theirs = (middle(each)[0] if np.isfinite(each).all() else np.inf for each in ratios)
    if not 1 < theirs < np.inf:
        return "-"
    left = 100 * (theirs - wrong) / (theirs - 1)
    return f"{left:.0f}" if left > -100 else "below -100"


@matplotlib.rc_context(STYLE)
def picture(rows: pd.DataFrame, path: Path) -> None:
    """Time of a full round's progress in every case, over that with the right constants: each world, and the geometric mean.

    Drawn for the groups that have every case; an arrow is what lies beyond the edge.
    """
    cases = list(rows["case"].unique())
    cells = {cell: of for cell, of in complete(rows, "cell").items() if of["case"].nunique() == len(cases)}
    figure = Figure(figsize=(7.16, 3.9))
    for axis, (cell, of) in zip(figure.subplots(1, len(cells), sharey=True, squeeze=False)[0], cells.items(), strict=True):
        times = of.pivot_table("progress_s", ["case", "policy"], "seed", sort=False)
        right = times.loc[("right", "joint")]
        for number, case in enumerate(cases):
            ratio = times.loc[(case, "joint")] / right
            axis.plot(ratio, np.full(len(ratio), number), "o", color=COLOURS[0], markersize=3.5, alpha=0.6, markeredgewidth=0)
            mean = middle(ratio)[0]
            axis.plot([min(mean, EDGE)], [number], "|" if mean < EDGE else ">", color=COLOURS[0], markersize=9, markeredgewidth=2,
                      clip_on=False)
        for number, other in enumerate(each for each in OTHERS if ("right", each) in times.index):
            axis.axvline(middle(times.T[("right", other)] / right)[0], color=COLOURS[number + 1], linestyle=DASHES[number + 1],
                         label=f"{other}, right", linewidth=1.3)
        axis.set(xlabel="time / joint with the right constants [1]", title=cell.split(",")[0], yticks=range(len(cases)),
                 yticklabels=cases, xlim=(0.97, EDGE))
        axis.title.set_fontsize(9)
        axis.xaxis.label.set_fontsize(8)
    axis.invert_yaxis()
    axis.legend(fontsize=8, loc="upper right", frameon=True, facecolor="white", framealpha=1, edgecolor="none")
    figure.savefig(path, dpi=140)
