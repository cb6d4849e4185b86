r"""Pruning and bandwidth of partially personalised federated learning under a latency threshold.

Reconstructed from arXiv 2309.01816 (IEEE TSP 2024, Liu et al.), whose full text could not be read. Device k trains its personal
part for t^v seconds, then the shared part, of which it keeps the share 1 - rho: t^g seconds and Q bits without pruning.

.. math::

    \min_{\rho,\,b}\; \sum_k a_k \rho_k \quad\text{s.t.}\quad
    t^v_k + (1 - \rho_k)\,(t^g_k + Q / R_k(b_k)) \le T,\quad \rho_k \in [0, \rho^{max}],\quad \sum_k b_k \le B,    \tag{1}

which maximises the convergence rate where a_k is what pruning costs in it. With S = T - t^v, for given bands

.. math:: \rho_k = [1 - S_k / (t^g_k + Q / R_k)]^+.                                                         \tag{2}

1 - rho is increasing and concave in the band, so one price nu of the band [1/Hz] decides: a device that is neither unpruned nor
pruned to the limit has

.. math:: a_k\, S_k Q R_k'(b_k) / (t^g_k R_k + Q)^2 = \nu.                                                   \tag{3}

It is solved over z, the signal-to-noise ratio in the band, in which everything is closed: with the reach s = P g / N0 [Hz],

.. math:: b = s / z,\quad R = s \log_2(1 + z) / z,\quad R' = [\ln(1 + z) - z / (1 + z)] / \ln 2.              \tag{4}
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import float_arrays, namespace
from channels.rates import LN2, bandwidth_for, rate
from optim.costs import RoundCosts
from optim.problem import Deadline, check
from optim.pruning_cost import PowerLaw
from optim.roots import falling_root


@dataclass(frozen=True)
class Personalised:
    """Data of problem (1) for K devices, (K,) arrays; leading axes (...) make a batch, and plain floats will do.

    Attributes
    ----------
    personal_time, shared_time : (..., K) array
        t^v and t^g, computing the personal and the unpruned shared part [s].
    shared_bits : (..., K) array
        Q, the unpruned shared part on the air [bit].
    reach : (..., K) array
        s = P g / N0 [Hz].
    weights : (..., K) array
        a, what pruning costs in the convergence rate [1].
    band : (...,) array
        B [Hz].
    threshold : (...,) array
        T [s].
    prune_max : (..., K) array
        Limit of the pruning ratio [1].
    """

    personal_time: Any
    shared_time: Any
    shared_bits: Any
    reach: Any
    weights: Any
    band: Any
    threshold: Any
    prune_max: Any = 0.9

    def __post_init__(self) -> None:
        names = [f.name for f in fields(self)]
        for name, values in zip(names, float_arrays(*(getattr(self, n) for n in names))[1:], strict=True):
            object.__setattr__(self, name, values)
        for name, unit in (("personal_time", "s"), ("shared_time", "s"), ("reach", "Hz")):
            check(name, getattr(self, name), unit, 0.0, np.inf)
        for name, unit in (("shared_bits", "bit"), ("weights", "1"), ("band", "Hz"), ("threshold", "s")):
            check(name, getattr(self, name), unit, 0.0, np.inf, positive=True)
        check("prune_max", self.prune_max, "1", 0.0, 1.0)

    def as_deadline(self) -> Deadline:
        """The same problem as an instance of the general one: nothing sent that pruning does not shrink, and a linear cost.

        The peak power is 1 W, so a gain is a reach.
        """
        table = self.personal_time, self.shared_time, 0.0, self.shared_bits, 0.0, 0.0
        xp, *columns = float_arrays(*table)
        costs = RoundCosts(*(v[..., None] if v.ndim else v for v in columns))
        weights, most = (v[..., None] if v.ndim else v for v in (self.weights, self.prune_max))
        each = np.broadcast_shapes(*(tuple(v.shape) for v in (self.reach, *columns, self.weights)))
        return Deadline(costs, xp.broadcast_to(self.reach, each), xp.ones_like(self.reach), self.band, self.threshold,
                        PowerLaw(weights), prune_max=most)


@dataclass(frozen=True)
class PersonalisedAllocation:
    """What each device prunes and is given; zeros, and an objective of ``inf``, where no decision keeps the threshold.

    Attributes
    ----------
    ratio, bandwidth, latency : (..., K) array
        rho [1], b [Hz] and the time that the round takes each device [s].
    objective : (...,) array
        sum a rho [1].
    lower_bound : (...,) array
        The dual value at the price [1].
    price : (...,) array
        nu [1/Hz].
    feasible : (...,) bool array
    """

    ratio: NDArray
    bandwidth: NDArray
    latency: NDArray
    objective: NDArray
    lower_bound: NDArray
    price: NDArray
    feasible: NDArray


def ratios(problem: Personalised, bandwidth: NDArray) -> NDArray:
    """The least pruning (2) that keeps the threshold in given bands (..., K) [Hz]; above ``prune_max`` where none does."""
    xp, speed = namespace(bandwidth), rate(bandwidth, problem.reach)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = problem.threshold[..., None] - problem.personal_time
        kept = time * speed / (problem.shared_time * speed + problem.shared_bits)
    return 1 - xp.clip(kept, 0.0, 1.0)


def marginal(problem: Personalised, bandwidth: NDArray) -> NDArray:
    """The left of (3) in given bands (..., K) above 0 [Hz]: the loss that one more hertz saves a device that is being pruned
    [1/Hz], nu where the bands are optimal."""
    xp = namespace(problem.reach)
    found: NDArray = xp.exp(_log_marginal(problem, problem.reach / bandwidth))
    return found


def solve_personalised(problem: Personalised) -> PersonalisedAllocation:
    """Solve (1) by its one price: a root for nu, and for each nu the roots (3) of all devices."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _solve(problem)


