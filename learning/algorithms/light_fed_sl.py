"""Lightweight federated split learning: parallel devices with pruned client sides, quantised updates and dropout at the cut.

Zhang, Ni and Wang, "Federated Split Learning with Model Pruning and Gradient Quantization in Wireless Networks" (arXiv
2412.06414). Seen: dynamic pruning of the client side, quantised gradient updates, random dropout of the split layer's
activations; client sides averaged every ``interval`` rounds, the server's side updated every round. Reconstructed: the rest. Here
the server has one model, which in each step moves once by the mean gradient of the devices that it serves; which gradient is
quantised is a setting (``Compression``: of the client's weights, of the smashed data, or both); at an averaging, each device
sends what its client side has moved by since it was downloaded. Without compression, with an interval of one and one step a
round this is SplitFed-V1 by gradient descent.

Devices may have different cuts: ``average.sides`` says what the mean is then; and different compressions, which do not
change what a device weighs. In between two averagings, plans stand. Who misses the averaging starts again from the average; what
it learnt since the last one is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from learning import average, client, masking, params
from learning.algorithm import Draws, Link, Plan, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, Team, crews
from learning.crossing import PLAIN, Compression
from learning.masking import BY_MAGNITUDE, Kept, Pruning, Trace
from learning.models.blocks import normed
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class Held:
    """A client side between two averagings: what was decided for it, what it keeps of the weights, its (pruned) values, and
    the round ``number`` in which it was fetched."""

    plan: Plan
    mask: Params
    values: Params
    number: int


@dataclass(frozen=True)
class LightFedSLState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        The server's side, and the client side as it was last averaged.
    base : Params
        The model as it was at the last averaging: what devices download.
    held : (K,) tuple of Held or None
        Client sides between two averagings; None right after one.
    client, server : (K,) tuple of Moments, Moments
    trace : Trace
        What pruning remembers.
    round : int
    """

    model: Params
    base: Params
    held: tuple[Held | None, ...]
    client: tuple[Moments, ...]
    server: Moments
    trace: Trace
    round: int = 0


@dataclass(frozen=True)
class LightFedSL:
    """Lightweight FedSL of a chain of blocks; client sides are averaged every ``interval`` rounds, and ``compression`` is that of
    devices whose plans name none."""

    net: nn.Sequential
    training: Training = DEFAULT
    interval: int = 1
    compression: Compression = PLAIN
    pruning: Pruning = BY_MAGNITUDE
    prunes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"interval must be 1 or more [rounds], got {self.interval}")

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self, devices: int) -> LightFedSLState:
        start = params.values(self.net)
        return LightFedSLState(start, start, (None,) * devices, ({},) * devices, {}, Trace.empty(devices))

    def models(self, state: LightFedSLState) -> tuple[Params, ...]:
        return (state.trace.served(state.model),)

    def step(self, state: LightFedSLState, shards: Sequence[Shard], plans: Plans,
             streams: Streams) -> tuple[LightFedSLState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        draws = {k: streams.draws(state.round, k) for k in share}
        held = {k: self._fetch(state, k, plan, draws[k].compression, links[k]) for k, plan in planned(plans, share)}
        fronts = {k: Side(self.training.client, h.values, state.client[k], h.mask) for k, h in held.items()}
        server = Side(self.training.server, state.model, state.server)
        how = {k: plan.compression_or(self.compression) for k, plan in planned(plans, share)}
        alone = [k for k in share if how[k].crossing]                        # rounding the updates does not part a team
        groups = crews(self.net, self.training, shards, plans, share, not normed(self.net), alone)
        crew = Crew(self.net, {k: (front,) for k, front in fronts.items()}, links, groups)
        for batches, weight in self.training.in_step(shards, draws, share):
            def learn(team: Team, weight: Mapping[int, float] = weight) -> tuple[Learnt, float]:
                first = team.devices[0]
                return client.served_step(self.net, held[first].plan.cut, team, server.values, weight, how[first],
                                          draws[first].compression)

            server.descend(average.lesson(crew.work(learn, batches)))
        crew.part()
        held = {k: replace(h, values=fronts[k].values) for k, h in held.items()}
        after = replace(state, model=server.values, client=client.moments(fronts, state.client), server=server.moments,
                        round=state.round + 1, held=tuple(held.get(k, h) for k, h in enumerate(state.held)))
        if after.round % self.interval == 0:
            after = self._average(after, held, how, share, draws, links)
        return after, Round.of(links)

    def _fetch(self, state: LightFedSLState, k: int, plan: Plan, rng: torch.Generator, link: Link) -> Held:
        """What device k holds, downloaded if it holds nothing."""
        held = state.held[k]
        if held is None:
            front = params.front(state.base, plan.cut)
            mask = self.pruning.mask(front, plan.ratio, state.trace, k, state.round, rng)
            link.down["model"] += client.model_bits(mask)                                    # server -> device
            return Held(plan, mask, masking.prune(front, mask), state.round)
        before, now = (replace(each, compression=each.compression_or(self.compression)) for each in (held.plan, plan))
        if before != now:
            raise ValueError("plans (cuts, ratios and compressions) may change only when client sides are averaged, every "
                             f"{self.interval} rounds; got {now} for device {k} after {before}")
        return held

    def _average(self, state: LightFedSLState, held: Mapping[int, Held], how: Mapping[int, Compression],
                 share: Mapping[int, float], draws: Mapping[int, Draws], links: Sequence[Link]) -> LightFedSLState:
        """Client sides go up, and the mean of all sides of a block becomes the model."""
        split = params.front(state.base, max((h.plan.cut for h in held.values()), default=0))
        served = {name: state.model[name] - base for name, base in split.items()}
        merge = masking.Merge(self.pruning, split)
        for k, h in held.items():
            update = params.combine(torch.sub, h.values, masking.prune(params.front(state.base, h.plan.cut), h.mask))
            update = client.upload(self.net, update, h.mask, how[k], draws[k].compression, links[k])
            merge.add(k, {**served, **update}, h.mask, share[k])                             # device -> server
        merged = merge.model()
        model = {**state.model, **merged}
        own = {k: Kept(h.plan.ratio, h.mask, h.number) for k, h in held.items()}
        trace = self.pruning.trace(state.trace, split, merge.updates, merged, own)
        return replace(state, model=model, base=model, held=(None,) * len(state.held), trace=trace)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        return client.split_work(profile, cut, self.training.sizes(samples), self.compression, download, upload)
