"""From settings to values: the one place that knows names, and the door where decibels and MHz become SI units."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channels.cell import Cell, Placement
from channels.fading import Fading, NoFading, Rayleigh
from channels.path_loss import LogDistance, Macro3GPP
from channels.rates import rate
from channels.units import db_to_neper, dbm_to_watt
from learning import data as datasets
from learning import models, partition
from learning.algorithm import Algorithm, Shard, Streams
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed import SplitFed
from learning.calibrate import calibrate
from learning.calibration import Calibration
from learning.data import Dataset
from learning.profile import Profile, profile
from learning.split import Compression
from learning.threads import one_thread
from optim import bound
from optim.costs import round_costs
from optim.problem import Deadline
from wirelessfl.config import Scenario, SettingsError

T = TypeVar("T")

ALGORITHMS: dict[str, Any] = {"splitfed-v1": SplitFed, "fedavg": FedAvg}
MODELS: dict[str, Callable[[Sequence[int], int], nn.Sequential]] = {"cnn": models.cnn, "mlp": models.mlp}
FADING: dict[str, Callable[[], Fading]] = {"rayleigh": Rayleigh, "none": NoFading}
PATH_LOSS: dict[str, Callable[[Scenario], Any]] = {
    "3gpp-macro": lambda s: Macro3GPP(),
    "log-distance": lambda s: LogDistance(s.cell.exponent, 1e9 * s.cell.carrier_ghz),
}
PARTITIONS: dict[str, Callable[[NDArray, int, np.random.Generator, Scenario], list[NDArray]]] = {
    "iid": lambda labels, devices, rng, s: partition.iid(labels, devices, rng),
    "dirichlet": lambda labels, devices, rng, s: partition.dirichlet(labels, devices, rng, s.data.concentration),
}
BOUNDS: dict[str, Callable[[bound.Constants, NDArray, int], Any]] = {
    "relative": lambda known, weights, interval: bound.relative(known, weights),
    "constants": bound.constants,
}


def choose(table: Mapping[str, T], name: str, key: str) -> T:
    """The entry ``name`` of a table of names, or a sentence with the nearest one."""
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, list(table), 1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise SettingsError(f"{key}: {name!r} is none of {list(table)}{hint}")


def check(s: Scenario) -> Dataset:
    """Look up every name of a scenario and load its data, so that nothing is missing when work has begun."""
    choose(FADING, s.cell.fading, "cell.fading")
    choose(PATH_LOSS, s.cell.path_loss, "cell.path_loss")
    choose(PARTITIONS, s.data.partition, "data.partition")
    choose(BOUNDS, s.decision.bound, "decision.bound")
    try:
        found = datasets.load(s.data.dataset)
        net = network(s, found)
        cuts(s, algorithm(s, net))
    except (OSError, ValueError) as error:
        raise SettingsError(str(error)) from None
    if len(found.y_train) < s.cell.devices:
        raise SettingsError(f"cell.devices: {s.cell.devices} devices cannot share {len(found.y_train)} training samples")
    return found


def network(s: Scenario, found: Dataset, seed: int = 0) -> nn.Sequential:
    """The scenario's model with initial weights of ``seed``."""
    return models.build(choose(MODELS, s.training.model, "training.model"), found.shape, found.classes, seed)


def algorithm(s: Scenario, net: nn.Sequential) -> Algorithm:
    """The scenario's algorithm for a model."""
    t = s.training
    return choose(ALGORITHMS, t.algorithm, "training.algorithm")(
        net, lr=t.lr, batch=t.batch, steps=t.local_steps, interval=t.interval,
        compression=Compression(t.update_bits, t.cut_bits, t.dropout))


