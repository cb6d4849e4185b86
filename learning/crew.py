"""Devices that train at the same time, and compute as one where that is faster."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from learning import threads
from learning.algorithm import Draws, Link, Plans, Shard, planned
from learning.optimiser import Side, join
from learning.params import Params
from learning.together import gains, twin
from learning.training import Batch, Training

MOST = 32            # devices that compute as one, at most
SIZE = 1 << 21       # parameters that they have together, at most, but for a pair [1]

R = TypeVar("R")
Sides = tuple[Side, ...]        # of one device: its own, and perhaps that of a copy on the server


class Team(NamedTuple):
    """One device with a mini-batch, or n devices that compute as one: then all that it has is (..., n, ...) or a twin's.

    Attributes
    ----------
    devices : tuple of int
    net : nn.Sequential
        The network, or its twin for n devices.
    sides : tuple of Side
        What is to be trained.
    x, y : (samples, ...) or (samples, n, ...) tensor
    link : Link
        Where losses and traffic are entered, of all devices together.
    """

    devices: tuple[int, ...]
    net: nn.Sequential
    sides: Sides
    x: Tensor
    y: Tensor
    link: Link

    def of(self, net: nn.Sequential) -> nn.Sequential:
        """Another network of theirs, as :attr:`net` is the first."""
        return twin(net, len(self.devices)) if len(self.devices) > 1 else net

    def joined(self, values: Sequence[Params]) -> Params:
        """Values that devices hold, in their order, as :meth:`of` takes them."""
        return join(values) if len(values) > 1 else values[0]

    def each(self, values: Tensor) -> Sequence[Tensor]:
        """Of the data or results of all, those of each device."""
        return values.unbind(1) if len(self.devices) > 1 else (values,)


class Crew:
    """Devices with their sides and their accounts.

    Parameters
    ----------
    net : nn.Sequential
    sides : dict of int to tuple of Side
        As many of each device.
    links : (K,) sequence of Link
        Of all devices.
    groups : sequence of tuple of int
        Who may compute as one, as :func:`crews` says.
    """

    def __init__(self, net: nn.Sequential, sides: Mapping[int, Sides], links: Sequence[Link],
                 groups: Sequence[tuple[int, ...]]) -> None:
        self._net, self._sides, self._links = net, sides, links
        self._group_of = {k: number for number, group in enumerate(groups) for k in group}
        self._grouped: tuple[tuple[int, ...], ...] = ()
        self._teams: dict[tuple[int, ...], tuple[nn.Sequential, Sides]] = {}

    def round(self, training: Training, shards: Sequence[Shard], draws: Mapping[int, Draws]) -> Iterator[Team]:
        """Mini-batch by mini-batch of a round in which nobody waits for others; afterwards every device has its own again."""
        for batches in training.abreast(shards, {k: draws[k] for k in self._sides}):
            yield from self.teams(batches)
        self.part()

    def teams(self, batches: Mapping[int, Batch], alone: bool = False) -> Iterator[Team]:
        """Those that have a mini-batch now, as few teams as may be; or each ``alone``, in their order."""
        for team in self._gathered(batches, alone):
            yield team
            self._account(team)

    def work(self, do: Callable[[Team], R], batches: Mapping[int, Batch],
             beside: Callable[[], None] = lambda: None) -> Iterator[R]:
        """What ``do`` makes of each of :meth:`teams`, as it is asked for, or as many at a time as :mod:`learning.threads` says.

        ``beside`` is done first, or at the same time: what no team waits for.
        """
        def one(team: Team | None) -> list[R]:
            if team is None:
                beside()
                return []
            made = do(team)
            self._account(team)
            return [made]

        return chain.from_iterable(threads.each(one, chain([None], self._gathered(batches))))

    def _gathered(self, batches: Mapping[int, Batch], alone: bool = False) -> Iterator[Team]:
        alike: defaultdict[object, list[int]] = defaultdict(list)
        for k in self._sides:
            if k in batches:
                alike[k if alone else (self._group_of[k], batches[k][0].shape)].append(k)
        self._group(tuple(map(tuple, alike.values())))
        for devices, (net, sides) in self._teams.items():
            if len(devices) == 1:
                yield Team(devices, net, sides, *batches[devices[0]], self._links[devices[0]])
            else:
                x, y = (torch.stack([batches[k][i] for k in devices], 1) for i in range(2))
                yield Team(devices, net, sides, x, y, Link())

    def _account(self, team: Team) -> None:
        """Enter what a team did in the account of each device."""
        if len(team.devices) > 1:
            share_out(team.link, [self._links[k] for k in team.devices])

    def part(self) -> None:
        """Give every device what it has become."""
        for devices, (_, joint) in self._teams.items():
            for number, side in enumerate(joint):
                if len(devices) > 1:
                    side.part([self._sides[k][number] for k in devices])
        self._grouped, self._teams = (), {}

    def _group(self, alike: tuple[tuple[int, ...], ...]) -> None:
        """Make teams of devices with equal mini-batches, as far as they have come equally far."""
        if alike == self._grouped:
            return
        self.part()
        self._grouped = alike
        for number, each in enumerate(alike):
            equal: defaultdict[object, list[int]] = defaultdict(list)
            for k in each:
                equal[number, tuple(side.steps for side in self._sides[k]) if len(each) > 1 else k].append(k)
            for team in map(tuple, equal.values()):
                self._teams[team] = (self._net, self._sides[team[0]]) if len(team) == 1 else (
                    twin(self._net, len(team)), tuple(map(Side.joined, zip(*(self._sides[k] for k in team), strict=True))))


def share_out(told: Link, links: Sequence[Link]) -> None:
    """Enter what devices did as one in the account of each: the same traffic for all, and everybody's own loss."""
    for link in links:
        for mine, all_of_them in ((link.up, told.up), (link.down, told.down)):
            for kind, bits in all_of_them.items():
                mine[kind] += bits / len(links)
    for losses in told.losses:
        for link, loss in zip(links, losses.unbind(), strict=True):
            link.losses.append(loss)


def crews(net: nn.Sequential, training: Training, shards: Sequence[Shard], plans: Plans, devices: Iterable[int],
          able: bool = True, alone: Collection[int] = ()) -> list[tuple[int, ...]]:
    """Devices that may compute as one, in their order: of one cut, if they are ``able``; each by itself where the network gains
    nothing by it, and those that have to be ``alone``."""
    able = able and training.client.elementwise and training.server.elementwise
    alike: defaultdict[object, list[int]] = defaultdict(list)
    for k, plan in planned(plans, devices):
        x = shards[k].x[:training.batch]
        alike[plan.cut if able and k not in alone and gains(net, x) else (plan.cut, k)].append(k)
    most = max(2, min(MOST, SIZE // max(1, sum(p.numel() for p in net.parameters()))))
    return [tuple(each[start:start + most]) for each in alike.values() for start in range(0, len(each), most)]
