"""Figures of the four papers that the project began with, one file each."""

from wirelessfl.experiments.figure import Figure
from wirelessfl.experiments.papers import PAPERS

__all__ = ["FIGURES", "PAPERS", "Figure"]

_ALL: tuple[Figure, ...] = ()
FIGURES = {figure.name: figure for figure in _ALL}