def cuts(s: Scenario, of: Algorithm) -> tuple[int, ...]:
    """Cuts that devices may be given: the scenario's, or all that leave the server something to do."""
    allowed = of.cuts()
    wanted = s.decision.splits or tuple(c for c in allowed if c < allowed.stop - 1 or len(allowed) == 1)
    outside = sorted({*wanted, *((s.decision.fixed_split,) if s.decision.fixed_split else ())} - set(allowed))
    if outside:
        raise SettingsError(f"decision.splits and decision.fixed_split [blocks]: {outside} is not in {list(allowed)}, "
                            f"where {s.training.algorithm} can cut this model")
    if s.decision.fixed_split and s.decision.fixed_split not in wanted:
        raise SettingsError(f"decision.fixed_split [blocks]: {s.decision.fixed_split} is none of the splits {list(wanted)}")
    return tuple(sorted(set(wanted)))


@dataclass(frozen=True)
class World:
    """One seed of a scenario: who stands where, holds which data, computes how fast.

    Attributes
    ----------
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
        return Streams.seeded(self.seeds["batches"], self.seeds["compression"])


CAUSES = ("placement", "fading", "forecast", "speed", "partition", "weights", "batches", "compression")


def world(s: Scenario, seed: int, found: Dataset | None = None) -> World:
    """Draw one seed of a scenario. Policies that are compared on one seed live in the same world."""
    found = check(s) if found is None else found
    words = np.random.SeedSequence(seed).generate_state(len(CAUSES))
    seeds = {cause: int(word) for cause, word in zip(CAUSES, words, strict=True)}
    net = network(s, found, seeds["weights"])
    runs = algorithm(s, net)
    split = choose(PARTITIONS, s.data.partition, "data.partition")
    parts = split(found.y_train.numpy(), s.cell.devices, np.random.default_rng(seeds["partition"]), s)
    shards = tuple(Shard(found.x_train[part], found.y_train[part]) for part in map(torch.from_numpy, parts))
    c, d = s.cell, s.devices
    cell = Cell(c.radius_m, c.nearest_m, choose(PATH_LOSS, c.path_loss, "cell.path_loss")(s), db_to_neper(c.shadowing_db),
                choose(FADING, c.fading, "cell.fading")())
    speed = 1e9 * np.exp(np.random.default_rng(seeds["speed"]).uniform(
        np.log(d.slowest_gflops), np.log(d.fastest_gflops), c.devices))
    placement = cell.place(np.random.default_rng(seeds["placement"]), c.devices)
    return World(s, found, net, runs, shards, placement, speed, cuts(s, runs), seeds)


def measure(w: World) -> Calibration:
    """Run the pilot that measures the bound's constants."""
    s = w.scenario
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
    c, d = s.cell, s.devices
    noise = dbm_to_watt(c.noise_dbm_per_hz + c.noise_figure_db)                              # [W/Hz]
    table = [[w.algorithm.work(w.profile, cut, len(shard), download, upload) for cut in w.cuts] for shard in w.shards]
    amounts = np.moveaxis(np.array(table, float), (2, 3), (0, 1))                            # (4, 2, K, O)
    down = rate(1e6 * c.downlink_mhz / c.devices, dbm_to_watt(d.server_power_dbm) / c.devices * gain / noise)
    costs = round_costs(*((fixed, kept) for fixed, kept in amounts), speed=w.speed,
                        joules_per_flop=1e-12 * d.energy_pj_per_flop * (w.speed / 1e9) ** 2,
                        server_speed=1e9 * d.server_gflops / c.devices, downlink_rate=down)
    phi, pruning = BOUNDS[s.decision.bound](constants(measured, s.training.lr), w.weights, s.training.interval)
    limit = np.minimum(s.decision.prune_max, measured.ratio_max)
    return Deadline(
        costs=costs, gain=gain / noise, peak_power=np.full(c.devices, float(dbm_to_watt(d.tx_power_dbm))),
        band=np.array(1e6 * c.bandwidth_mhz), deadline=np.array(1e-3 * s.decision.deadline_ms or 1.0), pruning=pruning, noise=phi,
        prune_max=np.broadcast_to(limit, phi.shape),
        energy_budget=np.full(c.devices, 1e-3 * d.energy_budget_mj or np.inf))
