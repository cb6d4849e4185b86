"""What each block of a network holds and computes: counted once, by running one sample through it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Profile:
    """Counts of a chain of L blocks, for one sample.

    Attributes
    ----------
    weights, biases : (L,) tuple of int
        Prunable parameters (two or more axes) and the others [1].
    tensors : (L,) tuple of int
        Parameter tensors; each has a scale of its own when it is quantised.
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


def profile(model: nn.Sequential, shape: Sequence[int], classes: int) -> Profile:
    """Count ``model`` on one sample of ``shape``, in evaluation mode; the model is left as it was."""
    training = model.training
    model.eval()
    dtype = next(model.parameters()).dtype
    x, rows = torch.zeros(1, *shape, dtype=dtype), []
    for number, block in enumerate(model):
        x = x.detach().requires_grad_(number > 0)         # nobody needs the gradient of the data
        with FlopCounterMode(display=False) as ahead:
            out = block(x)
        with FlopCounterMode(display=False) as behind:
            if out.requires_grad:
                out.sum().backward()
        rows.append((sum(p.numel() for p in block.parameters() if p.dim() > 1),
                     sum(p.numel() for p in block.parameters() if p.dim() <= 1),
                     sum(1 for _ in block.parameters()),
                     ahead.get_total_flops(), behind.get_total_flops(), out[0].numel()))
        x = out
    model.zero_grad()
    model.train(training)
    weights, biases, tensors, forward, backward, outputs = zip(*rows, strict=True)
    return Profile(weights, biases, tensors, forward, backward, outputs, classes)
