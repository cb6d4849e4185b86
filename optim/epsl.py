r"""The round of efficient parallel split learning (EPSL), as a value: subchannels, power and one cut for the least latency.

C devices work in parallel up to the cut o, the server goes on; for a share of the batch the cut gradients are aggregated over
the devices and broadcast, the others go to each device alone. The stages end with their slowest device:

.. math::

    T = \underbrace{\max_i (T_i^F + S_o / R_i)}_{\text{uplink}} + \underbrace{T_s}_{\text{server}}
      + \underbrace{A_o / \min_i D_i^{all}}_{\text{broadcast}} + \underbrace{\max_i (U_o / D_i + T_i^B)}_{\text{downlink}} \tag{1}

with r_im = 1 where subchannel m, of width w_m, is device i's (one device each, or none), q_m its power, G = g / N0,

.. math::

    R_i = \sum_m r_{im} w_m \log_2(1 + q_m G_{im} / w_m),\qquad
    D_i = \sum_m r_{im} w_m \log_2(1 + \psi G_{im}),                                                        \tag{2} \\
    \sum_m r_{im} q_m \le P_i,\qquad \sum_m q_m \le P,                                                      \tag{3}

D_i^all the same sum over the whole band, psi the fixed power density of the server. ``optim.epsl_amounts`` computes the bits
and seconds from batch, network and clocks.

Source: Lin et al., "Efficient Parallel Split Learning over Resource-constrained Wireless Edge Networks", IEEE TMC 2024
(arXiv 2303.15991); reconstructed, as the full text was not at hand.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from channels.arrays import over
from channels.rates import LN2

UNITS = {"device_forward": "s", "device_backward": "s", "server": "s", "uplink_bits": "bit", "unicast_bits": "bit",
         "broadcast_bits": "bit", "gain": "Hz/W", "width": "Hz", "peak_power": "W", "total_power": "W",
         "downlink_density": "W/Hz"}
POSITIVE = ("width", "peak_power", "total_power", "downlink_density")


@dataclass(frozen=True)
class EpslProblem:
    """Data of (1) to (3) for C devices, M subchannels and O cuts; leading axes (...) make a batch of problems.

    numpy arrays, or torch tensors all through: the library and the device of ``gain`` decide.

    Attributes
    ----------
    device_forward, device_backward : (..., C, O) array
        T^F and T^B of each device at each cut [s].
    server : (..., O) array
        T_s, forward and backward [s].
    uplink_bits, unicast_bits, broadcast_bits : (..., O) array
        S, U and A [bit].
    gain : (..., C, M) array
        Power gain over noise density G = g / N0, the same up and down [Hz/W].
    width : float, or (..., M) array
        Width of each subchannel [Hz].
    peak_power : (..., C) array
        P_i [W].
    total_power : float, or (...,) array
        Limit on the power of all devices together, P [W].
    downlink_density : float, or (...,) array
        psi [W/Hz].

    Raises
    ------
    ValueError
        Unless all are finite and zero or more, and widths, powers and the density positive.
    """

    device_forward: Any
    device_backward: Any
    server: Any
    uplink_bits: Any
    unicast_bits: Any
    broadcast_bits: Any
    gain: Any
    width: Any
    peak_power: Any
    total_power: Any
    downlink_density: Any

    def __post_init__(self) -> None:
        xp = array_namespace(self.gain)
        values = {name: xp.asarray(getattr(self, name), dtype=xp.float64, device=device(self.gain)) for name in UNITS}
        for name, unit in UNITS.items():
            v, low = values[name], "positive" if name in POSITIVE else "zero or more"
            if not bool(xp.all(xp.isfinite(v) & ((v > 0) if name in POSITIVE else (v >= 0)))):
                raise ValueError(f"{name} must be finite and {low} [{unit}], got {v}")
        if values["gain"].ndim < 2 or values["device_forward"].ndim < 2:
            raise ValueError("gain must be (..., C, M) [Hz/W] and device_forward (..., C, O) [s], one row a device, got shapes "
                             f"{tuple(values['gain'].shape)} and {tuple(values['device_forward'].shape)}")
        rows, (c, m, o) = _sizes(values)
        shapes = {"gain": (c, m), "width": (m,), "peak_power": (c,), "total_power": (), "downlink_density": (),
                  "device_forward": (c, o), "device_backward": (c, o)}
        for name, v in values.items():
            object.__setattr__(self, name, xp.broadcast_to(v, (*rows, *shapes.get(name, (o,)))))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(C, M, O)."""
        return *self.gain.shape[-2:], self.server.shape[-1]

    @property
    def downlink_rates(self) -> Any:
        """What each subchannel would carry down to each device, (..., C, M) [bit/s]."""
        xp = array_namespace(self.gain)
        return self.width[..., None, :] * xp.log1p(self.downlink_density[..., None, None] * self.gain) / LN2

    @property
    def broadcast(self) -> Any:
        """Time of the broadcast at each cut, (..., O) [s]: whole band, worst device; ``inf`` if that one hears nothing."""
        xp = array_namespace(self.gain)
        return over(self.broadcast_bits, xp.min(xp.sum(self.downlink_rates, axis=-1), axis=-1)[..., None])


