"""What a device does with its part of the model, whatever the algorithm: prune, descend, send the update."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from learning import average, params
from learning.algorithm import Affine, Draws, Link, Plan, Shard, Work
from learning.compress import FLOAT_BITS, label_bits, quantise, scales_of, sent_bits
from learning.crew import Team
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.pruning import SCOPES, SCORES, average_kept, keep_mask, score
from learning.split import PLAIN, Compression, Learnt, crossing_bits, side_bits, split_gradient, split_gradients
from learning.training import Training

TIE = 1e-9      # weight of the magnitude beside a score: it decides between equals


class Kept(NamedTuple):
    """What a device keeps of its weights: ones and zeros at a pruning ratio."""

    ratio: float
    mask: Params


@dataclass(frozen=True)
class Trace:
    """What pruning remembers of the rounds before, as far as its settings ask for it.

    Attributes
    ----------
    moved : Params
        Last move of the averaged model.
    last : (K,) tuple of Params
        What each device last ended a round with.
    kept : (K,) tuple of Kept or None
        The last masks.
    alive : Params
        Ones where somebody kept a weight at the last averaging, zeros where all pruned it; empty if nobody pruned.
    """

    moved: Params
    last: tuple[Params, ...]
    kept: tuple[Kept | None, ...]
    alive: Params

    @classmethod
    def empty(cls, devices: int) -> "Trace":
        return cls({}, ({},) * devices, (None,) * devices, {})

    def served(self, model: Params) -> Params:
        """The model that serves: without the weights that nobody trained."""
        return prune(model, self.alive)


@dataclass(frozen=True)
class Pruning:
    """Which weights a device prunes. Both sides know what decides, so masks do not cross the air.

    Attributes
    ----------
    kind : str
        Pruned are the weights of least "magnitude", or of least "gradient" |w g|, g the last move of the averaged model, or of
        least "difference" between the averaged model and what the device last had (both: and then of least magnitude); or
        "random" ones. A weight that all devices prune does not move: by gradient or difference it stays pruned.
    scope : str
        The ratio holds for each "layer", or "global" for all layers together.
    kept_only : bool
        A weight is averaged over the devices that kept it; otherwise a pruned weight counts as a zero update.
    refresh : int
        Masks are drawn anew in one round of so many; in between they stand, unless cut or ratio change.
    """

    kind: str = "magnitude"
    scope: str = "layer"
    kept_only: bool = False
    refresh: int = 1

    def __post_init__(self) -> None:
        if self.kind not in SCORES or self.scope not in SCOPES:
            raise ValueError(f"pruning is by one of {list(SCORES)} and {list(SCOPES)}, got {self.kind!r} and {self.scope!r}")
        if self.refresh < 1:
            raise ValueError(f"refresh must be 1 or more [rounds], got {self.refresh}")

    def mask(self, weights: Params, ratio: float, trace: Trace, device: int, number: int, rng: torch.Generator) -> Params:
        """Ones where ``weights`` are kept in round ``number``, zeros elsewhere; by magnitude while nothing is remembered."""
        held = trace.kept[device]
        if number % self.refresh and held and held.ratio == ratio and held.mask.keys() == weights.keys():
            return held.mask
        return self.mask_by(weights, ratio, {"gradient": trace.moved, "difference": trace.last[device]}.get(self.kind, {}), rng)

    def mask_by(self, weights: Params, ratio: float, known: Params, rng: torch.Generator) -> Params:
        """A mask by what is ``known``, the gradient or the values to differ from; of equal scores the larger weights are kept."""
        if not ratio:
            return params.ones(weights)
        if self.kind == "magnitude" or (self.kind != "random" and not all(name in known for name in weights)):
            return keep_mask(weights, ratio, scope=self.scope)
        worth, size = score(self.kind, weights, grads=known, reference=known, rng=rng), score("magnitude", weights)
        most = [max(float(v.max()) for v in scores.values() if v.numel()) or 1.0 for scores in (worth, size)]
        return keep_mask(weights, ratio, params.combine(lambda w, m: w / most[0] + TIE * m / most[1], worth, size), self.scope)

    def merge(self, base: Params, updates: Mapping[int, Params], kept: Mapping[int, Kept], share: Mapping[int, float]) -> Params:
        """``base`` moved by the mean update."""
        if not updates:
            return base
        if not self.kept_only:
            return params.combine(torch.add, base, average.mean(updates, share))
        nothing = params.combine(torch.zeros_like, base)
        moved = average_kept(list(updates.values()), [kept[k].mask for k in updates], [share[k] for k in updates], nothing)
        return params.combine(torch.add, base, moved)

    def trace(self, before: Trace, base: Params, updates: Mapping[int, Params], model: Params,
              kept: Mapping[int, Kept]) -> Trace:
        """What is to be remembered after a round that took the model from ``base`` to ``model``."""
        moved, last, masks, alive = before.moved, before.last, before.kept, before.alive
        if self.kind == "gradient" and updates:
            moved = params.combine(torch.sub, model, base)
        if self.kind == "difference":
            last = tuple(params.combine(torch.add, base, updates[k]) if k in updates else p for k, p in enumerate(last))
        if self.refresh > 1:
            masks = tuple(kept.get(k, held) for k, held in enumerate(masks))
        if kept:
            alive = _anyones(base, [held.mask for held in kept.values()]) if all(held.ratio for held in kept.values()) else {}
        return Trace(moved, last, masks, alive)


def _anyones(weights: Params, masks: Sequence[Params]) -> Params:
    """Ones where at least one of the masks has one, or does not know the weight."""
    return {name: torch.stack([mask.get(name, torch.ones_like(p)) for mask in masks]).amax(0) for name, p in weights.items()}


BY_MAGNITUDE = Pruning()


def prune(weights: Params, mask: Params) -> Params:
    """The weights with what ``mask`` leaves out set to zero; names that are not in the mask stay."""
    return {name: p * mask[name] if name in mask and not params.keeps_all(mask[name]) else p for name, p in weights.items()}


def fetch(model: Params, held: Params, cut: int, link: Link) -> Params:
    """The first ``cut`` blocks as the device holds them, with what it lacks downloaded."""
    missing = {name: p for name, p in params.front(model, cut).items() if name not in held}
    if missing:
        link.down["model"] += size_bits(missing)                                             # server -> device
    return {**missing, **params.front(held, cut)}


def visit(net: nn.Sequential, training: Training, shard: Shard, plan: Plan, draws: Draws, front: Side, server: Side,
          link: Link) -> None:
    """A round of one device with a server side: its own side comes down, both take a step on each batch, its own goes up."""
    link.down["model"] += size_bits(front.values)                                            # server -> device
    for x, y in training.batches(shard, draws):
        step(net, plan.cut, front, server, x, y, link)
    link.up["model"] += size_bits(front.values)                                              # device -> server


def step(net: nn.Sequential, cut: int, front: Side, server: Side, x: Tensor, y: Tensor, link: Link) -> None:
    """A step of both sides on a mini-batch."""
    done = split_gradient(net, {**server.values, **front.values}, cut, x, y, link=link)
    front.descend(done)
    server.descend(done.back(cut))


def served_step(net: nn.Sequential, cut: int, team: Team, server: Params, weight: Mapping[int, float],
                compression: Compression = PLAIN, rng: torch.Generator | None = None) -> tuple[Learnt, float]:
    """A step of devices that have one server, all alike or each alone: what it learns from them, and how much they weigh."""
    (own,), shares = team.sides, [weight[k] for k in team.devices]
    if len(shares) > 1:
        each = torch.tensor(shares, dtype=team.x.dtype, device=team.x.device)
        done, back = split_gradients(net, team.net, own.values, server, cut, team.x, team.y, each, team.link)
    else:
        done = split_gradient(net, {**server, **own.values}, cut, team.x, team.y, compression, rng, team.link)
        back = done.back(cut)
    own.descend(done)
    return back, sum(shares)


def moments(sides: Mapping[int, Side], before: Sequence[Moments]) -> tuple[Moments, ...]:
    """What each device's optimiser remembers after a round; who was not there remembers what it did."""
    return tuple(sides[k].moments if k in sides else held for k, held in enumerate(before))


