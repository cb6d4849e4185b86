"""All algorithms on tasks small enough for many runs, and what comparing their states takes."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.testing import assert_close

from learning.algorithm import Algorithm, Draws, Plan, Plans, Round, Shard, Streams
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.epsl import EPSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.personalised import Personalised
from learning.algorithms.psl import PSL
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.algorithms.split_learning import SplitLearning
from learning.crossing import Compression
from learning.estimate import Auxiliaries
from learning.masking import Pruning
from learning.models import build
from learning.optimiser import adam, sgd
from learning.training import Training

torch.set_num_threads(1)         # two threads that wait for each other on a busy machine make tiny layers 100 times slower

SHAPE, CLASSES, BLOCKS = (1, 4, 4), 3, 3
SMALL = Compression(update_bits=8, smashed_bits=8, cut_bits=4, dropout=0.5)
OPTIMISERS = {"sgd": sgd(0.1), "momentum": sgd(0.1, 0.9, 1e-3), "adam": adam(0.01)}

ALGORITHMS: dict[str, Callable[[nn.Sequential, Training], Algorithm]] = {
    "fedavg": FedAvg,
    "fedavg, compressed": lambda net, training: FedAvg(net, training, SMALL, Pruning("gradient", refresh=2)),
    "split-learning": SplitLearning,
    "splitfed-v1": SplitFedV1,
    "splitfed-v2": SplitFedV2,
    "psl": PSL,
    "epsl": EPSL,
    "cse-fsl": lambda net, training: CSEFSL(net, Auxiliaries(net, SHAPE, CLASSES, "full"), training, 2),
    "fsl-sage": lambda net, training: FSLSage(net, Auxiliaries(net, SHAPE, CLASSES), training, every=2, align_every=2,
                                              align_steps=3, keep=6),
    "light-fedsl": LightFedSL,
    "light-fedsl, compressed": lambda net, training: LightFedSL(
        net, training, 2, SMALL, Pruning("difference", "global", kept_only=True, refresh=3)),
    "personalised": Personalised,
    "personalised, compressed": lambda net, training: Personalised(net, training, 1, 2, SMALL),
}


def three_blocks(shape: Sequence[int], classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 4), nn.Tanh()),
        nn.Sequential(nn.LayerNorm(4), nn.Linear(4, classes)),
    )


def three_normed_blocks(shape: Sequence[int], classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh()),
        nn.Sequential(nn.LayerNorm(4), nn.Linear(4, classes)),
    )


NETWORKS = {"plain": three_blocks, "batch norm": three_normed_blocks}
CASES = [(name, net) for name, net in product(ALGORITHMS, NETWORKS) if net == "batch norm" or "compressed" not in name]
BUILT = {kind: build(make, SHAPE, CLASSES, seed=0).double() for kind, make in NETWORKS.items()}


def network(kind: str = "plain") -> nn.Sequential:
    return copy.deepcopy(BUILT[kind])


def shards(rng: np.random.Generator, *sizes: int) -> tuple[Shard, ...]:
    return tuple(Shard(torch.from_numpy(rng.standard_normal((size, *SHAPE))), torch.from_numpy(rng.integers(CLASSES, size=size)))
                 for size in sizes)


def plans(*cuts: int, ratio: float = 0.0) -> tuple[Plan, ...]:
    return tuple(Plan(cut, ratio) for cut in cuts)


def decided(algorithm: Algorithm, devices: int) -> tuple[Plan, ...]:
    """Plans with cuts as different as the algorithm lets them be, and weights pruned if it prunes."""
    cuts = list(algorithm.cuts())[:1 if isinstance(algorithm, EPSL) else None]
    return tuple(Plan(cuts[k % len(cuts)], 0.5 * algorithm.prunes) for k in range(devices))


@dataclass(frozen=True)
class Subject:
    """An algorithm to be examined, on one kind of network."""

    make: Callable[[nn.Sequential, Training], Algorithm]
    net: str = "plain"

    def algorithm(self, batch: int = 4, steps: int = 0, optimiser: str = "momentum") -> Algorithm:
        """The algorithm, with one pass over the data a round, in batches of four."""
        chosen = OPTIMISERS[optimiser]
        return self.make(network(self.net), Training(batch, steps, chosen, chosen))


def run(algorithm: Algorithm, data: Sequence[Shard], by: Plans | None = None, rounds: int = 1, start: Any = None,
        streams: Any = None) -> tuple[list[Any], list[Round]]:
    """The states of some rounds, the first one included, and what was seen."""
    by = decided(algorithm, len(data)) if by is None else by
    states, seen = [algorithm.init(len(data)) if start is None else start], []
    for _ in range(rounds):
        state, report = algorithm.step(states[-1], data, by, streams or Streams(1, 2))
        states.append(state)
        seen.append(report)
    return states, seen


def without(plans: Plans, device: int) -> list[Plan | None]:
    """The plans of a round that one device sits out."""
    return [None if k == device else plan for k, plan in enumerate(plans)]


def of(value: Any, devices: Sequence[int]) -> Any:
    """A state or a report, as it is for these devices in this order: tuples have an entry for each device."""
    if is_dataclass(value) and not isinstance(value, type):
        each = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: of(v, devices) for name, v in each.items()})
    return tuple(value[k] for k in devices) if type(value) is tuple else value


@dataclass(frozen=True)
class Renumbered:
    """The streams of devices that had other numbers before: device k was ``old[k]``."""

    source: Streams
    old: Sequence[int]

    def draws(self, number: int, device: int) -> Draws:
        return self.source.draws(number, self.old[device])

    def order(self, number: int, devices: Sequence[int]) -> list[int]:
        return [self.old.index(k) for k in self.source.order(number, sorted(self.old[d] for d in devices))]


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """All numbers and tensors in a nest of dataclasses, mappings and sequences, by their paths."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, tuple | list):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {} if value is None else {path: value}
    return {place: leaf for key, each in value.items() for place, leaf in flat(each, f"{path}/{key}").items()}


def assert_same(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Bit by bit, or up to a tolerance relative to numbers around one."""
    assert_close(flat(found), flat(expected), rtol=tolerance, atol=tolerance, equal_nan=True)


def differ(one: Any, other: Any) -> bool:
    """Whether two nests have other weights."""
    first, second = flat(one), flat(other)
    return first.keys() != second.keys() or any(not torch.equal(first[key], second[key]) for key in first if "weight" in key)


def finite(value: Any) -> bool:
    """Whether all tensors of a nest are numbers."""
    return all(bool(v.isfinite().all()) for v in flat(value).values() if isinstance(v, torch.Tensor))


def owned(state: Any, device: int) -> dict[str, Any]:
    """What a state has for each device, of one device."""
    each = {field.name: getattr(state, field.name) for field in fields(state)}
    inner = {name: owned(value, device) for name, value in each.items() if is_dataclass(value)}
    return inner | {name: value[device] for name, value in each.items() if type(value) is tuple}


def classes(value: Any) -> list[type]:
    """The dataclasses and named tuples in a nest: what a file of it needs beside tensors and numbers."""
    mine = {type(value)} if is_dataclass(value) or hasattr(value, "_fields") else set()
    inside = vars(value) if is_dataclass(value) else value if isinstance(value, dict) else {}
    return list(mine.union(*map(classes, inside.values() or (value if isinstance(value, tuple) else ()))))


def snapshot(value: Any) -> dict[str, Any]:
    """Copies of all leaves, against which nothing can change."""
    return copy.deepcopy(flat(value))
