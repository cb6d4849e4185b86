"""Structured pruning: whole channels leave the device's part of a network, and its tensors really shrink.

Channels that a network adds together (residual connections) leave together: torch-pruning finds out which (Fang et al., DepGraph,
CVPR 2023). With a channel go the filter that makes it, its entries in batch norm, statistics too, and what the next layers have
of it: the small network is the full one with zeros in their place. What crosses the cut keeps its shape, so channels that reach
it stay, and so do those that a group or layer norm mixes, where a zero is not nothing. Between two pruned layers a weight stays
if both of its channels do: without the share r of channels, the weights fall to (1 - r)^2, not to 1 - r.
"""

import copy
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from learning.params import Params
from learning.pruning import kept_of

MIXING = (nn.GroupNorm, nn.LayerNorm)                   # layers in which one channel changes another
LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, *MIXING)


class Shrunk(NamedTuple):
    """A network without some of its device's channels.

    Attributes
    ----------
    net : nn.Sequential
        As many blocks as before, of the same names; those of the server are the full network's own.
    weights : Params
        Parameters and buffers of ``net``, as far as they were given.
    kept : Params
        For each parameter and buffer of the device's blocks the places of its entries in the flattened full tensor, int64, of the
        shape of the small tensor.
    """

    net: nn.Sequential
    weights: Params
    kept: Params


def shrink(net: nn.Sequential, weights: Params, blocks: int, ratio: float, shape: Sequence[int], multiple: int = 1) -> Shrunk:
    """Take the share ``ratio`` of the channels out of the first ``blocks`` blocks: of each group those with the least squares.

    Parameters
    ----------
    net : nn.Sequential
        Left as it is. Its device's weights belong to layers of the types LAYERS: of attention it is not known what a channel is.
    weights : Params
        Every parameter and buffer of the first ``blocks`` blocks, and others if you like; they decide which channels go.
    blocks : int
        Number of blocks that the device holds, 1 to L.
    ratio : float
        Share of channels, in [0, 1) [1]. Of n channels n - round(ratio n) are kept, one at least; of equal ones the first.
    shape : sequence of int
        Shape of one sample.
    multiple : int
        The number of kept channels is rounded to a multiple of this; a group that has fewer stays whole. Processors take channels
        by vectors: with 16 numbers in each, 33 channels take the time of 48 (``benchmarks/pruning.py``).
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"ratio of channels must be within [0, 1) [1], got {ratio}")
    if multiple < 1:
        raise ValueError(f"multiple must be 1 or more [channels], got {multiple}")
    front = _front(net, weights, blocks)
    _cut(front, ratio, shape, multiple)
    kept = {name: p.detach().to(torch.int64) for name, p in _tensors(front).items()}
    small = {**weights, **{name: weights[name].flatten()[place] for name, place in kept.items()}}
    for name, p in _tensors(front).items():
        p.data = small[name].detach().clone()
    return Shrunk(nn.Sequential(*front.train(net.training), *list(net)[blocks:]), small, kept)


def _front(net: nn.Sequential, weights: Params, blocks: int) -> nn.Sequential:
    """The device's blocks, for themselves, with these weights."""
    if not 1 <= blocks <= len(net):
        raise ValueError(f"blocks must be between 1 and {len(net)}, got {blocks}")
    front = nn.Sequential(*list(net)[:blocks])
    if missing := [name for name in _tensors(front) if name not in weights]:
        raise ValueError(f"weights must hold every parameter and buffer of the first {blocks} blocks, got none of {missing[0]}")
    if strange := [type(m).__name__ for m in front.modules() if [*m.parameters(False)] and not isinstance(m, LAYERS)]:
        raise ValueError(f"net must have its weights in {[layer.__name__ for layer in LAYERS]} to be shrunk, got {strange[0]}")
    front = copy.deepcopy(front).eval()
    for name, p in _tensors(front).items():
        p.data = weights[name].detach().clone()
    return front


def expand(values: Params, kept: Params, like: Params, fill: float = 0.0) -> Params:
    """Entries of the small network back in their places, ``fill`` in the others; names that are not in ``kept`` stay as they are.

    Parameters
    ----------
    values : Params
        Of the shapes of ``kept``.
    kept : Params
        As in :class:`Shrunk`.
    like : Params
        Tensors of the full shapes.
    """
    return {name: _put(v, kept[name], like[name], fill) if name in kept else v for name, v in values.items()}


def mask_of(kept: Params, like: Params) -> Params:
    """Ones where the small network has an entry, zeros elsewhere, of the full shapes and types of ``like``."""
    return expand({name: torch.ones_like(place, dtype=like[name].dtype) for name, place in kept.items()}, kept, like)


def _put(v: Tensor, place: Tensor, like: Tensor, fill: float) -> Tensor:
    full = torch.full((like.numel(),), fill, dtype=v.dtype, device=v.device)
    full[place.flatten()] = v.flatten()
    return full.view(like.shape)


def _tensors(module: nn.Module) -> Params:
    return dict((*module.named_parameters(), *module.named_buffers()))


def _cut(front: nn.Sequential, ratio: float, shape: Sequence[int], multiple: int) -> None:
    """Choose channels by their values, put the number of its place into each entry, and cut: what is left tells what was kept."""
    library = _library()
    x = next((p for p in front.parameters()), torch.empty(0)).new_zeros(1, *shape)
    end = _end(front, x)
    graph = library.DependencyGraph().build_dependency(nn.Sequential(front, end), x)
    groups = [group for group in graph.get_all_groups() if not any(_stays(dep.target.module, end) for dep, _ in group)]
    squares = library.importance.GroupMagnitudeImportance(p=2, group_reduction="sum", normalizer=None, bias=True)
    leave = [_least(squares(group), ratio, multiple) for group in groups]
    for p in _tensors(front).values():
        p.data = torch.arange(p.numel(), dtype=torch.float64, device=p.device).view(p.shape)     # exact
    for group, channels in zip(groups, leave, strict=True):
        if channels:
            graph.get_pruning_group(group[0].dep.target.module, group[0].dep.handler, channels).prune()


def _stays(module: nn.Module, end: nn.Module) -> bool:
    """Whether a group that passes through ``module`` cannot be cut."""
    return module is end or isinstance(module, MIXING)


def _end(front: nn.Module, x: Tensor) -> nn.Module:
    """A layer behind the cut: the groups that reach it are those that the cut sees."""
    with torch.no_grad():
        out = front(x)
    if out.dim() == 4:
        return skip_init(nn.Conv2d, out.shape[1], 1, 1, dtype=x.dtype, device=x.device)
    return skip_init(nn.Linear, out.shape[-1], 1, dtype=x.dtype, device=x.device)


def _least(squares: Tensor, ratio: float, multiple: int) -> list[int]:
    """The channels that leave, of equals the last."""
    whole = round(kept_of(len(squares), ratio) / multiple) * multiple
    return sorted(squares.argsort(descending=True, stable=True)[max(whole, multiple):].tolist())


def _library() -> ModuleType:
    try:
        return importlib.import_module("torch_pruning")
    except ImportError as error:
        raise ImportError("channels are cut by torch-pruning, which is not installed: pip install torch-pruning") from error
