"""SplitFed-V2: one model on the server, which devices train one after another; client sides are averaged every round.

Thapa et al., "SplitFed: When Federated Learning Meets Split Learning", AAAI 2022 (arXiv 2004.12088), section 3.3: the server
takes the devices in a random order, so its side has no averaging, and no copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from learning import average, client, params
from learning.algorithm import Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crossing import PLAIN
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class SplitFedV2State:
    """The model: averaged client sides, and the server's; the moments of each device and of the server; the round."""

    model: Params
    client: tuple[Moments, ...]
    server: Moments
    round: int = 0


@dataclass(frozen=True)
class SplitFedV2:
    """SplitFed-V2 of a chain of blocks; devices may have different cuts (``average.sides`` says what the mean is then)."""

    net: nn.Sequential
    training: Training = DEFAULT
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self, devices: int) -> SplitFedV2State:
        return SplitFedV2State(params.values(self.net), ({},) * devices, {})

    def models(self, state: SplitFedV2State) -> tuple[Params, ...]:
        return (state.model,)

    def step(self, state: SplitFedV2State, shards: Sequence[Shard], plans: Plans,
             streams: Streams) -> tuple[SplitFedV2State, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        server, fronts = Side(self.training.server, state.model, state.server), {}                  # the one server side
        for k, plan in planned(plans, streams.order(state.round, list(share))):
            fronts[k] = Side(self.training.client, params.front(state.model, plan.cut), state.client[k])
            client.visit(self.net, self.training, shards[k], plan, streams.draws(state.round, k), fronts[k], server, links[k])
        model = average.sides(server.values, {k: front.values for k, front in fronts.items()}, share)
        of_client = client.moments(fronts, state.client)
        return SplitFedV2State(model, of_client, server.moments, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        return client.split_work(profile, cut, self.training.sizes(samples), PLAIN, download, upload)
