"""The tables and the pictures of ``benchmarks.ablation``, from the cells that there are."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from benchmarks.tables import markdown, middle, reached, spread

matplotlib.use("Agg")
from matplotlib import pyplot as plt

REFERENCE, NEAR = "joint", 1.05
HEADER = ("arm", "reached", "time / joint's", "time [s]", "energy [J]", "energy / joint's", "rounds", "mean round / joint's",
          "own classes: time / joint's", "first", "within 5 % of the first")
COLUMNS = ("ratio_time", "time_s", "energy_j", "ratio_energy", "rounds", "ratio_round", "ratio_own_time")
SAID = ("Mean ± standard error over the seeds that reached the target (lengths of rounds: over all), of ratios the geometric "
        "mean;\nranks over the seeds that all arms have ({}).\n")
OURS, THEIRS = "#0072B2", "#D55E00"
TICKS = {2: (1, 1.2, 1.5), 10: (1, 1.5, 2, 3, 5), 50: (1, 2, 5), np.inf: (1, 3)}         # by how much an axis spans
SCHEMES = ("lightweight FedSL", "EPSL", "personalisation", "FSL-SAGE")


def report(folder: Path, studies: Sequence[str], arms: Sequence[str], personal: Collection[str]) -> dict[str, dict[str, float]]:
    """Write ``tables.md`` and a picture a study; return the geometric mean of time over joint's of each study and arm.

    Parameters
    ----------
    personal : sequence of str
        Arms whose target is that on the devices' own classes.
    """
    lines, found = [], {}
    for study in studies:
        path = folder / f"{study}.csv"
        if not path.exists():
            continue
        cells = compared(pd.read_csv(path), personal)
        here = [arm for arm in arms if arm in set(cells["arm"])]
        lines += [f"\n## {study}\n", *table(cells, here)]
        picture(cells, here, study, folder / f"{study}.png")
        found[study] = {arm: round(middle(cells[cells["arm"] == arm]["ratio_time"])[0], 4) for arm in here}
    (folder / "tables.md").write_text("\n".join(lines).lstrip() + "\n", encoding="utf-8")
    return found


def compared(cells: pd.DataFrame, personal: Collection[str]) -> pd.DataFrame:
    """The cells with times and energies over joint's on the same seed; personal arms are measured by their own target.

    ``ratio_time``, ``ratio_energy`` and ``ratio_own_time`` (all arms by the target on own classes) are infinite where the target
    was not reached, and NaN where joint has no such number; ``ratio_round`` is of the mean time of a round; ``rank`` is the time
    over the least of the seed, among arms with the common target.
    """
    apart, joint = cells["arm"].isin(personal), cells[cells["arm"] == REFERENCE].set_index("seed").replace(np.inf, np.nan)

    def ratio(name: str) -> pd.Series:
        return cells[name] / cells["seed"].map(joint[name])

    own = {name: cells[name].where(~apart, cells[f"own_{name}"]) for name in ("time_s", "energy_j", "rounds")}
    ratios = {f"ratio_{name[:-2]}": ratio(name).where(~apart, ratio(f"own_{name}")) for name in ("time_s", "energy_j")}
    common = cells["time_s"].where(~apart)
    return cells.assign(personal=apart, ratio_own_time=ratio("own_time_s"), ratio_round=ratio("round_s"), **own, **ratios,
                        rank=common / common.groupby(cells["seed"]).transform("min"))


def table(cells: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """Lines of one study's table; ranks count where a seed has all arms."""
    sizes = cells.groupby("seed")["arm"].nunique()
    whole = set(sizes[sizes == len(arms)].index)
    rows = []
    for arm in arms:
        mine = cells[cells["arm"] == arm]
        rank = mine[mine["seed"].isin(whole)]["rank"]
        ranks = ["-", "-"] if mine["personal"].any() else [str(int((rank <= limit).sum())) for limit in (1.0, NEAR)]
        rows.append([arm, reached(mine), *(spread(mine[name], name.startswith("ratio")) for name in COLUMNS), *ranks])
    return [SAID.format(len(whole)), *markdown(HEADER, rows)]


def _arrived(ratios: pd.Series, arm: str) -> str:
    """The name of an arm, and of how many seeds its mean is, where some did not get to the target."""
    there = int(np.isfinite(ratios).sum())
    return arm if there in (0, len(ratios)) else f"{arm} ({there} of {len(ratios)})"


def picture(cells: pd.DataFrame, arms: Sequence[str], study: str, path: Path) -> None:
    """Time and energy over joint's on the same seed: a dot a seed, geometric mean and standard error beside them."""
    panels: Mapping[str, str] = {"ratio_time": "time to the target", "ratio_energy": "energy until then"}
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.3 * len(arms) + 1.4), sharey=True, layout="constrained")
    for (name, title), where in zip(panels.items(), axes, strict=True):
        for row, arm in enumerate(arms):
            v = cells[cells["arm"] == arm][name]
            v = v[np.isfinite(v)]
            colour = THEIRS if arm in SCHEMES else OURS
            where.plot(v, np.full(len(v), row + 0.22), "o", ms=3, mew=0, alpha=0.35, color=colour)
            if len(v):
                mean, error = middle(v)
                where.errorbar(mean, row - 0.08, xerr=np.nan_to_num(error), fmt="D", ms=4.5, capsize=3, color=colour)
            else:
                where.text(0.02, row, "target not reached", va="center", fontsize=8, color="grey",
                           transform=where.get_yaxis_transform())
        where.axvline(1.0, color="black", lw=0.8)
        where.set(xscale="log", xlabel=f"{title}, over joint's [1]")
        low, high = where.get_xlim()
        subs = next(ticks for times, ticks in TICKS.items() if high < times * low)
        where.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
        where.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        where.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        where.grid(alpha=0.3)
    axes[0].set_yticks(range(len(arms)), [_arrived(cells[cells["arm"] == arm]["ratio_time"], arm) for arm in arms])
    axes[0].invert_yaxis()
    figure.suptitle(f"{study}: a dot a seed, a diamond the geometric mean with its standard error", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
