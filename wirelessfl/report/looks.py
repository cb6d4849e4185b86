"""How plots look: the colours, dashes and markers of ``wirelessfl.style``, in plotly's words; numbers short enough for a page."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wirelessfl import style
from wirelessfl.report.runs import Run

SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross", "X": "x"}
PATTERNS = {"": "", "//": "/", "..": ".", "xx": "x", "\\\\": "\\", "++": "+", "oo": "-"}
NEUTRAL = "#808080"                             # legible on light and on dark


def numbered(runs: Sequence[Run]) -> dict[str, int]:
    """The number of each policy's look: the same in all runs."""
    return {policy: number for number, policy in enumerate(dict.fromkeys(p for run in runs for p in run.policies))}


def line(number: int, width: float = 2.0) -> dict[str, Any]:
    """The line of a policy."""
    dashes = style.DASHES[number % len(style.DASHES)]
    words = {"-": "solid", "--": "dash"}
    dash = words[dashes] if isinstance(dashes, str) else ",".join(f"{width * length:g}px" for length in dashes[1])
    return {"color": colour(number), "width": width, "dash": dash}


def colour(number: int) -> str:
    """Of a policy."""
    return style.COLOURS[number % len(style.COLOURS)]


def marker(number: int, size: float = 9) -> dict[str, Any]:
    """The marker of a policy."""
    return {"color": colour(number), "symbol": SYMBOLS[style.MARKERS[number % len(style.MARKERS)]], "size": size}


def bars(numbers: Iterable[int]) -> dict[str, Any]:
    """The bars of policies: their colours, and hatches that survive grey print."""
    numbers = list(numbers)
    hatch = {"fgcolor": "#ffffff", "fillmode": "overlay", "solidity": 0.25}
    shapes = [pattern(number) for number in numbers]
    return {"color": [colour(number) for number in numbers], "pattern": hatch | {"shape": shapes}}


def pattern(number: int) -> str:
    """The hatch of a bar."""
    return PATTERNS[style.HATCHES[number % len(style.HATCHES)]]


def fill(number: int, opacity: float = 0.1) -> str:
    """A policy's colour, thinned."""
    red, green, blue = (int(colour(number)[at:at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def short(values: ArrayLike, digits: int = 5) -> list[Any]:
    """Numbers to so many digits, as JSON takes them: no number is null."""
    flat = np.asarray(values, float)
    return [float(f"{each:.{digits}g}") if np.isfinite(each) else None for each in flat.tolist()]
