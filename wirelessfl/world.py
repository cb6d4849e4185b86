"""One seed of a scenario, and the allocation problems in it: here decibels and MHz become SI units."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from channels.csi import Knowledge
from channels.delivery import Packets
from channels.links import Air, Gains
from channels.rates import rate
from channels.units import dbm_to_watt
from learning.algorithm import Algorithm, Shard, Streams
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.algorithms.split_learning import SplitLearning
from learning.calibrate import calibrate
from learning.calibration import Calibration
from learning.data import Dataset
from learning.profile import Profile, profile
from learning.threads import one_thread
from optim import bound
from optim.costs import round_costs
from optim.problem import Deadline
from optim.problem import check as check_values
from wirelessfl import air
from wirelessfl.build import BOUNDS, PARTITIONS, algorithm, check, cuts, device, hardware, network
from wirelessfl.config import SettingsError, choose
from wirelessfl.population import Hardware
from wirelessfl.settings import Scenario


@dataclass(frozen=True)
class World:
    """One seed of a scenario: who stands where, holds which data, computes how fast.

    Attributes
    ----------
    data : Dataset
        As the network and the shards, on the scenario's device.
    parts : (K,) tuple of arrays
        Which training samples each device holds, as indices; ``shards`` are the samples themselves.
    air : Air
        Where the gains of the links come from.
    hardware : Hardware
        What each device computes and sends with, (K,).
    cuts : (O,) tuple of int
        Cuts that the options of the allocation problem stand for.
    seeds : dict
        A seed of its own for each cause of randomness.
    """

    scenario: Scenario
    data: Dataset
    net: nn.Sequential
    algorithm: Algorithm
    parts: tuple[NDArray, ...]
    shards: tuple[Shard, ...]
    air: Air
    hardware: Hardware
    cuts: tuple[int, ...]
    seeds: dict[str, int]
    _work: dict[bytes, NDArray] = field(default_factory=dict, repr=False)

    @cached_property
    def profile(self) -> Profile:
        return profile(self.net, self.data.shape, self.data.classes)

    @property
    def weights(self) -> NDArray:
        """Share of the data that each device holds (K,) [1]."""
        sizes = np.array([len(shard) for shard in self.shards], float)
        return sizes / sizes.sum()

    @property
    def noise(self) -> float:
        """Noise density at the receivers [W/Hz]."""
        c = self.scenario.cell
        return float(dbm_to_watt(c.noise_dbm_per_hz + c.noise_figure_db))

    @property
    def knowledge(self) -> Knowledge:
        return air.knowledge(self.scenario.channel)

    @property
    def packets(self) -> Packets:
        return air.packets(self.scenario.channel)

    def rng(self, cause: str, *number: int) -> np.random.Generator:
        """The randomness of a cause, or of its part in one round: it does not depend on what was drawn before."""
        return np.random.default_rng((self.seeds[cause], *number))

    def streams(self) -> Streams:
        return Streams(self.seeds["batches"], self.seeds["compression"])

    def work(self, times: NDArray) -> NDArray:
        """Amounts of a round, (4, 2, K, O): device, uplink, server, downlink; fixed and kept [FLOP], [bit].

        ``times`` (K, 2) say how often the download and the upload of a client model are counted.
        """
        key = times.tobytes()
        if key not in self._work:
            table = [[self.algorithm.work(self.profile, cut, len(shard), len(self.shards), *often) for cut in self.cuts]
                     for shard, often in zip(self.shards, times.tolist(), strict=True)]
            self._work[key] = np.moveaxis(np.array(table, float), (2, 3), (0, 1))
        return self._work[key]

    def downlink_rate(self, gain: NDArray) -> NDArray:
        """Rate (..., n) towards n devices at gains (..., n) [1], in equal shares of band and power [bit/s]."""
        devices, power = gain.shape[-1], float(dbm_to_watt(self.scenario.devices.server_power_dbm))
        return rate(1e6 * self.scenario.cell.downlink_mhz / devices, power / devices * gain / self.noise)


CAUSES = ("placement", "fading", "forecast", "speed", "partition", "weights", "batches", "compression", "estimates", "delivery")


def world(s: Scenario, seed: int, found: Dataset | None = None) -> World:
    """Draw one seed of a scenario. Policies that are compared on one seed live in the same world."""
    found = check(s) if found is None else found
    words = np.random.SeedSequence(seed).generate_state(len(CAUSES))
    seeds = {cause: int(word) for cause, word in zip(CAUSES, words, strict=True)}
    net = network(s, found, seeds["weights"])
    runs = algorithm(s, net, found, seeds["weights"])
    split = choose(PARTITIONS, s.data.partition, "data.partition")
    parts = tuple(split(found.y_train.numpy(), s.cell.devices, np.random.default_rng(seeds["partition"]), s))
    found = _on(device(s), found)
    shards = tuple(Shard(found.x_train[part], found.y_train[part]) for part in map(torch.from_numpy, parts))
    links = air.air(s, np.random.default_rng(seeds["placement"]))
    has = hardware(s.devices, np.random.default_rng(seeds["speed"]), s.cell.devices)
    return World(s, found, net, runs, parts, shards, links, has, cuts(s, runs), seeds)


def _on(where: torch.device, found: Dataset) -> Dataset:
    """The data on a device; those that are there already are not copied."""
    x_train, y_train, x_test, y_test = (v.to(where) for v in (found.x_train, found.y_train, found.x_test, found.y_test))
    return replace(found, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def measure(w: World) -> Calibration:
    """Run the pilot that measures the bound's constants."""
    s = w.scenario
    _all_at_once(w)
    with one_thread():
        return calibrate(w.algorithm, w.net, w.shards, rounds=s.decision.pilot_rounds, cuts=w.cuts, batch=s.training.batch,
                         lr=s.training.lr, most_bias=s.decision.bias_max, seed=w.seeds["forecast"],
                         precision=s.training.precision)


