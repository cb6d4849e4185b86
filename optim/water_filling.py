r"""Water-filling over parallel subchannels, in both directions, closed form and batched.

With n_m = 1 / gain_m [W/Hz] the noise that subchannel m shows at the transmitter and w_m its width, both

.. math::

    \max_p \textstyle\sum_m w_m \log_2(1 + p_m / w_m n_m) \quad\text{s.t.}\; \sum_m p_m = P               \tag{1} \\
    \min_p \textstyle\sum_m p_m \quad\text{s.t.}\; \sum_m w_m \log_2(1 + p_m / w_m n_m) = R               \tag{2}

have p_m = w_m [level - n_m]^+. If the j best subchannels were the active ones, the level of (1) and the logarithm of that
of (2) would be averages over them,

.. math::

    \text{level}_j = \frac{P + \sum_{m \le j} w_m n_m}{\sum_{m \le j} w_m},\qquad
    \ln \text{level}_j = \frac{R \ln 2 + \sum_{m \le j} w_m \ln n_m}{\sum_{m \le j} w_m}.                 \tag{3}

One more subchannel lowers the average as long as it lies below it, and raises it from then on: the level is the least of (3)
over j. One sort and one running sum are all. Everything is measured from the best subchannel (n_m - n_1, ln n_m / n_1), so
that nothing cancels far below the noise.

Source: textbook (Cover and Thomas, Elements of Information Theory, section 9.4); the minimum over j is our shorthand for the
usual search for the active set.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from channels.rates import LN2

DEAD = 1e-300       # a gain [Hz/W] at or below this is no subchannel
STEEP = 700.0       # e to this is the end of the doubles


def water_fill(gain: Any, width: Any, power: Any) -> Any:
    """Power of each subchannel, (..., M) [W], that carries the most bits for ``power`` in all: (1).

    Parameters
    ----------
    gain : (..., M) array
        Power gain over noise density g / N0 [Hz/W]; a subchannel with gain 0 is not the device's and gets nothing.
    width : float or (..., M) array
        Width of a subchannel [Hz].
    power : float or (...,) array
        Power to be spent [W]. A device without any usable subchannel spends none.

    Raises
    ------
    ValueError
        Unless gain is finite and zero or more, width positive and power finite and zero or more.
    """
    gain, width, power = _checked(gain, width, "power", "W", power)
    xp, usable = array_namespace(gain), gain > DEAD
    noise = 1.0 / xp.where(usable, gain, 1.0)
    least = xp.min(xp.where(usable, noise, xp.inf), axis=-1, keepdims=True)
    height = xp.where(usable, noise - least, xp.inf)                    # of the bottom, above the deepest place
    return xp.where(usable, width * _above(_level(height, width, power), height), 0.0)


def least_power(gain: Any, width: Any, rate: Any) -> Any:
    """Power of each subchannel, (..., M) [W], that carries ``rate`` for the least power in all: (2).

    Parameters
    ----------
    gain, width
        As in :func:`water_fill`.
    rate : float or (...,) array
        Rate to be carried [bit/s].

    Returns
    -------
    (..., M) array
        ``inf`` in all M places where a rate is asked for and no subchannel is usable, and where the power needed is beyond
        the doubles.

    Raises
    ------
    ValueError
        Unless gain is finite and zero or more, width positive and rate zero or more.
    """
    gain, width, rate = _checked(gain, width, "rate", "bit/s", rate, endless=True)
    xp, usable = array_namespace(gain), gain > DEAD
    safe = xp.where(usable, gain, 1.0)
    best = xp.max(xp.where(usable, gain, DEAD), axis=-1, keepdims=True)
    height = xp.where(usable, xp.log(best) - xp.log(safe), xp.inf)
    depth = _above(_level(height, width, rate * LN2), height)
    with np.errstate(over="ignore"):
        power = width * xp.expm1(xp.clip(depth, 0.0, STEEP)) / safe
    lost = (rate > 0) & ~xp.any(usable, axis=-1, keepdims=True)
    return xp.where(lost | (usable & (depth > STEEP)), xp.inf, xp.where(usable, power, 0.0))


def _level(height: Any, width: Any, amount: Any) -> Any:
    """The least average of (3), (..., 1), above the lowest ``height``; ``inf`` without any."""
    xp = array_namespace(height)
    order = xp.argsort(height, axis=-1)
    height, width = xp.take_along_axis(height, order, axis=-1), xp.take_along_axis(width, order, axis=-1)
    averages = (amount + xp.cumulative_sum(width * height, axis=-1)) / xp.cumulative_sum(width, axis=-1)
    return xp.min(averages, axis=-1, keepdims=True)


def _above(level: Any, height: Any) -> Any:
    """Depth of the water, [level - height]^+, 0 where the bottom is out of reach."""
    xp = array_namespace(height)
    reached = xp.isfinite(height)
    return xp.where(reached, xp.clip(level - xp.where(reached, height, 0.0), 0.0, xp.inf), 0.0)


def _checked(gain: Any, width: Any, name: str, unit: str, amount: Any, endless: bool = False) -> tuple[Any, Any, Any]:
    """All three as float64 of (..., M), (..., M) and (..., 1), or a sentence."""
    xp = array_namespace(gain)
    gain = xp.astype(gain, xp.float64)
    width = xp.asarray(width, dtype=xp.float64, device=device(gain))
    amount = xp.asarray(amount, dtype=xp.float64, device=device(gain))[..., None]
    if gain.ndim < 1 or not bool(xp.all((gain >= 0) & xp.isfinite(gain))):
        raise ValueError(f"gain must be (..., M), finite and zero or more [Hz/W], got {gain}")
    if not bool(xp.all((width > 0) & xp.isfinite(width))):
        raise ValueError(f"width must be positive and finite [Hz], got {width}")
    if not bool(xp.all((amount >= 0) & (endless | xp.isfinite(amount)))):
        raise ValueError(f"{name} must be {'zero or more' if endless else 'finite and zero or more'} [{unit}], got {amount}")
    gain, amount = xp.broadcast_arrays(gain, amount)
    return gain, xp.broadcast_to(width, gain.shape), amount[..., :1]
