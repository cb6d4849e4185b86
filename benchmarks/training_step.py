"""One device's step, beside plain torch's: what remains of ``benchmarks.training`` when nothing is copied or averaged.

Both sides take the same steps on the same kind of batches, one device, Adam fused:

- whole: a round of FedAvg, against a loop over an ``nn.Module`` with ``torch.optim.Adam``;
- split: a round of SplitFed-V1 at a cut in the middle, against a loop over two modules with an optimiser each, which hand each
  other the smashed data and their gradients.

Ours also makes a new state and counts the traffic, once a round.
"""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.training_cases import CIFAR, DIGITS, Case, ours, shards
from benchmarks.training_plain import split_steps
from benchmarks.turns import Loop, seconds
from learning.algorithm import Shard
from learning.models import build, cnn, mlp, resnet18

FUSED = partial(torch.optim.Adam, lr=1e-3, fused=True)
MNIST = (1, 28, 28)


def _case(make: Callable[..., nn.Sequential], shape: tuple[int, ...], batch: int, steps: int, cut: int, turns: int) -> Case:
    return Case("SplitFed-V1", make, shape, 1, batch, steps, cut, "Adam", turns)


CASES = {"step-resnet": _case(resnet18, CIFAR, 64, 4, 5, 5), "step-cnn": _case(cnn, DIGITS, 32, 40, 2, 11),
         "step-mlp": _case(mlp, MNIST, 32, 40, 2, 11)}


def whole(net: nn.Sequential, data: Shard, batch: int) -> Loop:
    """A loop of the kind that people write."""
    net = copy.deepcopy(net)
    optimiser = FUSED(net.parameters())

    def once() -> None:
        for pick in torch.randperm(len(data)).split(batch):
            optimiser.zero_grad()
            loss = cross_entropy(net(data.x[pick]), data.y[pick])
            loss.backward()
            optimiser.step()
            loss.item()

    return once


def split(net: nn.Sequential, cut: int, data: Shard, batch: int) -> Loop:
    """The same across a cut."""
    front, back = copy.deepcopy(net[:cut]), copy.deepcopy(net[cut:])
    optimisers = [FUSED(side.parameters()) for side in (front, back)]

    def once() -> None:
        batches = ((data.x[pick], data.y[pick]) for pick in torch.randperm(len(data)).split(batch))
        split_steps(front, back, batches, optimisers)

    return once


def measure(case: Case) -> list[tuple[str, float, float]]:
    """Kind, and time of a step of the plain loop and of ours [s]."""
    net, data = build(case.make, case.shape, 10, 0), shards(case)
    times = seconds([whole(net, data[0], case.batch), ours(case._replace(algorithm="FedAvg"), data),
                     split(net, case.cut, data[0], case.batch), ours(case, data)], case.turns)
    each = [t / case.steps for t in times]
    return [("whole", each[0], each[1]), ("split", each[2], each[3])]
