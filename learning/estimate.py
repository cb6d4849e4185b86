"""Auxiliary networks as values: what a device asks for the gradient of its smashed data, instead of the server."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from learning import auxiliary, client, params
from learning.algorithm import Affine, Work
from learning.crossing import PLAIN
from learning.models import smashed_shape
from learning.models.blocks import normed
from learning.optimiser import Optimiser, Side
from learning.params import Params
from learning.profile import Profile, profile
from learning.split import ask, forward

HELD, LOOK, PATIENCE = 5, 5, 2     # one sample in so many is held out; looked at after so many steps; so many looks without gain
PIECE = 2**19                      # entries of smashed data that go through an auxiliary network at once


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

    def aligning_flops(self, cut: int, kept: int, steps: int, batch: int = 0, *, until: bool = False) -> int:
        """Most work that an alignment to ``kept`` samples makes the auxiliary network [FLOP].

        :func:`align` does all of it. :func:`align_until` does as much at most: how many steps it is spared is known only
        afterwards, so a clock that counts this is late rather than early.
        """
        held = kept // HELD if until else 0
        looks, fit = 1 + -(-steps // LOOK), kept - held
        turns = -(-fit // batch) if batch else 1
        passing = sum(len(range(step % turns, fit, turns)) for step in range(steps))
        return passing * self.align_flops(cut) + held * looks * 2 * sum(self.profile(cut).forward)

    def _once(self, what: str, cut: int, make: Callable[[], Any]) -> Any:
        """What is asked for in every round, made or counted the first time."""
        if (what, cut) not in self._known:
            self._known[what, cut] = make()
        return self._known[what, cut]

    def _align_flops(self, cut: int) -> int:
        smashed = next(self.net.parameters()).new_zeros(1, *smashed_shape(self.net, cut, self.shape))
        part, weights, one = self.at(cut), self.start(cut), Samples(smashed, smashed.new_zeros(1, dtype=torch.long))
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

    def turns(self, batch: int) -> "list[Samples]":
        """What the steps of an alignment take in turn: every m-th sample, for at most ``batch`` of them; all of them for 0."""
        m = -(-len(self.y) // batch) if batch else 1
        return [Samples(self.smashed[i::m], self.y[i::m]) for i in range(m)] if m > 1 else [self]

    def parted(self) -> "tuple[Samples, Samples]":
        """What an alignment is fitted to, and every ``HELD``-th sample, which it is stopped by."""
        out = torch.arange(1, len(self.y) + 1, device=self.y.device) % HELD == 0
        return Samples(self.smashed[~out], self.y[~out]), Samples(self.smashed[out], self.y[out])

    def pieces(self, part: nn.Module) -> Iterator[slice]:
        """Runs of samples that stay in the processor's cache together; all in one where batch norm ties them to each other."""
        most = len(self.y) if normed(part) else max(1, PIECE * len(self.y) // max(1, self.smashed.numel()))
        return (slice(start, start + most) for start in range(0, len(self.y), max(1, most)))


class Aligned(NamedTuple):
    """Weights of an aligned auxiliary network, and the steps that were taken."""

    values: Params
    steps: int


def aligning(part: nn.Sequential, weights: Params, server: nn.Module, truth: Params, kept: Samples, *, steps: int,
             optimiser: Optimiser, batch: int = 0, stop: float = 0.0) -> Callable[[], Aligned]:
    """An alignment of which the server's share is done, the true gradients. The rest is done when it is called, whatever has
    become of the server's weights by then: :func:`align` for a ``stop`` of 0, otherwise :func:`align_until`."""
    fit, held = kept.parted() if stop else (kept, Samples(kept.smashed[:0], kept.y[:0]))
    turns = [(some, wanted(server, truth, some)) for some in fit.turns(batch)]
    guide = Side(optimiser, weights, {})
    if not len(held.y):
        return partial(_fit, part, guide, cycle(turns), steps)
    return partial(_fit_until, part, guide, cycle(turns), steps, stop, held, wanted(server, truth, held))


def align(part: nn.Sequential, weights: Params, server: nn.Module, truth: Params, kept: Samples, *, steps: int,
          optimiser: Optimiser, batch: int = 0) -> Params:
    """Train an auxiliary network to give the gradients that the server would.

    Least is the sum of squares, over the kept samples, of the difference between the two gradients of the smashed data, by
    ``steps`` steps on all samples, as published, or on at most ``batch`` of them in turn (batches of their own, where there is
    batch norm). Gradients are of a sample's own loss, so that the size of a batch does not matter. Buffers stay as they are, on
    both sides.
    """
    return aligning(part, weights, server, truth, kept, steps=steps, optimiser=optimiser, batch=batch)().values


def align_until(part: nn.Sequential, weights: Params, server: nn.Module, truth: Params, kept: Samples, *, steps: int,
                optimiser: Optimiser, stop: float, batch: int = 0) -> Aligned:
    """As :func:`align`, but only as long as it does samples good that it is not fitted to.

    Every ``HELD``-th sample is held out (a batch of its own, where there is batch norm), and the sum over these is looked at
    every ``LOOK`` steps on the others. A look that finds it less than 1 - ``stop`` of what it was at the last gain, or at the
    start, is a gain. After ``PATIENCE`` looks without one, or ``steps`` steps, the weights are those of the least sum that was
    seen, the first ones among them. With fewer than ``HELD`` samples none is held out, and all steps are taken.
    """
    return aligning(part, weights, server, truth, kept, steps=steps, optimiser=optimiser, batch=batch, stop=stop)()


Turns = Iterator[tuple[Samples, Tensor]]     # samples of each step, and their true gradients, round and round


def _fit(part: nn.Module, guide: Side, turns: Turns, steps: int) -> Aligned:
    for some, target in islice(turns, steps):
        guide.step(mismatch(part, guide.values, some, target))
    return Aligned(guide.values, steps)


def _fit_until(part: nn.Module, guide: Side, turns: Turns, steps: int, stop: float, held: Samples, yardstick: Tensor) -> Aligned:
    best, done, idle = dict(guide.values), 0, 0
    least = mark = distance(part, best, held, yardstick)
    while done < steps and idle < PATIENCE:
        done += _fit(part, guide, turns, min(LOOK, steps - done)).steps
        now = distance(part, guide.values, held, yardstick)
        if now < least:
            least, best = now, params.combine(torch.clone, guide.values)
        mark, idle = (now, 0) if now < (1 - stop) * mark else (mark, idle + 1)
    return Aligned(best, done)


def wanted(server: nn.Module, truth: Params, kept: Samples) -> Tensor:
    """The server's gradient of each sample's own loss by its smashed data, as they are (n, ...)."""
    return torch.cat([ask(server, truth, kept.smashed[s], kept.y[s]) * len(kept.y[s]) for s in kept.pieces(server)])


def distance(part: nn.Module, weights: Params, kept: Samples, target: Tensor) -> float:
    """Squared distance of an auxiliary network's estimates from ``target``, summed over samples."""
    return float(((wanted(part, weights, kept) - target) ** 2).sum())


def mismatch(part: nn.Module, weights: Params, kept: Samples, target: Tensor) -> Params:
    """Gradient of :func:`distance` by the auxiliary network's parameters, piece by piece."""
    total: Params = {}
    for s in kept.pieces(part):
        for name, g in _mismatch(part, weights, Samples(kept.smashed[s], kept.y[s]), target[s]).items():
            total[name] = total[name].add_(g) if name in total else g
    return total


def _mismatch(part: nn.Module, weights: Params, kept: Samples, target: Tensor) -> Params:
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
