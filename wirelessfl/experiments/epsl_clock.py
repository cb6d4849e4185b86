r"""How long a round of five methods takes, all by the one clock of ``optim.epsl``.

A round is one mini-batch of every device. For each cut the subchannels and powers are those of the descent
(``optim.epsl_descent``), the same allocator for all, each for its own traffic:

PSL
    the round of EPSL with nothing aggregated, phi = 0;
EPSL
    the same with a share phi of 0.5 or 1;
SplitFed-V1
    PSL, and the device's part of the model, Q bits, crosses both ways: the average is broadcast over the whole band at the worst
    device's rate, as EPSL's gradients are, and each device sends its own up in its subchannels when it is through with the
    backward pass,

    .. math:: T = \max_i (T_i^F + S / R_i) + T_s + Q / \min_i D_i^{all} + \max_i (U / D_i + T_i^B + Q / R_i);      \tag{1}

    power and subchannels are decided as if Q went up with S;
vanilla split learning
    the devices one after another, each with the whole band, all subchannels and the server to itself: the sum over devices of (1)
    for each alone. Q down and up is the part that a device takes over from the one before it and hands on.

All of this is reconstructed: how the paper counts its baselines was not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from channels.arrays import over
from optim.epsl import EpslProblem, latency, owners, uplink_rates
from optim.epsl_descent import solve_descent
from wirelessfl.experiments.epsl_scene import Load, Scene, only


@dataclass(frozen=True)
class Method:
    """A method as it is trained and as it takes time.

    Attributes
    ----------
    label : str
        In legends.
    algorithm : str
        A name of ``ALGORITHMS``.
    share : float
        phi [1].
    exchange : bool
        Whether client sides change hands in each round.
    sequential : bool
        Whether devices go one after another.
    """

    label: str
    algorithm: str
    share: float = 0.0
    exchange: bool = False
    sequential: bool = False


METHODS: Mapping[str, Method] = {
    "sl": Method("vanilla SL", "split-learning", exchange=True, sequential=True),
    "splitfed": Method("SplitFed-V1", "splitfed-v1", exchange=True),
    "psl": Method("PSL", "psl"),
    "epsl-0.5": Method("EPSL, φ = 0.5", "epsl", 0.5),
    "epsl-1": Method("EPSL, φ = 1", "epsl", 1.0),
}


def round_times(seen: Scene, load: Load, method: Method) -> NDArray:
    """Time of each round at each cut, (..., O) [s]."""
    if method.sequential:
        return round_times(seen.each_alone, load, replace(method, sequential=False)).sum(axis=-2)
    problem, model = seen.problem(load, method.share), load.model * method.exchange
    return np.stack([_round(only(problem, cut), bits) for cut, bits in enumerate(model)], axis=-1)


def _round(problem: EpslProblem, model: float) -> NDArray:
    """(1) at the problem's only cut, (...,) [s], with ``model`` bits that cross both ways."""
    found = solve_descent(replace(problem, uplink_bits=problem.uplink_bits + model))
    rate = uplink_rates(problem, owners(problem, found.assignment), found.power)
    after = problem.device_backward + over(np.full(rate.shape, model), rate)[..., None]
    counted = replace(problem, device_backward=after, broadcast_bits=problem.broadcast_bits + model)
    return np.asarray(latency(counted, found.cut, found.assignment, found.power).total)
