"""Parameters and buffers by name, and arithmetic that leaves its arguments as they were."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Params = dict[str, Tensor]   # as in nn.Module.named_parameters() and named_buffers(); names start with the block's number


def values(module: nn.Module) -> Params:
    """The parameters of a module, and its buffers (statistics of batch norm), as plain tensors of their own."""
    return {name: p.detach().clone() for name, p in (*module.named_parameters(), *module.named_buffers())}


def leaves(params: Params, names: Iterable[str]) -> Params:
    """The values that ``names`` names, ready for autograd."""
    return {name: params[name].detach().requires_grad_() for name in names}


def combine(f: Callable[..., Tensor], *params: Params) -> Params:
    """``f`` applied name by name."""
    return {name: f(*(p[name] for p in params)) for name in params[0]}


def weighted_sum(params: Sequence[Params], weights: Iterable[float]) -> Params:
    """Weighted sum, name by name, in the order given."""
    pairs = list(zip(weights, params, strict=True))
    return {name: torch.stack([w * p[name] for w, p in pairs]).sum(0) for name in params[0]}


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones((), dtype=dtype, device=device)


def ones(values: Mapping[str, Tensor]) -> Params:
    """A mask that keeps all, for next to nothing: its entries are one number in memory."""
    return {name: _one(p.dtype, p.device).expand(p.shape) for name, p in values.items()}


def keeps_all(mask: Tensor) -> bool:
    """Whether a mask of ones and zeros has no zero."""
    return mask.numel() == 0 or mask.data_ptr() == _one(mask.dtype, mask.device).data_ptr() or bool(mask.amin() > 0)


def kept(mask: Tensor) -> int:
    """Entries that a mask of ones and zeros keeps."""
    return mask.numel() if keeps_all(mask) else int(mask.sum())


class Mean:
    """A mean that grows device by device, over those that hold a name and kept an entry: nobody's values are kept for it."""

    def __init__(self) -> None:
        self._sum: Params = {}
        self._mass: dict[str, float | Tensor] = {}

    def add(self, values: Params, weight: float, mask: Params | None = None) -> None:
        """What a device holds, its weight [1], and a mask that is not zero where it kept an entry (all of a name without one)."""
        for name, v in values.items():
            m = (mask or {}).get(name)
            here = None if m is None or keeps_all(m) else m != 0
            kept_v = v if here is None else torch.where(here, v, 0)
            self._sum[name] = self._sum[name].add_(kept_v, alpha=weight) if name in self._sum else weight * kept_v
            self._mass[name] = self._mass.get(name, 0.0) + (weight if here is None else weight * here.to(v.dtype))

    def values(self, otherwise: Params | None = None) -> Params:
        """The mean so far; ``otherwise`` where nobody kept an entry, or zero."""
        return {name: self._value(name, (otherwise or {}).get(name)) for name in self._sum}

    def _value(self, name: str, otherwise: Tensor | None) -> Tensor:
        total, mass = self._sum[name], self._mass[name]
        if not isinstance(mass, Tensor) and mass > 0:
            return total / mass
        rest = torch.zeros_like(total) if otherwise is None else otherwise
        return rest if not isinstance(mass, Tensor) else torch.where(mass > 0, total / mass.where(mass > 0, 1), rest)


def squared_norm(params: Params) -> float:
    """Sum of squares over all entries, in double precision."""
    return float(sum((p.double() ** 2).sum() for p in params.values()))


def dot(one: Params, other: Params) -> float:
    """Sum of products over all entries, in double precision."""
    return float(sum((p.double() * other[name].double()).sum() for name, p in one.items()))


def block_of(name: str) -> int:
    """Number of the block that a parameter belongs to, from 0."""
    return int(name.partition(".")[0])


def front(params: Mapping[str, T], cut: int) -> dict[str, T]:
    """What belongs to the first ``cut`` blocks."""
    return {name: p for name, p in params.items() if block_of(name) < cut}


def back(params: Mapping[str, T], cut: int) -> dict[str, T]:
    """What belongs to the blocks behind the first ``cut``."""
    return {name: p for name, p in params.items() if block_of(name) >= cut}
