"""Passes forward and backward, whole or across a cut, with what the air does to what crosses it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Link
from learning.compress import label_bits
from learning.crossing import PLAIN, Compression, needed, send
from learning.params import Params
from learning.smash import drop
from learning.threads import own


class Forward(NamedTuple):
    """What a part of the network made of its input: the output with its graph, and its buffers afterwards."""

    out: Tensor
    leaves: Params
    buffers: Params


def forward(part: nn.Module, values: Params, x: Tensor) -> Forward:
    """Run ``x`` (n, ...) through a part of the network at the values of its parameters and buffers, which stay as they are.

    A single sample has no spread: batch norm then takes its running statistics.
    """
    part, x = own(part), x if x.dim() != 4 or x.requires_grad else channels_last(x)
    leaves = params.leaves(values, (name for name, _ in part.named_parameters()))
    buffers = {name: values[name].clone() for name, _ in part.named_buffers()}
    with _without_spread(part) if buffers and len(x) == 1 and part.training else nullcontext():
        return Forward(functional_call(part, {**leaves, **buffers}, (x,)), leaves, buffers)


def channels_last(x: Tensor) -> Tensor:
    """Images (n, channels, height, width) with the channels of a pixel beside each other in memory, which convolutions and
    maxima are faster with; also where one channel leaves torch the choice."""
    _, channels, height, width = x.shape
    strides = (channels * height * width, 1, width * channels, channels)
    return x.contiguous(memory_format=torch.channels_last).as_strided(x.shape, strides)


@contextmanager
def _without_spread(part: nn.Module) -> Iterator[None]:
    """Let batch norm take its running statistics for a while."""
    part.eval()
    try:
        yield
    finally:
        part.train()


class Learnt(NamedTuple):
    """Gradients of the mean loss of one batch, and the buffers afterwards."""

    grads: Params
    buffers: Params
    cut_grad: Tensor = torch.empty(0)    # by the smashed data that came in; empty where nothing did

    def beside(self, other: "Learnt") -> "Learnt":
        """With what another part of the network learnt from the same batch."""
        return self._replace(grads={**self.grads, **other.grads}, buffers={**self.buffers, **other.buffers})

    def back(self, cut: int) -> "Learnt":
        """What the server keeps of it."""
        return Learnt(params.back(self.grads, cut), params.back(self.buffers, cut))


def backward(ahead: Forward, arriving: Tensor | None = None) -> Params:
    """Gradient by each parameter, of which there may be none, from the gradient that arrives at the output."""
    by = ahead.leaves
    return dict(zip(by, torch.autograd.grad(ahead.out, list(by.values()), arriving) if by else (), strict=True))


def through(ahead: Forward, received: Tensor, arriving: Tensor | None = None) -> Learnt:
    """As :func:`backward`, and the gradient by what the part had ``received``."""
    *grads, cut_grad = torch.autograd.grad(ahead.out, [*ahead.leaves.values(), received], arriving)
    return Learnt(dict(zip(ahead.leaves, grads, strict=True)), ahead.buffers, cut_grad)


def mean_loss(scores: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy [nat] over the samples of scores (samples, classes), or of each device (n,) of (samples, n, classes)."""
    if y.dim() == 1:
        return cross_entropy(scores, y)
    return cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(0)


def learn(part: nn.Module, values: Params, x: Tensor, y: Tensor, link: Link | None = None) -> Learnt:
    """Gradient of the mean cross-entropy by every parameter of a part that ends in the classifier; the device has the labels."""
    ahead = forward(part, values, x)
    losses = mean_loss(ahead.out, y)
    if link is not None:
        link.losses.append(losses.detach())
    return Learnt(backward(ahead._replace(out=losses.sum())), ahead.buffers)


def serve(part: nn.Module, values: Params, received: Tensor, y: Tensor, link: Link | None = None) -> Learnt:
    """The server's side: as :func:`learn`, and the gradient by the smashed data ``received``; the labels came with them."""
    received = received.detach().requires_grad_()
    ahead = forward(part, values, received)
    losses = mean_loss(ahead.out, y)
    if link is not None:
        link.losses.append(losses.detach())
        link.up["labels"] += y.numel() * label_bits(ahead.out.shape[-1])
    return through(ahead._replace(out=losses.sum()), received)


def serve_all(part: nn.Module, values: Params, received: Tensor, y: Tensor, weight: Tensor, link: Link) -> Learnt:
    """As :func:`serve` for n devices at once, smashed data (samples, n, ...), by one model without batch norm.

    It learns from the mean of their losses by ``weight`` (n,), and the gradient of the smashed data is of each one's own loss.
    """
    received, weight = received.detach().requires_grad_(), weight / weight.sum()
    ahead = forward(part, values, received.flatten(0, 1))
    scores = ahead.out.unflatten(0, y.shape)
    losses = mean_loss(scores, y)
    link.losses.append(losses.detach())
    link.up["labels"] += y.numel() * label_bits(scores.shape[-1])
    served = through(ahead._replace(out=(losses * weight).sum()), received)
    return served._replace(cut_grad=served.cut_grad / weight.view(-1, *[1] * (received.dim() - 2)))


def ask(part: nn.Module, values: Params, received: Tensor, y: Tensor) -> Tensor:
    """The gradient of the smashed data alone, of the mean loss by a part that is not to learn from them."""
    received = received.detach().requires_grad_()
    ahead = forward(part, values, received)
    (cut_grad,) = torch.autograd.grad(mean_loss(ahead.out, y).sum(), received)
    return cut_grad


def split_gradient(net: nn.Sequential, values: Params, cut: int, x: Tensor, y: Tensor, compression: Compression = PLAIN,
                   rng: torch.Generator | None = None, link: Link | None = None) -> Learnt:
    """Gradient of the mean loss on a batch, the first ``cut`` blocks on the device and the others on the server.

    Without compression this is the gradient of the whole model: the cut moves the work, not the mathematics. With
    ``cut`` = L the device computes the loss itself, and nothing crosses. What crosses is entered in ``link``.
    """
    link = Link() if link is None else link
    if cut == len(net):
        return learn(net, values, x, y, link)
    ahead = forward(net[:cut], values, x)
    smashed = ahead.out.detach()
    sent = drop(smashed, compression.dropout, compression.dropout_kind, needed(rng)) if compression.dropout else None
    received, bits = send(smashed, sent, compression.smashed_bits, compression.scales, rng)
    link.up["smashed"] += bits + (sent.side_bits if sent else 0.0)                      # device -> server
    served = serve(net[cut:], values, received, y, link)
    arriving, bits = send(served.cut_grad, sent, compression.cut_bits, compression.scales, rng)
    link.down["gradients"] += bits                                                      # server -> device
    return served.beside(Learnt(backward(ahead, arriving), ahead.buffers))


def split_gradients(net: nn.Sequential, own: nn.Sequential, values: Params, server: Params, cut: int, x: Tensor, y: Tensor,
                    weight: Tensor, link: Link) -> tuple[Learnt, Learnt]:
    """As :func:`split_gradient` for n devices at once, whose twin is ``own`` and who have one server: what each of them learns,
    and what the server learns from all, by ``weight`` (n,)."""
    if cut == len(net):
        return learn(own, values, x, y, link), Learnt({}, {})
    ahead = forward(own[:cut], values, x)
    received, bits = send(ahead.out.detach())
    link.up["smashed"] += bits                                                          # device -> server
    served = serve_all(net[cut:], server, received, y, weight, link)
    arriving, bits = send(served.cut_grad)
    link.down["gradients"] += bits                                                      # server -> device
    return Learnt(backward(ahead, arriving), ahead.buffers), served
