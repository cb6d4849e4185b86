"""What each block of a network holds and computes: counted once, by running one sample through it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from learning.compress import FLOAT_BITS


@dataclass(frozen=True)
class Profile:
    """Counts of a chain of L blocks, for one sample.

    Attributes
    ----------
    weights, biases : (L,) tuple of int
        Prunable parameters (two or more axes) and the others [1].
    tensors : (L,) tuple of int
        Parameter tensors; each has a scale of its own when it is quantised per tensor.
    channels : (L,) tuple of int
        Scales of these tensors when they are quantised per channel: one for each entry of the first axis, or of a vector one.
    buffers : (L,) tuple of int
        Floats that travel with the parameters: the statistics of batch norm [1].
    forward, backward : (L,) tuple of int
        Work of a pass through the block [FLOP]; multiplications and additions of matrix products and convolutions
        count, elementwise work does not.
    outputs : (L,) tuple of int
        Elements of the block's output: what crosses the air when the cut lies behind it [1].
    classes : int
        Number of classes.
    """

    weights: tuple[int, ...]
    biases: tuple[int, ...]
    tensors: tuple[int, ...]
    channels: tuple[int, ...]
    buffers: tuple[int, ...]
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    outputs: tuple[int, ...]
    classes: int

    @property
    def blocks(self) -> int:
        return len(self.weights)

    def flops(self, start: int, stop: int) -> int:
        """Forward and backward work of blocks start..stop-1 for one sample [FLOP]."""
        return sum(self.forward[start:stop]) + sum(self.backward[start:stop])

    @property
    def bits(self) -> int:
        """Size of all parameters and buffers in floats [bit]."""
        return self.floats(0, self.blocks) * FLOAT_BITS

    def floats(self, start: int, stop: int) -> int:
        """Parameters and buffers of blocks start..stop-1 [1]."""
        return sum(sum(counts[start:stop]) for counts in (self.weights, self.biases, self.buffers))


def profile(model: nn.Sequential, shape: Sequence[int], classes: int, received: bool = False) -> Profile:
    """Count ``model`` on one sample of ``shape``, in evaluation mode; the model is left as it was.

    With ``received``, the sample is smashed data, of which the gradient is needed too: so are the server side and
    auxiliary networks counted, with the ``shape`` that ``learning.models.smashed_shape`` tells. Otherwise it is data.
    """
    model = copy.deepcopy(model).cpu().eval()
    dtype = next((p.dtype for p in model.parameters()), None)
    x, rows = torch.zeros(1, *shape, dtype=dtype), []
    for number, block in enumerate(model):
        x = x.detach().requires_grad_(received or number > 0)
        with FlopCounterMode(display=False) as ahead:
            out = block(x)
        with FlopCounterMode(display=False) as behind:
            if out.requires_grad:
                out.sum().backward()
        rows.append((*_held(block), ahead.get_total_flops(), behind.get_total_flops(), out[0].numel()))
        x = out
    columns: list[Any] = [*zip(*rows, strict=True), classes]
    return Profile(*columns)


def _held(block: nn.Module) -> tuple[int, int, int, int, int]:
    """Weights, biases, parameter tensors, their channels, and entries of buffers of a block."""
    params = list(block.parameters())
    return (sum(p.numel() for p in params if p.dim() > 1), sum(p.numel() for p in params if p.dim() <= 1), len(params),
            sum(len(p) if p.dim() > 1 else 1 for p in params), sum(b.numel() for b in block.buffers()))
