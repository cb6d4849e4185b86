"""One seed of a scenario: here decibels and MHz become SI units."""

import copy
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channels.csi import Knowledge
from channels.delivery import Packets
from channels.links import Air
from channels.rates import rate
from channels.units import dbm_to_watt
from learning.algorithm import Algorithm, Shard, Streams
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.algorithms.split_learning import SplitLearning
from learning.calibrate import calibrate
from learning.calibration import Calibration
from learning.crossing import Compression
from learning.data import Dataset
from learning.params import Params
from learning.profile import Profile, profile
from learning.threads import one_thread
from wirelessfl import air
from wirelessfl.build import PARTITIONS, algorithm, check, device, hardware, network
from wirelessfl.config import SettingsError, choose
from wirelessfl.options import Option, compressions, intervals, options
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
    options : (O,) tuple of Option
        What the columns of the allocation problem stand for.
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
    options: tuple[Option, ...]
    seeds: dict[str, int]
    _work: dict[tuple[bytes, int], NDArray] = field(default_factory=dict, repr=False)

    @cached_property
    def profile(self) -> Profile:
        return profile(self.net, self.data.shape, self.data.classes)

    @property
    def cuts(self) -> NDArray:
        """Blocks on a device under each option (O,)."""
        return np.array([option.cut for option in self.options])

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

    @property
    def stands(self) -> int:
        """Rounds from one decision of splits, ratios, compression and who takes part to the next."""
        return math.lcm(self.algorithm.interval, self.scenario.decision.every)

    def rng(self, cause: str, *number: int) -> np.random.Generator:
        """The randomness of a cause, or of its part in one round: it does not depend on what was drawn before."""
        return np.random.default_rng((self.seeds[cause], *number))

    def streams(self) -> Streams:
        return Streams(self.seeds["batches"], self.seeds["compression"])

    def work(self, times: NDArray, devices: int) -> NDArray:
        """Amounts of a round of so many ``devices``, (4, 2, K, O): device, uplink, server, downlink; fixed, kept [FLOP], [bit].

        ``times`` (K, 2) say how often the download and the upload of a client model are counted.
        """
        key = (times.tobytes(), devices)
        if key not in self._work:
            runs = [compressing(self.algorithm, option.compression) for option in self.options]
            table = [[each.work(self.profile, option.cut, len(shard), devices, *often)
                      for each, option in zip(runs, self.options, strict=True)]
                     for shard, often in zip(self.shards, times.tolist(), strict=True)]
            self._work[key] = np.moveaxis(np.array(table, float), (2, 3), (0, 1))
        return self._work[key]

    def averaging(self, interval: int) -> "World":
        """The same, with client sides averaged every ``interval`` rounds."""
        if interval == self.algorithm.interval:
            return self
        runs: Any = replace(self.algorithm, interval=interval)                       # type: ignore[type-var]
        return replace(self, algorithm=runs, _work={})

    def spending(self) -> "World":
        """The same for a run of whose states only the last one counts: a round may use up what optimisers remembered in it."""
        runs: Any = replace(self.algorithm, training=self.algorithm.training.in_place())  # type: ignore[type-var, attr-defined]
        return replace(self, algorithm=runs)

    def downlink_rate(self, gain: NDArray, devices: int) -> NDArray:
        """Rate (...) towards one of so many ``devices`` at gains (...) [1], in equal shares of band and power [bit/s]."""
        power = float(dbm_to_watt(self.scenario.devices.server_power_dbm))
        return rate(1e6 * self.scenario.cell.downlink_mhz / devices, power / devices * gain / self.noise)


CHECKPOINTS = 5      # of a pilot run, at which it is measured
PARTS = 2            # of the samples, so that squares of gradients are not those of their sampling noise
CLEAR = 0.5          # share of the gradient's square that is more than noise, where one model is measured alone
CAUSES = ("placement", "fading", "forecast", "speed", "partition", "weights", "batches", "compression", "estimates", "delivery",
          "schedule")


def world(s: Scenario, seed: int, found: Dataset | None = None) -> World:
    """Draw one seed of a scenario. Policies that are compared on one seed live in the same world."""
    if seed < 0:
        raise ValueError(f"seed must be a whole number of 0 or more, got {seed}")
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
    return World(s, found, net, runs, parts, shards, links, has, options(s, runs), seeds)


def compressing(algorithm: Algorithm, compression: Compression) -> Algorithm:
    """An algorithm with a compression, if it has one."""
    if getattr(algorithm, "compression", compression) == compression:
        return algorithm
    changed: Algorithm = replace(algorithm, compression=compression)                 # type: ignore[type-var]
    return changed


def _on(where: torch.device, found: Dataset) -> Dataset:
    """The data on a device; those that are there already are not copied."""
    x_train, y_train, x_test, y_test = (v.to(where) for v in (found.x_train, found.y_train, found.x_test, found.y_test))
    return replace(found, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def measure(w: World, weights: Params | None = None) -> Calibration:
    """Measure the bound's constants, along a pilot run; or only those of the moment, on a model of these ``weights``.

    ``learning.calibrate.GradientLost`` is raised where too little of the gradient is more than sampling noise.
    """
    s, net = w.scenario, w.net
    all_at_once(w)
    if weights is not None:
        net = copy.deepcopy(net)
        net.load_state_dict(weights, strict=False)
    runs: Any = replace(w.algorithm, net=net)                                          # type: ignore[type-var]
    rounds, stops, clear = (s.decision.pilot_rounds, CHECKPOINTS, 0.0) if weights is None else (1, 1, CLEAR)
    with one_thread():
        return calibrate(runs, net, w.shards, rounds=rounds, checkpoints=stops, cuts=tuple(dict.fromkeys(w.cuts.tolist())),
                         batch=s.training.batch, lr=s.training.lr, most_bias=s.decision.bias_max, seed=w.seeds["forecast"],
                         precision=s.training.precision, compressions=compressions(s, runs),
                         intervals=tuple(dict.fromkeys((s.training.interval, *intervals(s, runs)))), parts=PARTS, clear=clear)


def all_at_once(w: World) -> None:
    """Refuse algorithms that serve one device after another: nothing could be shared out among them."""
    t, steps = w.scenario.training, w.scenario.training.local_steps
    if isinstance(w.algorithm, SplitLearning) or (isinstance(w.algorithm, SplitFedV2) and steps != 1):
        raise SettingsError(f"training.algorithm: {t.algorithm} with local_steps = {steps} has one device on the air at a time, "
                            "and decisions share the band among devices that send at once")
