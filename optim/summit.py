r"""The top of a concave function of one price, whose slope is known too: a dual value, batched.

The value q(price) may have kinks (a device changes its option) and its slope jump there. A bracket of prices, q rising at low
and not at high, closes by secants of the excess, which find a smooth top in a few steps; where they are slow, by the price
at which the two tangents meet, which is exact at a kink. The height at which they meet lies above every value of q, and so

.. math:: \theta q'(low) + (1 - \theta) q'(high) = 0                                                  \tag{1}

mixes the answers at both ends into one that spends exactly what there is: within roof - q of the optimum of a convex problem.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from channels.arrays import namespace
from optim.roots import anderson_bjorck

STRETCH, STRIDE = 2.0, 1e6      # first and largest factor between the prices tried for a bracket


class Probe(NamedTuple):
    """A dual value and what it is made of, at one price; (...,) arrays, and an answer that is a tree of ``(..., *)`` arrays."""

    price: NDArray
    value: NDArray
    slope: NDArray        # of the value in the price
    excess: NDArray       # a falling function of the price with the sign of the slope, for secants over log(price)
    scale: NDArray        # size of the terms that the value is the sum of, for its rounding
    answer: Any


class Summit(NamedTuple):
    """The bracket at the end: the value still rises at ``low``, and no longer at ``high``."""

    low: Probe
    high: Probe
    share: NDArray        # theta of (1)
    value: NDArray        # best value that was met: a lower bound, always
    steps: int


def choose(condition: NDArray, yes: Any, no: Any) -> Any:
    """``where`` over the rows of a tree of arrays."""
    if isinstance(yes, tuple):
        return type(yes)(*(choose(condition, y, n) for y, n in zip(yes, no, strict=True)))
    if isinstance(yes, int):
        return max(yes, no)
    xp = namespace(condition, yes)
    return xp.where(xp.reshape(condition, condition.shape + (1,) * (yes.ndim - condition.ndim)), yes, no)


def blend(top: Summit, part: Callable[[Probe], NDArray]) -> NDArray:
    """A part of the answers at both ends, (...,) or (..., K), mixed as (1) says."""
    low, high = part(top.low), part(top.high)
    share = top.share[..., None] if low.ndim > top.share.ndim else top.share
    return share * low + (1 - share) * high


def best(top: Summit, part: Callable[[Probe], NDArray]) -> NDArray:
    """A part (...,) of the answer at the end where the value is higher."""
    xp = namespace(top.value)
    return xp.where(top.low.value > top.high.value, part(top.low), part(top.high))


def summit(probe: Callable[[NDArray], Probe], start: NDArray, settled: NDArray, ceiling: NDArray, rtol: float) -> Summit:
    """Search the price (...,) from ``start`` > 0; ``settled`` rows stay there, rows above the ``ceiling`` end early."""
    xp = namespace(start)
    low = high = point = probe(start)
    steps, stretch = 1, STRETCH
    for _ in range(45):
        short = point.slope > 0
        low, high = choose(short, point, low), choose(short, high, point)
        up, down = high.slope > 0, low.slope <= 0
        open_ = (up | down) & ~settled & (point.value <= ceiling)
        if not xp.any(open_):
            break
        factor = xp.where(up, stretch, xp.where(down, 1 / stretch, 1.0))
        point = probe(point.price * xp.where(open_, factor, 1.0))
        steps, stretch = steps + 1, min(stretch**2, STRIDE)
    settled = settled | (high.slope > 0) | (low.slope <= 0)
    heavy_low, heavy_high = low.excess, high.excess
    side, before = xp.zeros_like(start), xp.zeros_like(start) + float("inf")
    value = xp.maximum(low.value, high.value)
    for step in range(100):
        meet, roof = _tangents(xp, low, high)
        close = roof - value <= rtol * xp.abs(value) + 1e-15 * xp.maximum(low.scale, high.scale)
        done = settled | close | (value > ceiling) | (high.price <= low.price * (1 + 1e-14))
        if xp.all(done):
            break
        x, y = xp.log(low.price), xp.log(high.price)
        secant = xp.exp(y - heavy_high * (y - x) / (heavy_high - heavy_low))
        slow = y - x > 0.5 * before
        before = y - x
        trial = xp.where(slow & (step % 2 == 1), meet, secant)
        inside = (trial > low.price) & (trial < high.price) & ~(slow & (step % 6 == 4))
        price = xp.where(done, high.price, xp.where(inside, trial, xp.exp(0.5 * (x + y))))
        point = probe(price)
        short = point.slope > 0
        heavy_low, heavy_high = anderson_bjorck(short, side, point.excess, low.excess, high.excess, heavy_low, heavy_high)
        side = xp.where(short, 1.0, -1.0)
        low, high = choose(short & ~done, point, low), choose(~short & ~done, point, high)
        value, steps = xp.maximum(value, xp.where(done, value, point.value)), steps + 1
    gap = low.slope - high.slope
    share = xp.where(settled | (gap <= 0), 0.0, -high.slope / xp.where(gap > 0, gap, 1.0))
    return Summit(low, high, share, value, steps)


def _tangents(xp: Any, low: Probe, high: Probe) -> tuple[NDArray, NDArray]:
    """The price at which the tangents at both ends meet, and the height, above any value."""
    bend = low.slope - high.slope
    climb = (low.value - high.value + low.slope * (high.price - low.price)) / xp.where(bend > 0, bend, 1.0)
    meet = high.price - climb
    return meet, low.value + low.slope * (meet - low.price)
