"""Federated averaging: every device trains the whole model, and the server averages what comes back.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017 (arXiv
1602.05629), Algorithm 1 with all devices in every round; pruned by magnitude and quantised like the other algorithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import client, params
from learning.algorithm import Affine, Plan, Round, Shard, Streams, Traffic, Work, batches
from learning.compress import keep_mask
from learning.params import Params
from learning.profile import Profile
from learning.split import PLAIN, Compression


@dataclass(frozen=True)
class FedAvg:
    """FedAvg with ``steps`` mini-batches of ``batch`` samples per round, learning rate ``lr`` [1].

    Its only cut is behind the last block, and its models are averaged every round.
    """

    net: nn.Sequential
    lr: float = 0.1
    batch: int = 32
    steps: int = 1
    interval: int = 1
    compression: Compression = PLAIN

    def __post_init__(self) -> None:
        if self.interval != 1:
            raise ValueError(f"FedAvg averages every round: interval must be 1, got {self.interval}; raise steps instead")

    def cuts(self) -> range:
        return range(len(self.net), len(self.net) + 1)

    def init(self) -> Params:
        return params.values(self.net)

    def model(self, state: Params) -> Params:
        return state

    def step(self, state: Params, shards: Sequence[Shard], plans: Sequence[Plan], streams: Streams) -> tuple[Params, Round]:
        updates, losses, traffic = [], [], []
        for shard, plan in zip(shards, plans, strict=True):
            mask = keep_mask(state, plan.ratio)
            begin = now = client.prune(state, mask)
            total = 0.0
            for pick in batches(len(shard), self.batch, self.steps, streams.batches):
                loss, grads = self._gradient(now, shard.x[pick], shard.y[pick])
                now, total = client.descend(now, grads, mask, self.lr), total + loss
            update = params.combine(torch.sub, now, begin)
            update, bits = client.upload(update, mask, self.compression.update_bits, streams.compression)
            updates.append(update)
            losses.append(total / self.steps)
            traffic.append(Traffic(bits, client.download_bits(mask)))
        mean = params.weighted_sum(updates, [len(shard) / sum(map(len, shards)) for shard in shards])
        return params.combine(torch.add, state, mean), Round(tuple(losses), tuple(traffic))

    def _gradient(self, weights: Params, x: Tensor, y: Tensor) -> tuple[float, Params]:
        leaves = params.leaves(weights)
        loss = cross_entropy(functional_call(self.net, leaves, (x,)), y)
        return loss.item(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def work(self, profile: Profile, cut: int, samples: int, download: float = 1.0, upload: float = 1.0) -> Work:
        del cut, download, upload                        # whole models, both ways, every round
        return Work(
            device_flops=Affine(0.0, self.steps * min(self.batch, samples) * profile.flops(0, profile.blocks)),
            uplink_bits=client.model_up(profile, profile.blocks, self.compression.update_bits),
            server_flops=Affine(),
            downlink_bits=client.model_down(profile, profile.blocks),
        )
