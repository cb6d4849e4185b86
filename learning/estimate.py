"""Auxiliary networks as values: what a device asks for the gradient of its smashed data, instead of the server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from learning import auxiliary, client, params
from learning.algorithm import Affine, Work
from learning.models import smashed_shape
from learning.optimiser import Optimiser, Side
from learning.params import Params
from learning.profile import Profile, profile
from learning.split import PLAIN, ask, forward


@dataclass(frozen=True)
class Auxiliaries:
    """One auxiliary network for each cut, made when it is first asked for.

    Attributes
    ----------
    net : nn.Sequential
    shape, classes : tuple of int, int
        Of one sample, and number of classes.
    kind : str
        "linear", "half", "stage" or "full": ``auxiliary.make`` says what they are.
    seed : int
        Of their initial weights.
    """

    net: nn.Sequential
    shape: tuple[int, ...]
    classes: int
    kind: str = "stage"
    seed: int = 0
    _known: dict[tuple[str, int], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, cut: int) -> nn.Sequential:
        made: nn.Sequential = self._once("network", cut, lambda: auxiliary.make(
            self.kind, self.net, cut, self.shape, self.classes, self.seed))
        return made

    def start(self, cut: int) -> Params:
        return params.values(self.at(cut))

    def profile(self, cut: int) -> Profile:
        """Counts of the auxiliary network on one sample's smashed data, whose gradient is wanted."""
        counts: Profile = self._once("profile", cut, lambda: profile(
            self.at(cut), smashed_shape(self.net, cut, self.shape), self.classes, received=True))
        return counts

    def align_flops(self, cut: int) -> int:
        """Work of one step of :func:`align` for one sample [FLOP]."""
        flops: int = self._once("alignment", cut, lambda: self._align_flops(cut))
        return flops

    def _once(self, what: str, cut: int, make: Callable[[], Any]) -> Any:
        """What is asked for in every round, made or counted the first time."""
        if (what, cut) not in self._known:
            self._known[what, cut] = make()
        return self._known[what, cut]

    def _align_flops(self, cut: int) -> int:
        smashed = torch.zeros(1, *smashed_shape(self.net, cut, self.shape), dtype=next(self.net.parameters()).dtype)
        part, weights, one = self.at(cut), self.start(cut), Samples(smashed, torch.zeros(1, dtype=torch.long))
        with FlopCounterMode(display=False) as counted:
            mismatch(part, weights, one, torch.zeros_like(smashed))
        return counted.get_total_flops()


class Samples(NamedTuple):
    """Smashed data (n, ...) and labels (n,) that the server keeps of one device."""

    smashed: Tensor
    y: Tensor

    def with_last(self, smashed: Tensor, y: Tensor, most: int) -> "Samples":
        """The last ``most`` samples after some more have come in."""
        return Samples(torch.cat([self.smashed, smashed])[-most:], torch.cat([self.y, y])[-most:])


def align(part: nn.Sequential, weights: Params, server: nn.Module, truth: Params, kept: Samples, *, steps: int,
          optimiser: Optimiser) -> Params:
    """Train an auxiliary network to give the gradients that the server would.

    Least is the sum of squares, over the kept samples, of the difference between the two gradients of the smashed data, by
    ``steps`` steps on all samples. Gradients are of a sample's own loss, so that the size of a batch does not matter. Buffers
    stay as they are, on both sides.
    """
    target = ask(server, truth, *kept) * len(kept.y)
    guide = Side(optimiser, weights, {})
    for _ in range(steps):
        guide.step(mismatch(part, guide.values, kept, target))
    return guide.values


def mismatch(part: nn.Module, weights: Params, kept: Samples, target: Tensor) -> Params:
    """Gradient, by the auxiliary network's parameters, of the squared distance of its estimates from ``target``."""
    received = kept.smashed.detach().requires_grad_().clone()              # not a leaf, or FLOPs could not be counted
    ahead = forward(part, weights, received)
    (estimate,) = torch.autograd.grad(cross_entropy(ahead.out, kept.y, reduction="sum"), received, create_graph=True)
    slopes = torch.autograd.grad(((estimate - target) ** 2).sum(), list(ahead.leaves.values()), allow_unused=True)
    return {name: g for name, g in zip(ahead.leaves, slopes, strict=True) if g is not None}


def guided_work(counts: Profile, auxiliaries: Auxiliaries, cut: int, sizes: Sequence[int], every: int, download: float,
                upload: float, *, learns: bool) -> Work:
    """Work of a round in which a device asks its auxiliary network, and sends one of ``every`` batches up; without transfers of
    auxiliary networks. One that does not learn on the device gives a gradient by its input alone: as much as going forward."""
    guide, up = auxiliaries.profile(cut), client.split_work(counts, cut, sizes[::every], PLAIN, download, upload)
    returning = client.model_down(counts, cut)
    asked = guide.flops(0, guide.blocks) if learns else 2 * sum(guide.forward)
    return up._replace(device_flops=Affine(sum(sizes) * asked, sum(sizes) * counts.flops(0, cut)),
                       downlink_bits=Affine(download * returning.fixed, download * returning.kept))
