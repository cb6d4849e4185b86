"""Tables and pictures of ``benchmarks.bound``, from the cells that there are.

*Measured* are rounds R to a goal over those of the same seed without a lever, R_0; a run that does not get there is *censored*:
it ranks behind all that do, and has no error, but is counted if it was predicted to arrive within the rounds that it had.
*Predicted* is (1 - Phi)^-gamma, never from Phi = 1 on; for ranks, Phi itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.tables import markdown
from optim.bound import fit_exponent, rounds_needed

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FORMS = ("relative", "constants")
ALSO = {"interval": ("squared",)}          # what is another form for one lever only
PHI = (*FORMS, *ALSO["interval"])
LABELS = {"squared": "relative, drift squared"}
LEVERS = {"pruning": "ratio", "update bits": "update_bits", "smashed bits": "smashed_bits", "dropout": "dropout",
          "interval": "interval", "absence": "absent", "the same absent": "absent", "half pruned": "ratio", "together": "ratio"}
UNITS = {"pruning": "ratio [1]", "update bits": "update [bit]", "smashed bits": "smashed data [bit]", "dropout": "dropout [1]",
         "interval": "interval [rounds]", "absence": "absent [1]", "the same absent": "absent [1]",
         "half pruned": "ratio of half of the devices [1]", "together": "ratio [1]"}
CELL = ["lever", "cut", *dict.fromkeys(LEVERS.values()), "same", "half", "seed"]
MARKERS = dict(zip(range(1, 7), "os^Dv*", strict=True))
HEADER = ("lever", "form", "runs", "never", "Spearman, settings", "Spearman, runs", "both finite", "measured / predicted, γ = 1",
          "error factor, γ = 1", "error factor, γ fitted", "predicted never, arrived", "predicted in time, never arrived")


def report(folder: Path, studies: Sequence[str]) -> None:
    """Write ``tables.md`` and a picture of each lever of each study."""
    lines: list[str] = []
    for study in studies:
        runs = joined(folder, study)
        goals = [str(column) for column in runs if str(column).startswith(("accuracy ", "loss "))]
        main = [goal for goal in goals if goal.startswith("accuracy")][-1]
        lines += [f"## {study}, to {main}\n", *table(runs, main), "", *by_goal(runs, goals), ""]
        for lever in [lever for lever in LEVERS if lever in set(runs["lever"])]:
            picture(runs, main, lever, folder / f"{study}-{lever.replace(' ', '-')}.png", f"{study}: {lever}")
    (folder / "tables.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def joined(folder: Path, study: str) -> pd.DataFrame:
    """Cells with their predictions."""
    return pd.read_csv(folder / f"{study}.csv").merge(pd.read_csv(folder / f"{study}-predicted.csv"), on=CELL)


def slowed(runs: pd.DataFrame, goal: str) -> pd.DataFrame:
    """Runs with a lever of seeds that reach the goal without one: R / R_0 as ``slower``, and R_0 as ``base``."""
    base = runs[runs["lever"] == "none"].set_index("seed")[goal]
    base = base[np.isfinite(base)]
    some = runs[(runs["lever"] != "none") & runs["seed"].isin(base.index)].copy()
    some["base"] = some["seed"].map(base)
    return some.assign(slower=some[goal] / some["base"])


def settings(some: pd.DataFrame) -> pd.DataFrame:
    """The medians over the seeds of what was pulled alike."""
    return some.groupby(CELL[:-1])[["slower", *PHI]].median()


def gamma(some: pd.DataFrame, form: str) -> tuple[float, float]:
    """The exponent that fits best where both sides are finite, and its standard error; NaN without such runs."""
    both = some[np.isfinite(some["slower"]) & (some[form] > 0) & (some[form] < 1)]
    return fit_exponent(both[form], both["slower"]) if len(both) else (np.nan, np.nan)


def compared(some: pd.DataFrame, form: str, exponent: float) -> dict[str, Any]:
    """How well a form ranks and how far it is off; of runs that are finite on both sides, medians."""
    real, phi, each = some["slower"].to_numpy(), some[form].to_numpy(), settings(some)
    there, allowed = np.isfinite(real), phi < 1
    both = there & allowed
    bold = ~there & (some["base"].to_numpy() * rounds_needed(1.0, phi) <= some["rounds"].to_numpy())
    errors = [np.log(real[both] / rounds_needed(1.0, phi[both], power)) for power in (1.0, exponent)]
    factor = [np.exp(np.median(np.abs(e))) if both.any() else np.nan for e in errors]
    return {"runs": len(some), "never": int((~there).sum()), "by_setting": rank(each[form], each["slower"]),
            "by_run": rank(phi, real), "finite": int(both.sum()),
            "over": np.exp(np.median(errors[0])) if both.any() else np.nan, "factor": factor[0], "fitted": factor[1],
            "too_cautious": int((there & ~allowed).sum()), "too_bold": int(bold.sum())}


def rank(phi: Any, real: Any) -> float:
    """Spearman's rank correlation; NaN where one side does not vary."""
    return float(spearmanr(phi, real)[0]) if np.ptp(np.argsort(phi)) and len(set(phi)) > 1 and len(set(real)) > 1 else np.nan


