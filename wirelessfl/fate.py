"""What a round really took, beside what was planned: rates that links did not carry, lost packets, devices that were late."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import among, over
from channels.delivery import Packets
from channels.rates import rate
from optim.allocation import Allocation
from optim.costs import uplink_load
from optim.problem import Deadline


@dataclass(frozen=True)
class Fate:
    """What became of each device in a round; (K,).

    Attributes
    ----------
    latency, energy : array
        Time until it was through, or given up [s], and the energy that it spent [J].
    arrived : bool array
        Whether the server has its part of the round.
    late : bool array
        Whether it took longer than the round was planned to take, or would have with more energy.
    uplink_outage, downlink_outage : bool array
        Whether a rate that was chosen for it was more than its link carried.
    download, computing, serving, upload : array
        What the latency went into: receiving, its own work, the server's for it, sending [s]; where a battery ran out, the server
        waited for the rest of it.
    """

    latency: NDArray
    energy: NDArray
    arrived: NDArray
    late: NDArray
    uplink_outage: NDArray
    downlink_outage: NDArray
    download: NDArray
    computing: NDArray
    serving: NDArray
    upload: NDArray

    @property
    def outage(self) -> NDArray:
        """Whether a rate was more than the link carried, on the way up or down (K,)."""
        either: NDArray = self.uplink_outage | self.downlink_outage
        return either

    def among(self, who: NDArray) -> "Fate":
        """The same for all devices, of which ``who`` (K,) took part: nothing for the others."""
        return Fate(*(among(values, who) for values in vars(self).values()))


@dataclass(frozen=True)
class Downlink:
    """The way down to each device, (K,): its load [bit], the rate that was chosen, and the one that the link carries [bit/s]."""

    bits: NDArray
    chosen: NDArray
    carried: NDArray


NOTHING = Fate(*(np.zeros(0, kind) for kind in (*2 * [float], *4 * [bool], *4 * [float])))


def fate(rng: np.random.Generator, planned: Allocation, problem: Deadline, truth: NDArray, down: Downlink, packets: Packets,
         patience: float = 0.0, left: ArrayLike = np.inf, serving: ArrayLike = 0.0) -> Fate:
    """Let a round happen that was planned for ``problem``: the download, the computing, the upload.

    Parameters
    ----------
    planned : Allocation
        Counts every packet with its mean number of transmissions, as ``problem`` does.
    truth : (K,) array
        What the gains over noise density are, where the problem has what they were taken for [Hz/W].
    patience : float
        The server goes on without those who are not through after so many times the planned time of the round [1]; 0 waits.
    left : (K,) array
        Energy in the batteries [J]: a device whose battery runs out on the way is lost, and given up when it should have been
        through, or, if it was late already, then.
    serving : (K,) array
        How much of the computing is the server's [s]; it counts as the last of it.

    Notes
    -----
    A budget of energy binds the plan alone: who must send again may spend more.
    """
    chosen, keep, mean = problem.of(planned.option), 1 - planned.ratio, packets.transmissions
    bits = uplink_load(chosen.costs, keep[:, None])[:, 0] / mean
    asked, carried = (rate(planned.bandwidth, planned.power * gain) for gain in (problem.gain, truth))
    downward = packets.send(rng, down.bits, down.chosen, down.carried)
    upward = packets.send(rng, np.where(downward.arrived, bits, 0.0), asked, carried)
    computing = np.maximum(planned.latency - mean * (over(bits, asked) + over(down.bits, down.chosen)), 0.0)
    mine, needed = np.maximum(computing - serving, 0.0), planned.energy - planned.power * mean * over(bits, asked)
    lives = _lives(np.broadcast_to(np.asarray(left, float), needed.shape), mine, needed, computing, planned.power)
    took = downward.time + np.where(downward.arrived, computing, 0.0) + upward.time
    dies = downward.arrived & (downward.time + lives * (1 + 1e-12) < took)
    given_up = np.where(np.isfinite(took), np.where(dies, np.maximum(downward.time + lives, planned.latency), np.inf),
                        planned.latency)
    late, took = took > planned.latency.max() * (1 + 1e-9), np.where(dies, np.inf, took)
    latency = np.minimum(took, np.minimum(given_up, patience * planned.latency.max() if patience else np.inf))
    fetched = np.where(downward.arrived, np.minimum(downward.time, latency), latency)        # who has nothing to train on waits
    busy = np.minimum(latency - fetched, np.where(dies, lives, np.inf))
    done = np.where(mine > 0, np.minimum(busy / np.where(mine > 0, mine, 1.0), 1.0), 1.0 * downward.arrived)
    energy = done * needed + planned.power * np.clip(busy - computing, 0.0, upward.time)
    computed = np.minimum(busy, computing)
    own = np.minimum(computed, mine)
    return Fate(latency, np.minimum(energy, left), upward.arrived & downward.arrived & (took <= latency), late, upward.outage,
                downward.outage, download=fetched, computing=own, serving=computed - own, upload=busy - computed)


def _lives(left: NDArray, mine: NDArray, needed: NDArray, computing: NDArray, power: NDArray) -> NDArray:
    """How long the energy that is ``left`` lasts from the download on [s]: its own part of the computing takes ``mine`` [s] and
    what is ``needed`` [J], the server's the rest of ``computing`` [s] and nothing, and sending its ``power`` [W]."""
    found: NDArray = np.where(left < needed, mine * over(np.minimum(left, needed), needed),
                              computing + over(left - needed, power))
    return found
