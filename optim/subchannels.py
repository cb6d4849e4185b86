r"""The deadline problem on OFDMA subchannels, as a value: lose the least progress when each subchannel goes to one device.

Subchannel m of M, each of width W, has gain G_km = g_km / N0 for device k. Over the owner a_m of each subchannel, the powers, and
the devices' options and pruning ratios,

.. math::

    \min\;& \Phi = \sum_k \varphi_k(o_k) + c_{k,o_k}(\rho_k)
           \quad\text{s.t.}\quad T_k \le T,\quad \textstyle\sum_{m: a_m = k} p_m \le P_k,                \tag{1} \\
    & R_k = \textstyle\sum_{m: a_m = k} W \log_2(1 + p_m G_{km} / W).                                    \tag{2}

T_k is the clock of ``optim.costs``. Power couples nothing but the subchannels of one device, so for given owners R_k is largest
by water-filling, and what a device loses falls with its rate: with S = T - T0, the largest keep ratio that ends in time is

.. math::

    x_o(R) = \frac{S R - \alpha}{C R + D},\qquad
    L_k(R) = \min_o \varphi_k(o) + c_{k,o}(\max(\rho^{min}, 1 - x_o(R))),                                \tag{3}

x_o concave and rising: each branch of L_k is convex and falling, from its least rate (at the largest ratio) on.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from channels.arrays import float_arrays, namespace, to_numpy
from channels.rates import LN2
from optim.costs import pick
from optim.problem import Deadline
from optim.water_filling import water_fill

ROUNDING = 1e-12        # of a keep ratio
LEAST_RATIO = 1e-300    # that a logarithm takes


class Table(NamedTuple):
    """The data of (3), each (..., K, O)."""

    slack: Any          # S [s]; negative where the deadline is over before anything is sent
    kept_time: Any      # C [s]
    fixed_bits: Any     # alpha [bit]
    kept_bits: Any      # D [bit]
    noise: Any          # phi [1]
    least: Any          # limits of the pruning ratio [1]
    most: Any


@dataclass(frozen=True)
class Subchannels:
    """Data of problem (1); leading axes (...) make a batch.

    Attributes
    ----------
    problem : Deadline
        Costs, pruning, options, deadline and peak powers; its gain and its band are not used.
    gain : (..., K, M) array
        Power gain over noise density of each device on each subchannel, g / N0 [Hz/W]; 0 where it may not send.
    width : float
        Width of a subchannel [Hz].

    Raises
    ------
    ValueError
        For a gain or a width out of range, another number of devices than the problem has, or an energy budget: it would make the
        loss of a device depend on more than its rate, and nothing here supports it.
    """

    problem: Deadline
    gain: Any
    width: float

    def __post_init__(self) -> None:
        xp, gain = float_arrays(self.gain)
        if not bool(xp.all((gain >= 0) & xp.isfinite(gain))):
            raise ValueError(f"gain must be finite and zero or more [Hz/W], got {gain}")
        if np.ndim(self.width) or not 0 < float(self.width) < np.inf:
            raise ValueError(f"width must be one positive and finite number [Hz], got {self.width}")
        if gain.ndim < 2 or gain.shape[-2] != self.problem.shape[-2]:
            raise ValueError(f"gain must be (..., K, M) with the problem's K = {self.problem.shape[-2]} devices [Hz/W], "
                             f"got shape {tuple(gain.shape)}")
        if np.isfinite(to_numpy(self.problem.energy_budget)).any():
            raise ValueError("energy_budget must be inf [J]: budgets are not supported on subchannels, lower peak_power instead; "
                             f"got {self.problem.energy_budget}")
        object.__setattr__(self, "gain", gain)

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., K, M), all axes broadcast."""
        return (*np.broadcast_shapes(self.problem.shape[:-2], tuple(self.gain.shape[:-2])), *self.gain.shape[-2:])

    @cached_property
    def peak_power(self) -> Any:
        """P, (..., K) [W]."""
        return self._beside(self.problem.peak_power, self.shape[:-1])

    @cached_property
    def table(self) -> Table:
        """The data of (3)."""
        p, costs, shape = self.problem, self.problem.costs, (*self.shape[:-1], self.problem.shape[-1])
        by, fixed, *rest = (self._beside(v, shape) for v in (
            p.deadline[..., None, None], costs.fixed_time, costs.kept_time, costs.fixed_bits, costs.kept_bits, p.noise,
            p.prune_min, p.prune_max))
        return Table(by - fixed, *rest)

    def _beside(self, values: Any, shape: tuple[int, ...]) -> Any:
        xp, values, _ = float_arrays(values, self.gain)
        return xp.broadcast_to(values, shape)


