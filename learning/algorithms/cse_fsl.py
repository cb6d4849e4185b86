"""CSE-FSL: devices learn from an auxiliary network of their own, and send smashed data only now and then.

Mu and Shen, "Communication and Storage Efficient Federated Split Learning", ICC 2023 (arXiv 2302.05599), as FSL-SAGE (arXiv
2505.23182) runs it for comparison. A device moves its side and its auxiliary network by the auxiliary loss on every batch; every
``every``-th batch of smashed data goes up, and the one server model takes a step on it as it arrives. No gradient comes
down. Client sides and auxiliary networks are averaged every round, the latter over the devices of one cut. Devices go in step,
in an order that is drawn for each round, so that the server favours none (ours: the papers do not say).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from learning import average, client, params
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.estimate import Auxiliaries, guided_work
from learning.optimiser import Moments
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt, backward, forward, send, serve
from learning.training import DEFAULT, Training


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
        server, fronts, guides = state.model, {}, {}
        of_client, of_guide, of_server = list(state.client), list(state.guide), state.server
        for k, plan in planned(plans, share):
            fronts[k] = params.front(state.model, plan.cut)
            guides[k] = state.auxiliary.get(plan.cut) or self.auxiliaries.start(plan.cut)
            links[k].down["model"] += client.size_bits(fronts[k])                            # server -> device
            links[k].down["auxiliary"] += client.size_bits(guides[k])
        draws, done = {k: streams.draws(state.round, k) for k in streams.order(state.round, list(share))}, dict.fromkeys(share, 0)
        for batches, _ in self.training.in_step(shards, draws, share):
            for k, plan in planned(plans, batches):
                (x, y), cut = batches[k], plan.cut
                ahead = forward(self.net[:cut], fronts[k], x)
                if done[k] % self.every == 0:
                    received, bits = send(ahead.out.detach())
                    links[k].up["smashed"] += bits                                           # device -> server
                    learnt = serve(self.net[cut:], server, received, y, links[k])
                    server, of_server = client.descend(self.training.server, server, learnt, of_server)
                local = serve(self.auxiliaries.at(cut), guides[k], ahead.out, y)
                moved = Learnt(backward(ahead, local.cut_grad), ahead.buffers)
                fronts[k], of_client[k] = client.descend(self.training.client, fronts[k], moved, of_client[k])
                guides[k], moments = client.descend(self.training.client, guides[k], local, of_guide[k].get(cut, {}))
                of_guide[k], done[k] = {**of_guide[k], cut: moments}, done[k] + 1
        for k in share:
            links[k].up["model"] += client.size_bits(fronts[k])                              # device -> server
            links[k].up["auxiliary"] += client.size_bits(guides[k])
        model = average.sides(server, fronts, share)
        auxiliary = {**state.auxiliary, **average.by_cut(guides, plans, share)}
        return CSEFSLState(model, auxiliary, tuple(of_client), tuple(of_guide), of_server, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        found = guided_work(profile, self.auxiliaries, cut, self.training.sizes(samples), self.every, download, upload,
                            learns=True)
        size = self.auxiliaries.profile(cut).bits
        up, down = found.uplink_bits, found.downlink_bits
        return found._replace(uplink_bits=Affine(up.fixed + upload * size, up.kept),
                              downlink_bits=Affine(down.fixed + download * size, down.kept))
