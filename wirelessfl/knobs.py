"""Which figures are made, with which knobs, and the points that they come to."""

from collections.abc import Sequence
from typing import Any

from learning.data import FOLDER_SETTING, available
from wirelessfl.config import SettingsError, choose
from wirelessfl.experiments import FIGURES, PAPERS, Figure
from wirelessfl.experiments.figure import Cell, Knobs
from wirelessfl.places import sentence

KINDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", list: "a list"}


def chosen(names: Sequence[str]) -> list[Figure]:
    """Figures by their names, those of their papers, or "all".

    Raises
    ------
    SettingsError
        For another name, with the nearest one that there is.
    """
    known: dict[str, list[Figure]] = {"all": list(FIGURES.values())}
    known |= {paper: [figure for figure in FIGURES.values() if figure.paper == paper] for paper in PAPERS}
    known |= {name: [figure] for name, figure in FIGURES.items()}
    return list({figure.name: figure for name in names for figure in choose(known, name, "figure")}.values())


def knobs_here(figure: Figure, size: str, turned: Knobs | None = None) -> tuple[str, Knobs]:
    """The size that can be made, with its knobs: "small", where the data set of the one that is wanted is not in the data folder.

    Raises
    ------
    SettingsError
        For a size or a knob that there is not, a knob's value of another type, or knobs of a size whose data are not there.
    """
    knobs, turned = choose(figure.knobs, size, "size"), turned or {}
    for name, value in turned.items():
        usual = choose(knobs, name, f"--set for {figure.name}")
        if not _like(value, usual):
            raise SettingsError(f"--set {name}: takes {KINDS[type(usual)]}, such as {usual!r}, got {value!r}")
    knobs = {**knobs, **turned}
    if available(knobs.get("data", "")):
        return size, knobs
    if turned:
        raise SettingsError(f"--set for {figure.name}: its {size} size needs {knobs['data']!r}, which is not in the data folder "
                            f"({FOLDER_SETTING})")
    return "small", figure.knobs["small"]


def _like(value: Any, usual: Any) -> bool:
    """Whether a knob's value is of the type of the usual one, and so are the elements of a list; whole numbers do as floats."""
    if isinstance(usual, list):
        return isinstance(value, list) and all(any(_like(each, other) for other in usual) for each in value)
    return type(value) is type(usual) or (type(usual), type(value)) == (float, int)


def cells_of(figure: Figure, knobs: Knobs) -> Sequence[Cell]:
    """The figure's points.

    Raises
    ------
    SettingsError
        Where knobs do not fit together, or leave none.
    """
    try:
        cells = figure.cells(knobs)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise SettingsError(f"{figure.name} has no points with these knobs: {sentence(error)}") from None
    if not cells:
        raise SettingsError(f"{figure.name} has no points with these knobs: seeds and lists must not be 0 or empty")
    return cells
