"""What the tables of studies have in common: means with their standard errors, and how they are written."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def spread(values: pd.Series, ratios: bool = False) -> str:
    """Mean and standard error of the finite ones, to three digits; of ratios the geometric mean."""
    mean, error = middle(values) if ratios else _middle(values)
    if np.isnan(mean):
        return "-"
    return f"{mean:.3g}" + ("" if np.isnan(error) else f" ± {error:.2g}")


def middle(ratios: pd.Series) -> tuple[float, float]:
    """The geometric mean of the finite ones and its standard error: the mean of logarithms, for an arm that is joint with another
    luck is then at 1, whichever of the two is divided by; NaN where there are too few."""
    mean, error = _middle(np.log(ratios))
    return float(np.exp(mean)), float(np.exp(mean) * error)


def _middle(values: pd.Series) -> tuple[float, float]:
    v = values[np.isfinite(values)]
    return float(v.mean()), float(v.sem())


def reached(runs: pd.DataFrame) -> str:
    """How many of the runs got to their target."""
    return f"{int(np.isfinite(runs['time_s']).sum())}/{len(runs)}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> list[str]:
    """Lines of a table; of its head only, where there are no ``rows`` yet."""
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
