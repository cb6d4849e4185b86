r"""What a round costs each device: the one table that the solvers and the clock both read.

With split option o, keep ratio x = 1 - rho, uplink rate R and transmit power p,

.. math::

    T &= T_0 + x\,C + (\alpha + x\,D) / R                                    \tag{1} \\
    E &= E_0 + x\,E_1 + p\,(\alpha + x\,D) / R                               \tag{2}

T0 gathers what pruning cannot shrink (its share of the computation, the server's work for the device, the
cut gradients on the downlink), C what shrinks with it (client-side computation, the pruned model on the downlink).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import changed, float_arrays, over


@dataclass(frozen=True)
class RoundCosts:
    """Table (1), (2) for K devices and O options; every entry broadcasts to (..., K, O).

    Attributes
    ----------
    fixed_time, kept_time : array
        T0 and C [s].
    fixed_bits, kept_bits : array
        Uplink load alpha and D [bit].
    fixed_energy, kept_energy : array
        Computing energy E0 and E1 of the device [J].
    """

    fixed_time: NDArray
    kept_time: NDArray
    fixed_bits: NDArray
    kept_bits: NDArray
    fixed_energy: NDArray
    kept_energy: NDArray

    def __post_init__(self) -> None:
        xp, *arrays = float_arrays(*vars(self).values())
        for name, values in zip(list(vars(self)), arrays, strict=True):
            if not bool(xp.all((values >= 0) & (values < xp.inf))):
                raise ValueError(f"{name} must be finite and zero or more [s, bit or J], got {values}")
            object.__setattr__(self, name, values)

    def each(self, change: Callable[[NDArray], NDArray]) -> "RoundCosts":
        """The table with every entry changed."""
        return changed(self, **{name: change(values) for name, values in vars(self).items()})

    def of(self, option: NDArray) -> "RoundCosts":
        """The columns that ``option`` (..., K) names, one per device: a table of (..., K, 1)."""
        return self.each(lambda values: pick(values, option))


def pick(values: ArrayLike, option: NDArray) -> NDArray:
    """Column ``option`` (..., K) of each row of ``values`` (..., K, O), as (..., K, 1)."""
    xp, full = float_arrays(values)
    if full.ndim == 0 or full.shape[-1] == 1:
        return xp.broadcast_to(full, (*np.broadcast_shapes(tuple(full.shape[:-1]), tuple(option.shape)), 1))
    index = xp.asarray(option)[..., None]
    shape = np.broadcast_shapes(tuple(full.shape[:-1]), tuple(index.shape[:-1]))
    full, index = xp.broadcast_to(full, (*shape, full.shape[-1])), xp.broadcast_to(index, (*shape, 1))
    found: NDArray = xp.take_along_axis(full, index, axis=-1)
    return found


def round_costs(device_flops: tuple[ArrayLike, ArrayLike], uplink_bits: tuple[ArrayLike, ArrayLike],
                server_flops: tuple[ArrayLike, ArrayLike], downlink_bits: tuple[ArrayLike, ArrayLike], *,
                speed: ArrayLike, joules_per_flop: ArrayLike, server_speed: ArrayLike,
                downlink_rate: ArrayLike) -> RoundCosts:
    """Price amounts of work, each a pair (fixed, kept) of (..., O) or (..., K, O) arrays, on K devices.

    Parameters
    ----------
    speed, joules_per_flop : (K,) array
        Speed [FLOP/s] and energy [J/FLOP] of each device.
    server_speed : float or (K,) array
        Speed that the server gives to each device's work [FLOP/s].
    downlink_rate : (..., K) array
        Rate towards each device [bit/s].
    """
    speed, joules, server, down = (np.asarray(v, float)[..., None] for v in
                                   (speed, joules_per_flop, server_speed, downlink_rate))
    if not all(np.all(v > 0) for v in (speed, server, down)):
        raise ValueError("speed and server_speed [FLOP/s] and downlink_rate [bit/s] must be positive")
    times = [np.asarray(device_flops[i]) / speed + np.asarray(server_flops[i]) / server
             + np.asarray(downlink_bits[i]) / down for i in (0, 1)]
    bits = [np.asarray(uplink_bits[i], float) for i in (0, 1)]
    energies = [np.asarray(device_flops[i]) * joules for i in (0, 1)]
    return RoundCosts(*times, *bits, *energies)


def uplink_load(costs: RoundCosts, keep: ArrayLike) -> NDArray:
    """Bits that a device sends at keep ratio ``keep`` [bit]."""
    load: NDArray = costs.fixed_bits + keep * costs.kept_bits
    return load


def slack(costs: RoundCosts, keep: NDArray, deadline: NDArray) -> NDArray:
    """Time that is left for the uplink before ``deadline`` [s]; negative where there is none."""
    return deadline - costs.fixed_time - keep * costs.kept_time


def latency(costs: RoundCosts, keep: ArrayLike, rate: ArrayLike) -> NDArray:
    """Time (1) of each device's round [s] at uplink ``rate`` [bit/s]: the clock. The round ends with the slowest."""
    return costs.fixed_time + keep * costs.kept_time + _airtime(costs, keep, rate)


def energy(costs: RoundCosts, keep: ArrayLike, power: ArrayLike, rate: ArrayLike) -> NDArray:
    """Energy (2) that each device spends in the round [J] at transmit ``power`` [W] and uplink ``rate`` [bit/s]."""
    xp, loud, sending = float_arrays(power, _airtime(costs, keep, rate))
    return costs.fixed_energy + keep * costs.kept_energy + loud * xp.where(loud > 0, sending, 0.0)


def _airtime(costs: RoundCosts, keep: ArrayLike, rate: ArrayLike) -> NDArray:
    return over(*float_arrays(uplink_load(costs, keep), rate)[1:])
