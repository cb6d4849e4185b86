"""torch's optimisers as values: a step turns weights and moments into new ones, and leaves its arguments as they were."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learning.params import Params

Moments = dict[str, dict[str, Any]]      # what an optimiser remembers of each parameter: momentum, squares, number of steps


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
    """

    make: Callable[..., torch.optim.Optimizer]
    lr: float
    settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"the learning rate must be positive [1], got {self.lr}")

    def step(self, values: Params, grads: Params, moments: Moments) -> tuple[Params, Moments]:
        """Values and moments after one step on the parameters that ``grads`` names; the others stay."""
        if not grads:
            return values, moments
        moved = {name: values[name].detach().clone() for name in grads}
        groups = [[p for name, p in moved.items() if (name in moments) == known] for known in (True, False)]
        torchs = self.make([{"params": group} for group in groups if group], lr=self.lr, **dict(self.settings))
        for name, p in moved.items():
            p.grad = grads[name]
            if name in moments:
                torchs.state[p] = {key: v.clone() if isinstance(v, Tensor) else v for key, v in moments[name].items()}
        torchs.step()
        kept = {name: dict(torchs.state[p]) for name, p in moved.items() if any(v is not None for v in torchs.state[p].values())}
        for p in moved.values():
            p.grad = None
        return {**values, **moved}, {**moments, **kept}


def sgd(lr: float = 0.1, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimiser:
    """Stochastic gradient descent."""
    return Optimiser(torch.optim.SGD, lr, (("momentum", momentum), ("weight_decay", weight_decay), ("fused", True)))


def adam(lr: float = 1e-3, weight_decay: float = 0.0) -> Optimiser:
    """Adam, with the weight decay inside the gradient as in torch.optim.Adam."""
    return Optimiser(torch.optim.Adam, lr, (("weight_decay", weight_decay), ("fused", True)))
