r"""The deadline problem, as a value: lose the least progress in a round that ends in time.

.. math::

    \min_{o,\,\rho,\,b,\,p}\;& \Phi = \sum_k \big[\varphi_k(o_k) + c_{k,o_k}(\rho_k)\big]          \tag{1} \\
    \text{s.t.}\;& T_k \le T,\quad E_k \le \bar E_k,\quad p_k \le P_k,\quad
                   \textstyle\sum_k b_k \le B,\quad \rho_k \in [\rho^{min}, \rho^{max}]

over split option, pruning ratio, bandwidth and power of every device. T_k and E_k are the cost table of ``optim.costs``, Phi is
the loss of progress of ``optim.bound``; ``optim.deadline`` solves it.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.costs import RoundCosts, pick
from optim.pruning_cost import PruningCost


@dataclass(frozen=True)
class Deadline:
    """Data of problem (1) for K devices with O options each; leading axes (...) make a batch, and plain floats will do.

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
    gain: NDArray
    peak_power: NDArray
    band: NDArray
    deadline: NDArray
    pruning: PruningCost
    noise: NDArray = field(default_factory=lambda: np.array(0.0))
    prune_max: NDArray = field(default_factory=lambda: np.array(0.9))
    prune_min: NDArray = field(default_factory=lambda: np.array(0.0))
    energy_budget: NDArray = field(default_factory=lambda: np.array(np.inf))

    def __post_init__(self) -> None:
        check("gain", self.gain, "Hz/W", 0.0, np.inf)
        check("peak_power", self.peak_power, "W", 0.0, np.inf)
        check("energy_budget", self.energy_budget, "J", 0.0, np.inf, closed=True)
        check("noise", self.noise, "1", 0.0, np.inf)
        check("prune_max", self.prune_max, "1", 0.0, 1.0)
        check("prune_min", self.prune_min, "1", 0.0, 1.0)
        for name, unit in (("band", "Hz"), ("deadline", "s")):
            values = np.asarray(getattr(self, name), float)
            if not (np.all(values > 0) and np.isfinite(values).all()):
                raise ValueError(f"{name} must be positive and finite [{unit}], got {values}")
        for name in ("gain", "peak_power", "energy_budget", "band", "deadline", "noise", "prune_max", "prune_min"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))
        if len(self.shape) < 2:
            raise ValueError("costs must be (K, O), with one row a device and one column an option")

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., K, O), all axes broadcast."""
        each = [(*np.shape(v), 1) for v in (self.gain, self.peak_power, self.energy_budget)]
        whole = [(*np.shape(v), 1, 1) for v in (self.band, self.deadline)]
        table = [np.shape(v) for v in (*vars(self.costs).values(), self.noise, self.prune_max, self.prune_min)]
        return np.broadcast_shapes(*each, *whole, *table, np.shape(self.pruning.value(np.zeros(()))))

    def of(self, option: NDArray) -> "Deadline":
        """The problem with every device's option fixed to ``option`` (..., K): one column is left."""
        noise, most, least = (pick(np.atleast_2d(v), option) for v in (self.noise, self.prune_max, self.prune_min))
        return replace(self, costs=self.costs.of(option), pruning=self.pruning.of(option), noise=noise,
                       prune_max=most, prune_min=least)

    def only(self, allowed: NDArray) -> "Deadline":
        """The problem with options left out where ``allowed`` (..., K, O) is false: no ratio is left to them."""
        return replace(self, prune_min=np.where(allowed, self.prune_min, np.nextafter(1.0, 0.0)))

    def pinned(self, option: NDArray, ratio: NDArray) -> "Deadline":
        """The problem with option and pruning ratio fixed, both (..., K): bandwidth and power are left."""
        fixed = np.asarray(ratio, float)[..., None]
        return replace(self.of(option), prune_max=fixed, prune_min=fixed)


def check(name: str, values: ArrayLike, unit: str, low: float, high: float, closed: bool = False) -> None:
    """Raise a sentence unless all ``values`` are within [low, high), or [low, high] if ``closed``."""
    v = np.asarray(values, float)
    if not np.all((v >= low) & ((v <= high) if closed else (v < high))):
        raise ValueError(f"{name} must be within [{low:g}, {high:g}{']' if closed else ')'} [{unit}], got {v}")
