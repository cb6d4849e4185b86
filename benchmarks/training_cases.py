"""What ``benchmarks.training`` runs: networks, devices and batches, and a round of each on either side."""

import copy
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks import training_guided, training_plain
from benchmarks.training_plain import Data, Make, Round, Shuffled
from learning.algorithm import Algorithm, Plan, Shard, Streams
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.data import digits
from learning.estimate import Auxiliaries
from learning.models import build, cnn, mlp, resnet18
from learning.optimiser import adam, sgd
from learning.params import Params
from learning.training import Training

CLASSES, EVERY, KEEP, ALIGN_STEPS, ALIGN_EVERY = 10, 5, 1000, 100, 10
DIGITS, CIFAR = (1, 8, 8), (3, 32, 32)
SIDES: dict[str, tuple[Any, Make]] = {                                  # an optimiser: ours, and torch's as it comes
    "SGD": (sgd(0.1), partial(torch.optim.SGD, lr=0.1)),
    "slow SGD": (sgd(0.01), partial(torch.optim.SGD, lr=0.01)),
    "Adam": (adam(1e-3), partial(torch.optim.Adam, lr=1e-3)),
}


_digits = cache(digits)          # read once a process


class Case(NamedTuple):
    """An algorithm, its network and devices, and what each of them does in a round."""

    algorithm: str
    make: Callable[..., nn.Sequential]
    shape: tuple[int, ...]
    devices: int
    batch: int
    steps: int
    cut: int             # of the split algorithms [blocks]
    optimiser: str
    turns: int           # that count


def _small(algorithm: str, make: Callable[..., nn.Sequential], devices: int, turns: int) -> Case:
    return Case(algorithm, make, DIGITS, devices, 32, 5, 2, "SGD", turns)


def _large(algorithm: str, optimiser: str = "Adam") -> Case:
    return Case(algorithm, resnet18, CIFAR, 10, 64, 5, 5, optimiser, 3)


CASES = {
    "fedavg-cnn-10": _small("FedAvg", cnn, 10, 15),
    "fedavg-cnn-100": _small("FedAvg", cnn, 100, 5),
    "splitfed-v1-cnn-10": _small("SplitFed-V1", cnn, 10, 15),
    "splitfed-v1-cnn-100": _small("SplitFed-V1", cnn, 100, 5),
    "fedavg-mlp-100": _small("FedAvg", mlp, 100, 9),
    "splitfed-v1-resnet": _large("SplitFed-V1"),
    "splitfed-v1-resnet-sgd": _large("SplitFed-V1", "slow SGD"),
    "splitfed-v2-resnet": _large("SplitFed-V2"),
    "cse-fsl-resnet": _large("CSE-FSL"),
    "fsl-sage-resnet": _large("FSL-SAGE"),
}


def network(case: Case) -> nn.Sequential:
    """Its network, with the same first weights every time."""
    return build(case.make, case.shape, CLASSES, 0)


def shards(case: Case) -> list[Shard]:
    """A round's worth of samples for each device: digits drawn at random, or noise of the size of CIFAR-10's images."""
    source, samples = torch.Generator().manual_seed(0), case.batch * case.steps
    if case.shape != DIGITS:
        return [Shard(torch.randn(samples, *case.shape, generator=source), torch.randint(CLASSES, (samples,), generator=source))
                for _ in range(case.devices)]
    data = _digits()
    picks = [torch.randint(len(data.y_train), (samples,), generator=source) for _ in range(case.devices)]
    return [Shard(data.x_train[pick], data.y_train[pick]) for pick in picks]


def training(case: Case) -> Training:
    """One pass over the samples; of states, as in a run, the last one counts."""
    optimiser, _ = SIDES[case.optimiser]
    return Training(case.batch, 0, optimiser, optimiser).in_place()


def auxiliaries(case: Case, net: nn.Sequential) -> Auxiliaries:
    """Auxiliary networks of its network."""
    return Auxiliaries(net, case.shape, CLASSES)


def algorithm(case: Case, net: nn.Sequential, align_every: int = ALIGN_EVERY, align_steps: int = ALIGN_STEPS) -> Algorithm:
    """Ours."""
    local, guides = training(case), auxiliaries(case, net)
    made: dict[str, Callable[[], Algorithm]] = {
        "FedAvg": lambda: FedAvg(net, local),
        "SplitFed-V1": lambda: SplitFedV1(net, local),
        "SplitFed-V2": lambda: SplitFedV2(net, local),
        "CSE-FSL": lambda: CSEFSL(net, guides, local, EVERY),
        "FSL-SAGE": lambda: FSLSage(net, guides, local, EVERY, align_every, align_steps, keep=KEEP),
    }
    return made[case.algorithm]()


def ours(case: Case, data: Sequence[Shard], **schedule: int) -> Callable[[], Params]:
    """Round after round of ours; each gives the averaged model."""
    net = network(case)
    made, plan = algorithm(case, net, **schedule), Plan(len(net) if case.algorithm == "FedAvg" else case.cut)
    state = made.init(len(data))

    def once() -> Params:
        nonlocal state
        state, _ = made.step(state, data, [plan] * len(data), Streams())
        return made.models(state)[0]

    return once


def torchs(net: nn.Sequential) -> nn.Sequential:
    """A network with torch's convolutions in the place of ours."""
    made = copy.deepcopy(net)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            layer.__class__ = nn.Conv2d
    return made


def plain(case: Case, data: Data, align_every: int = ALIGN_EVERY, align_steps: int = ALIGN_STEPS) -> Round:
    """Round after round of the plain loop; each gives the averaged model."""
    net, (_, make) = torchs(network(case)), SIDES[case.optimiser]
    if case.algorithm == "FedAvg":
        return training_plain.fed_avg(net, data, make)
    if case.algorithm in ("SplitFed-V1", "SplitFed-V2"):
        split = training_plain.split_fed_v1 if case.algorithm == "SplitFed-V1" else training_plain.split_fed_v2
        return split(net, case.cut, data, make)
    guide = torchs(auxiliaries(case, net).at(case.cut))
    if case.algorithm == "CSE-FSL":
        return training_guided.cse_fsl(net, case.cut, guide, data, make, EVERY)
    return training_guided.fsl_sage(net, case.cut, guide, data, make, EVERY, align_every=align_every, align_steps=align_steps,
                                    keep=KEEP)


def shuffled(case: Case, data: Sequence[Shard]) -> Shuffled:
    """The same data for the plain loop."""
    return Shuffled(data, case.batch)