def _solve(problem: Personalised) -> PersonalisedAllocation:
    xp, most = namespace(problem.reach), problem.prune_max
    time = problem.threshold[..., None] - problem.personal_time

    def needs(keep: NDArray) -> NDArray:
        """Band at which a device keeps the share ``keep``; ``inf`` where no band lets it."""
        spare = time - keep * problem.shared_time
        needed = keep * problem.shared_bits / xp.where(spare > 0, spare, 1.0)
        return xp.where(spare > 0, bandwidth_for(needed, problem.reach), xp.inf)

    least, full = needs(1 - most), needs(1 + 0 * most)
    shape = np.broadcast_shapes(tuple(least.shape), (*problem.band.shape, 1))
    least, full = (xp.broadcast_to(v, shape) for v in (least, full))
    feasible = xp.sum(least, axis=-1) <= problem.band
    least, full = xp.where(feasible[..., None], least, 1.0), xp.where(feasible[..., None], full, 2.0)
    wide = xp.minimum(full, problem.band[..., None])         # nobody gets more
    deep, shallow = xp.log(problem.reach / least), xp.log(problem.reach / xp.maximum(wide, least))

    def left(log_snr: NDArray) -> NDArray:
        """Logarithm of the left of (3), rising in the SNR."""
        return _log_marginal(problem, xp.exp(log_snr))

    ends = -left(shallow), -left(deep)

    def bands(log_price: NDArray) -> NDArray:
        level = log_price[..., None]
        log_snr = falling_root(lambda u: level - left(u), shallow, deep, level + ends[0], level + ends[1], ftol=1e-14)
        return problem.reach / xp.exp(log_snr)

    low, high = xp.min(-ends[0], axis=-1) - 1e-9, xp.max(-ends[1], axis=-1) + 1e-9
    log_price = falling_root(lambda v: xp.log(xp.sum(bands(v), axis=-1) / problem.band), low, high,
                             *(xp.log(xp.sum(b, axis=-1) / problem.band) for b in (xp.maximum(wide, least), least)), ftol=1e-14)
    easy = xp.sum(full, axis=-1) <= problem.band                         # nobody need be pruned
    band = xp.where(easy[..., None], full, bands(log_price))
    return _answer(xp, problem, feasible, band, xp.where(easy, 0.0, xp.exp(log_price)))


def _log_marginal(problem: Personalised, z: NDArray) -> NDArray:
    """Logarithm of the left of (3) at signal-to-noise ratios z (..., K) [1], by (4)."""
    xp, time = namespace(z), problem.threshold[..., None] - problem.personal_time
    speed = problem.reach * xp.log1p(z) / (z * LN2)
    return xp.log(problem.weights * time * problem.shared_bits * _slope(xp, z)) - 2 * xp.log(
        problem.shared_time * speed + problem.shared_bits)


def _slope(xp: Any, z: NDArray) -> NDArray:
    """R' of (4); by its series where the terms would cancel."""
    small = xp.where(z < 1e-4, z, 0.0)
    return xp.where(z < 1e-4, small * small * (0.5 - 2 * small / 3), xp.log1p(z) - z / (1 + z)) / LN2


def _answer(xp: Any, problem: Personalised, feasible: NDArray, band: NDArray, price: NDArray) -> PersonalisedAllocation:
    """The ratios (2) of the bands, the clock, and the dual value at the price: sum a rho + nu (sum b - B)."""
    each = feasible[..., None]
    band, price = xp.where(each, band, 0.0), xp.where(feasible, price, 0.0)
    ratio = xp.where(each, xp.clip(ratios(problem, band), 0.0, problem.prune_max), 0.0)
    loss = xp.sum(problem.weights * ratio, axis=-1)
    bound = loss + price * (xp.sum(band, axis=-1) - problem.band)
    took = problem.personal_time + (1 - ratio) * (problem.shared_time + problem.shared_bits / rate(band, problem.reach))
    return PersonalisedAllocation(
        ratio, band, xp.where(each, took, 0.0), xp.where(feasible, loss, xp.inf), xp.where(feasible, bound, -xp.inf), price,
        feasible)
