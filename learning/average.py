"""What the server makes of several models: means by share of the data, over those that hold a value."""

from collections.abc import Iterable, Mapping, Sequence

from learning.algorithm import Plans, planned
from learning.params import Mean, Params
from learning.split import Learnt


def mean(values: Mapping[int, Params], share: Mapping[int, float]) -> Params:
    """Mean over the devices, name by name over those that hold one; ``share`` is scaled to them."""
    made = Mean()
    for k, held in values.items():
        made.add(held, share[k])
    return made.values()


def middle(models: Sequence[Params]) -> Params:
    """Plain mean of some models."""
    return mean(dict(enumerate(models)), dict.fromkeys(range(len(models)), 1.0))


def lesson(each: Iterable[tuple[Learnt, float]]) -> Learnt:
    """What one server model learns from several devices' mini-batches by their weights [1]: means of gradients and of buffers."""
    grads, buffers = Mean(), Mean()
    for done, weight in each:
        grads.add(done.grads, weight)
        buffers.add(done.buffers, weight)
    return Learnt(grads.values(), buffers.values())


def sides(server: Params, fronts: Mapping[int, Params], share: Mapping[int, float]) -> Params:
    """The model of devices whose cuts may differ: each block is the mean over all devices of the value that serves the device,
    which is its own up to its cut, and the server's behind it."""
    held = {name for front in fronts.values() for name in front}
    return {**server, **mean({k: {name: front.get(name, server[name]) for name in held} for k, front in fronts.items()}, share)}


def by_cut(values: Mapping[int, Params], plans: Plans, share: Mapping[int, float]) -> dict[int, Params]:
    """The mean for each cut, over the devices that have it."""
    cuts = {k: plan.cut for k, plan in planned(plans, values)}
    return {cut: mean({k: v for k, v in values.items() if cuts[k] == cut}, share) for cut in sorted(set(cuts.values()))}
