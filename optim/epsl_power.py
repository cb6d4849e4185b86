r"""The exact power step of EPSL (``optim.epsl``): given the cut and the owner of each subchannel, the fastest uplink.

.. math::

    \min_{T_1, q} T_1 \quad\text{s.t.}\; P_i(T_1) \le P_i,\; \textstyle\sum_i P_i(T_1) \le P,\qquad
    P_i(T_1) = \text{least power of device } i \text{ that carries } S_o / (T_1 - T_i^F)                   \tag{1}

Power moves no other stage. Each P_i is closed-form (``optim.water_filling``) and falls in T_1, so the limits of the devices alone
give, in closed form too, a T_1 from below; if their sum is within the total, that is the answer. Otherwise sum_i P_i = P is one
root, bracketed from above by sharing the total in the ratio of the peaks, and found by Newton's method on its logarithm with

.. math:: dP_i / dT_1 = - \ln 2 \cdot \text{level}_i \cdot S_o / (T_1 - T_i^F)^2.                          \tag{2}

Source: derived for this project; the published method leaves the step to a convex solver.
"""

from typing import Any

from array_api_compat import array_namespace

from channels.arrays import over
from channels.rates import LN2
from optim.epsl import EpslProblem, at, owners
from optim.water_filling import least_power, water_fill

MOST_STEPS = 100


def best_power(problem: EpslProblem, cut: Any, assignment: Any) -> Any:
    """Power of each subchannel, (..., M) [W], that solves (1); 0 all through where a device with bits owns no usable subchannel.

    Parameters
    ----------
    cut : (...,) int array
    assignment : (..., M) int array
        Owner of each subchannel, -1 for nobody.
    """
    xp = array_namespace(problem.gain)
    gain = xp.where(owners(problem, assignment), problem.gain, 0.0)
    width, total = problem.width[..., None, :], problem.total_power[..., None]
    fixed, bits = at(problem.device_forward, cut[..., None]), at(problem.uplink_bits, cut)[..., None]

    def ends(power: Any) -> Any:
        """When the last device is through at ``power`` (..., C) each, (..., 1)."""
        filled = water_fill(gain, width, power)
        rate = xp.sum(width * xp.log1p(filled * gain / width), axis=-1) / LN2
        return xp.max(fixed + over(bits, rate), axis=-1, keepdims=True)

    peak = xp.minimum(problem.peak_power, total)
    low, high = ends(peak), ends(peak * xp.clip(total / xp.sum(peak, axis=-1, keepdims=True), 0.0, 1.0))
    alive = xp.isfinite(low)
    low, high = xp.where(alive, low, 1.0), xp.where(alive, high, 1.0)
    time = _root(gain, width, fixed, xp.where(alive, bits, 0.0), total, low, high)
    power = least_power(gain, width, over(xp.where(alive, bits, 0.0), time - fixed))
    power = power * _fit(xp.sum(power, axis=-1, keepdims=True), problem.peak_power[..., None])
    power = xp.sum(power, axis=-2)                                       # one owner each
    return power * _fit(xp.sum(power, axis=-1, keepdims=True), total)


def _root(gain: Any, width: Any, fixed: Any, bits: Any, total: Any, low: Any, high: Any) -> Any:
    """T_1 in [low, high] at which all devices together spend the total (2), or ``low`` if they spend less there, (..., 1)."""
    xp = array_namespace(gain)
    time, done = low, xp.zeros_like(low) > 0
    for step in range(MOST_STEPS):
        rate = over(bits, time - fixed)
        power = least_power(gain, width, rate)
        spent = xp.sum(xp.sum(power, axis=-1), axis=-1)[..., None]
        level = xp.max(xp.where(power > 0, power / width + 1 / xp.where(gain > 0, gain, 1.0), 0.0), axis=-1)
        fall = xp.sum(over(LN2 * level * rate, time - fixed), axis=-1, keepdims=True)
        done = done | ((spent <= total) if step == 0 else (xp.abs(spent - total) <= 1e-14 * total))
        low, high = xp.where(spent > total, time, low), xp.where(spent > total, high, time)
        positive = (spent > 0) & (fall > 0)
        newton = time + xp.where(positive, xp.log(xp.where(positive, spent / total, 1.0)) * spent
                                 / xp.where(positive, fall, 1.0), 0.0)
        newton = xp.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        done = done | ~(high - low > 1e-15 * high)
        if bool(xp.all(done)):
            break
        time = xp.where(done, time, newton)
    return time


def _fit(spent: Any, limit: Any) -> Any:
    """Factor that takes what rounding has put above the limit off again [1]."""
    xp = array_namespace(spent)
    return xp.clip(limit / xp.where(spent > 0, spent, limit), 0.0, 1.0)
