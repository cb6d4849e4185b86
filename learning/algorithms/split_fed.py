"""Split federated learning with parallel devices (SplitFed-V1), pruned and compressed.

Thapa et al., "SplitFed: When Federated Learning Meets Split Learning", AAAI 2022 (arXiv 2004.12088); with the levers of
"lightweight federated split learning" (arXiv 2412.06414), reconstructed from its abstract: dynamic pruning of the client
side, quantised updates, dropout of the split layer's activations, client models averaged every ``interval`` rounds.

Devices may have different cuts. Each holds the first blocks itself and the server keeps a copy of the others for it, so
device k ends a round with a value of every block. Server-side copies of a block are averaged every round, over the
devices whose copy the server holds; every ``interval`` rounds, all values of a block are averaged over all devices.
A pruned weight gets no update, which is a zero in the average.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from learning import client, params
from learning.algorithm import Affine, Plan, Round, Shard, Streams, Traffic, Work, batches
from learning.compress import keep_mask, label_bits
from learning.params import Params
from learning.profile import Profile
from learning.split import PLAIN, Compression, crossing_bits, split_gradient


@dataclass(frozen=True)
class SplitFedState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        The averaged model.
    base : Params
        The model as it was at the last averaging of client sides: what devices downloaded.
    local : (K,) tuple of Params
        Client sides that devices hold of their own between two averagings; empty right after one.
    plans : (K,) tuple of Plan
        What was decided for them, which stands until the next averaging.
    round : int
    """

    model: Params
    base: Params
    local: tuple[Params, ...] = ()
    plans: tuple[Plan, ...] = ()
    round: int = 0


@dataclass(frozen=True)
class SplitFed:
    """SplitFed-V1 of a chain of blocks.

    Attributes
    ----------
    net : nn.Sequential
        The blocks, with their initial weights.
    lr : float
        Learning rate of both sides [1].
    batch, steps : int
        Samples of a mini-batch, and mini-batches in a round.
    interval : int
        Client sides are averaged every so many rounds.
    compression : Compression
    """

    net: nn.Sequential
    lr: float = 0.1
    batch: int = 32
    steps: int = 1
    interval: int = 1
    compression: Compression = PLAIN

    def cuts(self) -> range:
        return range(1, len(self.net) + 1)

    def init(self) -> SplitFedState:
        start = params.values(self.net)
        return SplitFedState(start, start)

    def model(self, state: SplitFedState) -> Params:
        return state.model

    def step(self, state: SplitFedState, shards: Sequence[Shard], plans: Sequence[Plan],
             streams: Streams) -> tuple[SplitFedState, Round]:
        if state.local and tuple(plans) != state.plans:
            raise ValueError(f"plans (cuts and ratios) may change only when client sides are averaged, every {self.interval} "
                             f"rounds; got {list(plans)} after {list(state.plans)}")
        ends, losses, traffic = [], [], []
        for k, (shard, plan) in enumerate(zip(shards, plans, strict=True)):
            held = state.local[k] if state.local else params.front(state.base, plan.cut)
            end, loss, sent = self._train(state, held, shard, plan, streams)
            ends.append(end)
            losses.append(loss)
            traffic.append(sent)
        weights = [len(shard) / sum(map(len, shards)) for shard in shards]
        report = Round(tuple(losses), tuple(traffic))
        if self._averages(state):
            model = params.weighted_sum(ends, weights)
            return SplitFedState(model, model, round=state.round + 1), report
        model = {name: _server_average(name, p, ends, weights, plans) for name, p in state.model.items()}
        local = tuple(params.front(end, plan.cut) for end, plan in zip(ends, plans, strict=True))
        return SplitFedState(model, state.base, local, tuple(plans), state.round + 1), report

    def _averages(self, state: SplitFedState) -> bool:
        return (state.round + 1) % self.interval == 0

    def _train(self, state: SplitFedState, held: Params, shard: Shard, plan: Plan,
               streams: Streams) -> tuple[Params, float, Traffic]:
        """The round of one device with its copy of the server side: all values that it ends with."""
        base = params.front(state.base, plan.cut)
        mask = keep_mask(base, plan.ratio)
        begin = client.prune({**held, **params.back(state.model, plan.cut)}, mask)
        now, total, up, down = begin, 0.0, 0.0, 0.0 if state.local else client.download_bits(mask)
        for pick in batches(len(shard), self.batch, self.steps, streams.batches):
            done = split_gradient(self.net, now, plan.cut, shard.x[pick], shard.y[pick], self.compression, streams.compression)
            now = client.descend(now, done.grads, mask, self.lr)
            total, up, down = total + done.loss, up + done.up, down + done.down
        front = {name: held[name] + now[name] - begin[name] for name in held}       # pruned weights stay as they were
        if self._averages(state):
            update = {name: front[name] - base[name] for name in front}
            update, bits = client.upload(update, mask, self.compression.update_bits, streams.compression)
            front, up = {name: base[name] + update[name] for name in front}, up + bits
        return {**now, **front}, total / self.steps, Traffic(up, down)

    def work(self, profile: Profile, cut: int, samples: int, download: float = 1.0, upload: float = 1.0) -> Work:
        batch = min(self.batch, samples)
        crossing = labels = 0.0
        if cut < profile.blocks:
            crossing = self.steps * crossing_bits(batch, profile.outputs[cut - 1], self.compression)
            labels = self.steps * batch * label_bits(profile.classes)
        up, down = client.model_up(profile, cut, self.compression.update_bits), client.model_down(profile, cut)
        return Work(
            device_flops=Affine(0.0, self.steps * batch * profile.flops(0, cut)),
            uplink_bits=Affine(crossing + labels + upload * up.fixed, upload * up.kept),
            server_flops=Affine(self.steps * batch * profile.flops(cut, profile.blocks)),
            downlink_bits=Affine(crossing + download * down.fixed, download * down.kept),
        )


def _server_average(name: str, now: Tensor, ends: Sequence[Params], weights: Sequence[float],
                    plans: Sequence[Plan]) -> Tensor:
    """Mean of the copies that the server holds of a parameter; as it is ``now`` if devices hold them all."""
    copies = [(w, end[name]) for w, end, plan in zip(weights, ends, plans, strict=True) if params.block_of(name) >= plan.cut]
    total = sum(w for w, _ in copies)
    return torch.stack([w / total * value for w, value in copies]).sum(0) if copies else now