def upload(net: nn.Module, update: Params, mask: Params, compression: Compression, rng: torch.Generator, link: Link) -> Params:
    """The update as the server receives it: without what was pruned; buffers in floats, for a variance must stay positive."""
    bits, scales = compression.update_bits, compression.scales
    floats = {name for name, _ in net.named_buffers()} if bits < FLOAT_BITS else update.keys()
    link.up["model"] += model_bits({name: mask[name] for name in mask if name in floats}) + sum(
        sent_bits(params.kept(m), bits, scales_of(m.shape, scales)) for name, m in mask.items() if name not in floats)
    return prune({name: u if name in floats else quantise(u, bits, rng, scales) for name, u in update.items()}, mask)


def model_bits(mask: Params) -> float:
    """Size of what ``mask`` keeps of a model, in floats [bit]."""
    return float(sum(map(params.kept, mask.values())) * FLOAT_BITS)


def size_bits(weights: Params) -> float:
    """Size of a model in floats [bit]."""
    return float(sum(p.numel() for p in weights.values()) * FLOAT_BITS)


def model_up(profile: Profile, blocks: int, compression: Compression) -> Affine:
    """Uplink load of an update of the first ``blocks`` blocks [bit]: the row of :func:`upload` in the cost table.

    Which weights were kept is not charged: both sides know what decides.
    """
    bits, scales = compression.update_bits, profile.tensors if compression.scales == "tensor" else profile.channels
    fixed = sent_bits(sum(profile.biases[:blocks]), bits, sum(scales[:blocks])) + sum(profile.buffers[:blocks]) * FLOAT_BITS
    return Affine(fixed, sum(profile.weights[:blocks]) * bits)


def model_down(profile: Profile, blocks: int) -> Affine:
    """Downlink load of the first ``blocks`` blocks [bit]: the row of :func:`model_bits` in the cost table."""
    rest = sum(profile.biases[:blocks]) + sum(profile.buffers[:blocks])
    return Affine(rest * FLOAT_BITS, sum(profile.weights[:blocks]) * FLOAT_BITS)


def split_work(profile: Profile, cut: int, sizes: Sequence[int], compression: Compression = PLAIN, download: float = 1.0,
               upload: float = 1.0) -> Work:
    """Work of a round of mini-batches of ``sizes`` across a cut, with a client model down and up (as often as said)."""
    samples, crossing, returning, labels = sum(sizes), 0.0, 0.0, 0.0
    if cut < profile.blocks:
        outputs = profile.outputs[cut - 1]
        crossing, returning = (sum(crossing_bits(size, outputs, compression, bits) for size in sizes)
                               for bits in (compression.smashed_bits, compression.cut_bits))
        crossing += len(sizes) * side_bits(outputs, compression)
        labels = samples * label_bits(profile.classes)
    up, down = model_up(profile, cut, compression), model_down(profile, cut)
    return Work(
        device_flops=Affine(0.0, samples * profile.flops(0, cut)),
        uplink_bits=Affine(crossing + labels + upload * up.fixed, upload * up.kept),
        server_flops=Affine(samples * profile.flops(cut, profile.blocks)),
        downlink_bits=Affine(returning + download * down.fixed, download * down.kept),
    )
