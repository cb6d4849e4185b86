"""How devices and server train: mini-batches, optimisers, augmentation; common to all algorithms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from learning.algorithm import Draws, Shard
from learning.augment import Augment
from learning.optimiser import Optimiser, sgd

Batch = tuple[Tensor, Tensor]        # inputs (b, ...) and targets (b,)


class Step(NamedTuple):
    """One step of devices that go together: the mini-batches of those that have one now, and what each weighs."""

    batches: dict[int, Batch]
    weight: dict[int, float]


PLAIN_SGD, AS_IT_IS = sgd(), Augment()


@dataclass(frozen=True)
class Training:
    """Settings of the local work.

    Attributes
    ----------
    batch : int
        Samples of a mini-batch; a device with fewer takes all that it has.
    steps : int
        Mini-batches of a device in a round; 0 for one pass over its data.
    client, server : Optimiser
        Of what devices train, and of what the server trains; SGD at a rate of 0.1 unless said.
    augment : Augment
        What is done to a mini-batch before it is used.
    """

    batch: int = 32
    steps: int = 1
    client: Optimiser = PLAIN_SGD
    server: Optimiser = PLAIN_SGD
    augment: Augment = AS_IT_IS

    def __post_init__(self) -> None:
        if self.batch < 1 or self.steps < 0:
            raise ValueError("batch must be 1 or more [samples] and steps 0 (one pass over the data) or more, "
                             f"got {self.batch} and {self.steps}")

    def in_place(self) -> "Training":
        """The same with optimisers that may use up the moments of the state that a round begins with."""
        return replace(self, client=replace(self.client, in_place=True), server=replace(self.server, in_place=True))

    def sizes(self, samples: int) -> list[int]:
        """Sizes of the mini-batches of a round, for a device of ``samples`` samples."""
        full, rest = divmod(samples, self.batch)
        one_pass = [self.batch] * full + [rest] * (rest > 0)
        return [one_pass[i % len(one_pass)] for i in range(self.steps or len(one_pass))] if samples else []

    def batches(self, shard: Shard, draws: Draws) -> Iterator[Batch]:
        """Mini-batches of one round: passes over the data in random order, shuffled anew at the start of each."""
        order: list[Tensor] = []
        for _ in self.sizes(len(shard)):
            order = order or list(torch.randperm(len(shard), generator=draws.batches).split(self.batch))
            pick = order.pop(0).to(shard.x.device)
            yield self.augment(shard.x.index_select(0, pick), draws.augmentation), shard.y.index_select(0, pick)

    def abreast(self, shards: Sequence[Shard], draws: Mapping[int, Draws]) -> Iterator[dict[int, Batch]]:
        """Mini-batches of devices that do not wait for each other: the first ones of all, the second ones, ..."""
        each = {k: self.batches(shards[k], draw) for k, draw in draws.items()}
        left = {k: len(self.sizes(len(shards[k]))) for k in draws}
        for step in range(max(left.values(), default=0)):
            yield {k: next(batches) for k, batches in each.items() if step < left[k]}

    def in_step(self, shards: Sequence[Shard], draws: Mapping[int, Draws], share: Mapping[int, float]) -> Iterator[Step]:
        """Mini-batches of devices that go in step, with the weight of each.

        There are as many steps as the busiest device has batches; those of the others are spread over them evenly. Batch by
        batch a device has its ``share`` of the data, in proportion to the samples of the batch: in one pass over the data
        all samples weigh the same, and with as many steps for all, devices weigh as their data. (Who takes the mean over
        those who have a batch in a step gives them the part of the others.)
        """
        sizes = {k: self.sizes(len(shards[k])) for k in draws}
        each = {k: self.batches(shards[k], draw) for k, draw in draws.items()}
        steps = max(map(len, sizes.values()), default=0)
        begins = {k: {number * steps // len(own) for number in range(len(own))} for k, own in sizes.items()}
        for step in range(steps):
            now = {k: next(each[k]) for k in each if step in begins[k]}
            yield Step(now, {k: share[k] * len(y) / sum(sizes[k]) for k, (_, y) in now.items()})


DEFAULT = Training()
