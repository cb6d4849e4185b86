"""Decibels to linear and back, and km/h: the one place that converts.

Everything inside the project is in SI units and linear gains; decibels appear where a person types or reads.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def db_to_linear(value_db: ArrayLike) -> NDArray:
    """A ratio of powers [1] from decibels [dB]."""
    return np.power(10.0, np.asarray(value_db, float) / 10.0)


def linear_to_db(ratio: ArrayLike) -> NDArray:
    """Decibels [dB] from a positive ratio of powers [1]."""
    return 10.0 * np.log10(np.asarray(ratio, float))


def dbm_to_watt(power_dbm: ArrayLike) -> NDArray:
    """Power [W] from dBm; also W/Hz from dBm/Hz (a density must still be multiplied by its bandwidth)."""
    return 1e-3 * db_to_linear(power_dbm)


def watt_to_dbm(power: ArrayLike) -> NDArray:
    """dBm from a positive power [W]."""
    return linear_to_db(np.asarray(power, float) / 1e-3)


def db_to_neper(spread_db: float) -> float:
    """Standard deviation of a natural logarithm of power [1] from the one in decibels [dB]."""
    return float(spread_db * np.log(10.0) / 10.0)


def kmh_to_si(speed_kmh: float) -> float:
    """Speed [m/s] from km/h."""
    return speed_kmh / 3.6
