"""CSE-FSL: devices learn from an auxiliary network of their own, and send smashed data only now and then.

Mu and Shen, "Communication and Storage Efficient Federated Split Learning", ICC 2023 (arXiv 2302.05599), as FSL-SAGE (arXiv
2505.23182) runs it for comparison. A device moves its side and its auxiliary network by the auxiliary loss on every batch; every
``every``-th batch of smashed data goes up, and the one server model takes a step on it as it arrives. No gradient comes
down. Client sides and auxiliary networks are averaged every round, the latter over the devices of one cut. Devices go in step,
in an order that is drawn for each round, so that the server favours none (ours: the papers do not say).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from learning import average, client, params
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, Team, crews
from learning.estimate import Auxiliaries, guided_work
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt, backward, forward, serve
from learning.together import can
from learning.training import DEFAULT, Batch, Training


@dataclass(frozen=True)
class CSEFSLState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        Averaged client sides, and the server's.
    auxiliary : dict of int to Params
        The averaged auxiliary network of each cut that was in use.
    client, guide, server : (K,) tuple of Moments, (K,) tuple of dict of int to Moments, Moments
        Of the client sides, of the auxiliary networks of each cut, of the server.
    round : int
    """

    model: Params
    auxiliary: dict[int, Params]
    client: tuple[Moments, ...]
    guide: tuple[dict[int, Moments], ...]
    server: Moments
    round: int = 0


@dataclass(frozen=True)
class CSEFSL:
    """CSE-FSL of a chain of blocks.

    Attributes
    ----------
    auxiliaries : Auxiliaries
    every : int
        Smashed data of one batch in so many go up, the first of a round among them.
    """

    net: nn.Sequential
    auxiliaries: Auxiliaries
    training: Training = DEFAULT
    every: int = 5
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be 1 or more [batches], got {self.every}")

    def cuts(self) -> range:
        return range(1, len(self.net))

    def init(self, devices: int) -> CSEFSLState:
        return CSEFSLState(params.values(self.net), {}, ({},) * devices, ({},) * devices, {})

    def models(self, state: CSEFSLState) -> tuple[Params, ...]:
        return (state.model,)

    def step(self, state: CSEFSLState, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[CSEFSLState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        server, fronts, guides = Side(self.training.server, state.model, state.server), {}, {}
        for k, plan in planned(plans, share):
            front, guide = params.front(state.model, plan.cut), state.auxiliary.get(plan.cut) or self.auxiliaries.start(plan.cut)
            fronts[k] = Side(self.training.client, front, state.client[k])
            guides[k] = Side(self.training.client, guide, state.guide[k].get(plan.cut, {}))
            links[k].down["model"] += client.size_bits(front)                                # server -> device
            links[k].down["auxiliary"] += client.size_bits(guide)
        draws, done = {k: streams.draws(state.round, k) for k in streams.order(state.round, list(share))}, dict.fromkeys(share, 0)
        cuts = dict(planned(plans, share))
        able = all(can(self.auxiliaries.at(plan.cut)) for _, plan in planned(plans, share))
        crew = Crew(self.net, {k: (fronts[k], guides[k]) for k in draws}, links,
                    crews(self.net, self.training, shards, plans, draws, able))

        def move(team: Team) -> dict[int, Batch]:
            (own, asked), cut = team.sides, cuts[team.devices[0]].cut
            ahead = forward(team.net[:cut], own.values, team.x)
            sent = client.some_uploads(team, ahead.out, done, self.every, links)
            local = serve(team.of(self.auxiliaries.at(cut)), asked.values, ahead.out, team.y)
            own.descend(Learnt(backward(ahead, local.cut_grad), ahead.buffers))
            asked.descend(local)
            return sent

        def take(arrived: dict[int, Batch]) -> None:
            for k in (k for k in draws if k in arrived):
                server.descend(serve(self.net[cuts[k].cut:], server.values, *arrived[k], links[k]))

        arrived: dict[int, Batch] = {}
        for batches, _ in self.training.in_step(shards, draws, share):                      # nobody waits for the server
            sent = crew.work(move, batches, beside=partial(take, arrived))
            arrived = {k: batch for each in sent for k, batch in each.items()}
        take(arrived)
        crew.part()
        for k in share:
            links[k].up["model"] += client.size_bits(fronts[k].values)                       # device -> server
            links[k].up["auxiliary"] += client.size_bits(guides[k].values)
        model = average.sides(server.values, {k: front.values for k, front in fronts.items()}, share)
        means, of_guide = average.by_cut({k: guide.values for k, guide in guides.items()}, plans, share), list(state.guide)
        for k, plan in planned(plans, share):
            of_guide[k] = {**of_guide[k], plan.cut: guides[k].moments}
        return CSEFSLState(model, {**state.auxiliary, **means}, client.moments(fronts, state.client), tuple(of_guide),
                           server.moments, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        found = guided_work(profile, self.auxiliaries, cut, self.training.sizes(samples), self.every, download, upload,
                            learns=True)
        size = self.auxiliaries.profile(cut).bits
        up, down = found.uplink_bits, found.downlink_bits
        return found._replace(uplink_bits=Affine(up.fixed + upload * size, up.kept),
                              downlink_bits=Affine(down.fixed + download * size, down.kept))
