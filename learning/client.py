"""What a device does with its part of the model, whatever the algorithm: prune, descend, send the update."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from learning import params
from learning.algorithm import Affine, Draws, Link, Plan, Shard, Work
from learning.compress import FLOAT_BITS, label_bits, quantise, scales_of, sent_bits
from learning.crew import Team
from learning.crossing import PLAIN, Compression, crossing_bits, send, side_bits
from learning.masking import prune
from learning.optimiser import Moments, Side
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt, split_gradient, split_gradients
from learning.training import Batch, Training


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


def some_uploads(team: Team, out: Tensor, done: dict[int, int], every: int, links: Sequence[Link]) -> dict[int, Batch]:
    """What the server receives of a team's outputs, of those devices whose turn it is: of each, one mini-batch in ``every``, the
    first of a round among them. ``done`` counts each device's mini-batches, this one too from now on."""
    arrived: dict[int, Batch] = {}
    for k, smashed, y in zip(team.devices, team.each(out.detach()), team.each(team.y), strict=True):
        if done[k] % every == 0:
            received, bits = send(smashed)
            links[k].up["smashed"] += bits                                                   # device -> server
            arrived[k] = received, y
        done[k] += 1
    return arrived


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
