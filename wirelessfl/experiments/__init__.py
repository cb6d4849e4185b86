"""Figures of the four papers that the project began with, one file each."""

from wirelessfl.experiments import sage_auxiliary, sage_heterogeneity, sage_interval, sage_latency, sage_load
from wirelessfl.experiments.figure import Figure
from wirelessfl.experiments.papers import PAPERS

__all__ = ["FIGURES", "PAPERS", "Figure"]

_ALL: tuple[Figure, ...] = (
    sage_load.FIGURE, sage_heterogeneity.FIGURE, sage_interval.FIGURE, sage_auxiliary.FIGURE, sage_latency.FIGURE,
)
FIGURES = {figure.name: figure for figure in _ALL}