def table(runs: pd.DataFrame, goal: str) -> list[str]:
    """Lines: a row a lever and form."""
    some = slowed(runs, goal)
    exponents = {form: gamma(some, form) for form in PHI}
    base = some.groupby("seed")["base"].first()
    lines = [f"Rounds without a lever: {', '.join(f'{value:.0f}' for value in base)} (seeds {', '.join(map(str, base.index))}). "
             + "Fitted γ: " + ", ".join("{} {:.2f} ± {:.2f}".format(form, *exponents[form]) for form in FORMS),
             "", *markdown(HEADER)]
    for lever in pulled(some):
        for form in (*FORMS, *ALSO.get(lever, ())):
            c = compared(part(some, lever), form, exponents[form][0])
            cells = [lever, LABELS.get(form, form), c["runs"], c["never"], _number(c["by_setting"]), _number(c["by_run"]),
                     c["finite"], *(_number(c[key]) for key in ("over", "factor", "fitted")), c["too_cautious"], c["too_bold"]]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def by_goal(runs: pd.DataFrame, goals: Sequence[str]) -> list[str]:
    """Lines: Spearman over settings of the relative form for each goal, a row a lever."""
    lines = ["Spearman of the relative form over settings, by goal:", "", f"| lever | {' | '.join(goals)} |",
             "|---|" + "---|" * len(goals)]
    every = [slowed(runs, goal) for goal in goals]
    for lever in pulled(runs):
        each = [settings(part(some, lever)) for some in every]
        for form in ("relative", *ALSO.get(lever, ())):
            name = f"{lever}: {LABELS[form]}" if form in LABELS else lever
            lines.append(f"| {name} | {' | '.join(_number(rank(e[form], e['slower'])) for e in each)} |")
    return lines


def pulled(runs: pd.DataFrame) -> list[str]:
    """Levers that there are, and all together."""
    return [*(lever for lever in LEVERS if lever in set(runs["lever"])), "all"]


def part(some: pd.DataFrame, lever: str) -> pd.DataFrame:
    """Runs of one of :func:`pulled`."""
    return some if lever == "all" else some[some["lever"] == lever]


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def picture(runs: pd.DataFrame, goal: str, lever: str, path: Path, title: str) -> None:
    """Predicted (γ = 1) against measured R / R_0, the forms side by side."""
    some = slowed(runs, goal).query("lever == @lever")
    top = 1.25 * max(some["slower"].replace(np.inf, np.nan).max(), 2.0)
    forms = (*FORMS, *ALSO.get(lever, ()))
    figure, panels = plt.subplots(1, len(forms), figsize=(5 * len(forms), 4.4), sharey=True, layout="constrained")
    for axes, form in zip(panels, forms, strict=True):
        points = _panel(axes, some, form, LEVERS[lever], top)
        axes.set(title=LABELS.get(form, form), xlabel="predicted R / R₀")
    panels[0].set_ylabel(f"measured R / R₀ to {goal}")
    cuts = sorted(set(some["cut"]))
    shown = [plt.Line2D([], [], marker=MARKERS[c], ls="", color="grey", label=f"cut {c}") for c in cuts]
    panels[0].legend(handles=shown, fontsize=8, loc="lower left")
    figure.colorbar(points, ax=panels, label=UNITS[lever])
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axes: Any, some: pd.DataFrame, form: str, column: str, top: float) -> Any:
    """One form. Who is predicted never to arrive stands right of the line, by the rank of Phi; who never did, on top."""
    far, phi = 4.0, some[form].to_numpy()
    never = phi >= 1 - 1 / far
    across = np.where(never, far, rounds_needed(1.0, np.minimum(phi, 0.99)))
    across[never] = far * np.linspace(1.05, 1.95, int(never.sum()))[np.argsort(np.argsort(phi[never]))]
    high, points = np.minimum(some["slower"].to_numpy(), top), None
    for cut, marker in MARKERS.items():
        here = (some["cut"] == cut).to_numpy()
        if here.any():
            points = axes.scatter(across[here], high[here], c=some[column].to_numpy()[here], marker=marker, cmap="viridis", s=26,
                                  vmin=some[column].min(), vmax=some[column].max(), alpha=0.85, linewidths=0)
    axes.plot([0.5, far], [0.5, far], color="black", lw=0.8)
    axes.axvspan(far, 2 * far, color="0.93", zorder=0)
    axes.text(far * 1.4, 0.02, "four times and more,\nor never: by rank of Φ", ha="center", va="bottom", fontsize=7,
              transform=axes.get_xaxis_transform())
    axes.axhline(top, color="grey", lw=0.6, ls=":")
    axes.text(0.95, top, "never", fontsize=7, va="bottom")
    axes.set(xscale="log", yscale="log", xlim=(0.9, 2 * far), ylim=(0.55, 1.15 * top))
    axes.set_xticks([1, 2, 4], ["1", "2", "4"])
    axes.set_yticks([n for n in (0.7, 1, 1.5, 2, 3, 4) if n < top], [f"{n:g}" for n in (0.7, 1, 1.5, 2, 3, 4) if n < top])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    return points
