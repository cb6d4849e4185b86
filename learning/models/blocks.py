"""What every chain of blocks keeps, and how it gets its first weights.

A chain is an ``nn.Sequential``; the names of its parameters start with the number of their block. Its only state beside
the parameters are buffers of floats (the running means and variances of batch norm), which can be averaged; it draws
nothing at random and changes no tensor in place.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

NORMS = ("batch", "group", "none")
GROUPS = 32      # of group norm, as its authors recommend; fewer where the channels do not divide by it


def build(make: Callable[..., nn.Sequential], shape: Sequence[int], classes: int, seed: int, **settings: Any) -> nn.Sequential:
    """A network with initial weights of its own ``seed``; torch's global generator is left as it was.

    Parameters
    ----------
    make : callable
        ``make(shape, classes, **settings)`` gives the chain of blocks.
    shape : sequence of int
        Of one sample, such as (channels, height, width).
    classes : int
        Number of classes.
    seed : int
        Of the weights.
    settings
        Further arguments of ``make``, such as ``norm="group"``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make(shape, classes, **settings)
        initialise(net, seed=None)
    return as_blocks(net)


def initialise(module: nn.Module, seed: int | None) -> None:
    """Draw all weights anew, in place: He's law and zero biases for convolutions and linear layers.

    Any other layer that has a ``reset_parameters``, such as a norm or a layer of attention, follows its own law, and may
    draw the layers inside it once more. With ``seed`` None the draws come from torch's global generator.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        module.apply(_start)


def _start(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, _NormBase):
        _start_norm(layer)
    elif callable(getattr(layer, "reset_parameters", None)):
        layer.reset_parameters()     # type: ignore[operator]


def _start_norm(layer: _NormBase) -> None:
    """Scale and variance one, shift and mean zero (torch's own way needs the counter that ``as_blocks`` takes out)."""
    for tensor, value in ((layer.weight, 1.0), (layer.bias, 0.0), (layer.running_mean, 0.0), (layer.running_var, 1.0)):
        if tensor is not None:
            nn.init.constant_(tensor, value)


def as_blocks(module: nn.Sequential) -> nn.Sequential:
    """A checked copy of a chain, with the weights that it has, that the algorithms can train.

    The copy's blocks are numbered from 0, its norms count no batches (so that buffers are floats), and no layer works in
    place. The argument is left as it was.
    """
    if not isinstance(module, nn.Sequential) or not len(module):
        raise ValueError(f"module must be an nn.Sequential of one block or more, got {type(module).__name__} of "
                         f"{len(list(module.children()))} children; use cut_at for other modules")
    chain = nn.Sequential(*copy.deepcopy(module))        # children() would give a layer that comes twice only once
    for name, layer in chain.named_modules():
        _check_layer(name, layer)
        if isinstance(layer, _NormBase):
            layer.num_batches_tracked = None
        if getattr(layer, "inplace", False):
            layer.inplace = False
    _check_tensors(chain)
    return chain


def _check_layer(name: str, layer: nn.Module) -> None:
    rate = layer.p if isinstance(layer, _DropoutNd) else getattr(layer, "dropout", 0.0)
    if isinstance(rate, int | float) and rate > 0:
        raise ValueError(f"layer {name}: the network must have no dropout layers, whose draws no seed of a run governs, "
                         f"got a rate of {rate} [1]; set it to 0")
    if isinstance(layer, _NormBase) and layer.track_running_stats and layer.momentum is None:
        raise ValueError(f"layer {name}: the momentum of a batch norm must be a number [1], got None, which needs a counter "
                         "of batches that cannot be averaged")


def _check_tensors(chain: nn.Sequential) -> None:
    for name, buffer in chain.named_buffers():
        if not buffer.is_floating_point():
            raise ValueError(f"buffer {name}: buffers must be floats, which can be averaged, got {buffer.dtype}")
    for (i, one), (j, other) in itertools.combinations(enumerate(chain), 2):
        if {*map(id, one.parameters())} & {*map(id, other.parameters())}:
            raise ValueError(f"each block must have parameters of its own, got some that blocks {i} and {j} share")


def normed(net: nn.Module) -> bool:
    """Whether samples of a mini-batch meet in the network: then no other device's may be among them."""
    return any(isinstance(layer, _BatchNorm) for layer in net.modules())


def shapes(net: nn.Sequential, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of one sample in front of each block and behind the last: L + 1 of them; the network is left as it was."""
    blocks: Iterable[nn.Module] = copy.deepcopy(net).cpu().eval()
    x = torch.zeros(1, *shape, dtype=next((p.dtype for p in net.parameters()), None))
    with torch.no_grad():
        return [tuple(v.shape[1:]) for v in itertools.accumulate(blocks, lambda v, block: block(v), initial=x)]


def smashed_shape(net: nn.Sequential, cut: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of what one sample of ``shape`` has become behind the first ``cut`` blocks."""
    return shapes(part(net, 0, cut), shape)[cut]


def part(net: nn.Sequential, start: int, stop: int) -> nn.Sequential:
    """Blocks start..stop-1 as a chain of their own, numbered from 0; they are shared, not copied."""
    return nn.Sequential(*list(net)[start:stop])


def image(shape: Sequence[int], least: int, network: str) -> tuple[int, int, int]:
    """Channels, height and width of a sample, or a sentence if ``network`` cannot take it."""
    if len(shape) != 3:
        raise ValueError(f"shape: {network} takes images (channels, height, width) [1, pixels, pixels], got {tuple(shape)}")
    channels, height, width = shape
    if min(height, width) < least:
        raise ValueError(f"shape: {network} needs at least {least} x {least} pixels, got {height} x {width}")
    return channels, height, width


class Conv2d(nn.Conv2d):
    """A convolution that, in training, multiplies only what meets data where an image becomes a single pixel.

    There most of a kernel meets nothing but the margin: of 3 x 3 weights on one pixel, one. Results are the same, and so is
    what a pass is counted as (``learning.profile``, which counts in evaluation mode).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, height, width) to images."""
        plain = x.dim() == 4 and self.groups == 1 and self.padding_mode == "zeros" and not isinstance(self.padding, str)
        reach = [self._taps(axis, size) for axis, size in enumerate(x.shape[2:])] if plain and self.training else []
        if not reach or None in reach:
            return super().forward(x)
        (taps_h, data_h), (taps_w, data_w) = reach                   # type: ignore[misc]
        seen, weight = x[:, :, data_h, data_w], self.weight[:, :, taps_h, taps_w]
        return linear(seen.flatten(1), weight.flatten(1), self.bias)[:, :, None, None]

    def _taps(self, axis: int, size: int) -> tuple[slice, slice] | None:
        """Along an axis of which one pixel is left: the weights that meet data, and the data; None if more is left."""
        kernel, stride, margin = self.kernel_size[axis], self.stride[axis], int(self.padding[axis])
        if self.dilation[axis] > 1 or margin > kernel or (size + 2 * margin - kernel) // stride != 0:
            return None
        first, last = max(0, margin), min(kernel, margin + size)
        return slice(first, last), slice(first - margin, last - margin)


def convolution(inputs: int, outputs: int, kernel: int, norm: str, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size of its images (but for the stride), and its norm; a bias only without one."""
    conv = Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm == "none")
    if norm == "batch":
        return [conv, nn.BatchNorm2d(outputs)]
    if norm == "group":
        return [conv, nn.GroupNorm(math.gcd(GROUPS, outputs), outputs)]
    if norm == "none":
        return [conv]
    raise ValueError(f"norm must be one of {list(NORMS)}, got {norm!r}")


def classifier(inputs: int, classes: int) -> nn.Sequential:
    """The mean over the image, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
