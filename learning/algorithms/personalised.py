"""Partial personalisation with adaptive pruning: a shared part that is pruned and averaged, a personal part that stays.

Liu et al., "Adaptive Model Pruning and Personalization for Federated Learning over Wireless Networks", IEEE TSP 2024 (arXiv
2309.01816). Seen: LocalAlt, in each round a device takes steps on its personal part and then on the pruned shared part; the
weights of least difference between local and global values are pruned; what was kept goes up, and is averaged per element over
the devices that kept it. Reconstructed: the personal part is the last ``personal`` blocks; while there is no difference to go
by, magnitudes decide.

With no personal block and no pruning this is FedAvg.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from learning import client, masking, params, threads
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, crews
from learning.crossing import PLAIN, Compression
from learning.masking import Kept, Pruning, Trace
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import learn
from learning.training import DEFAULT, Training

BY_DIFFERENCE = Pruning("difference", kept_only=True)


@dataclass(frozen=True)
class PersonalisedState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        The averaged shared part, and the personal part that everybody starts from.
    personal : (K,) tuple of Params
        Empty before a device's first round.
    moments : (K,) tuple of Moments
    trace : Trace
        What pruning remembers of the shared part.
    round : int
    """

    model: Params
    personal: tuple[Params, ...]
    moments: tuple[Moments, ...]
    trace: Trace
    round: int = 0


@dataclass(frozen=True)
class Personalised:
    """LocalAlt with adaptive pruning.

    Attributes
    ----------
    training : Training
        Its steps are those on the shared part.
    personal : int
        Blocks at the end that stay with the device.
    personal_steps : int
        Mini-batches for them in a round, before those for the shared part; 0 for one pass over the data.
    """

    net: nn.Sequential
    training: Training = DEFAULT
    personal: int = 1
    personal_steps: int = 1
    compression: Compression = PLAIN
    pruning: Pruning = BY_DIFFERENCE
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.personal < len(self.net) or self.personal_steps < 0:
            raise ValueError(f"personal must be between 0 and {len(self.net) - 1} [blocks] and personal_steps 0 or more, "
                             f"got {self.personal} and {self.personal_steps}")

    def cuts(self) -> range:
        return range(len(self.net), len(self.net) + 1)

    def init(self, devices: int) -> PersonalisedState:
        return PersonalisedState(params.values(self.net), ({},) * devices, ({},) * devices, Trace.empty(devices))

    def models(self, state: PersonalisedState) -> tuple[Params, ...]:
        served = state.trace.served(state.model)
        return tuple({**served, **own} for own in state.personal) if self.personal else (served,)

    def step(self, state: PersonalisedState, shards: Sequence[Shard], plans: Plans,
             streams: Streams) -> tuple[PersonalisedState, Round]:
        share, links = taking_part(self, state.moments, shards, plans), [Link() for _ in shards]
        personal, moments, common, kept = list(state.personal), list(state.moments), params.front(state.model, self._shared), {}
        merge = masking.Merge(self.pruning, common)

        def trained(devices: tuple[int, ...]) -> dict[int, tuple[Params, Params, Moments]]:
            draws, begin, sides, how = {k: streams.draws(state.round, k) for k in devices}, {}, {}, {}
            for k, plan in planned(plans, devices):
                mask = self.pruning.mask(common, plan.ratio, state.trace, k, state.round, draws[k].compression)
                how[k] = plan.compression_or(self.compression)
                begin[k], kept[k] = masking.prune(common, mask), Kept(plan.ratio, mask, state.round)
                own, before = personal[k] or params.back(state.model, self._shared), moments[k]
                sides[k] = (Side(self.training.client, begin[k], params.front(before, self._shared), mask),
                            Side(self.training.client, own, params.back(before, self._shared)))
                links[k].down["model"] += client.model_bits(mask)                                    # server -> device
            crew = Crew(self.net, sides, links, [devices])
            for team in crew.round(self._personal, shards, draws) if self.personal else ():
                common_side, alone = team.sides
                alone.descend(learn(team.net, {**common_side.values, **alone.values}, team.x, team.y, team.link))
            for team in crew.round(self.training, shards, draws):
                common_side, alone = team.sides
                common_side.descend(learn(team.net, {**common_side.values, **alone.values}, team.x, team.y, team.link))
            updates = {k: params.combine(torch.sub, now.values, begin[k]) for k, (now, _) in sides.items()}
            return {k: (client.upload(self.net, updates[k], kept[k].mask, how[k], draws[k].compression, links[k]), alone.values,
                        {**now.moments, **alone.moments}) for k, (now, alone) in sides.items()}

        for done in threads.each(trained, crews(self.net, self.training, shards, plans, share)):
            for k, (update, personal[k], moments[k]) in done.items():
                merge.add(k, update, kept[k].mask, share[k])
        shared = merge.model()
        trace = self.pruning.trace(state.trace, common, merge.updates, shared, kept)
        model = {**state.model, **shared}
        return PersonalisedState(model, tuple(personal), tuple(moments), trace, state.round + 1), Round.of(links)

    @property
    def _shared(self) -> int:
        return len(self.net) - self.personal

    @property
    def _personal(self) -> Training:
        return replace(self.training, steps=self.personal_steps)

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        del cut, devices, download, upload                          # the shared part, both ways, every round
        steps = [sum(each.sizes(samples)) for each in (self._personal, self.training)]
        shared, own = profile.flops(0, self._shared), profile.flops(self._shared, profile.blocks)
        first, ahead = steps[0] * bool(self.personal), sum(profile.forward[:self._shared])
        return Work(
            device_flops=Affine((first + steps[1]) * own, first * ahead + steps[1] * shared),
            uplink_bits=client.model_up(profile, self._shared, self.compression),
            server_flops=Affine(),
            downlink_bits=client.model_down(profile, self._shared),
        )
