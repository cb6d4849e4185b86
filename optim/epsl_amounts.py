r"""The amounts of a round of EPSL: from batch, network and clocks to the seconds and bits of ``optim.epsl``.

For C devices with b samples each, of which a = ceil(phi b) have their cut gradients aggregated, kappa cycles a FLOP and clocks f:

.. math::

    T_i^F = b \kappa_i \Phi_o^F / f_i,\quad T_i^B = b \kappa_i \Phi_o^B / f_i,                             \tag{1} \\
    T_s = \kappa_s \big[C b \Psi_o^F + (a + C (b - a))(\Psi_o^B - \Psi^L) + C b \Psi^L\big] / f_s,       \tag{2} \\
    S_o = b\,\Gamma_o,\quad A_o = a\,\Gamma_o',\quad U_o = (b - a)\,\Gamma_o'.                          \tag{3}

The last layer works on every sample; behind it a samples of all devices are one. phi = 0 is parallel split learning (PSL).

Source: Lin et al., "Efficient Parallel Split Learning over Resource-constrained Wireless Edge Networks", IEEE TMC 2024
(arXiv 2303.15991); reconstructed, as the full text was not at hand.
"""

import numpy as np
from numpy.typing import ArrayLike

from optim.epsl import EpslProblem


def epsl_problem(gain: ArrayLike, *, batch: int, aggregated: float, forward_flops: ArrayLike, backward_flops: ArrayLike,
                 server_forward_flops: ArrayLike, server_backward_flops: ArrayLike, last_layer_flops: float,
                 smashed_bits: ArrayLike, gradient_bits: ArrayLike, clock: ArrayLike, server_clock: float,
                 cycles_per_flop: ArrayLike, server_cycles_per_flop: float, width: ArrayLike, peak_power: ArrayLike,
                 total_power: ArrayLike, downlink_density: ArrayLike) -> EpslProblem:
    """The problem from the paper's amounts, by (1) to (3); numpy arrays.

    Parameters
    ----------
    gain, width, peak_power, total_power, downlink_density
        As in :class:`EpslProblem`.
    batch : int
        Samples of each device in a round, b.
    aggregated : float
        Share phi of the batch whose cut gradients are aggregated [1]; 0 is parallel split learning (PSL).
    forward_flops, backward_flops : (O,) array
        Work of the device for one sample at each cut, Phi [FLOP].
    server_forward_flops, server_backward_flops : (O,) array
        Work of the server for one sample, Psi [FLOP].
    last_layer_flops : float
        Backward work of the last layer for one sample, never aggregated, Psi^L [FLOP].
    smashed_bits, gradient_bits : (O,) array
        Size of the activations and of the gradients at each cut for one sample, Gamma and Gamma' [bit].
    clock, cycles_per_flop : (..., C) array or float
        f [Hz] and kappa [1/FLOP] of each device.
    server_clock, server_cycles_per_flop : float
        The same of the server.
    """
    if not (batch == int(batch) and batch >= 1):
        raise ValueError(f"batch must be a whole number of samples, one or more [1], got {batch}")
    if not 0 <= aggregated <= 1:
        raise ValueError(f"aggregated must be a share within [0, 1] [1], got {aggregated}")
    for name, value in (("clock", clock), ("server_clock", server_clock)):
        if not np.all(np.asarray(value, float) > 0):
            raise ValueError(f"{name} must be positive [Hz], got {value}")
    gain = np.asarray(gain, float)
    shared = int(np.ceil(aggregated * batch - 1e-9))
    devices, alone = gain.shape[-2], batch - shared
    pace = np.broadcast_to(np.asarray(cycles_per_flop, float) / np.asarray(clock, float), gain.shape[:-1])[..., None]
    ahead, behind, front, back, up, down = (np.asarray(v, float) for v in (
        forward_flops, backward_flops, server_forward_flops, server_backward_flops, smashed_bits, gradient_bits))
    if np.any(back < last_layer_flops):
        raise ValueError(f"server_backward_flops must be at least last_layer_flops [FLOP], got {back} and {last_layer_flops}")
    work = devices * batch * (front + last_layer_flops) + (shared + devices * alone) * (back - last_layer_flops)
    return EpslProblem(batch * ahead * pace, batch * behind * pace, work * server_cycles_per_flop / server_clock, batch * up,
                       alone * down, shared * down, gain, width, peak_power, total_power, downlink_density)
