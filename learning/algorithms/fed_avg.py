"""Federated averaging: every device trains the whole model, and the server averages what comes back.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017 (arXiv
1602.05629), Algorithm 1 with all devices in every round; pruned and quantised on request, as federated learning with pruned
models does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from learning import client, masking, params, threads
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, crews
from learning.crossing import PLAIN, Compression
from learning.masking import BY_MAGNITUDE, Kept, Pruning, Trace
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import learn
from learning.training import DEFAULT, Training


@dataclass(frozen=True)
class FedAvgState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        The averaged model.
    moments : (K,) tuple of Moments
        What the devices' optimisers remember.
    trace : Trace
        What pruning remembers.
    round : int
    """

    model: Params
    moments: tuple[Moments, ...]
    trace: Trace
    round: int = 0


@dataclass(frozen=True)
class FedAvg:
    """FedAvg with ``training.steps`` mini-batches a round; its only cut is behind the last block, so that of a compression only
    the bits of an update count."""

    net: nn.Sequential
    training: Training = DEFAULT
    compression: Compression = PLAIN
    pruning: Pruning = BY_MAGNITUDE
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = True

    def cuts(self) -> range:
        return range(len(self.net), len(self.net) + 1)

    def init(self, devices: int) -> FedAvgState:
        return FedAvgState(params.values(self.net), ({},) * devices, Trace.empty(devices))

    def models(self, state: FedAvgState) -> tuple[Params, ...]:
        return (state.trace.served(state.model),)

    def step(self, state: FedAvgState, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[FedAvgState, Round]:
        share, links = taking_part(self, state.moments, shards, plans), [Link() for _ in shards]
        of_device, merge, kept = list(state.moments), masking.Merge(self.pruning, state.model), {}

        def trained(devices: tuple[int, ...]) -> dict[int, tuple[Params, Moments]]:
            draws, begin, sides, how = {k: streams.draws(state.round, k) for k in devices}, {}, {}, {}
            for k, plan in planned(plans, devices):
                mask = self.pruning.mask(state.model, plan.ratio, state.trace, k, state.round, draws[k].compression)
                how[k] = plan.compression_or(self.compression)
                begin[k], kept[k] = masking.prune(state.model, mask), Kept(plan.ratio, mask, state.round)
                sides[k] = (Side(self.training.client, begin[k], of_device[k], mask),)
                links[k].down["model"] += client.model_bits(mask)                                    # server -> device
            for team in Crew(self.net, sides, links, [devices]).round(self.training, shards, draws):
                (own,) = team.sides
                own.descend(learn(team.net, own.values, team.x, team.y, team.link))
            updates = {k: params.combine(torch.sub, own.values, begin[k]) for k, (own,) in sides.items()}
            return {k: (client.upload(self.net, updates[k], kept[k].mask, how[k], draws[k].compression, links[k]), own.moments)
                    for k, (own,) in sides.items()}

        for done in threads.each(trained, crews(self.net, self.training, shards, plans, share)):
            for k, (update, of_device[k]) in done.items():
                merge.add(k, update, kept[k].mask, share[k])
        model = merge.model()
        trace = self.pruning.trace(state.trace, state.model, merge.updates, model, kept)
        return FedAvgState(model, tuple(of_device), trace, state.round + 1), Round.of(links)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        del cut, devices, download, upload                        # whole models, both ways, every round
        return Work(
            device_flops=Affine(0.0, sum(self.training.sizes(samples)) * profile.flops(0, profile.blocks)),
            uplink_bits=client.model_up(profile, profile.blocks, self.compression),
            server_flops=Affine(),
            downlink_bits=client.model_down(profile, profile.blocks),
        )
