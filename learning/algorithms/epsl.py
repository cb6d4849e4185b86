r"""Efficient parallel split learning (EPSL): PSL that aggregates the gradients of the last layer for a share of the batch.

Lin et al., "Efficient Parallel Split Learning over Resource-constrained Wireless Edge Networks", IEEE TMC 2024 (arXiv
2303.15991). Seen: devices in parallel, gradients of the last layer aggregated over devices for the first
:math:`m = \lceil \phi b \rceil` samples, so that the server propagates m + C(b - m) samples back instead of C b, and broadcasts
the aggregated gradients of the smashed data; no averaging of client sides; phi = 0 is PSL. Reconstructed: at which activations
the aggregated gradient is propagated. Here sample j of all devices becomes one,

.. math:: \bar g_j = \sum_k \lambda_k g_{k,j}, \qquad \bar s_j = \sum_k \lambda_k s_{k,j},                       \tag{1}

g the gradient by the input of the last block, s the smashed data: :math:`\bar g_j` goes back through the blocks as they
respond to :math:`\bar s_j`, which batch norm normalises by statistics of their own. The last block itself learns from every
sample. Where batches differ in size, (1) is over the devices that have a sample j.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from learning import average, client, threads
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.algorithms.psl import PSL, PSLState
from learning.crossing import send
from learning.optimiser import Side
from learning.params import Params
from learning.profile import Profile
from learning.split import Forward, Learnt, backward, forward, serve, through
from learning.training import DEFAULT, Batch, Training


class _Served(NamedTuple):
    """What the server makes of one device's batch: the smashed data, what its last block learnt, and what the blocks before it
    learnt from the samples that go back alone."""

    smashed: Tensor
    end: Learnt
    alone: Learnt


@dataclass(frozen=True)
class EPSL:
    """EPSL of a chain of blocks with one cut for all devices.

    Attributes
    ----------
    share : float
        phi, the share of a batch whose gradients are aggregated, in [0, 1].
    """

    net: nn.Sequential
    training: Training = DEFAULT
    share: float = 0.5
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of the batch that is aggregated must be within [0, 1] [1], got {self.share}")

    def cuts(self) -> range:
        return range(1, len(self.net))

    def init(self, devices: int) -> PSLState:
        return PSL(self.net).init(devices)

    def models(self, state: PSLState) -> tuple[Params, ...]:
        return PSL(self.net).models(state)

    def step(self, state: PSLState, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[PSLState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        cuts = {plan.cut for _, plan in planned(plans, share)}
        if len(cuts) > 1:
            raise ValueError(f"EPSL aggregates at one cut: all devices must have the same, got {sorted(cuts)} [blocks]")
        server = Side(self.training.server, state.model, state.server)
        fronts = {k: Side(self.training.client, client.fetch(state.model, state.local[k], plan.cut, links[k]), state.client[k])
                  for k, plan in planned(plans, share)}
        for batches, weight in self.training.in_step(shards, {k: streams.draws(state.round, k) for k in share}, share):
            self._together(server, fronts, max(cuts), batches, weight, links)
        local = tuple(fronts[k].values if k in fronts else held for k, held in enumerate(state.local))
        of_client = client.moments(fronts, state.client)
        return PSLState(server.values, local, of_client, server.moments, state.round + 1), Round.of(links)

    def _together(self, server: Side, fronts: Mapping[int, Side], cut: int, batches: Mapping[int, Batch],
                  share: Mapping[int, float], links: Sequence[Link]) -> None:
        """A step of all devices and the server."""
        ahead = threads.of_each(lambda k: forward(self.net[:cut], fronts[k].values, batches[k][0]), batches)
        arriving, learnt = self._serve(server.values, cut, ahead, batches, share, links)
        threads.of_each(lambda k: fronts[k].descend(Learnt(backward(ahead[k], arriving[k]), ahead[k].buffers)), ahead)
        server.descend(learnt)

    def _serve(self, server: Params, cut: int, ahead: Mapping[int, Forward], batches: Mapping[int, Batch],
               share: Mapping[int, float], links: Sequence[Link]) -> tuple[dict[int, Tensor], Learnt]:
        """The gradient that arrives at each device, and what the server learns."""
        body, last = self.net[cut:-1], self.net[-1:]

        def serve_one(k: int) -> _Served:
            received, bits = send(ahead[k].out.detach())
            links[k].up["smashed"] += bits                                                   # device -> server
            smashed = received.requires_grad_()
            inner = forward(body, server, smashed)
            end = serve(last, server, inner.out, batches[k][1], links[k])
            slope = end.cut_grad.clone()
            slope[:self._first(len(slope))] = 0                              # goes back once for all devices, below
            return _Served(smashed, end, through(inner, smashed, slope))

        served = threads.of_each(serve_one, ahead)
        arriving = {k: one.alone.cut_grad for k, one in served.items()}
        learnt = average.lesson((one.alone.beside(one.end), share[k]) for k, one in served.items())
        if self.share:
            shared, grads = self._aggregate(body, server, served, share)
            arriving = {k: torch.cat([shared[:(m := self._first(len(g)))], g[m:]]) for k, g in arriving.items()}
            learnt = Learnt({**learnt.grads, **{n: learnt.grads[n] + g for n, g in grads.items()}}, learnt.buffers)
        for k, g in arriving.items():
            links[k].down["gradients"] += send(g)[1]                         # server -> device, the first of them to all
        return arriving, learnt

    def _aggregate(self, body: nn.Module, server: Params, served: Mapping[int, _Served],
                   share: Mapping[int, float]) -> tuple[Tensor, Params]:
        """(1): the gradient of the smashed data that all devices get, and that of the blocks between cut and last block."""
        smashed = {k: one.smashed for k, one in served.items()}
        total, rows = sum(share[k] for k in smashed), max(self._first(len(s)) for s in smashed.values())

        def pooled(each: Mapping[int, Tensor]) -> Tensor:
            first = {k: v[:self._first(len(v))].detach() for k, v in each.items()}
            return torch.stack([share[k] / total * _padded(v, rows) for k, v in first.items()]).sum(0)

        mean, weight = pooled(smashed), pooled({k: s.new_ones(len(s)) for k, s in smashed.items()})
        weight = weight.view(rows, *[1] * (mean.dim() - 1))
        mean = (mean / weight).requires_grad_()
        back = through(forward(body, server, mean), mean, pooled({k: one.end.cut_grad for k, one in served.items()}))
        return back.cut_grad / weight, back.grads

    def _first(self, size: int) -> int:
        """m, of a batch of ``size``."""
        return math.ceil(self.share * size)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        """As PSL's, without what the server need not propagate; the broadcast counts as received by each device."""
        plain = PSL(self.net, self.training).work(profile, cut, samples, devices)
        together = sum(self._first(size) for size in self.training.sizes(samples))
        forth, back = (sum(side[cut:-1]) for side in (profile.forward, profile.backward))
        saved = together * back - together / devices * (forth + back)        # the mean's own way, shared by all devices
        return plain._replace(server_flops=Affine(plain.server_flops.fixed - saved))


def _padded(rows: Tensor, size: int) -> Tensor:
    """``rows`` followed by zeros, ``size`` in all."""
    return torch.cat([rows, rows.new_zeros(size - len(rows), *rows.shape[1:])])
