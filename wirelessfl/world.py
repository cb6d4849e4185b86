"""One seed of a scenario, and the allocation problems in it: here decibels and MHz become SI units."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channels.cell import Cell, Placement
from channels.rates import rate
from channels.units import db_to_neper, dbm_to_watt
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
from wirelessfl.build import BOUNDS, FADING, PARTITIONS, PATH_LOSS, algorithm, check, choose, cuts, network
from wirelessfl.config import Scenario, SettingsError


@dataclass(frozen=True)
class World:
    """One seed of a scenario: who stands where, holds which data, computes how fast.

    Attributes
    ----------
    parts : (K,) tuple of arrays
        Which training samples each device holds, as indices; ``shards`` are the samples themselves.
    speed : (K,) array
        Computing speed of each device [FLOP/s].
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
    placement: Placement
    speed: NDArray
    cuts: tuple[int, ...]
    seeds: dict[str, int]

    @cached_property
    def profile(self) -> Profile:
        return profile(self.net, self.data.shape, self.data.classes)

    @property
    def weights(self) -> NDArray:
        """Share of the data that each device holds (K,) [1]."""
        sizes = np.array([len(shard) for shard in self.shards], float)
        return sizes / sizes.sum()

    def rng(self, cause: str) -> np.random.Generator:
        return np.random.default_rng(self.seeds[cause])

    def streams(self) -> Streams:
        return Streams(self.seeds["batches"], self.seeds["compression"])


CAUSES = ("placement", "fading", "forecast", "speed", "partition", "weights", "batches", "compression")


def world(s: Scenario, seed: int, found: Dataset | None = None) -> World:
    """Draw one seed of a scenario. Policies that are compared on one seed live in the same world."""
    found = check(s) if found is None else found
    words = np.random.SeedSequence(seed).generate_state(len(CAUSES))
    seeds = {cause: int(word) for cause, word in zip(CAUSES, words, strict=True)}
    net = network(s, found, seeds["weights"])
    runs = algorithm(s, net, found, seeds["weights"])
    split = choose(PARTITIONS, s.data.partition, "data.partition")
    parts = tuple(split(found.y_train.numpy(), s.cell.devices, np.random.default_rng(seeds["partition"]), s))
    shards = tuple(Shard(found.x_train[part], found.y_train[part]) for part in map(torch.from_numpy, parts))
    c, d = s.cell, s.devices
    cell = Cell(c.radius_m, c.nearest_m, choose(PATH_LOSS, c.path_loss, "cell.path_loss")(s), db_to_neper(c.shadowing_db),
                choose(FADING, c.fading, "cell.fading")())
    speed = 1e9 * np.exp(np.random.default_rng(seeds["speed"]).uniform(
        np.log(d.slowest_gflops), np.log(d.fastest_gflops), c.devices))
    placement = cell.place(np.random.default_rng(seeds["placement"]), c.devices)
    return World(s, found, net, runs, parts, shards, placement, speed, cuts(s, runs), seeds)


def measure(w: World) -> Calibration:
    """Run the pilot that measures the bound's constants."""
    s = w.scenario
    _all_at_once(w)
    with one_thread():
        return calibrate(w.algorithm, w.net, w.shards, rounds=s.decision.pilot_rounds, cuts=w.cuts, batch=s.training.batch,
                         lr=s.training.lr, most_bias=s.decision.bias_max, seed=w.seeds["forecast"])


def constants(measured: Calibration, lr: float) -> bound.Constants:
    """What the bound takes from a calibration."""
    gradient, weight = (np.array([sum(values[:cut]) for cut in measured.cuts]) for values in (measured.gradient, measured.weight))
    return bound.Constants(
        step=lr, rounds=measured.rounds, start=measured.start, smoothness=measured.smoothness,
        sampling=measured.sampling_noise, scale=np.array(measured.scale),
        exponent=np.array(measured.exponent), bias=np.array(measured.compression_bias),
        noise=np.array(measured.compression_noise), gradient=gradient, weight=weight)


def problem(w: World, measured: Calibration, gain: NDArray, download: float = 1.0, upload: float = 1.0) -> Deadline:
    """The allocation problem of a round with power gains ``gain`` (..., K) [1]."""
    s = w.scenario
    _all_at_once(w)
    c, d = s.cell, s.devices
    noise = dbm_to_watt(c.noise_dbm_per_hz + c.noise_figure_db)                              # [W/Hz]
    table = [[w.algorithm.work(w.profile, cut, len(shard), c.devices, download, upload) for cut in w.cuts] for shard in w.shards]
    amounts = np.moveaxis(np.array(table, float), (2, 3), (0, 1))                            # (4, 2, K, O)
    down = rate(1e6 * c.downlink_mhz / c.devices, dbm_to_watt(d.server_power_dbm) / c.devices * gain / noise)
    costs = round_costs(*((fixed, kept) for fixed, kept in amounts), speed=w.speed,
                        joules_per_flop=1e-12 * d.energy_pj_per_flop * (w.speed / 1e9) ** 2,
                        server_speed=1e9 * d.server_gflops / c.devices, downlink_rate=down)
    phi, pruning = BOUNDS[s.decision.bound](constants(measured, s.training.lr), w.weights, s.training.interval)
    limit = np.minimum(s.decision.prune_max, measured.ratio_max) if w.algorithm.prunes else np.zeros(len(w.cuts))
    return Deadline(
        costs=costs, gain=gain / noise, peak_power=np.full(c.devices, float(dbm_to_watt(d.tx_power_dbm))),
        band=np.array(1e6 * c.bandwidth_mhz), deadline=np.array(1e-3 * s.decision.deadline_ms or 1.0), pruning=pruning, noise=phi,
        prune_max=np.broadcast_to(limit, phi.shape),
        energy_budget=np.full(c.devices, 1e-3 * d.energy_budget_mj or np.inf))


def _all_at_once(w: World) -> None:
    t, steps = w.scenario.training, w.scenario.training.local_steps
    if isinstance(w.algorithm, SplitLearning) or (isinstance(w.algorithm, SplitFedV2) and steps != 1):
        raise SettingsError(f"training.algorithm: {t.algorithm} with local_steps = {steps} has one device on the air at a time, "
                            "and decisions share the band among devices that send at once")
