"""What pruning costs in progress: convex increasing functions of the pruning ratio, zero without pruning.

A cost is a value with four verbs, so a user's own is one small class (the Protocol below). The conic reference alone needs
the expression.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.costs import pick


class PruningCost(Protocol):
    """Convex, increasing c(rho) >= 0 [1] with c(0) = 0, for K devices and O options."""

    def value(self, ratio: NDArray) -> NDArray:
        """Cost at ``ratio`` (..., K, O)."""
        ...

    def slope(self, ratio: NDArray) -> NDArray:
        """Derivative at ``ratio`` (..., K, O); any value between the one-sided ones at a kink."""
        ...

    def of(self, option: NDArray) -> "PruningCost":
        """The cost of the chosen options (..., K), for arrays (..., K, 1)."""
        ...

    def expression(self, ratio: Any) -> Any:
        """The cost as a DCP expression of a cvxpy variable (K,), for O = 1."""
        ...


@dataclass(frozen=True)
class PowerLaw:
    """c(rho) = scale rho^exponent, scale > 0 and exponent >= 1, each broadcasting to (..., K, O); exponent 1 is linear."""

    scale: NDArray
    exponent: ArrayLike = 1.0

    def __post_init__(self) -> None:
        if not (np.all(np.asarray(self.scale) > 0) and np.isfinite(self.scale).all()):
            raise ValueError(f"scale of a pruning cost must be positive and finite [1], got {self.scale}")
        if not (np.all(np.asarray(self.exponent) >= 1) and np.isfinite(self.exponent).all()):
            raise ValueError(f"exponent of a pruning cost must be at least 1 (convex) [1], got {self.exponent}")

    def value(self, ratio: NDArray) -> NDArray:
        return self.scale * np.power(ratio, self.exponent)

    def slope(self, ratio: NDArray) -> NDArray:
        return self.scale * self.exponent * np.power(ratio, np.asarray(self.exponent) - 1)

    def of(self, option: NDArray) -> "PowerLaw":
        shape = np.broadcast_shapes(np.shape(self.scale), np.shape(self.exponent))
        return PowerLaw(*(pick(np.broadcast_to(v, shape), option) for v in (self.scale, self.exponent)))

    def expression(self, ratio: Any) -> Any:
        import cvxpy as cp

        scale, exponent = (np.broadcast_to(np.asarray(v)[..., 0] if np.ndim(v) else v, ratio.shape)
                           for v in (self.scale, self.exponent))
        return cp.sum([s * (ratio[k] if p == 1 else cp.power(ratio[k], float(p), approx=False))
                       for k, (s, p) in enumerate(zip(scale, exponent, strict=True))])


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

    knots: NDArray
    heights: NDArray

    def __post_init__(self) -> None:
        slopes = self._slopes()
        if self.knots[0] != 0 or not np.all(np.diff(self.knots) > 0) or np.any(np.asarray(self.heights)[..., 0] != 0):
            raise ValueError(f"knots must rise from 0 and heights start at 0 [1], got knots {self.knots}")
        if not (np.all(slopes > 0) and np.all(np.diff(slopes) >= -1e-12 * slopes[..., 1:])):
            raise ValueError("heights must rise, with slopes that never fall: a pruning cost is convex")

    def _slopes(self) -> NDArray:
        return np.diff(self.heights, axis=-1) / np.diff(self.knots)

    def value(self, ratio: NDArray) -> NDArray:
        lines = self._slopes() * (np.asarray(ratio)[..., None] - self.knots[:-1]) + np.asarray(self.heights)[..., :-1]
        return np.maximum(lines.max(-1), 0.0)

    def slope(self, ratio: NDArray) -> NDArray:
        piece = np.clip(np.searchsorted(self.knots, ratio, side="right") - 1, 0, len(self.knots) - 2)
        slopes = self._slopes()
        shape = np.broadcast_shapes(slopes.shape[:-1], piece.shape)
        slopes = np.broadcast_to(slopes, (*shape, slopes.shape[-1]))
        return np.take_along_axis(slopes, np.broadcast_to(piece, shape)[..., None], axis=-1)[..., 0]

    def of(self, option: NDArray) -> "PiecewiseLinear":
        columns = [pick(self.heights[..., j], option) for j in range(len(self.knots))]
        return PiecewiseLinear(self.knots, np.stack(columns, axis=-1))

    def expression(self, ratio: Any) -> Any:
        import cvxpy as cp

        heights = np.broadcast_to(self.heights[..., 0, :], (*ratio.shape, len(self.knots)))
        slopes = np.diff(heights, axis=-1) / np.diff(self.knots)
        lines = [cp.multiply(slopes[:, j], ratio - self.knots[j]) + heights[:, j] for j in range(slopes.shape[-1])]
        return cp.sum(cp.maximum(*lines) if len(lines) > 1 else lines[0])
