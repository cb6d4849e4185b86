"""``wirelessfl reproduce``."""

import argparse
import sys
from pathlib import Path

from tqdm.auto import tqdm

from wirelessfl.commands.arguments import Commands, command, workers
from wirelessfl.config import SettingsError, typed
from wirelessfl.experiments import FIGURES, PAPERS, Figure
from wirelessfl.experiments.figure import SIZES, Cell, Knobs
from wirelessfl.knobs import cells_of, chosen, knobs_here
from wirelessfl.reproduce import Made, plain, reproduce


def add(commands: Commands) -> None:
    """Add it to the command line."""
    sub = command(commands, "reproduce", _reproduce, "make figures of the papers that the project began with, again")
    sub.add_argument("figures", nargs="*", metavar="FIGURE", help=f"figures, papers ({', '.join(PAPERS)}), or all")
    sub.add_argument("--list", action="store_true", help="name the figures, with what they answer and how long they take")
    sizes = sub.add_mutually_exclusive_group()
    for size, about in zip(SIZES, ("seconds, on the embedded digits", "minutes (the default)", "the papers' sizes"), strict=True):
        sizes.add_argument(f"--{size}", dest="size", action="store_const", const=size, default="quick", help=about)
    sub.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE",
                     help="turn a knob of one figure (its file has them all), such as rounds=60")
    sub.add_argument("--out", type=Path, help="the folder; figures/SIZE without one, SIZE what is made")
    sub.add_argument("--afresh", action="store_true", help="compute all points again, also those that are in the folder")
    workers(sub)


def _reproduce(options: argparse.Namespace) -> int:
    if options.list:
        print(_listed(chosen(options.figures or ["all"])))
        return 0
    if not options.figures:
        raise SettingsError("reproduce takes figures, papers or all; `wirelessfl reproduce --list` names them")
    failed, turned, folders = 0, _turned(options.set), dict[Path, None]()
    figures = chosen(options.figures)
    if turned and len(figures) > 1:
        raise SettingsError("--set turns the knobs of one figure: name one")
    try:
        for figure in figures:
            size, knobs = knobs_here(figure, options.size, turned)
            folder = options.out or Path("figures") / size                 # what was made with the data is not replaced without
            folders[folder], points = None, len(cells_of(figure, knobs))
            print(f"{figure.name} ({size}): {figure.question}" + ("" if size == options.size else
                  f"\n    the {options.size} size needs a data set that is not in the data folder (WIRELESSFL_DATA)"))
            failed += bool(_one(figure, folder, options, turned, points).failed)
    except KeyboardInterrupt:
        print(f"\nwirelessfl: interrupted; the same command goes on with the points that are not in {folder}", file=sys.stderr)
        return 130
    print(f"figures, tables and how they were made: {', '.join(f'{folder}/' for folder in folders)}" + (
        f"\nnot drawn: {failed}, as points failed; the same command tries those again" if failed else ""))
    return 1 if failed else 0


def _turned(given: list[str]) -> Knobs:
    """Knobs from the command line."""
    for each in given:
        if "=" not in each:
            raise SettingsError(f"--set takes KNOB=VALUE, got {each!r}")
    return {name.strip(): typed(text) for name, _, text in (each.partition("=") for each in given)}


def _one(figure: Figure, folder: Path, options: argparse.Namespace, turned: Knobs, points: int) -> Made:
    """One figure, with a bar of progress and the numbers to compare."""
    with tqdm(total=points, unit="point", dynamic_ncols=True) as bar:
        def watch(cell: Cell, error: str) -> None:
            if error:
                bar.write(f"failed: {plain(cell)}: {error}", file=sys.stderr)
            bar.update()

        made = reproduce(figure, folder, options.size, turned=turned, workers=options.workers, afresh=options.afresh,
                         watch=watch)
    if not made.failed:
        print(f"    the paper: {figure.claim}\n{made.findings.to_string(index=False)}\n")
    if len(made.commits) > 1:
        print(f"    its points are of {len(made.commits)} states of the source; --afresh computes all of them with this one\n")
    return made


def _listed(figures: list[Figure]) -> str:
    """The figures, paper by paper."""
    lines = []
    for paper, about in PAPERS.items():
        mine = [figure for figure in figures if figure.paper == paper]
        lines += [f"{paper}: {about}"] * bool(mine)
        for f in mine:
            lines.append(f"    {f.name:22s} quick {_time(f.minutes['quick'])}, full {_time(f.minutes['full'])}: {f.question}")
    quick = sum(figure.minutes["quick"] for figure in figures)
    return "\n".join([*lines, f"{len(figures)} of {len(FIGURES)} figures, {quick:g} min on two cores with --quick"])


def _time(minutes: float) -> str:
    return f"{minutes:3g} min" if minutes < 120 else f"{minutes / 60:3.0f} h"
