"""What the laws of path loss share: checks of their arguments, the two states of sight, and terms of 3GPP TR 38.901.

The numbered equation and the letters are those of ``channels/path_loss_3gpp.py``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.units import db_to_linear, db_to_neper


def within(name: str, value: float, least: float, most: float, unit: str) -> None:
    """Refuse a ``value`` that is not from ``least`` to ``most``, with a sentence."""
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least:g} to {most:g} [{unit}], got {value:g}")


def positive(distance: ArrayLike) -> NDArray:
    """The distances as an array of floats, all of them positive and finite [m]."""
    found = np.asarray(distance, float)
    bad = ~((found > 0) & (found < np.inf))
    if np.any(bad):
        raise ValueError(f"distance must be positive and finite [m], got {found[bad].flat[0]:g}")
    return found


def either(sight: ArrayLike, seen: ArrayLike, hidden: ArrayLike) -> NDArray:
    """``seen`` where there is a line of sight, ``hidden`` elsewhere; all three broadcast."""
    state = np.asarray(sight)
    if state.dtype != bool:
        raise ValueError(f"sight must be True or False for each distance, got numbers of type {state.dtype}")
    return np.where(state, seen, hidden)


def alike(value: float, *arguments: ArrayLike) -> NDArray:
    """The same ``value`` in the common shape of the arguments."""
    return np.full(np.broadcast_shapes(*(np.shape(argument) for argument in arguments)), value)


def slant(distance: ArrayLike, height: float, device_height: float) -> NDArray:
    """Distance between two antennas [m] of which the feet are ``distance`` apart; 1 m at least."""
    return np.maximum(np.hypot(positive(distance), height - device_height), 1.0)


def power_gain(sight: ArrayLike, seen: NDArray, hidden: NDArray) -> NDArray:
    """The gain [1] of equation (1) from the losses PL_LoS and PL'_NLoS [dB]."""
    return db_to_linear(-either(sight, seen, np.maximum(seen, hidden)))


def two_slopes(distance: ArrayLike, d3: NDArray, turn: float, rise: float, near: float) -> NDArray:
    """Loss in sight with the distance [dB]: ``near`` a decade of the slant distance ``d3``, 40 behind the breakpoint ``turn``.

    The two meet there, where the slant distance has the square turn^2 + rise^2: antennas are ``rise`` apart in height [m].
    """
    shift = (40 - near) / 2 * np.log10(turn**2 + rise**2)
    return np.where(positive(distance) <= turn, near * np.log10(d3), 40 * np.log10(d3) - shift)


def shadowed(distance: ArrayLike, sight: ArrayLike, seen: float, hidden: float) -> NDArray:
    """Spread of the shadowing [1], at every distance, from a table's in sight and out of it [dB]."""
    return alike(1.0, positive(distance)) * either(sight, db_to_neper(seen), db_to_neper(hidden))
