"""The tables and the picture of ``benchmarks.accuracy``, from the cells that there are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vP*X<>hp"
NEAR = 0.95
HEADER = ("algorithm", "accuracy, IID", "accuracy, Dirichlet(1)", "the same on own classes", "up [MB]", "down [MB]",
          "until then [MB]", "seeds")
NAMES = {"iid": "IID", "dirichlet": "Dirichlet(1)"}


def report(folder: Path, studies: Sequence[str], algorithms: Sequence[str]) -> dict[str, float]:
    """Write ``tables.md`` and a picture a study; return the best final accuracy of each study and partition."""
    lines, best = [], {}
    for study in studies:
        path = folder / f"{study}.csv"
        if not path.exists():
            continue
        cells = pd.read_csv(path)
        lines += [f"\n## {study}\n", *table(cells, algorithms)]
        picture(cells, algorithms, study, folder / f"{study}.png")
        last = final(cells)
        tops = {part: float(last.loc[part, "accuracy"]["mean"].max()) for part in last.index.unique(level=0)}
        best |= {f"{study}/{part}": round(top, 4) for part, top in tops.items()}
    (folder / "tables.md").write_text("\n".join(lines).lstrip() + "\n", encoding="utf-8")
    return best


def final(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of what a run ends with; (partition, algorithm) rows."""
    last = cells.sort_values("round").groupby(["partition", "algorithm", "seed"]).tail(1)
    return last.groupby(["partition", "algorithm"])[["accuracy", "own_accuracy", "up_bytes", "down_bytes", "cpu_s", "round"]].agg(
        ["mean", "std", "count"])


def table(cells: pd.DataFrame, algorithms: Sequence[str]) -> list[str]:
    """Lines of one study's table."""
    last = final(cells)
    rounds = int(last[("round", "mean")].max())
    lines = [f"After {rounds} rounds of one pass over the data (personalisation: of two). Traffic of one device in all rounds,",
             f"in the IID runs; and both ways until the mean accuracy is {NEAR:.0%} of the best one's end, IID/Dirichlet.\n",
             f"| {' | '.join(HEADER)} |", "|---|---|---|---|---|---|---|---|"]
    for name in algorithms:
        rows: dict[str, Any] = {part: last.loc[(part, name)] for part in NAMES if (part, name) in last.index}
        if not rows:
            continue
        one = next(iter(rows.values()))
        seeds = "/".join(str(int(row[("accuracy", "count")])) for row in rows.values())
        until = "/".join(load_to(cells, part, name, NEAR * float(last.loc[part][("accuracy", "mean")].max())) for part in rows)
        lines.append(" | ".join([f"| {name}", _spread(rows.get("iid"), "accuracy"), _spread(rows.get("dirichlet"), "accuracy"),
                                 _spread(rows.get("dirichlet"), "own_accuracy"), f"{one[('up_bytes', 'mean')] / 1e6:.3g}",
                                 f"{one[('down_bytes', 'mean')] / 1e6:.3g}", until, f"{seeds} |"]))
    return lines


def load_to(cells: pd.DataFrame, part: str, name: str, target: float) -> str:
    """Traffic of a device, both ways, at the first evaluation whose mean accuracy reaches the target [MB]."""
    runs = cells[(cells["partition"] == part) & (cells["algorithm"] == name)]
    mean = runs.groupby("round")[["accuracy", "up_bytes", "down_bytes"]].mean()
    there = mean[mean["accuracy"] >= target]
    return f"{(there['up_bytes'] + there['down_bytes']).iloc[0] / 1e6:.3g}" if len(there) else "never"


def _spread(row: pd.Series | None, column: str) -> str:
    if row is None:
        return "-"
    spread = row[(column, "std")]
    return f"{row[(column, 'mean')]:.3f}" + (f" ± {spread:.3f}" if pd.notna(spread) else "")


def picture(cells: pd.DataFrame, algorithms: Sequence[str], study: str, path: Path) -> None:
    """Accuracy against traffic of a device, both directions, mean over the seeds; one panel a partition."""
    parts = [part for part in NAMES if part in set(cells["partition"])]
    figure, panels = plt.subplots(1, len(parts), figsize=(4.6 * len(parts), 3.6), sharey=True, squeeze=False,
                                  layout="constrained")
    for part, axes in zip(parts, panels[0], strict=True):
        for number, name in enumerate(algorithms):
            runs = cells[(cells["partition"] == part) & (cells["algorithm"] == name)]
            mean = runs.groupby("round")[["accuracy", "up_bytes", "down_bytes"]].mean()
            axes.plot((mean["up_bytes"] + mean["down_bytes"]) / 1e6, mean["accuracy"], MARKERS[number], ms=4, lw=1,
                      ls="--" if number >= len(COLOURS) else "-", color=COLOURS[number % len(COLOURS)], label=name)
        axes.set(xscale="log", xlabel="traffic of one device, up and down [MB]", title=f"{study}, {NAMES[part]}")
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("test accuracy [1]")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
