"""The other side of ``benchmarks.training``: federated and split learning in the plain loops that researchers write.

One ``nn.Module`` a device, copied from the averaged one each round; ``torch.optim`` as it comes; ``loss.item()`` each step; and
``state_dict`` averaging. A device's optimiser goes on in the next round where it stopped. Nothing is slow on purpose: gradients
that nobody uses are not computed, and tensors are indexed where many would take a ``DataLoader``, which is slower.

Each function gives a round, which trains on and returns the averaged model's ``state_dict``.
"""

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from learning.algorithm import Shard

Weights = dict[str, Tensor]
Round = Callable[[], Weights]
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Batch = tuple[Tensor, Tensor]
Held = dict[Any, dict[str, Any]]         # what the optimisers of devices hold between rounds


class Data(Protocol):
    """What the devices have, and in what order the server takes them."""

    @property
    def sizes(self) -> Sequence[int]: ...

    def batches(self, device: int) -> Iterator[Batch]: ...

    def order(self) -> list[int]: ...


@dataclass(frozen=True)
class Shuffled:
    """One pass over a device's samples in random order, each round."""

    shards: Sequence[Shard]
    batch: int

    @property
    def sizes(self) -> list[int]:
        return [len(shard) for shard in self.shards]

    def batches(self, device: int) -> Iterator[Batch]:
        x, y = self.shards[device].x, self.shards[device].y
        for pick in torch.randperm(len(y)).split(self.batch):
            yield x[pick], y[pick]

    def order(self) -> list[int]:
        return random.sample(range(len(self.shards)), len(self.shards))


def average(states: Sequence[Weights], sizes: Sequence[int]) -> Weights:
    """Mean by share of the data."""
    mean = copy.copy(states[0])
    for name in mean:
        mean[name] = torch.zeros_like(states[0][name])
        for state, size in zip(states, sizes, strict=True):
            mean[name] += size / sum(sizes) * state[name]
    return mean


def resumed(make: Make, parameters: Iterable[nn.Parameter], held: dict[str, Any] | None) -> torch.optim.Optimizer:
    """An optimiser that goes on where it stopped."""
    optimiser = make(parameters)
    if held is not None:
        optimiser.load_state_dict(held)
    return optimiser


def fed_avg(net: nn.Module, data: Data, make: Make) -> Round:
    """Every device trains the whole network."""
    net, losses = copy.deepcopy(net), []
    held: Held = {}

    def once() -> Weights:
        states = []
        for k in range(len(data.sizes)):
            model = copy.deepcopy(net)
            optimiser = resumed(make, model.parameters(), held.get(k))
            for x, y in data.batches(k):
                optimiser.zero_grad()
                loss = cross_entropy(model(x), y)
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            states.append(model.state_dict())
            held[k] = optimiser.state_dict()
        net.load_state_dict(average(states, data.sizes))
        return net.state_dict()

    return once


def split_steps(front: nn.Module, back: nn.Module, batches: Iterable[Batch],
                optimisers: Sequence[torch.optim.Optimizer]) -> list[float]:
    """Steps of a device and a server, which hand each other the smashed data and their gradients; their losses."""
    losses = []
    for x, y in batches:
        for optimiser in optimisers:
            optimiser.zero_grad()
        smashed = front(x)
        received = smashed.detach().requires_grad_()
        loss = cross_entropy(back(received), y)
        loss.backward()
        smashed.backward(received.grad)
        for optimiser in optimisers:
            optimiser.step()
        losses.append(loss.item())
    return losses


def split_fed_v1(net: nn.Sequential, cut: int, data: Data, make: Make) -> Round:
    """A copy of either side for each device; both are averaged."""
    net, losses = copy.deepcopy(net), []
    held: Held = {}

    def once() -> Weights:
        fronts, backs = ([copy.deepcopy(side) for _ in data.sizes] for side in (net[:cut], net[cut:]))
        for k, sides in enumerate(zip(fronts, backs, strict=True)):
            optimisers = [resumed(make, side.parameters(), held.get((k, n))) for n, side in enumerate(sides)]
            losses.extend(split_steps(*sides, data.batches(k), optimisers))
            held.update({(k, n): optimiser.state_dict() for n, optimiser in enumerate(optimisers)})
        for side, copies in ((net[:cut], fronts), (net[cut:], backs)):
            side.load_state_dict(average([one.state_dict() for one in copies], data.sizes))
        return net.state_dict()

    return once


def split_fed_v2(net: nn.Sequential, cut: int, data: Data, make: Make) -> Round:
    """One server side, which takes the devices one after another."""
    net, losses = copy.deepcopy(net), []
    held: Held = {}
    front, back = net[:cut], net[cut:]
    server = make(back.parameters())

    def once() -> Weights:
        fronts = [copy.deepcopy(front) for _ in data.sizes]
        for k in data.order():
            optimiser = resumed(make, fronts[k].parameters(), held.get(k))
            losses.extend(split_steps(fronts[k], back, data.batches(k), [optimiser, server]))
            held[k] = optimiser.state_dict()
        front.load_state_dict(average([one.state_dict() for one in fronts], data.sizes))
        return net.state_dict()

    return once
