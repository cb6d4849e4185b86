"""How devices and server train: mini-batches, optimisers, augmentation; common to all algorithms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from learning.algorithm import Draws, Shard
from learning.augment import Augment
from learning.optimiser import Optimiser, sgd

Batch = tuple[Tensor, Tensor]        # inputs (b, ...) and targets (b,)
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

    def sizes(self, samples: int) -> list[int]:
        """Sizes of the mini-batches of a round, for a device of ``samples`` samples."""
        one_pass = [len(part) for part in torch.arange(samples).split(self.batch)]
        return [one_pass[i % len(one_pass)] for i in range(self.steps or len(one_pass))] if samples else []

    def batches(self, shard: Shard, draws: Draws) -> Iterator[Batch]:
        """Mini-batches of one round: passes over the data in random order, shuffled anew at the start of each."""
        order: list[Tensor] = []
        for _ in self.sizes(len(shard)):
            order = order or list(torch.randperm(len(shard), generator=draws.batches).split(self.batch))
            pick = order.pop(0)
            yield self.augment(shard.x[pick], draws.augmentation), shard.y[pick]

    def in_step(self, shards: Sequence[Shard], draws: Mapping[int, Draws]) -> Iterator[dict[int, Batch]]:
        """Mini-batches of devices that go in step: for each step, those of the devices that still have one.

        Towards the end of a pass over data of different sizes only the larger devices are left, with all of the weight.
        """
        each = [self.batches(shards[k], draw) for k, draw in draws.items()]
        for row in zip_longest(*each):
            yield {k: batch for k, batch in zip(draws, row, strict=True) if batch is not None}


DEFAULT = Training()
