r"""The least bandwidth that lets a device meet its deadline, peak power and energy budget, as a function of pruning.

With slack t = T - T0 - xC, load U = alpha + xD, gain over noise density G = g / N0 and keep ratio x = 1 - rho, the power
that just meets the deadline in the band b is p = (b / G)(2^{U / tb} - 1). Both constraints then bound b from below:

.. math::

    p \le P:&\quad b_P(x) = \beta(U / t,\; P G)                                        \tag{1} \\
    E_0 + x E_1 + p t \le \bar E:&\quad b_E(x) = \beta(U,\; (\bar E - E_0 - x E_1) G) / t   \tag{2}

with beta the inverse of the rate (``channels.rates.bandwidth_for``). Both are convex and increasing in x, and so is
b_min = max(b_P, b_E). For (1), p(x, b) is jointly convex. For (2), write h(U, s) = s (e^{U/s} - 1), s = t b, w = U / s:
the Hessian of h(U(x), s(x, b)) has determinant C psi (2 (e^w / s) t w (D + C b w) - C psi), psi = 1 - e^w + w e^w, and
psi <= w^2 e^w / 2 makes it at least (3/2) C^2 psi w^2 e^w >= 0, though s is bilinear.
"""

import numpy as np
from numpy.typing import NDArray

from channels.rates import LN2, snr_for
from optim.costs import slack, uplink_load
from optim.problem import Deadline


def least_band(problem: Deadline, ratio: NDArray) -> tuple[NDArray, NDArray]:
    """Least band b_min [Hz] at each pruning ratio, and the *relief* -d b_min / d ratio [Hz], both (..., K, O).

    ``inf`` where no band is enough.
    """
    costs, keep = problem.costs, 1 - ratio
    quality = problem.gain[..., None]
    time = slack(costs, keep, problem.deadline[..., None, None])
    load = uplink_load(costs, keep)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = load / time
        band, psi = _invert(needed, problem.peak_power[..., None] * quality)
        relief = LN2 / psi * (costs.kept_bits + needed * costs.kept_time) / time     # (db/drate)(drate/dx)
        if np.isfinite(problem.energy_budget).any():
            spare = (problem.energy_budget[..., None] - costs.fixed_energy - keep * costs.kept_energy) * quality
            area, psi = _invert(load, np.where(np.isinf(spare), 1.0, spare))         # band times slack
            tug = (costs.kept_bits * LN2 + costs.kept_energy * quality * area / (area + spare)) / psi
            needed = np.where(spare < 0, np.inf, area / time)
            binds = np.isfinite(spare) & (needed > band)
            band = np.where(binds, needed, band)
            relief = np.where(binds, tug / time + area * costs.kept_time / time**2, relief)
    return tuple(np.where((time > 0) & np.isfinite(band), v, np.inf) for v in (band, relief))  # type: ignore[return-value]


def _invert(rate: NDArray, reach: NDArray) -> tuple[NDArray, NDArray]:
    """Band that carries ``rate``, and psi = ln2 d rate / d band = log1p(snr) - snr / (1 + snr)."""
    snr = snr_for(np.where(reach > 0, rate * LN2 / reach, np.where(rate > 0, 1.0, 0.0)))
    share = np.where(np.isinf(snr), 1.0, snr / (1 + snr))
    return np.where(snr > 0, reach / snr, np.inf), np.log1p(snr) - share


def ratio_range(problem: Deadline) -> tuple[NDArray, NDArray, NDArray]:
    """Pruning ratios that some band allows: lowest, highest, and whether the lowest is a pole (needs infinite band).

    By the wide-band limit U < t P G / ln2, and U ln2 / G < budget - E0 - x E1: both linear in x. Where the lowest is
    above the highest no band helps.
    """
    costs, quality = problem.costs, problem.gain[..., None]
    reach, joules = problem.peak_power[..., None] * quality, problem.energy_budget[..., None]
    by = problem.deadline[..., None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_bit = LN2 / reach                                             # seconds a bit takes in infinite band
        by_power = _largest_keep(by - costs.fixed_time - _times(costs.fixed_bits, per_bit),
                                 costs.kept_time + _times(costs.kept_bits, per_bit))
        per_bit = LN2 / quality                                   # joules a bit takes in infinite band
        by_energy = _largest_keep(joules - costs.fixed_energy - _times(costs.fixed_bits, per_bit),
                                  costs.kept_energy + _times(costs.kept_bits, per_bit))
    limit = 1 - np.minimum(by_power, by_energy)
    low = np.maximum(problem.prune_min, limit)
    silent = (costs.fixed_bits == 0) & (costs.kept_bits == 0)             # nothing to send: no band just past the limit
    low = np.where(silent & (limit >= problem.prune_min), low + 1e-12, low)
    low, high = np.broadcast_arrays(low, problem.prune_max)
    return low, high, np.broadcast_to((limit >= problem.prune_min) & ~silent, low.shape)


def _times(bits: NDArray, per_bit: NDArray) -> NDArray:
    """Their product, 0 where there are no bits, on a dead link too."""
    bits, per_bit = np.broadcast_arrays(bits, per_bit)
    return np.multiply(bits, per_bit, where=bits > 0, out=np.zeros(bits.shape))


def _largest_keep(room: NDArray, per_keep: NDArray) -> NDArray:
    """Largest x with x per_keep < room: ``inf`` where keeping costs nothing, -``inf`` where there is no room."""
    room, per_keep = np.broadcast_arrays(np.nan_to_num(room, nan=-np.inf, neginf=-np.inf, posinf=np.inf), per_keep)
    ratio = np.where(per_keep > 0, room / np.where(per_keep > 0, per_keep, 1.0), np.inf)
    return np.where(room > 0, np.nan_to_num(ratio, nan=0.0, posinf=np.inf), -np.inf)
