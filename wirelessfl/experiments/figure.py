"""What a figure is: the points that it is made of, how one is computed, and how they are drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import pandas as pd

Knobs = Mapping[str, Any]
Cell = Mapping[str, Any]
SIZES = ("small", "quick", "full")


@dataclass(frozen=True)
class Figure:
    """One figure of a paper.

    Each comes in three sizes: "small" takes seconds, runs on the embedded digits, and shows that everything works; "quick" takes
    minutes on two cores and shows what is going on; "full" has the paper's sizes.

    Attributes
    ----------
    name : str
        On the command line; also that of its files.
    paper : str
        A key of ``PAPERS``.
    question : str
        What the figure answers, as a sentence.
    claim : str
        What the paper says to that, as far as it is known.
    minutes : dict
        Expected time on two cores, of each size [min].
    knobs : dict
        Of each size, all that may be turned, by name: plain values (numbers, words, lists of them). A knob ``data`` names the
        data set that is needed.
    cells : callable
        From knobs to the figure's points: dictionaries of plain values that say all that their rows depend on, seeds included.
    rows : callable
        From a cell to its rows, dictionaries too. The columns of the figure's table are those of the rows and the plain values
        of the cell that are no lists.
    draw : callable
        From the table to a matplotlib figure.
    findings : callable
        From the table to the few numbers that are compared with the claim, as a table.
    """

    name: str
    paper: str
    question: str
    claim: str
    minutes: Mapping[str, float]
    knobs: Mapping[str, Knobs]
    cells: Callable[[Knobs], Sequence[Cell]]
    rows: Callable[[Cell], Sequence[Mapping[str, Any]]]
    draw: Callable[[pd.DataFrame], matplotlib.figure.Figure]
    findings: Callable[[pd.DataFrame], pd.DataFrame]
