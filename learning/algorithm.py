"""The contract that every federated algorithm keeps."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from learning.crossing import PLAIN, Compression
from learning.params import Params
from learning.profile import Profile

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
    compression : Compression or None
        How small it makes what it sends and gets back; None for the algorithm's own.
    """

    cut: int
    ratio: float = 0.0
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if not (self.cut >= 1 and 0 <= self.ratio < 1):
            raise ValueError("a plan has a cut of 1 or more [blocks] and a ratio within [0, 1) [1], "
                             f"got {self.cut} and {self.ratio}")
        if not isinstance(self.compression, Compression | None):
            raise ValueError(f"a plan's compression must be a Compression, or None for the algorithm's own, "
                             f"got {self.compression!r}")

    def compression_or(self, own: Compression) -> Compression:
        """The plan's compression, or the algorithm's ``own``."""
        return own if self.compression is None else self.compression


Plans = Sequence[Plan | None]        # one a device; None sits the round out


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
    """What one device really sent and received in one round, counted from the tensors, by kind [bit].

    Kinds are "smashed", "labels", "gradients" (of the smashed data), "model" and "auxiliary".
    """

    up: dict[str, float] = field(default_factory=dict)
    down: dict[str, float] = field(default_factory=dict)

    @property
    def uplink_bits(self) -> float:
        return sum(self.up.values())

    @property
    def downlink_bits(self) -> float:
        return sum(self.down.values())


@dataclass
class Link:
    """The account of one device while a round goes on: ``link.up["smashed"] += bits``; losses stay where they were computed."""

    up: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    down: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    losses: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """What one round did, beside the new state: numbers to watch, never to feed back.

    Attributes
    ----------
    loss : (K,) tuple of float
        Mean training loss of each device; NaN for those that sat out.
    traffic : (K,) tuple of Traffic
    """

    loss: tuple[float, ...]
    traffic: tuple[Traffic, ...]

    @classmethod
    def of(cls, links: Sequence[Link]) -> "Round":
        """The account of a round. Losses are read here, all at once: until then no step waits for an accelerator."""
        every = [loss for link in links for loss in link.losses]
        read = iter(torch.stack(every).tolist() if every else ())
        return cls(tuple(float(np.mean(list(islice(read, len(link.losses))))) if link.losses else float("nan") for link in links),
                   tuple(Traffic(dict(link.up), dict(link.down)) for link in links))


class Draws(NamedTuple):
    """The randomness of one device in one round: a generator for each cause, so that a change in one leaves the others."""

    batches: torch.Generator
    augmentation: torch.Generator
    compression: torch.Generator


@dataclass(frozen=True)
class Streams:
    """Where randomness comes from: it depends on the seeds, the round and the device, not on who was served before.

    Attributes
    ----------
    batches, compression : int
        Seeds of their own for the data (batches and their augmentation) and for the compression.
    """

    batches: int = 0
    compression: int = 0

    def draws(self, number: int, device: int) -> Draws:
        """Generators of ``device`` in round ``number``."""
        seeds = (*np.random.SeedSequence((self.batches, number, device)).generate_state(2),
                 *np.random.SeedSequence((self.compression, number, device, 1)).generate_state(1))     # equal seeds differ, too
        return Draws(*(torch.Generator().manual_seed(int(seed)) for seed in seeds))

    def order(self, number: int, devices: Sequence[int]) -> list[int]:
        """The devices in a random order, for algorithms that serve one after another."""
        shuffled = np.random.default_rng((self.batches, number, 1 << 31)).permutation(len(devices))
        return [devices[i] for i in shuffled]


class Algorithm(Protocol):
    """``init`` makes the first state; ``step`` turns a state into the next; ``work`` says what a round costs.

    An algorithm is a frozen dataclass of settings and holds no state of its own, so one value may serve many runs.
    A device takes part in a round if it has a plan and at least one sample. An algorithm that compresses has a setting
    ``compression``, in the place of which a plan may put another for its device; ``replace(algorithm, compression=...)`` then
    says what that costs. One without the setting sends floats.
    """

    @property
    def net(self) -> nn.Sequential: ...

    @property
    def prunes(self) -> bool:
        """Whether plans may have a ratio."""
        ...

    @property
    def interval(self) -> int:
        """Client sides are averaged every so many rounds; plans stand in between."""
        ...

    def cuts(self) -> range:
        """Cuts that a device may be given."""
        ...

    def init(self, devices: int) -> State: ...

    def step(self, state: State, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[State, Round]: ...

    def models(self, state: State) -> tuple[Params, ...]:
        """The models that serve: one for all, or one a device."""
        ...

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        """Amounts of a round at ``cut`` for a device of ``samples`` samples, one of ``devices``; a client model's transfers
        are counted ``download`` and ``upload`` times (a share of one spreads them over several rounds)."""
        ...


def taking_part(algorithm: Algorithm, held: Sequence[Any], shards: Sequence[Shard], plans: Plans) -> dict[int, float]:
    """Share of the data of each device that takes part, by its number; nobody may ask for what the algorithm cannot do.

    ``held`` is what the state holds of each device, so that its number of devices can be checked.
    """
    if not len(held) == len(shards) == len(plans):
        raise ValueError(f"every device has data and a plan, or None: the state is of {len(held)} devices, "
                         f"got {len(shards)} shards and {len(plans)} plans")
    for k, plan in enumerate(plans):
        if plan is not None and plan.cut not in algorithm.cuts():
            raise ValueError(f"device {k}: its cut must be one of {list(algorithm.cuts())} [blocks], got {plan.cut}")
        if plan is not None and plan.ratio and not algorithm.prunes:
            raise ValueError(f"device {k}: {type(algorithm).__name__} does not prune, its ratio must be 0, got {plan.ratio}")
        if plan is not None and plan.compression_or(PLAIN) != PLAIN and not hasattr(algorithm, "compression"):
            raise ValueError(f"device {k}: {type(algorithm).__name__} does not compress, its plan's compression must be None, "
                             f"got {plan.compression}")
    sizes = {k: len(shard) for k, (shard, plan) in enumerate(zip(shards, plans, strict=True)) if plan is not None and len(shard)}
    return {k: size / sum(sizes.values()) for k, size in sizes.items()}


def planned(plans: Plans, devices: Iterable[int]) -> Iterator[tuple[int, Plan]]:
    """The devices that take part, with their plans."""
    for k in devices:
        plan = plans[k]
        if plan is not None:
            yield k, plan
