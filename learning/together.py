"""The networks of several devices as one, so that small ones need not be run one after another.

The twin of a network for n devices has their weights side by side, every parameter (n, ...). Data and results are (samples, n,
...). Inside, images are (samples, n channels, height, width), so that a convolution has n groups and a norm n times the channels;
features are (n, samples, width), so that a linear layer is one product of n matrices.
"""

import copy
from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from learning.models.blocks import Conv2d
from learning.models.resnet import Residual

SMALL = 12e6        # work of a mini-batch, of one device going forward, up to which convolutions gain by a twin [FLOP]


class Together(nn.Sequential):
    """A chain of blocks for ``copies`` devices; made by :func:`twin`."""

    def __init__(self, blocks: "OrderedDict[str, nn.Module]", copies: int):
        super().__init__(blocks)
        self.copies = copies

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            return super().__getitem__(at)
        return Together(OrderedDict(list(self._modules.items())[at]), self.copies)

    def forward(self, x: Tensor) -> Tensor:
        """(samples, n, ...) to (samples, n, ...)."""
        if x.dim() not in (3, 5):
            raise NotImplementedError("only features and images have a twin's layout")
        images = x.dim() == 5
        out = super().forward(x.flatten(1, 2).contiguous(memory_format=torch.channels_last) if images else x.transpose(0, 1))
        return out.unflatten(1, (self.copies, -1)) if out.dim() == 4 else out.transpose(0, 1)


class _Linear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3:
            raise NotImplementedError("only features have a twin's product")
        x = x.mT                                                 # so that the gradient by the weights comes as they lie
        return (self.weight @ x if self.bias is None else torch.baddbmm(self.bias[:, :, None], self.weight, x)).mT


class _Conv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.flatten(0, 1), None if self.bias is None else self.bias.flatten()
        groups = self.groups * len(self.weight)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)


class _BatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (None if t is None else t.flatten() for t in (
            self.running_mean, self.running_var, self.weight, self.bias))                # views: the statistics move in place
        return F.batch_norm(x, mean, variance, weight, bias, self.training or mean is None, self.momentum or 0.0, self.eps)


class _GroupNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise NotImplementedError("only images have a twin's norm")
        weight, bias = (None if t is None else t.flatten() for t in (self.weight, self.bias))
        return F.group_norm(x, self.num_groups * (x.shape[1] // self.num_channels), weight, bias, self.eps)


class _Flatten(nn.Flatten):
    copies: int

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.copies, -1)).transpose(0, 1).flatten(2).contiguous() if x.dim() == 4 else x


TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _Linear, nn.Conv2d: _Conv2d, Conv2d: _Conv2d, nn.BatchNorm2d: _BatchNorm2d, nn.GroupNorm: _GroupNorm,
    nn.Flatten: _Flatten,
}
AS_THEY_ARE = (nn.Sequential, Residual, nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.MaxPool2d,
               nn.AvgPool2d, nn.AdaptiveAvgPool2d)


_twins: "WeakKeyDictionary[nn.Module, dict[int, Together]]" = WeakKeyDictionary()
_gains: "WeakKeyDictionary[nn.Module, dict[torch.Size, bool]]" = WeakKeyDictionary()


def twin(net: nn.Sequential, copies: int) -> Together:
    """The network of ``copies`` devices, which is to be called with parameters and buffers of its own (copies, ...)."""
    known = _twins.setdefault(net, {})
    if copies not in known:
        known[copies] = _twin(net, copies)
    return known[copies].train(net.training)


def _twin(net: nn.Sequential, copies: int) -> Together:
    same = {id(t): t for t in (*net.parameters(), *net.buffers())}
    made = copy.deepcopy(net, same)                                  # its tensors stand for names only
    for layer in made.modules():
        layer.__class__ = TWINS.get(type(layer), type(layer))
        if isinstance(layer, _Flatten):
            layer.copies = copies
    return Together(OrderedDict(made._modules), copies)              # with layers that come twice


def gains(net: nn.Sequential, x: Tensor) -> bool:
    """Whether devices with mini-batches like ``x`` (samples, ...) are served faster by a twin of ``net``.

    All of its layers must be known here, and its convolutions small: on a processor, one convolution of many groups is
    slower than as many convolutions once each of them has enough to do.
    """
    known = _gains.setdefault(net, {})
    if x.shape not in known:
        known[x.shape] = can(net) and _pays(net, x)
    return known[x.shape]


def can(net: nn.Module) -> bool:
    """Whether all of its layers are known here."""
    return all(map(_can, net.modules()))


def _can(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return False
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        return False
    hooked = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks        # what they see would lie otherwise
    return not hooked and (type(layer) in TWINS or type(layer) in AS_THEY_ARE)


def _pays(net: nn.Sequential, x: Tensor) -> bool:
    """By a trial of one sample, without a trace."""
    values = {name: t.detach()[None].clone() for name, t in (*net.named_parameters(), *net.named_buffers())}
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            functional_call(twin(net, 1).eval(), values, (x[:1, None],))
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return counted.get_total_flops() * len(x) <= SMALL or not any(isinstance(layer, nn.Conv2d) for layer in net.modules())

