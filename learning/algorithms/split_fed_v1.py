"""SplitFed-V1: parallel devices, a copy of the server's side for each, both sides averaged every round.

Thapa et al., "SplitFed: When Federated Learning Meets Split Learning", AAAI 2022 (arXiv 2004.12088), Algorithms 1 and 2. It is
FedAvg with the work moved: device k and its copy on the server take the steps that FedAvg's device k takes alone, so that with
one optimiser for both sides the averaged models agree round for round, whatever the cuts. (Moments stay on their side: for an
optimiser that has some, cuts must not change between rounds.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from learning import client, params, threads
from learning.algorithm import Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, crews
from learning.crossing import PLAIN
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class SplitFedV1State:
    """The averaged model; per device the moments of its own optimiser and of its copy's on the server; the round."""

    model: Params
    client: tuple[Moments, ...]
    server: tuple[Moments, ...]
    round: int = 0


@dataclass(frozen=True)
class SplitFedV1:
    """SplitFed-V1 of a chain of blocks; devices may have different cuts."""

    net: nn.Sequential
    training: Training = DEFAULT
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self, devices: int) -> SplitFedV1State:
        return SplitFedV1State(params.values(self.net), ({},) * devices, ({},) * devices)

    def models(self, state: SplitFedV1State) -> tuple[Params, ...]:
        return (state.model,)

    def step(self, state: SplitFedV1State, shards: Sequence[Shard], plans: Plans,
             streams: Streams) -> tuple[SplitFedV1State, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        of_client, of_server, mean = list(state.client), list(state.server), params.Mean()

        def trained(devices: tuple[int, ...]) -> dict[int, tuple[Side, Side]]:
            draws, sides, cut = {k: streams.draws(state.round, k) for k in devices}, {}, 0
            for k, plan in planned(plans, devices):
                front, copy, cut = params.front(state.model, plan.cut), params.back(state.model, plan.cut), plan.cut
                sides[k] = Side(self.training.client, front, of_client[k]), Side(self.training.server, copy, of_server[k])
                links[k].down["model"] += client.size_bits(front)                            # server -> device
                links[k].up["model"] += client.size_bits(front)                              # device -> server, in the end
            for team in Crew(self.net, sides, links, [devices]).round(self.training, shards, draws):
                own, copied = team.sides
                client.step(team.net, cut, own, copied, team.x, team.y, team.link)
            return sides

        for sides in threads.each(trained, crews(self.net, self.training, shards, plans, share)):
            for k, (own, copied) in sides.items():
                mean.add({**own.values, **copied.values}, share[k])
                of_client[k], of_server[k] = own.moments, copied.moments
            del sides, own, copied                                                           # before the next one trains
        model = {**state.model, **mean.values()}
        return SplitFedV1State(model, tuple(of_client), tuple(of_server), state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        return client.split_work(profile, cut, self.training.sizes(samples), PLAIN, download, upload)
