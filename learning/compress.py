"""Less to compute and less to send: magnitude pruning, stochastic quantisation, activation dropout."""

import torch
from torch import Tensor

from learning.params import Params

FLOAT_BITS = 32      # an uncompressed number on the air
SCALE_BITS = 32      # the scale that travels with each quantised tensor


def keep_mask(params: Params, ratio: float) -> Params:
    """Ones on the largest weights of each tensor, zeros on the share ``ratio`` of smallest magnitude.

    Tensors with one axis (biases, norms) are kept whole. Per tensor, so that the work falls as the weights do. Of equal
    magnitudes the first are kept.
    """
    return {name: _largest(p, kept_of(p.numel(), ratio)) if p.dim() > 1 else torch.ones_like(p) for name, p in params.items()}


def kept_of(size: int, ratio: float) -> int:
    """Entries of ``size`` that pruning by ``ratio`` keeps."""
    return size - round(ratio * size)


def _largest(p: Tensor, kept: int) -> Tensor:
    mask = torch.zeros(p.numel(), dtype=p.dtype)
    mask[torch.argsort(p.abs().flatten(), descending=True, stable=True)[:kept]] = 1
    return mask.view_as(p)


def quantise(v: Tensor, bits: int, rng: torch.Generator) -> Tensor:
    """Unbiased stochastic rounding to a sign and ``bits`` - 1 bits of magnitude, of the largest entry's scale.

    The levels are j / s of the largest magnitude, s = 2^(bits-1) - 1, and each entry is rounded up with the
    probability that makes its mean exact. 32 bits and more send the tensor as it is.
    """
    if bits >= FLOAT_BITS:
        return v
    levels = 2 ** (bits - 1) - 1
    scale = v.abs().max()
    if scale == 0:
        return v
    steps = v / scale * levels
    low = steps.floor()
    up = torch.rand(v.shape, generator=rng, dtype=v.dtype) < steps - low
    return (low + up.to(v.dtype)) * (scale / levels)


def sent_bits(entries: float, bits: int, tensors: int = 1) -> float:
    """Size on the air of ``entries`` numbers in ``tensors`` tensors, with their scales where they are quantised [bit]."""
    return entries * bits + (tensors * SCALE_BITS if bits < FLOAT_BITS else 0)


def label_bits(classes: int) -> int:
    """Size on the air of one label [bit]."""
    return max(classes - 1, 1).bit_length()


def sent_of(size: int, dropout: float) -> int:
    """Entries of ``size`` that dropout sends: one at least."""
    return max(kept_of(size, dropout), 1)


def dropout_mask(shape: torch.Size, rate: float, rng: torch.Generator, dtype: torch.dtype) -> Tensor:
    """A random mask of mean one: in each row round(rate * n) of the n entries are 0 (never all), the others n over what is left.

    Both ends draw it from a common seed, so it does not cross the air.
    """
    rows, size = shape[0], int(torch.Size(shape[1:]).numel())
    kept = sent_of(size, rate)
    order = torch.rand(rows, size, generator=rng).argsort(dim=1)
    return ((order < kept).to(dtype) * (size / kept)).view(shape)
