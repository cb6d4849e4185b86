r"""Fewer bits a number: an unbiased stochastic quantiser, and what numbers take on the air.

An entry v of a tensor whose largest magnitude is M is rounded to one of the two neighbours on a grid of step u, upwards with the
probability c that makes its mean exact:

.. math:: Q(v) \in \{a, a + u\}, \quad a \le v < a + u, \quad c = (v - a) / u, \qquad
          \mathrm{E}\, Q(v) = v, \quad \mathrm{Var}\, Q(v) = u^2 c (1 - c).                                         (1)

With b bits, 2 to 16, the grid is a sign and b - 1 bits of magnitude, u = M / s with s = 2^(b-1) - 1: zero is on it and stays.
With one bit it is {-M, M}, u = 2M: nothing is zero, so whoever has entries known to be zero must set them to zero again. For n
entries with one scale, as c (1 - c) <= min(c, 1 - c, 1/4) and M <= \|\|v\|\|,

.. math:: \mathrm{E} \lVert Q(v) - v \rVert^2 \le \omega \lVert v \rVert^2, \qquad
          \omega = \min\Bigl(\frac{n}{4 s^2}, \frac{\sqrt n}{s}\Bigr), \quad \text{one bit: } \omega = n - 1.       (2)

(Alistarh et al., QSGD, arXiv 1610.02132, with the largest magnitude in the place of the norm.)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FLOAT_BITS = 32                      # an uncompressed number on the air
SCALE_BITS = 32                      # the scale M that travels with what is quantised by it
BITS = (*range(1, 17), FLOAT_BITS)   # what a number may take
PER = ("tensor", "channel")          # what has a scale of its own


def quantise(v: Tensor, bits: int, rng: torch.Generator, per: str = "tensor") -> Tensor:
    """Unbiased stochastic rounding (1) to ``bits`` bits an entry.

    Parameters
    ----------
    v : tensor of any shape
    bits : int
        1 to 16, or 32 for the tensor as it is, without a draw [bit].
    rng : torch.Generator
        Takes one draw for each entry; on the CPU, wherever ``v`` is, so that draws are the same on every device.
    per : str
        One scale for the "tensor", or one for each "channel": each index of the first axis, where there are two axes or more.
    """
    _check(bits, per)
    if bits == FLOAT_BITS or not v.numel():
        return v
    low, step, chance = _grid(v, bits, per)
    up = torch.rand(v.shape, generator=rng, dtype=v.dtype).to(v.device) < chance
    return (low + up.to(v.dtype)) * step


def rounding_variance(v: Tensor, bits: int, per: str = "tensor") -> Tensor:
    """Variance (1) of each entry of ``quantise(v, bits, rng, per)``, of the shape of ``v``."""
    _check(bits, per)
    if bits == FLOAT_BITS or not v.numel():
        return torch.zeros_like(v)
    _, step, chance = _grid(v, bits, per)
    return step**2 * chance * (1 - chance)


def variance_bound(entries: int, bits: int) -> float:
    """Most that E \\|\\|Q(v) - v\\|\\|^2 / \\|\\|v\\|\\|^2 can be for ``entries`` numbers with one scale: omega of (2) [1]."""
    _check(bits, "tensor")
    if bits == FLOAT_BITS:
        return 0.0
    if bits == 1:
        return entries - 1.0
    levels = 2 ** (bits - 1) - 1
    return min(entries / (4 * levels**2), math.sqrt(entries) / levels)


def _check(bits: int, per: str) -> None:
    if bits not in BITS:
        raise ValueError(f"bits of an entry must be 1 to 16, or 32 for floats [bit], got {bits}")
    if per not in PER:
        raise ValueError(f"per must be one of {', '.join(PER)}, got {per!r}")


def _grid(v: Tensor, bits: int, per: str) -> tuple[Tensor, Tensor, Tensor]:
    """Level below each entry in units of the step, the step u, and the chance c to go up."""
    largest = v.abs().amax(tuple(range(1, v.dim())), keepdim=True) if scales_of(v.shape, per) > 1 else v.abs().max()
    levels, shift = (2 ** (bits - 1) - 1, 0.0) if bits > 1 else (0.5, 0.5)
    place = v / largest.where(largest != 0, 1) * levels + shift
    low = place.floor()
    return low - shift, largest / levels, place - low


def scales_of(shape: Sequence[int], per: str) -> int:
    """Scales that travel with a quantised tensor: one, or one for each index of the first of two axes or more."""
    return shape[0] if per == "channel" and len(shape) > 1 else 1


def sent_bits(entries: float, bits: int, scales: int = 1) -> float:
    """Size on the air of ``entries`` numbers, with ``scales`` scales where they are quantised [bit]."""
    return entries * bits + (scales * SCALE_BITS if bits < FLOAT_BITS else 0)


def label_bits(classes: int) -> int:
    """Size on the air of one label [bit]."""
    return max(classes - 1, 1).bit_length()
