"""Vanilla split learning: one device after another trains one model, whose client side goes from hand to hand.

Gupta and Raskar, "Distributed learning of deep neural network over multiple agents", JNCA 2018 (arXiv 1810.06060). The client
side travels through the server: each device downloads what the device before it uploaded. Moments of a client's optimiser stay
with the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from learning import client, params
from learning.algorithm import Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crossing import PLAIN
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class SplitLearningState:
    """The one model; the moments of each device and of the server; the round."""

    model: Params
    client: tuple[Moments, ...]
    server: Moments
    round: int = 0


@dataclass(frozen=True)
class SplitLearning:
    """Vanilla split learning of a chain of blocks, devices in their order; their cuts may differ."""

    net: nn.Sequential
    training: Training = DEFAULT
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self, devices: int) -> SplitLearningState:
        return SplitLearningState(params.values(self.net), ({},) * devices, {})

    def models(self, state: SplitLearningState) -> tuple[Params, ...]:
        return (state.model,)

    def step(self, state: SplitLearningState, shards: Sequence[Shard], plans: Plans,
             streams: Streams) -> tuple[SplitLearningState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        server, fronts = Side(self.training.server, state.model, state.server), {}
        for k, plan in planned(plans, share):
            fronts[k] = Side(self.training.client, params.front(server.values, plan.cut), state.client[k])
            client.visit(self.net, self.training, shards[k], plan, streams.draws(state.round, k), fronts[k], server, links[k])
            server.values.update(fronts[k].values)                                                  # for the next device
        of_client = client.moments(fronts, state.client)
        return SplitLearningState(server.values, of_client, server.moments, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        return client.split_work(profile, cut, self.training.sizes(samples), PLAIN, download, upload)
