"""Means of what studies measure, with their standard errors."""

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
    mean, error = _middle(np.log(ratios.where(np.isfinite(ratios))))
    return float(np.exp(mean)), float(np.exp(mean) * error)


def _middle(values: pd.Series) -> tuple[float, float]:
    v = values[np.isfinite(values)]
    return float(v.mean()), float(v.sem())
