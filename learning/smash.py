r"""Smashed data of which only a part is sent: dropout at random, or by feature.

Both are unbiased: what is kept is divided by the probability with which it is. What was not sent has no gradient, and none is
sent back for it: the same mask multiplies the smashed data on their way up and their gradients on their way down.

*Random.* In each sample, as many entries as the rate says are zero, drawn from a common seed: the mask does not cross the air.

*Feature* (SplitFC, arXiv 2307.10805, the dropout only, without its quantiser). The smashed data are a matrix of n samples and D
features; a feature, also of a convolution, is one element of the output for a sample. Column j, of standard deviation
:math:`\sigma_j` over the batch, is kept with probability :math:`q_j` or dropped as a whole, each for itself,

.. math:: q_j \propto \sigma_j + C, \qquad \sum_j q_j = (1 - \text{rate})\, D,                                      (1)

with the least :math:`C \ge 0` that lets no :math:`q_j` exceed one; kept columns are divided by :math:`q_j`. That the
probabilities follow the standard deviations and that gradients go with their columns is the paper's; the form of (1) is
reconstructed. Ours is that a tenth of the columns (EVEN) is shared out evenly: a column that hardly varies would otherwise be
sent next to never, times a huge number, or not at all, which is biased. The device divides, on the way up and on the way
back, so that the server need not know :math:`q_j`: side information is one bit a column, up only.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from learning.pruning import kept_of

KINDS = ("random", "feature")
EVEN = 0.1      # share of the columns that is kept without regard to their deviation [1]


class Sent(NamedTuple):
    """What crosses of the smashed data.

    Attributes
    ----------
    mask : (n, ...) tensor
        Zero where nothing is sent, 1 / (probability of being kept) elsewhere: its mean over the draws is one everywhere.
    entries : int
        Numbers that are sent [1], as many again on the way back.
    side_bits : float
        What tells the server which they are, up only [bit].
    """

    mask: Tensor
    entries: int
    side_bits: float


def drop(smashed: Tensor, rate: float, kind: str, rng: torch.Generator) -> Sent:
    """Draw what is sent of a batch.

    Parameters
    ----------
    smashed : (n, ...) tensor
        Outputs of the device's last block for n samples.
    rate : float
        Share of the entries that is not sent, in [0, 1) [1]: "random" sends exactly ``sent_of(size, rate)`` of each sample,
        "feature" drops that share of the columns on average, and it may happen that none is left.
    kind : str
        "random" or "feature".
    rng : torch.Generator
        On the CPU, wherever ``smashed`` is: draws are the same on every device.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate of dropout must be within [0, 1) [1], got {rate}")
    if kind not in KINDS:
        raise ValueError(f"kind of dropout must be one of {', '.join(KINDS)}, got {kind!r}")
    if smashed.dim() < 2:
        raise ValueError(f"smashed must have the shape (samples, ...), got {tuple(smashed.shape)}")
    return _features(smashed.detach(), rate, rng) if kind == "feature" else _entries(smashed, rate, rng)


def _entries(smashed: Tensor, rate: float, rng: torch.Generator) -> Sent:
    kept = sent_of(smashed[0].numel(), rate)
    return Sent(dropout_mask(smashed.shape, rate, rng, smashed.dtype).to(smashed.device), len(smashed) * kept, 0.0)


def _features(smashed: Tensor, rate: float, rng: torch.Generator) -> Sent:
    chance = keep_probability(smashed.flatten(1), rate)
    kept = torch.rand(chance.shape, generator=rng, dtype=chance.dtype).to(chance.device) < chance
    mask = (kept / chance).view(1, *smashed.shape[1:]).expand(smashed.shape)
    return Sent(mask, len(smashed) * int(kept.sum()), float(len(chance)))


def keep_probability(columns: Tensor, rate: float) -> Tensor:
    """Probabilities (D,) of (1) with which each of the (n, D) columns is kept; they sum to (1 - rate) D."""
    spread, share = columns.std(0, correction=0), 1 - rate
    if rate == 0 or spread.max() == 0:
        return torch.full_like(spread, share)
    even = ((share * spread.max() - spread.mean()) / rate).clamp(min=0)          # C
    return ((1 - EVEN) * (spread + even) / (spread.mean() + even) + EVEN).mul(share).clamp(max=1)


def sent_of(size: int, dropout: float) -> int:
    """Entries of ``size`` that random dropout sends: one at least."""
    return max(kept_of(size, dropout), 1)


def dropout_mask(shape: torch.Size, rate: float, rng: torch.Generator, dtype: torch.dtype) -> Tensor:
    """A random mask of mean one: in each row round(rate * n) of the n entries are 0 (never all), the others n over what is left.

    Both ends draw it from a common seed, so it does not cross the air.
    """
    rows, size = shape[0], int(torch.Size(shape[1:]).numel())
    kept = sent_of(size, rate)
    order = torch.rand(rows, size, generator=rng).argsort(dim=1)
    return ((order < kept).to(dtype) * (size / kept)).view(shape)
