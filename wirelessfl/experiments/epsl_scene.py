r"""The cell of the EPSL figures: who stands where, how the subchannels fade, and what the network asks of them.

As far as the paper's settings are known (from memory, reconstructed): devices uniform in a disc of 200 m, 20 subchannels of 10
MHz at 28 GHz, an antenna gain product of 10, noise of -174 dBm/Hz, 31.76 dBm a device and 36.99 dBm in all, -50 dBm/Hz down,
batches of 64, clocks uniform in 1 to 1.6 GHz at 1/16 cycle a FLOP, a server of 5 GHz at 1/32. Path loss, shadowing and sight are
those of New York at 28 GHz (``CloseIn`` in ``channels/path_loss.py``). Ours: no device is within 10 m, and each subchannel fades
on its own, Rayleigh, afresh in each round, for without fading all subchannels of a device are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.path_loss import CloseIn
from channels.units import dbm_to_watt
from learning.compress import FLOAT_BITS
from learning.profile import Profile, profile
from optim.epsl import EpslProblem
from optim.epsl_amounts import epsl_problem
from wirelessfl.build import MODELS

BANDS, RADIUS, NEAREST, ANTENNAS = 20, 200.0, 10.0, 10.0             # [1], [m], [m], [1]
SLOWEST, FASTEST = 1e9, 1.6e9                                        # [Hz]
AT_CUT = ("device_forward", "device_backward", "server", "uplink_bits", "unicast_bits", "broadcast_bits")


@dataclass(frozen=True)
class Load:
    """Work and traffic of a network for one sample, at the cuts behind each of its blocks but the last; O of them.

    Attributes
    ----------
    forward, backward : (O,) array
        Work of the device [FLOP]; a multiplication and an addition are two.
    server_forward, server_backward : (O,) array
        Work of the server [FLOP].
    last : float
        Backward work of the last block [FLOP].
    crossing : (O,) array
        Size of the activations, and of their gradients, as floats of 32 bits [bit].
    model : (O,) array
        Size of the device's part, parameters and buffers [bit].
    """

    forward: NDArray
    backward: NDArray
    server_forward: NDArray
    server_backward: NDArray
    last: float
    crossing: NDArray
    model: NDArray

    def at(self, cut: int) -> "Load":
        """The same with one cut only, behind ``cut`` blocks, 1 to O."""
        if not 1 <= cut <= len(self.model):
            raise ValueError(f"cut must be between 1 and {len(self.model)} [blocks], got {cut}")
        kept = {name: v[[cut - 1]] for name, v in vars(self).items() if name != "last"}
        return Load(last=self.last, **kept)


@dataclass(frozen=True)
class Scene:
    """Rounds of the cell, for C devices and M subchannels; leading axes (...) are rounds, or cells.

    Attributes
    ----------
    gain : (..., C, M) array
        Power gain over noise density [Hz/W].
    clock : (..., C) array
        Clocks of the devices [Hz].
    width : float
        Width of a subchannel [Hz].
    server_clock : float
        Clock of the server [Hz].
    batch : int
        Samples of each device in a round.
    """

    gain: NDArray
    clock: NDArray
    width: float = 10e6
    server_clock: float = 5e9
    batch: int = 64

    def problem(self, load: Load, aggregated: float) -> EpslProblem:
        """The round of EPSL for a share ``aggregated`` of the batch [1], 0 for PSL."""
        return epsl_problem(
            self.gain, batch=self.batch, aggregated=aggregated, forward_flops=load.forward, backward_flops=load.backward,
            server_forward_flops=load.server_forward, server_backward_flops=load.server_backward, last_layer_flops=load.last,
            smashed_bits=load.crossing, gradient_bits=load.crossing, clock=self.clock, server_clock=self.server_clock,
            cycles_per_flop=1 / 16, server_cycles_per_flop=1 / 32, width=self.width, peak_power=dbm_to_watt(31.76),
            total_power=dbm_to_watt(36.99), downlink_density=dbm_to_watt(-50.0))

    @property
    def each_alone(self) -> "Scene":
        """Every device with the cell to itself, (..., C) cells of one device."""
        return Scene(self.gain[..., :, None, :], self.clock[..., :, None], self.width, self.server_clock, self.batch)


def scene(rng: np.random.Generator, devices: int, rounds: tuple[int, ...] = (), *, batch: int = 64) -> Scene:
    """Draw a cell, and the fading of ``rounds`` (a shape, empty for one round) in it."""
    law, distance = CloseIn(), RADIUS * np.sqrt(rng.uniform((NEAREST / RADIUS) ** 2, 1.0, devices))
    sight = rng.random(devices) < law.sight_probability(distance)
    mean = law.gain(distance, sight) * np.exp(-law.spread(distance, sight) * rng.standard_normal(devices))
    gain = ANTENNAS * mean[:, None] * rng.standard_exponential((*rounds, devices, BANDS)) / dbm_to_watt(-174.0)
    return Scene(gain, np.broadcast_to(rng.uniform(SLOWEST, FASTEST, devices), gain.shape[:-1]), batch=batch)


def scenes(rng: np.random.Generator, devices: int, cells: int) -> Scene:
    """Draw ``cells`` cells, and one round in each."""
    each = [scene(rng, devices) for _ in range(cells)]
    return Scene(np.stack([one.gain for one in each]), np.stack([one.clock for one in each]))


def load_of(counts: Profile) -> Load:
    """Work and traffic from the counts of the very network that is trained."""
    ahead, behind, inside = (np.cumsum(v, dtype=float)[:-1] for v in (counts.forward, counts.backward, _floats(counts)))
    return Load(ahead, behind, sum(counts.forward) - ahead, sum(counts.backward) - behind, float(counts.backward[-1]),
                FLOAT_BITS * np.array(counts.outputs[:-1], float), FLOAT_BITS * inside)


def load_named(model: str, shape: Sequence[int], classes: int) -> Load:
    """The same for a name of ``MODELS``, images of a shape (channels, height, width) and a number of classes."""
    return load_of(profile(MODELS[model](shape, classes, "batch"), shape, classes))


def only(problem: EpslProblem, cut: int) -> EpslProblem:
    """The problem with a single cut to choose from."""
    return EpslProblem(**vars(problem) | {name: getattr(problem, name)[..., [cut]] for name in AT_CUT})


def _floats(counts: Profile) -> list[int]:
    return [counts.floats(block, block + 1) for block in range(counts.blocks)]
