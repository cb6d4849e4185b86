"""Figures of the four papers that the project began with, one file each."""

from wirelessfl.experiments import (
    epsl_ablation,
    epsl_accuracy_ham10000,
    epsl_accuracy_mnist,
    epsl_devices,
    epsl_latency,
    light_bits,
    light_comparison,
    light_interval,
    light_pruning,
    light_split,
    light_split_time,
    personal_accuracy,
    personal_allocation,
    personal_latency,
    sage_auxiliary,
    sage_heterogeneity,
    sage_interval,
    sage_latency,
    sage_load,
)
from wirelessfl.experiments.figure import Figure
from wirelessfl.experiments.papers import PAPERS

__all__ = ["FIGURES", "PAPERS", "Figure"]

_ALL: tuple[Figure, ...] = (
    light_pruning.FIGURE, light_bits.FIGURE, light_interval.FIGURE, light_split.FIGURE, light_split_time.FIGURE,
    light_comparison.FIGURE,
    epsl_accuracy_ham10000.FIGURE, epsl_accuracy_mnist.FIGURE, epsl_devices.FIGURE, epsl_latency.FIGURE, epsl_ablation.FIGURE,
    sage_load.FIGURE, sage_heterogeneity.FIGURE, sage_interval.FIGURE, sage_auxiliary.FIGURE, sage_latency.FIGURE,
    personal_accuracy.FIGURE, personal_latency.FIGURE, personal_allocation.FIGURE,
)
FIGURES = {figure.name: figure for figure in _ALL}
