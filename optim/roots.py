"""Roots of whole arrays of falling functions, bracketed, when the values at both ends are known.

``scipy.optimize.elementwise.find_root`` does the same in about seven times the time on 40 roots (its overhead is per
iteration), and the price search asks for such arrays of roots some thirty times for each decision.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace


def falling_root(f: Callable[[NDArray], NDArray], a: NDArray, b: NDArray, fa: NDArray, fb: NDArray, *,
                 ftol: float = 1e-13, max_iter: int = 120) -> NDArray:
    """Where each falling ``f`` crosses zero between a and b, f(a) = fa and f(b) = fb; the nearer end where it does not.

    At a jump the answer is on its right side, where f <= 0.

    Regula falsi after Anderson and Björck. A bracket that three steps have not halved is bisected, so that a jump
    (the kink of a polygon) costs what bisection costs and no more.
    """
    xp = namespace(a)
    root = xp.where(fa <= ftol, a, b)
    done = (fa <= ftol) | (fb >= -ftol) | ~(a < b)
    fa, fb = xp.clip(fa, -800.0, 800.0), xp.clip(fb, -800.0, 800.0)      # logarithms: infinities will not do in a secant
    wa, wb, before, side = fa, fb, b - a, xp.zeros_like(a)
    for step in range(max_iter):
        if bool(xp.all(done)):
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            x = b - wb * (b - a) / (wb - wa)
        slow = (b - a > 0.5 * before) if step % 3 == 2 else xp.zeros_like(done)
        before = b - a if step % 3 == 2 else before
        x = xp.where(slow | ~((x > a) & (x < b)), 0.5 * (a + b), x)
        fx = xp.clip(f(x), -800.0, 800.0)
        root = xp.where(done, root, x)
        right = fx > 0                                                   # the root lies to the right of x
        wa, wb = anderson_bjorck(right, side, fx, fa, fb, wa, wb)
        a, fa, b, fb = xp.where(right, x, a), xp.where(right, fx, fa), xp.where(right, b, x), xp.where(right, fb, fx)
        side = xp.where(right, 1.0, -1.0)
        met = xp.abs(fx) <= ftol
        narrow = b - a <= 0.1 * ftol + 4e-16 * xp.maximum(xp.abs(a), xp.abs(b))
        root = xp.where(~done & narrow & ~met, b, root)
        done = done | met | narrow
    return root


def anderson_bjorck(right: NDArray, side: NDArray, fx: NDArray, fa: NDArray, fb: NDArray, wa: NDArray, wb: NDArray,
                    ) -> tuple[NDArray, NDArray]:
    """Values for the next secant: an end that stays twice in a row is weighed by the progress that the other made."""
    xp = namespace(fx)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_gain, right_gain = 1 - fx / fa, 1 - fx / fb
    keep_b = xp.where(right & (side > 0), xp.where(left_gain > 0, left_gain, 0.5), 1.0)
    keep_a = xp.where(~right & (side < 0), xp.where(right_gain > 0, right_gain, 0.5), 1.0)
    return xp.where(right, fx, wa * keep_a), xp.where(right, wb * keep_b, fx)
