"""One forward and backward pass across a cut, with what the air does to it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import params
from learning.compress import FLOAT_BITS, dropout_mask, label_bits, quantise, sent_bits, sent_of
from learning.params import Params


@dataclass(frozen=True)
class Compression:
    """How numbers are made small before they are sent.

    Attributes
    ----------
    update_bits : int
        Bits of an entry of the client model's update on the uplink, 2 to 32; 32 sends floats.
    cut_bits : int
        Bits of an entry of the smashed data, and of their gradients on the way back.
    dropout : float
        Share of the smashed data that is not sent (nor its gradient), in [0, 1).
    """

    update_bits: int = 32
    cut_bits: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("update_bits", "cut_bits"):
            if not 2 <= getattr(self, name) <= 32:
                raise ValueError(f"{name} must be between 2 and 32 [bit], got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1) [1], got {self.dropout}")


PLAIN = Compression()


class Pass(NamedTuple):
    """One batch, forward and backward."""

    loss: float
    grads: Params
    up: float        # smashed data and labels [bit]
    down: float      # gradients of the smashed data [bit]


def split_gradient(model: nn.Sequential, weights: Params, cut: int, x: Tensor, y: Tensor,
                   compression: Compression = PLAIN, rng: torch.Generator | None = None) -> Pass:
    """Gradient of the mean loss on a batch, the first ``cut`` blocks on the device and the others on the server.

    Without compression this is the gradient of the whole model: the cut moves the work, not the mathematics. With
    ``cut`` = L the device computes the loss itself, and nothing crosses.
    """
    front, back = params.leaves(params.front(weights, cut)), params.leaves(params.back(weights, cut))
    smashed = functional_call(model[:cut], front, (x,))
    if cut == len(model):
        loss = cross_entropy(smashed, y)
        return Pass(loss.item(), _gradient(loss, front), 0.0, 0.0)
    mask = dropout_mask(smashed.shape, compression.dropout, needed(rng), x.dtype) if compression.dropout else None
    received, crossed = _send(smashed.detach(), mask, compression.cut_bits, rng)      # device -> server
    received.requires_grad_()
    scores = functional_call(model[cut:], back, (received,))
    loss = cross_entropy(scores, y)
    *grad_back, grad_cut = torch.autograd.grad(loss, [*back.values(), received])
    grad_cut, returned = _send(grad_cut, mask, compression.cut_bits, rng)             # server -> device
    grad_front = _gradient(smashed, front, grad_cut)
    return Pass(loss.item(), {**grad_front, **dict(zip(back, grad_back, strict=True))},
                crossed + len(y) * label_bits(scores.shape[1]), returned)


def _gradient(of: Tensor, by: Params, arriving: Tensor | None = None) -> Params:
    """Gradient of ``of`` by each parameter, of which there may be none, from the gradient that arrives at it."""
    return dict(zip(by, torch.autograd.grad(of, list(by.values()), arriving) if by else (), strict=True))


def crossing_bits(samples: int, outputs: int, compression: Compression) -> float:
    """Size of a batch's smashed data, or of their gradients, ``outputs`` elements a sample [bit]."""
    return sent_bits(samples * sent_of(outputs, compression.dropout), compression.cut_bits)


def _send(v: Tensor, mask: Tensor | None, bits: int, rng: torch.Generator | None) -> tuple[Tensor, float]:
    """What the other side receives, and the bits that it took."""
    entries = v.numel() if mask is None else int((mask > 0).sum())
    v = v.clone() if mask is None else v * mask
    return v if bits >= FLOAT_BITS else quantise(v, bits, needed(rng)), sent_bits(entries, bits)


def needed(rng: torch.Generator | None) -> torch.Generator:
    """The generator, or a sentence where there is none."""
    if rng is None:
        raise ValueError("dropout and quantisation draw at random: give them a torch.Generator")
    return rng
