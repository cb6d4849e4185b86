"""What the server makes of several models: means by share of the data, over those that hold a value."""

from collections.abc import Mapping

import torch

from learning.algorithm import Plans, planned
from learning.params import Params
from learning.split import Learnt


def mean(values: Mapping[int, Params], share: Mapping[int, float]) -> Params:
    """Mean over the devices, name by name over those that hold one; ``share`` is scaled to them."""
    return {name: _mean([(share[k], held[name]) for k, held in values.items() if name in held])
            for name in {name: None for held in values.values() for name in held}}


def learnt(each: Mapping[int, Learnt], share: Mapping[int, float]) -> Learnt:
    """What one server model learns from several devices' batches: the means of gradients and of buffers."""
    grads, buffers = {k: done.grads for k, done in each.items()}, {k: done.buffers for k, done in each.items()}
    return Learnt(mean(grads, share), mean(buffers, share))


def sides(server: Params, fronts: Mapping[int, Params], share: Mapping[int, float]) -> Params:
    """The model of devices whose cuts may differ: each block is the mean over all devices of the value that serves the device,
    which is its own up to its cut, and the server's behind it."""
    held = {name for front in fronts.values() for name in front}
    return {**server, **mean({k: {name: front.get(name, server[name]) for name in held} for k, front in fronts.items()}, share)}


def by_cut(values: Mapping[int, Params], plans: Plans, share: Mapping[int, float]) -> dict[int, Params]:
    """The mean for each cut, over the devices that have it."""
    cuts = {k: plan.cut for k, plan in planned(plans, values)}
    return {cut: mean({k: v for k, v in values.items() if cuts[k] == cut}, share) for cut in sorted(set(cuts.values()))}


def _mean(pairs: list[tuple[float, torch.Tensor]]) -> torch.Tensor:
    total = sum(share for share, _ in pairs)
    return torch.stack([share / total * value for share, value in pairs]).sum(0)