def held(cells: Subchannels, assignment: Any) -> Any:
    """Gain of each device on the subchannels that it holds, 0 on the others, (..., K, M) [Hz/W]."""
    xp = namespace(cells.gain)
    devices = xp.arange(cells.shape[-2], device=device(cells.gain))[:, None]
    return xp.where(assignment[..., None, :] == devices, cells.gain, 0.0)


def sent(gain: Any, width: float, power: Any) -> Any:
    """Rate (2) that powers (..., M) [W] carry [bit/s]."""
    xp = namespace(gain)
    return xp.sum(xp.log1p(power * gain / width), axis=-1) * (width / LN2)


def full_rate(gain: Any, width: float, power: Any) -> Any:
    """The most that ``power`` (...,) [W] carries over subchannels (..., M), by water-filling [bit/s]."""
    return sent(gain, width, water_fill(gain, width, power))


def keep_by(table: Table, rate: Any) -> Any:
    """x_o of (3), the largest keep ratio by the deadline at ``rate``, (..., K, 1) or (..., K, O) [bit/s]; -inf where none is."""
    xp = namespace(rate)
    some = rate + xp.where((table.fixed_bits == 0) & (table.kept_bits == 0), 1.0, 0.0)     # no bits need no rate
    room, grows = table.slack * some - table.fixed_bits, table.kept_time * some + table.kept_bits
    return xp.where(grows > 0, room / filled(grows), xp.where(room >= 0, xp.inf, -xp.inf))


def rate_for(table: Table, keep: Any) -> Any:
    """Rate at which a device ends just in time at ``keep`` (..., K, O) [bit/s], the inverse of :func:`keep_by`."""
    xp = namespace(table.slack)
    load, time = table.fixed_bits + keep * table.kept_bits, table.slack - keep * table.kept_time
    return xp.where(time > 0, load / filled(time), xp.where((load > 0) | (time < 0), xp.inf, 0.0))


def loss_of(cells: Subchannels, rate: Any) -> tuple[Any, Any, Any]:
    """L_k of (3) at ``rate`` (..., K) [bit/s], ``inf`` below the least, with the option and the ratio that attain it."""
    xp, table = namespace(rate), cells.table
    keep = keep_by(table, rate[..., None])
    ratio = xp.clip(1 - keep, table.least, table.most)
    loss = xp.where(keep >= 1 - table.most - ROUNDING, table.noise + cells.problem.pruning.value(ratio), xp.inf)
    option = xp.argmin(loss, axis=-1)
    return pick(loss, option)[..., 0], option, pick(xp.broadcast_to(ratio, loss.shape), option)[..., 0]


def least_rate(cells: Subchannels) -> Any:
    """Rate below which a device cannot end in time, whatever its option, (..., K) [bit/s]; ``inf`` where no rate is enough."""
    return namespace(cells.gain).min(rate_for(cells.table, 1 - cells.table.most), axis=-1)


def hopeless(cells: Subchannels) -> Any:
    """Rows (...,) with a device that would be late with all subchannels to itself."""
    xp = namespace(cells.gain)
    return xp.any(~xp.isfinite(loss_of(cells, full_rate(cells.gain, cells.width, cells.peak_power))[0]), axis=-1)


def filled(values: Any) -> Any:
    """``values`` with ones where they are not positive, to divide by."""
    xp = namespace(values)
    return xp.where(values > 0, values, 1.0)


def slope_of(cells: Subchannels, ratio: Any) -> Any:
    """c'(rho), (..., K, O) [1], at a pruning ratio of zero too."""
    xp = namespace(ratio)
    return xp.exp(cells.problem.pruning.log_slope(xp.clip(ratio, LEAST_RATIO, 1.0)))
