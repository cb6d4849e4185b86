"""A picture of a calibration: what each lever does to the gradient, with intervals and fits."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from learning.calibration import Calibration
from learning.crossing import Compression
from wirelessfl.folder import whole
from wirelessfl.style import COLOURS, DASHES, STYLE

MARKS = "osD^v<>Ph*"
SHOWN = 12            # compressions, at most
SHORT = {"update_bits": "update {} bit", "smashed_bits": "smashed {} bit", "cut_bits": "gradients {} bit", "dropout": "drop {:g}",
         "dropout_kind": "by {}", "scales": "scale a {}"}


def calibration_picture(measured: Calibration, path: Path) -> None:
    """Draw kappa over the ratio with its fits, pruning energy, compression, and drift over the interval, with 95 % intervals.

    Parameters
    ----------
    path : Path
        File to write, a PNG; it is there whole, or as it was before.
    """
    with whole(path) as file:
        draw(measured).savefig(file, dpi=160, format="png")


@matplotlib.rc_context(STYLE)
def draw(measured: Calibration) -> Figure:
    """The picture; panels for compression only where there is some, and for client sides that go apart likewise."""
    small, seldom = len(shown(measured)) > 0, len(measured.intervals) > 1
    rows = 1 + small + seldom
    figure = Figure(figsize=(8.2, 3.4 * rows))
    grid = figure.subplots(rows, 2, squeeze=False)
    _pruning(measured, grid[0, 0])
    _energy(measured, grid[0, 1])
    if small:
        _variants(measured, grid[1, 0], "compression_bias", "relative bias [1]", "Compression: bias (marks as above)")
        _variants(measured, grid[1, 1], "compression_noise", "mean of βΩ", "Compression: noise (marks as above)")
        grid[1, 1].tick_params(labelleft=False)
    if seldom:
        _drift(measured, grid[-1, 0], "misalignment", "misalignment [1]", "Client sides apart: against the gradient")
        _drift(measured, grid[-1, 1], "drift", "relative bias [1]", "Client sides apart: squared (marks as left)")
        grid[-1, 0].legend(title="split [blocks]", ncols=-(-len(measured.cuts) // 5), loc="upper left")
    figure.suptitle(f"Along a pilot of {measured.rounds} rounds: relative to the squared gradient, with 95 % intervals",
                    fontsize=9)
    return figure


def shown(measured: Calibration) -> NDArray:
    """Numbers of the compressions that do something, as many as are drawn."""
    return np.flatnonzero((np.array(measured.compression_bias) + np.array(measured.compression_noise)).any(0))[:SHOWN]


def _look(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)], "markersize": 4}


def _bars(axes: Any, x: Any, y: Any, error: Any, number: int, **more: Any) -> None:
    """Values with their intervals, which end at zero; infinite ones are not drawn."""
    y, error = np.array(y), np.nan_to_num(np.array(error), posinf=0.0)
    axes.errorbar(x, y, yerr=[np.minimum(error, y), error], capsize=2.5, elinewidth=1, **_look(number), **more)


def _pruning(measured: Calibration, axes: Any) -> None:
    """kappa(rho) of each cut, and the fit as far as it is used."""
    shift = 0.004 * (np.arange(len(measured.cuts)) - (len(measured.cuts) - 1) / 2)         # so that no bar hides another
    for number, cut in enumerate(measured.cuts):
        ratio = np.linspace(0, measured.ratio_max[number], 100)
        fit = measured.scale[number] * ratio ** measured.exponent[number]
        axes.plot(ratio, fit, color=COLOURS[number % len(COLOURS)], linewidth=1.3, linestyle=DASHES[number % len(DASHES)])
        _bars(axes, np.array(measured.ratios) + shift[number], measured.bias[number], measured.errors["bias"][number], number,
              linestyle="none", label=f"{cut}")
    axes.set(xlabel="pruning ratio ρ [1]", ylabel="relative bias κ [1]", xlim=(0, 1), ylim=(0, 1.15 * np.max(measured.bias)),
             title="Pruning, with fits as far as they are used")
    axes.legend(title="split [blocks]", ncols=-(-len(measured.cuts) // 5), loc="upper left")


def _energy(measured: Calibration, axes: Any) -> None:
    """e_j(rho) of each block that can be pruned."""
    for number, energy in enumerate(measured.energy):
        if np.any(energy):
            _bars(axes, measured.ratios, energy, measured.errors["energy"][number], number, label=f"{number + 1}", linewidth=1,
                  linestyle=DASHES[number % len(DASHES)])
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axes.text(0.97, 0.98, "as many of all weights", rotation=45, transform_rotates_text=True, ha="right", va="bottom",
              rotation_mode="anchor", fontsize=7)
    axes.set(xlabel="pruning ratio ρ [1]", ylabel="share of |w|² that is pruned [1]", xlim=(0, 1), ylim=(0, 1),
             title="What pruning takes of each block")
    axes.legend(title="block", ncols=-(-len(measured.energy) // 6), loc="upper left", fontsize=8)


def _variants(measured: Calibration, axes: Any, name: str, label: str, title: str) -> None:
    """A row a compression and a mark a cut."""
    rows = shown(measured)
    values, errors = np.array(getattr(measured, name))[:, rows], np.array(measured.errors[name])[:, rows]
    errors = np.nan_to_num(errors, posinf=0.0)
    for number, cut in enumerate(measured.cuts):
        place = np.arange(len(rows)) + 0.14 * (number - (len(measured.cuts) - 1) / 2)
        far = [np.minimum(errors[number], values[number]), errors[number]]
        axes.errorbar(values[number], place, xerr=far, capsize=2, elinewidth=1, linestyle="none", **_look(number), label=f"{cut}")
    axes.set(yticks=range(len(rows)), yticklabels=[words(measured.compressions[v]) for v in rows], xlabel=label, title=title,
             ylim=(len(rows) - 0.4, -0.6))
    axes.set_xscale("symlog", linthresh=max(1e-3 * values.max(), 1e-12))
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", labelsize=7)


def _drift(measured: Calibration, axes: Any, name: str, label: str, title: str) -> None:
    """Over the interval, a line a cut."""
    for number, cut in enumerate(measured.cuts):
        _bars(axes, measured.intervals, getattr(measured, name)[number], measured.errors[name][number], number, label=f"{cut}",
              linewidth=1, linestyle=DASHES[number % len(DASHES)])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="rounds from one averaging to the next", ylabel=label, title=title)
    axes.set_ylim(bottom=0)


def words(compression: dict[str, Any]) -> str:
    """What a compression changes, in a few words."""
    plain = vars(Compression())
    return ", ".join(text.format(compression[name]) for name, text in SHORT.items() if compression[name] != plain[name]) or "none"
