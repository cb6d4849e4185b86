"""Auxiliary networks: what a device trains against in place of the server, whose gradient it need not wait for.

Han et al., CSE-FSL (arXiv 2302.05599), train them on the local loss; Nair et al., FSL-SAGE (arXiv 2505.23182, ICML 2025),
so that their gradient of the smashed data is the server's. They take smashed data and give scores, in four sizes:

=========  ===============================================================================================================
"linear"   the mean of the smashed data over pixels or tokens, and a linear classifier
"half"     the first half of the blocks of the server's first stage, and the linear classifier behind it; where the stage is one
           block, that with half as many outputs in every layer (and, where it adds its input to its output as it is, a linear
           map of each pixel or token to half its width in front)
"stage"    the first stage of the server, and the linear classifier behind it
"full"     the whole server side
=========  ===============================================================================================================

The first stage is the first block of the server that has weights (with those in front of it) and, if that block changes the
shape of its input, those behind it that keep the shape that it gives; the server's last block is never part of it. Behind
the second stage of ResNet-18, that is layer3. A server of its last block alone has no stage, and "half" and "stage" are "linear".

The sizes are FSL-SAGE's, whose code has 3.522 MB for "half" of ResNet-18 behind its second stage, as this has. For stages of one
block "half" is ours.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learning.models.blocks import classifier, initialise, part, shapes, smashed_shape
from learning.models.vit import TokenMean

KINDS = ("linear", "half", "stage", "full")
Shape = tuple[int, ...]


def make(kind: str, net: nn.Sequential, cut: int, shape: Sequence[int], classes: int, seed: int | None) -> nn.Sequential:
    """An auxiliary network for the first ``cut`` blocks of ``net``, which is left as it was.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    net : nn.Sequential
        The whole network.
    cut : int
        Blocks on the device: 1 or more, and fewer than there are.
    shape : sequence of int
        Of one sample of the data.
    classes : int
        Number of classes.
    seed : int or None
        Of the initial weights; None keeps the server's own, and is for "full" only.

    Returns
    -------
    nn.Sequential
        Blocks from smashed data (n, ...) to scores (n, classes).
    """
    if kind not in KINDS:
        raise ValueError(f"kind of the auxiliary network must be one of {list(KINDS)}, got {kind!r}")
    if not 1 <= cut < len(net):
        raise ValueError(f"cut must be within 1 to {len(net) - 1} [blocks], so that the server has a block, got {cut}")
    if seed is None and kind != "full":
        raise ValueError(f"seed must be a whole number for kind {kind!r}, whose weights are its own, got None")
    with torch.random.fork_rng(devices=[]):          # new layers draw weights, which are drawn again from the seed
        made = copy.deepcopy(part(net, cut, len(net))) if kind == "full" else _smaller(kind, net, cut, shape, classes)
    if seed is not None:
        initialise(made.cpu(), seed)
    return made.to(next(net.parameters())).train(net.training)


def first_stage(net: nn.Sequential, cut: int, shape: Sequence[int]) -> int:
    """Number of the server's blocks that make up its first stage; 0 if only its last block has weights."""
    known, last = shapes(net, shape), len(net) - 1
    first = next((n for n in range(cut, last) if any(True for _ in net[n].parameters())), None)
    if first is None:
        return 0
    end = first + 1
    while known[first + 1] != known[first] and end < last and known[end + 1] == known[first + 1]:
        end += 1
    return end - cut


def _smaller(kind: str, net: nn.Sequential, cut: int, shape: Sequence[int], classes: int) -> nn.Sequential:
    """The kinds that end in a classifier of their own."""
    blocks, arriving = first_stage(net, cut, shape) if kind != "linear" else 0, smashed_shape(net, cut, shape)
    stage = part(net, cut, cut + (math.ceil(blocks / 2) if kind == "half" else blocks))
    body = _half_stage(stage, arriving) if kind == "half" and blocks == 1 else copy.deepcopy(stage)
    return nn.Sequential(*body, _scores(shapes(body, arriving)[-1], classes))


def _scores(shape: Shape, classes: int) -> nn.Sequential:
    """A linear classifier of images (channels, height, width), tokens (tokens, width) or features (width,)."""
    if len(shape) == 3:
        return classifier(shape[0], classes)
    return nn.Sequential(*[TokenMean()] * (len(shape) == 2), nn.Linear(shape[-1], classes))


def _half_stage(stage: nn.Sequential, arriving: Shape) -> nn.Sequential:
    """The stage at half its width, behind a linear map if it cannot take the smashed data themselves."""
    for front in ([], [_to_half(arriving)]):
        body = nn.Sequential(*front, *copy.deepcopy(stage).apply(_halve)).to(next(stage.parameters()).dtype)
        try:
            return _fitted(body, arriving)
        except RuntimeError as error:
            reason = error
    raise ValueError(f"kind 'half' is not possible for this network, some of whose layers fix their widths ({reason}); "
                     f"choose one of {[kind for kind in KINDS if kind != 'half']}")


def _to_half(shape: Shape) -> nn.Module:
    """A linear map of each pixel, token or feature vector to half its width."""
    return nn.Conv2d(shape[0], _half(shape[0]), 1) if len(shape) == 3 else nn.Linear(shape[-1], _half(shape[-1]))


def _half(width: int) -> int:
    return max(1, width // 2)


def _halve(layer: nn.Module) -> None:
    """Halve the outputs of a layer: its count of them, and its vectors (biases, scales, statistics)."""
    if not isinstance(layer, nn.Linear | nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
        return
    for name in {"out_features", "out_channels", "num_features", "num_channels"} & vars(layer).keys():
        setattr(layer, name, _half(getattr(layer, name)))
    if isinstance(layer, nn.GroupNorm):
        layer.num_groups = math.gcd(layer.num_groups, layer.num_channels)
    if isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = (*layer.normalized_shape[:-1], _half(layer.normalized_shape[-1]))
    for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
        if tensor.dim() == 1:
            tensor.data = tensor.data[:_half(len(tensor))].clone()


def _fitted(body: nn.Sequential, arriving: Shape) -> nn.Sequential:
    """The body whose layers take as many inputs as arrive at them when it runs."""
    layers = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(_fit) for layer in layers]
    with torch.no_grad():
        body.eval()(next(body.parameters()).new_zeros(1, *arriving))
    for hook in hooks:
        hook.remove()
    return body


def _fit(layer: nn.Module, arrived: tuple[Tensor]) -> None:
    """Give a layer as many inputs as arrive."""
    if isinstance(layer, nn.Linear):
        layer.in_features = arrived[0].shape[-1]
        layer.weight = nn.Parameter(layer.weight.new_zeros(layer.out_features, layer.in_features))
    elif isinstance(layer, nn.Conv2d):
        layer.in_channels = arrived[0].shape[1]
        layer.groups = math.gcd(layer.groups, layer.in_channels, layer.out_channels)
        inputs = layer.in_channels // layer.groups
        layer.weight = nn.Parameter(layer.weight.new_zeros(layer.out_channels, inputs, *layer.kernel_size))