@dataclass(frozen=True)
class Stages:
    """The stages of (1), each (...,) [s]; ``total`` is the latency of the round."""

    uplink: Any
    server: Any
    broadcast: Any
    downlink: Any

    @property
    def total(self) -> Any:
        return self.uplink + self.server + self.broadcast + self.downlink


def latency(problem: EpslProblem, cut: Any, assignment: Any, power: Any) -> Stages:
    """The clock (1): what a decision takes; ``inf`` where a device has bits to carry and nothing to carry them.

    Parameters
    ----------
    cut : (...,) int array
        Index of the common cut.
    assignment : (..., M) int array
        Owner of each subchannel, -1 for nobody.
    power : (..., M) array
        Uplink power in each subchannel [W].
    """
    owned = owners(problem, assignment)
    ahead, behind = device_times(problem, owned, uplink_rates(problem, owned, power))
    xp = array_namespace(ahead)
    every = (xp.max(ahead, axis=-2), problem.server, problem.broadcast, xp.max(behind, axis=-2))
    return Stages(*(at(v, cut) for v in every))


def owners(problem: EpslProblem, assignment: Any) -> Any:
    """r of (2), (..., C, M), true where the subchannel is the device's."""
    xp = array_namespace(problem.gain)
    devices = xp.arange(problem.sizes[0], device=device(problem.gain))
    return xp.asarray(assignment, device=device(problem.gain))[..., None, :] == devices[:, None]


def uplink_rates(problem: EpslProblem, owned: Any, power: Any) -> Any:
    """R of (2), (..., C) [bit/s], at ``power`` (..., M) [W] in the subchannels ``owned`` (..., C, M)."""
    xp, width = array_namespace(problem.gain), problem.width[..., None, :]
    bits = width * xp.log1p(power[..., None, :] * problem.gain / width) / LN2
    return xp.sum(xp.where(owned, bits, 0.0), axis=-1)


def device_times(problem: EpslProblem, owned: Any, rate: Any) -> tuple[Any, Any]:
    """T^F + S / R and U / D + T^B of each device at each cut, both (..., C, O) [s], for uplink rates (..., C) [bit/s]."""
    xp = array_namespace(problem.gain)
    down = xp.sum(xp.where(owned, problem.downlink_rates, 0.0), axis=-1)
    return (problem.device_forward + over(problem.uplink_bits[..., None, :], rate[..., None]),
            problem.device_backward + over(problem.unicast_bits[..., None, :], down[..., None]))


def at(values: Any, cut: Any) -> Any:
    """Entry ``cut`` (...,) of each row of ``values`` (..., O); further axes of ``cut`` broadcast."""
    xp = array_namespace(values)
    where = device(values)
    chosen = xp.asarray(cut, device=where)[..., None] == xp.arange(values.shape[-1], device=where)
    return xp.sum(xp.where(chosen, values, 0.0), axis=-1)


def _sizes(values: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """Leading axes that all share, and (C, M, O), from the shapes."""
    c, m = values["gain"].shape[-2:]
    o = values["device_forward"].shape[-1]
    inner = {"gain": 2, "device_forward": 2, "device_backward": 2, "total_power": 0, "downlink_density": 0}
    leads = (tuple(v.shape)[:max(v.ndim - inner.get(name, 1), 0)] for name, v in values.items())
    return np.broadcast_shapes(*leads), (c, m, o)
