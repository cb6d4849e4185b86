"""Parallel split learning (PSL): devices in step with one model on the server, and client sides of their own for good.

As described in the EPSL paper (Lin et al., arXiv 2303.15991), of which it is the case without aggregation. In each step the
server takes the mini-batches of all devices, moves its side once by the mean of their gradients, and sends each device the
gradient of its own smashed data. Client sides are not averaged: there is a model for each device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from learning import average, client, params
from learning.algorithm import Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, Team, crews
from learning.crossing import PLAIN
from learning.models.blocks import normed
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class PSLState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        The server's values of all blocks; a block that it never trains is as it was at the start.
    local : (K,) tuple of Params
        What each device holds; empty before its first round.
    client, server : (K,) tuple of Moments, Moments
    round : int
    """

    model: Params
    local: tuple[Params, ...]
    client: tuple[Moments, ...]
    server: Moments
    round: int = 0


@dataclass(frozen=True)
class PSL:
    """PSL of a chain of blocks. Devices may have different cuts: a block of the server moves by the mean of those it serves."""

    net: nn.Sequential
    training: Training = DEFAULT
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self, devices: int) -> PSLState:
        return PSLState(params.values(self.net), ({},) * devices, ({},) * devices, {})

    def models(self, state: PSLState) -> tuple[Params, ...]:
        return tuple({**state.model, **held} for held in state.local)

    def step(self, state: PSLState, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[PSLState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        server = Side(self.training.server, state.model, state.server)
        fronts = {k: Side(self.training.client, client.fetch(state.model, state.local[k], plan.cut, links[k]), state.client[k])
                  for k, plan in planned(plans, share)}
        groups, cuts = crews(self.net, self.training, shards, plans, share, not normed(self.net)), dict(planned(plans, share))
        crew = Crew(self.net, {k: (front,) for k, front in fronts.items()}, links, groups)
        for batches, weight in self.training.in_step(shards, {k: streams.draws(state.round, k) for k in share}, share):
            def learn(team: Team, weight: Mapping[int, float] = weight) -> tuple[Learnt, float]:
                return client.served_step(self.net, cuts[team.devices[0]].cut, team, server.values, weight)

            server.descend(average.lesson(crew.work(learn, batches)))
        crew.part()
        local = tuple(fronts[k].values if k in fronts else held for k, held in enumerate(state.local))
        of_client = client.moments(fronts, state.client)
        return PSLState(server.values, local, of_client, server.moments, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        del devices, download, upload                             # client sides stay where they are
        return client.split_work(profile, cut, self.training.sizes(samples), PLAIN, 0.0, 0.0)
