"""torch's optimisers as values: what they are given stays as it was (unless it may be used up), and is copied only once."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learning.params import Params, keeps_all
from learning.split import Learnt

Moments = dict[str, dict[str, Any]]      # what an optimiser remembers of each parameter: momentum, squares, number of steps


ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.Adamax,
               torch.optim.Adadelta, torch.optim.NAdam, torch.optim.RAdam)


@dataclass(frozen=True)
class Optimiser:
    """A class of ``torch.optim`` with its settings; the moments belong to whoever trains.

    Attributes
    ----------
    make : callable
        Such as ``torch.optim.SGD``.
    lr : float
        Learning rate [1].
    settings : tuple of (str, value)
        Further settings of ``make``.
    in_place : bool
        Whether steps may move the moments that they are given, which are worth nothing afterwards, and hold no second copy.
    """

    make: Callable[..., torch.optim.Optimizer]
    lr: float
    settings: tuple[tuple[str, Any], ...] = ()
    in_place: bool = False

    @property
    def elementwise(self) -> bool:
        """Whether a step moves every entry for itself, so that several devices' can be one."""
        return self.make in ELEMENTWISE

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"the learning rate must be positive [1], got {self.lr}")

    def step(self, values: Params, grads: Params, moments: Moments) -> tuple[Params, Moments]:
        """Values and moments after one step on the parameters that ``grads`` names; the others stay."""
        side = Side(self, values, moments)
        side.step(grads)
        return (side.values, side.moments) if grads else (values, moments)


class Side:
    """A working copy of what one side trains in a round, which its steps move in place.

    What it was made of stays as it was (but for moments of an optimiser that is ``in_place``): values and moments are copied when
    a step first moves them, and then no more.

    Parameters
    ----------
    mask : Params
        Ones where weights are kept, zeros where they are pruned (and zero); names that are not in it are kept.

    Attributes
    ----------
    values : Params
        As they are now. A step moves these tensors in place; what others put here between two steps counts, too.
    """

    def __init__(self, optimiser: Optimiser, values: Params, moments: Moments, mask: Params | None = None) -> None:
        self.values, self._optimiser, self._before = dict(values), optimiser, moments
        self._mask = {name: m for name, m in (mask or {}).items() if not keeps_all(m)}
        self._own: Params = {}                                      # the copies, which torch's optimisers move
        self._torchs: list[torch.optim.Optimizer] = []              # one for what moved first in one step

    @classmethod
    def joined(cls, sides: Sequence["Side"]) -> "Side":
        """The sides of n devices as one: every value is (n, ...). They remember equally many steps of the same parameters."""
        one, values = sides[0], join([side.values for side in sides])
        masks = {name: [side._mask.get(name) for side in sides] for side in sides for name in side._mask}
        made = cls(one._optimiser, values, _join_moments([side.moments for side in sides]))
        made._mask = {name: torch.stack([torch.ones_like(one.values[name]) if m is None else m for m in each])
                      for name, each in masks.items()}
        return made

    def part(self, sides: Sequence["Side"]) -> None:
        """Give ``sides``, of which this one was joined, what they have become."""
        moments = self.moments
        for i, side in enumerate(sides):
            side.values = {name: v[i].clone() for name, v in self.values.items()}            # a view would keep all in memory
            side._before = {name: {key: v[i].clone() if _is_of_each(v) else deepcopy(v) for key, v in state.items()}
                            for name, state in moments.items()}
            side._own, side._torchs = {}, []

    @property
    def steps(self) -> tuple[tuple[str, float], ...]:
        """Steps that are remembered, by parameter: the same for sides that can be joined."""
        return tuple((name, float(state.get("step", 0.0))) for name, state in sorted(self.moments.items()))

    @property
    def moments(self) -> Moments:
        """What is remembered of each parameter; a step moves these tensors in place."""
        held = {p: dict(state) for torchs in self._torchs for p, state in torchs.state.items()}
        now = {name: held.get(p, {}) for name, p in self._own.items()}
        return {**self._before, **{name: state for name, state in now.items() if any(v is not None for v in state.values())}}

    def descend(self, done: Learnt) -> None:
        """A step on those values that the pass has gradients of, and its buffers; pruned weights stay at zero."""
        self.step({name: g for name, g in done.grads.items() if name in self.values})
        self.values.update({name: b for name, b in done.buffers.items() if name in self.values})

    def step(self, grads: Params) -> None:
        """A step on the values that ``grads`` names; the others stay."""
        joining = [name for name in grads if name not in self._own]
        for known in (True, False):                                 # of one optimiser all have moments, or none
            self._join([name for name in joining if (name in self._before) == known])
        for name, g in grads.items():
            self._own[name].grad = (g * self._mask[name] if name in self._mask else g).contiguous()
            if self.values[name] is not self._own[name]:
                self.values[name] = self._own[name].copy_(self.values[name])
        for torchs in self._torchs:
            torchs.step()
        for name in grads:
            self._own[name].grad = None
            if name in self._mask:
                self._own[name].mul_(self._mask[name])

    def _join(self, names: list[str]) -> None:
        """Copy values and moments of parameters that move from now on."""
        if not names:
            return
        copies = {name: _as_it_lies(self.values[name].detach()) for name in names}
        torchs = self._optimiser.make(list(copies.values()), lr=self._optimiser.lr, **dict(self._optimiser.settings))
        for name in copies.keys() & self._before.keys():
            torchs.state[copies[name]] = {key: self._movable(v) if isinstance(v, Tensor) else v
                                          for key, v in self._before[name].items()}
        self._torchs.append(torchs)
        self._own.update(copies)
        self.values.update(copies)

    def _movable(self, remembered: Tensor) -> Tensor:
        return remembered if self._optimiser.in_place and remembered.is_contiguous() else _as_it_lies(remembered)


def _as_it_lies(value: Tensor) -> Tensor:
    """A copy that lies in memory as its gradients do: fused steps read no strides."""
    return value.clone(memory_format=torch.contiguous_format)


def join(each: Sequence[Params]) -> Params:
    """The values (...) of n devices as one (n, ...), without a copy of what is the same for all."""
    return {name: v.expand(len(each), *v.shape) if all(values[name] is v for values in each)
            else torch.stack([values[name] for values in each]) for name, v in each[0].items()}


def _join_moments(each: Sequence[Moments]) -> Moments:
    return {name: {key: torch.stack([moments[name][key] for moments in each]) if _is_of_each(v) else deepcopy(v)
                   for key, v in state.items()} for name, state in each[0].items()}


def _is_of_each(remembered: Any) -> bool:
    """Whether each device has its own: all but the number of steps, which is one number."""
    return isinstance(remembered, Tensor) and remembered.dim() > 0


def sgd(lr: float = 0.1, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimiser:
    """Stochastic gradient descent."""
    return Optimiser(torch.optim.SGD, lr, (("momentum", momentum), ("weight_decay", weight_decay), ("fused", True)))


def adam(lr: float = 1e-3, weight_decay: float = 0.0) -> Optimiser:
    """Adam, with the weight decay inside the gradient as in torch.optim.Adam."""
    return Optimiser(torch.optim.Adam, lr, (("weight_decay", weight_decay), ("fused", True)))
