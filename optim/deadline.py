r"""Lose the least progress in a round that ends by a deadline: split, pruning, bandwidth and power of every device.

.. math::

    \min_{o,\,\rho,\,b,\,p}\;& \Phi = \sum_k \big[\varphi_k(o_k) + c_{k,o_k}(\rho_k)\big]          \tag{1} \\
    \text{s.t.}\;& T_k \le T,\quad E_k \le \bar E_k,\quad p_k \le P_k,\quad
                   \textstyle\sum_k b_k \le B,\quad \rho_k \in [\rho^{min}, \rho^{max}].

Power and band are eliminated through the tight deadline (``optim.band``): device k asks for b_min,k(rho), convex and
falling in rho, and the band's price lambda is all that couples the devices,

.. math:: \lambda \,|b_{min,k}'(\rho_k)| = c_k'(\rho_k)\ \text{(clipped)},\quad
          o_k = \arg\min_o \varphi_k(o) + c_{k,o}(\rho) + \lambda b_{min,k,o}(\rho).               \tag{2}

The dual value q(lambda) = sum_k min_o [...] - lambda B bounds (1) from below, splits included, whatever lambda:
that is the certificate. At most one device stands between two options at the best price, so the gap falls as 1/K.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.allocation import Allocation, Residual
from optim.answer import answer
from optim.band import least_band
from optim.branch import branch, candidates
from optim.costs import RoundCosts, pick
from optim.curves import cheapest
from optim.price import search
from optim.pruning_cost import PruningCost

TINY = 1e-12      # a loss of progress below this is none
GAP = 1e-4        # a certified gap that is good enough


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


def solve_kkt(problem: Deadline, *, price: ArrayLike | None = None, rtol: float = 1e-12, branches: int = 50) -> Allocation:
    """Solve (1) by its KKT conditions: a search for one number, the price of the band.

    Parameters
    ----------
    problem : Deadline
        One problem, or a batch with leading axes.
    price : (...,) array, optional
        Where to start [1/Hz], such as the price of the last round.
    rtol : float
        Relative tolerance on the band that is spent.
    branches : int
        One problem (not a batch) with a duality gap above 0.01 % is branched on at most so often (``optim.branch``).

    Returns
    -------
    Allocation
        With its certificate: ``lower_bound`` holds for every choice of splits, and ``gap`` measures against it.
    """
    found = search(problem, price, rtol)
    best, bound = candidates(problem, found, rtol), found.dual
    if len(problem.shape) == 2 and np.isfinite(best.objective):
        best, least = branch(problem, found, best, target=GAP, most=branches, rtol=rtol)
        bound = np.array(least)
    return answer(problem, best, bound)


def residual(problem: Deadline, found: Allocation) -> Residual:
    """How far an answer to one problem, from whatever solver, is from the optimality conditions of (1)."""
    fixed, price = problem.of(found.option), np.asarray(found.price, float)
    excess = [found.bandwidth.sum() / problem.band - 1, found.latency / problem.deadline - 1,
              found.power / problem.peak_power - 1, found.energy / problem.energy_budget - 1,
              found.ratio - fixed.prune_max[..., 0], fixed.prune_min[..., 0] - found.ratio]
    ratio = found.ratio[..., None]
    asked = np.minimum(least_band(fixed, ratio)[0], found.bandwidth[..., None])
    paid = fixed.noise + fixed.pruning.value(ratio) + price * asked
    objective = float((fixed.noise + fixed.pruning.value(ratio)).sum())
    best = search(problem, price, bound=True).dual
    scale = max(objective, TINY)
    return Residual(
        feasibility=float(max(max(np.max(e) for e in excess), 0.0)),
        stationarity=float(np.maximum(paid - cheapest(fixed, price), 0.0).sum() / scale),
        complementarity=float(price * np.abs(problem.band - found.bandwidth.sum()) / scale),
        gap=float((objective - best) / scale),
    )