def constants(measured: Calibration, lr: float) -> bound.Constants:
    """What the bound takes from a calibration."""
    gradient, weight = (np.array([sum(values[:cut]) for cut in measured.cuts]) for values in (measured.gradient, measured.weight))
    return bound.Constants(
        step=lr, rounds=measured.rounds, start=measured.start, smoothness=measured.smoothness,
        sampling=measured.sampling_noise, scale=np.array(measured.scale),
        exponent=np.array(measured.exponent), bias=np.array(measured.compression_bias),
        noise=np.array(measured.compression_noise), gradient=gradient, weight=weight)


def problem(w: World, measured: Calibration, gain: NDArray, download: float = 1.0, upload: float = 1.0) -> Deadline:
    """The allocation problem of a round with power gains ``gain`` (..., K) [1], the same in both directions.

    A client model's transfers count ``download`` and ``upload`` times.
    """
    check_values("gain", gain, "1", 0.0, 1.0, closed=True)
    return priced(w, measured, Gains(gain, gain), np.tile([download, upload], (len(w.shards), 1)))


def priced(w: World, measured: Calibration, gains: Gains, times: NDArray, who: NDArray | None = None,
           energy: ArrayLike = np.inf) -> Deadline:
    """The allocation problem of a round among the devices ``who`` (K,), all without, at gains (..., K) [1].

    They share the bands and the server. ``times`` (K, 2) say how often the download and the upload of a client model count,
    and ``energy`` (K,) how much is left in batteries [J].
    """
    s = w.scenario
    _all_at_once(w)
    who = np.ones(len(w.shards), bool) if who is None else who
    d, has, often = s.devices, Hardware(*(each[who] for each in w.hardware)), w.packets.transmissions
    amounts = [(count * fixed[who], count * kept[who])
               for count, (fixed, kept) in zip((1, often, 1, often), w.work(times), strict=True)]
    costs = round_costs(*amounts, speed=has.speed, joules_per_flop=has.joules_per_flop,
                        server_speed=1e9 * d.server_gflops / who.sum(), downlink_rate=w.downlink_rate(gains.down[..., who]))
    known, shares = constants(measured, s.training.lr), w.weights[who] / w.weights[who].sum()
    phi, pruning = BOUNDS[s.decision.bound](known, shares, s.training.interval)
    limit = np.minimum(s.decision.prune_max, measured.ratio_max) if w.algorithm.prunes else np.zeros(len(w.cuts))
    return Deadline(
        costs=costs, gain=gains.up[..., who] / w.noise, peak_power=has.peak_power, band=np.array(1e6 * s.cell.bandwidth_mhz),
        deadline=np.array(1e-3 * s.decision.deadline_ms or 1.0), pruning=pruning, noise=phi,
        prune_max=np.broadcast_to(limit, phi.shape),
        energy_budget=np.minimum(1e-3 * d.energy_budget_mj or np.inf, np.broadcast_to(energy, who.shape)[who]))


def _all_at_once(w: World) -> None:
    t, steps = w.scenario.training, w.scenario.training.local_steps
    if isinstance(w.algorithm, SplitLearning) or (isinstance(w.algorithm, SplitFedV2) and steps != 1):
        raise SettingsError(f"training.algorithm: {t.algorithm} with local_steps = {steps} has one device on the air at a time, "
                            "and decisions share the band among devices that send at once")
