"""What pruning costs in progress: convex increasing functions of the pruning ratio, zero without pruning.

A cost is a value with five verbs, so a user's own is one small class (the Protocol below). The conic reference alone needs
the expression. Arrays are numpy's or torch's (float64).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.arrays import changed, float_arrays, namespace, to_numpy

STEEPEST = 1e6          # exponent of a power law


class PruningCost(Protocol):
    """Convex, increasing c(rho) >= 0 [1] with c(0) = 0, for K devices and O options."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """Pruning ratios at which the slope jumps."""
        ...

    def value(self, ratio: NDArray) -> NDArray:
        """Cost at ``ratio`` (..., K, O)."""
        ...

    def log_slope(self, ratio: NDArray) -> NDArray:
        """Logarithm of the derivative at ``ratio`` (..., K, O) > 0; of the right one at a kink."""
        ...

    def bend(self, ratio: NDArray) -> NDArray:
        """Second derivative over the first at ``ratio`` (..., K, O), for Newton's steps: zero will do."""
        ...

    def each(self, change: Callable[[NDArray], NDArray]) -> "PruningCost":
        """The cost with ``change`` applied to each of its arrays that broadcast to (..., K, O)."""
        ...

    def expression(self, ratio: Any) -> Any:
        """The cost as a DCP expression of a cvxpy variable (K,), for O = 1."""
        ...


@dataclass(frozen=True)
class PowerLaw:
    """c(rho) = scale rho^exponent, scale > 0 and exponent >= 1, each broadcasting to (..., K, O); exponent 1 is linear."""

    scale: Any
    exponent: Any = 1.0
    _steepness: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        xp, scale, exponent = float_arrays(self.scale, self.exponent)
        if not bool(xp.all((scale > 0) & (scale < xp.inf))):
            raise ValueError(f"scale of a pruning cost must be positive and finite [1], got {self.scale}")
        if not bool(xp.all((exponent >= 1) & (exponent <= STEEPEST))):
            raise ValueError(f"exponent of a pruning cost must be at least 1 (convex) and {STEEPEST:g} at most [1], got "
                             f"{self.exponent}")
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "exponent", exponent)
        object.__setattr__(self, "_steepness", xp.log(scale * exponent))

    @property
    def kinks(self) -> tuple[float, ...]:
        return ()

    def value(self, ratio: NDArray) -> NDArray:
        return self.scale * ratio**self.exponent

    def log_slope(self, ratio: NDArray) -> NDArray:
        return self._steepness + (self.exponent - 1) * namespace(ratio).log(ratio)

    def bend(self, ratio: NDArray) -> NDArray:
        return (self.exponent - 1) / ratio

    def each(self, change: Callable[[NDArray], NDArray]) -> "PowerLaw":
        return changed(self, scale=change(self.scale), exponent=change(self.exponent), _steepness=change(self._steepness))

    def expression(self, ratio: Any) -> Any:
        import cvxpy as cp

        scale, exponent = (np.broadcast_to(v[..., 0] if v.ndim else v, ratio.shape) for v in (self.scale, self.exponent))
        laws = [(p, np.flatnonzero(exponent == p)) for p in np.unique(exponent)]
        return cp.sum([scale[k] @ (ratio[k] if p == 1 else cp.square(ratio[k]) if p == 2
                                   else cp.power(ratio[k], float(p), approx=False)) for p, k in laws])


@dataclass(frozen=True)
class PiecewiseLinear:
    """The convex polygon through (knots, heights).

    Attributes
    ----------
    knots : (J,) array
        Pruning ratios from 0 upwards [1].
    heights : (..., K, O, J) array
        Cost at each knot, from 0 upwards with growing slopes [1].
    """

    knots: Any
    heights: Any

    def __post_init__(self) -> None:
        xp, knots, heights = float_arrays(self.knots, self.heights)
        object.__setattr__(self, "knots", to_numpy(knots))
        object.__setattr__(self, "heights", heights)
        if len(self.knots) < 2 or not bool(xp.all(heights < xp.inf)):
            raise ValueError("knots must be two at least, with finite heights [1], got knots "
                             f"{self.knots} and heights {self.heights}")
        if self.knots[0] != 0 or not np.all(np.diff(self.knots) > 0) or bool(xp.any(heights[..., 0] != 0)):
            raise ValueError(f"knots must rise from 0 and heights start at 0 [1], got knots {self.knots}")
        slopes = self._slopes()
        if not bool(xp.all(slopes > 0)) or not bool(xp.all(slopes[..., 1:] - slopes[..., :-1] >= -1e-12 * slopes[..., 1:])):
            raise ValueError("heights must rise, with slopes that never fall: a pruning cost is convex")

    def _slopes(self) -> NDArray:
        lengths = float_arrays(np.diff(self.knots), self.heights)[1]
        slopes: NDArray = (self.heights[..., 1:] - self.heights[..., :-1]) / lengths
        return slopes

    @property
    def kinks(self) -> tuple[float, ...]:
        return tuple(float(knot) for knot in self.knots[1:-1])

    def value(self, ratio: NDArray) -> NDArray:
        lines = [slope * (ratio - knot) + self.heights[..., j] for j, (knot, slope) in enumerate(self._lines())]
        return self._most(lines)

    def log_slope(self, ratio: NDArray) -> NDArray:
        xp = namespace(self.heights, ratio)
        return xp.log(self._most([xp.where(ratio >= knot, slope, 0.0) for knot, slope in self._lines()]))

    def bend(self, ratio: NDArray) -> NDArray:
        return 0.0 * ratio

    def each(self, change: Callable[[NDArray], NDArray]) -> "PiecewiseLinear":
        columns = [change(self.heights[..., j]) for j in range(len(self.knots))]
        return changed(self, heights=namespace(*columns).stack(columns, axis=-1))

    def _lines(self) -> list[tuple[float, NDArray]]:
        slopes = self._slopes()
        return [(float(knot), slopes[..., j]) for j, knot in enumerate(self.knots[:-1])]

    def _most(self, values: list[NDArray]) -> NDArray:
        xp, most = namespace(*values), values[0]
        for each in values[1:]:
            most = xp.maximum(most, each)
        return xp.maximum(most, 0.0 * most)

    def expression(self, ratio: Any) -> Any:
        import cvxpy as cp

        heights = np.broadcast_to(self.heights[..., 0, :], (*ratio.shape, len(self.knots)))
        slopes = np.diff(heights, axis=-1) / np.diff(self.knots)
        lines = [cp.multiply(slopes[:, j], ratio - self.knots[j]) + heights[:, j] for j in range(slopes.shape[-1])]
        return cp.sum(cp.maximum(*lines) if len(lines) > 1 else lines[0])
