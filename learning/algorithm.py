"""The contract that every federated algorithm keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from learning.profile import Profile
from learning.split import Compression

State = Any                  # an algorithm's own frozen dataclass


@dataclass(frozen=True)
class Shard:
    """The data of one device: inputs (n, ...) and targets (n,)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Plan:
    """What was decided for one device in one round.

    Attributes
    ----------
    cut : int
        The device runs the first ``cut`` blocks.
    ratio : float
        Share of its weights that it prunes, in [0, 1).
    """

    cut: int
    ratio: float = 0.0

    def __post_init__(self) -> None:
        if not (self.cut >= 1 and 0 <= self.ratio < 1):
            raise ValueError("a plan has a cut of 1 or more [blocks] and a ratio within [0, 1) [1], "
                             f"got {self.cut} and {self.ratio}")


class Affine(NamedTuple):
    """An amount fixed + x kept, affine in the keep ratio x = 1 - ratio."""

    fixed: float = 0.0
    kept: float = 0.0

    def at(self, ratio: float) -> float:
        return self.fixed + (1 - ratio) * self.kept


class Work(NamedTuple):
    """What one round makes one device, and the server for it, do: the rows of the cost table."""

    device_flops: Affine        # [FLOP]
    uplink_bits: Affine         # [bit]
    server_flops: Affine        # [FLOP]
    downlink_bits: Affine       # [bit]


@dataclass(frozen=True)
class Traffic:
    """What one device really sent and received in one round, counted from the tensors [bit]."""

    uplink_bits: float
    downlink_bits: float


@dataclass(frozen=True)
class Round:
    """What one round did, beside the new state: numbers to watch, never to feed back.

    Attributes
    ----------
    loss : (K,) tuple of float
        Mean training loss of each device.
    traffic : (K,) tuple of Traffic
    """

    loss: tuple[float, ...]
    traffic: tuple[Traffic, ...]


@dataclass(frozen=True)
class Streams:
    """Sources of randomness, one for each cause: a change in one leaves the others as they were."""

    batches: torch.Generator
    compression: torch.Generator

    @classmethod
    def seeded(cls, *seeds: int) -> "Streams":
        """Streams of their own seeds: of the batches, and of the compression."""
        return cls(*(torch.Generator().manual_seed(seed) for seed in seeds))


class Algorithm(Protocol):
    """``init`` makes the first state; ``step`` turns a state into the next; ``work`` says what a round costs.

    An algorithm is a frozen dataclass of settings and holds no state of its own, so one value may serve many runs.
    """

    compression: Compression
    interval: int

    def cuts(self) -> range:
        """Cuts that a device may be given."""
        ...

    def init(self) -> State: ...

    def step(self, state: State, shards: Sequence[Shard], plans: Sequence[Plan], streams: Streams) -> tuple[State, Round]: ...

    def model(self, state: State) -> dict[str, Tensor]:
        """Parameters of the global model, for evaluation."""
        ...

    def work(self, profile: Profile, cut: int, samples: int, download: float = 1.0, upload: float = 1.0) -> Work:
        """Amounts of a round at ``cut`` for a device of ``samples`` samples; a client model's transfers are counted
        ``download`` and ``upload`` times (a share of one spreads them over several rounds)."""
        ...


def batches(size: int, batch: int, steps: int, rng: torch.Generator) -> list[Tensor]:
    """Indices of ``steps`` mini-batches, each drawn without replacement from ``size`` samples."""
    return [torch.randperm(size, generator=rng)[:batch] for _ in range(steps)]
