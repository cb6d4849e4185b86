r"""The deadline problem, as a value: lose the least progress in a round that ends in time.

.. math::

    \min_{o,\,\rho,\,b,\,p}\;& \Phi = \sum_k \big[\varphi_k(o_k) + c_{k,o_k}(\rho_k)\big]          \tag{1} \\
    \text{s.t.}\;& T_k \le T,\quad E_k \le \bar E_k,\quad p_k \le P_k,\quad
                   \textstyle\sum_k b_k \le B,\quad \rho_k \in [\rho^{min}, \rho^{max}]

over split option, pruning ratio, bandwidth and power of every device. T_k and E_k are the cost table of ``optim.costs``, Phi is
the loss of progress of ``optim.bound``; ``optim.deadline`` solves it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from channels.arrays import changed, float_arrays, namespace
from optim.costs import RoundCosts, pick
from optim.pruning_cost import PruningCost

Change = Callable[[NDArray], NDArray]
LEFT_OUT = float(np.nextafter(1.0, 0.0))       # least pruning ratio of an option that may not be chosen


@dataclass(frozen=True)
class Deadline:
    """Data of problem (1) for K devices with O options each; leading axes (...) make a batch, and plain floats will do.

    Arrays may be numpy's or torch's; what is solved is answered in kind, in float64.

    Attributes
    ----------
    costs : RoundCosts
        The cost table, (..., K, O).
    gain : (..., K) array
        Power gain over noise density, g / N0 [Hz/W].
    peak_power : (..., K) array
        P [W].
    band : (...,) array or float
        Bandwidth B to be shared [Hz].
    deadline : (...,) array or float
        T [s].
    pruning : PruningCost
        c, (..., K, O) [1].
    noise : (..., K, O) array
        phi, what an option costs without pruning [1].
    prune_max, prune_min : (..., K, O) array
        Limits of the pruning ratio [1].
    energy_budget : (..., K) array
        Energy that a device may spend in the round [J]; ``inf`` for no limit.
    """

    costs: RoundCosts
    gain: Any
    peak_power: Any
    band: Any
    deadline: Any
    pruning: PruningCost
    noise: Any = 0.0
    prune_max: Any = 0.9
    prune_min: Any = 0.0
    energy_budget: Any = np.inf

    def __post_init__(self) -> None:
        names = ("gain", "peak_power", "energy_budget", "band", "deadline", "noise", "prune_max", "prune_min")
        arrays = float_arrays(*(getattr(self, name) for name in names), self.costs.fixed_time)[1:-1]
        for name, values in zip(names, arrays, strict=True):
            object.__setattr__(self, name, values)
        check("gain", self.gain, "Hz/W", 0.0, np.inf)
        check("peak_power", self.peak_power, "W", 0.0, np.inf)
        check("energy_budget", self.energy_budget, "J", 0.0, np.inf, closed=True)
        check("noise", self.noise, "1", 0.0, np.inf)
        check("prune_max", self.prune_max, "1", 0.0, 1.0)
        check("prune_min", self.prune_min, "1", 0.0, 1.0)
        xp = namespace(self.gain)
        if not bool(xp.all((self.prune_min <= self.prune_max) | (self.prune_min == LEFT_OUT))):
            raise ValueError(f"prune_min must be prune_max at most [1], got {self.prune_min} and {self.prune_max}")
        check("band", self.band, "Hz", 0.0, np.inf, positive=True)
        check("deadline", self.deadline, "s", 0.0, np.inf, positive=True)
        if len(self.shape) < 2 or 0 in self.shape:
            raise ValueError("costs must be (..., K, O), with one row a device and one column an option, and one of everything "
                             f"at least, got {self.shape}")

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(..., K, O), all axes broadcast."""
        each = [(*v.shape, 1) for v in (self.gain, self.peak_power, self.energy_budget)]
        whole = [(*v.shape, 1, 1) for v in (self.band, self.deadline)]
        table = [tuple(v.shape) for v in (*vars(self.costs).values(), self.noise, self.prune_max, self.prune_min)]
        cost = self.pruning.value(0.5 * self.prune_max)
        try:
            return np.broadcast_shapes(*each, *whole, *table, tuple(cost.shape))
        except ValueError:
            found = {name: tuple(v.shape) for name, v in {**vars(self), **vars(self.costs), "pruning": cost}.items()
                     if hasattr(v, "shape")}
            raise ValueError("gain, peak_power and energy_budget must be (..., K), band and deadline (...,), all else "
                             f"(..., K, O), got {found}") from None

    def change(self, whole: Change, each: Change, table: Change) -> "Deadline":
        """The problem with its (...,) arrays, its (..., K) arrays and its (..., K, O) arrays changed."""
        return changed(self, costs=self.costs.each(table), pruning=self.pruning.each(table), noise=table(self.noise),
                       prune_max=table(self.prune_max), prune_min=table(self.prune_min), gain=each(self.gain),
                       peak_power=each(self.peak_power), energy_budget=each(self.energy_budget),
                       band=whole(self.band), deadline=whole(self.deadline))

    def to(self, convert: Change) -> "Deadline":
        """The problem with every array converted, as by ``torch.from_numpy``."""
        def doubles(v: NDArray) -> NDArray:
            return float_arrays(convert(v))[1]

        costs, pruning = self.costs.each(doubles), self.pruning.each(doubles)
        names = ("gain", "peak_power", "band", "deadline", "noise", "prune_max", "prune_min", "energy_budget")
        return Deadline(costs, pruning=pruning, **{name: convert(getattr(self, name)) for name in names})

    def of(self, option: NDArray) -> "Deadline":
        """The problem with every device's option fixed to ``option`` (..., K): one column is left."""
        if self.shape[-1] == 1:
            return self
        return self.change(_same, _same, lambda v: pick(v, option))

    def columns(self, index: Sequence[int]) -> "Deadline":
        """The problem with some of its options, in the order of ``index``."""
        if self.shape[-1] == 1:
            return self
        return self.change(_same, _same, lambda v: v if v.ndim == 0 or v.shape[-1] == 1 else v[..., list(index)])

    def rows(self, index: Any) -> "Deadline":
        """Members of a batch, which there must be, counted over all its leading axes at once.

        What is the same for all of them is not copied.
        """
        xp, (*rows, devices, options) = namespace(self.gain), self.shape
        left, at = xp.arange(math.prod(rows), device=device(self.gain))[index], []
        for size in reversed(rows):
            left, here = left // size, left % size
            at.append(here)

        def cut(v: NDArray, *own: int) -> NDArray:
            rest = tuple(v.shape[max(v.ndim - len(own), 0):])
            if own and math.prod(v.shape) == math.prod(rest):
                return xp.reshape(v, rest)
            found: NDArray = xp.broadcast_to(v, (*rows, *rest))[tuple(reversed(at))]
            return found

        return self.change(cut, lambda v: cut(v, devices), lambda v: cut(v, devices, options))

    def devices(self, index: Any) -> "Deadline":
        """Some of the devices, with the whole band."""
        xp, shape = namespace(self.gain), self.shape
        return self.change(_same, lambda v: xp.broadcast_to(v, shape[:-1])[..., index],
                           lambda v: xp.broadcast_to(v, shape)[..., index, :])

    def alone(self) -> "Deadline":
        """Each device by itself, as a batch of problems of one device: (..., K, 1) gains."""
        xp, shape = namespace(self.gain), self.shape
        return self.change(lambda v: v[..., None] if v.ndim else v, lambda v: xp.broadcast_to(v, shape[:-1])[..., None],
                           lambda v: xp.broadcast_to(v, shape)[..., None, :])

    def only(self, allowed: NDArray) -> "Deadline":
        """The problem with options left out where ``allowed`` (..., K, O) is false: no ratio is left to them."""
        xp = namespace(self.gain)
        return replace(self, prune_min=xp.where(allowed, self.prune_min, LEFT_OUT))

    def unpruned(self) -> "Deadline":
        """The problem with no more pruning than the least that is asked for; options that are left out stay so."""
        return replace(self, prune_max=namespace(self.gain).minimum(self.prune_min, self.prune_max))

    def pinned(self, option: NDArray, ratio: NDArray) -> "Deadline":
        """The problem with option and pruning ratio fixed, both (..., K): bandwidth and power are left."""
        fixed = ratio[..., None]
        return replace(self.of(option), prune_max=fixed, prune_min=fixed)


def one(problem: Deadline, who: str) -> None:
    """Refuse a batch, for ``who`` takes one problem."""
    if rows := problem.shape[:-2]:
        raise ValueError(f"{who} takes one problem, got a batch of shape {tuple(rows)}")


def _same(values: NDArray) -> NDArray:
    return values


def check(name: str, values: ArrayLike, unit: str, low: float, high: float, *, closed: bool = False,
          positive: bool = False) -> None:
    """Raise a sentence unless all ``values`` are within [low, high); with high if ``closed``, without low if ``positive``."""
    xp, v = float_arrays(values)
    if not bool(xp.all(((v > low) if positive else (v >= low)) & ((v <= high) if closed else (v < high)))):
        allowed = "positive" + " and finite" * (not closed) if positive else f"within [{low:g}, {high:g}{']' if closed else ')'}"
        raise ValueError(f"{name} must be {allowed} [{unit}], got {v}")
