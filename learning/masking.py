"""Which weights a device prunes, what of it is remembered, and how pruned updates become one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from learning import params
from learning.params import Params
from learning.pruning import SCOPES, SCORES, keep_mask, score

TIE = 1e-9      # weight of the magnitude beside a score: it decides between equals


class Kept(NamedTuple):
    """What a device keeps of its weights, ones and zeros at a pruning ratio, as it was asked for in round ``number``."""

    ratio: float
    mask: Params
    number: int


@dataclass(frozen=True)
class Trace:
    """What pruning remembers of the rounds before, as far as its settings ask for it.

    Attributes
    ----------
    moved : Params
        Last move of the averaged model.
    last : (K,) tuple of Params
        What each device last ended a round with.
    kept : (K,) tuple of Kept or None
        The last masks.
    alive : Params
        Ones where somebody kept a weight at the last averaging, zeros where all pruned it; empty if nobody pruned.
    """

    moved: Params
    last: tuple[Params, ...]
    kept: tuple[Kept | None, ...]
    alive: Params

    @classmethod
    def empty(cls, devices: int) -> "Trace":
        return cls({}, ({},) * devices, (None,) * devices, {})

    def served(self, model: Params) -> Params:
        """The model that serves: without the weights that nobody trained."""
        return prune(model, self.alive)


@dataclass(frozen=True)
class Pruning:
    """Which weights a device prunes. Both sides know what decides, so masks do not cross the air.

    Attributes
    ----------
    kind : str
        Pruned are the weights of least "magnitude", or of least "gradient" |w g|, g the last move of the averaged model, or of
        least "difference" between the averaged model and what the device last had (both: and then of least magnitude); or
        "random" ones. A weight that all devices prune does not move: by gradient or difference it stays pruned.
    scope : str
        The ratio holds for each "layer", or "global" for all layers together.
    kept_only : bool
        A weight is averaged over the devices that kept it; otherwise a pruned weight counts as a zero update.
    refresh : int
        Masks are drawn anew once in so many rounds, when a device is first asked for one after a multiple of them; in between
        they stand, unless cut or ratio change.
    """

    kind: str = "magnitude"
    scope: str = "layer"
    kept_only: bool = False
    refresh: int = 1

    def __post_init__(self) -> None:
        if self.kind not in SCORES or self.scope not in SCOPES:
            raise ValueError(f"pruning is by one of {list(SCORES)} and {list(SCOPES)}, got {self.kind!r} and {self.scope!r}")
        if self.refresh < 1:
            raise ValueError(f"refresh must be 1 or more [rounds], got {self.refresh}")

    def mask(self, weights: Params, ratio: float, trace: Trace, device: int, number: int, rng: torch.Generator) -> Params:
        """Ones where ``weights`` are kept in round ``number``, zeros elsewhere; by magnitude while nothing is remembered."""
        held, refresh = trace.kept[device], self.refresh
        stands = held and refresh > 1 and number // refresh == held.number // refresh
        if held and stands and held.ratio == ratio and held.mask.keys() == weights.keys():
            return held.mask
        return self.mask_by(weights, ratio, {"gradient": trace.moved, "difference": trace.last[device]}.get(self.kind, {}), rng)

    def mask_by(self, weights: Params, ratio: float, known: Params, rng: torch.Generator) -> Params:
        """A mask by what is ``known``, the gradient or the values to differ from; of equal scores the larger weights are kept."""
        if not ratio:
            return params.ones(weights)
        if self.kind == "magnitude" or (self.kind != "random" and not all(name in known for name in weights)):
            return keep_mask(weights, ratio, scope=self.scope)
        worth, size = score(self.kind, weights, grads=known, reference=known, rng=rng), score("magnitude", weights)
        most = [max(float(v.max()) for v in scores.values() if v.numel()) or 1.0 for scores in (worth, size)]
        return keep_mask(weights, ratio, params.combine(lambda w, m: w / most[0] + TIE * m / most[1], worth, size), self.scope)

    def trace(self, before: Trace, base: Params, updates: Mapping[int, Params], model: Params,
              kept: Mapping[int, Kept]) -> Trace:
        """What is to be remembered after a round that took the model from ``base`` to ``model``, by a merge's ``updates``."""
        moved, last, masks, alive = before.moved, before.last, before.kept, before.alive
        if self.kind == "gradient" and kept:
            moved = params.combine(torch.sub, model, base)
        if self.kind == "difference":
            last = tuple(params.combine(torch.add, base, updates[k]) if k in updates else p for k, p in enumerate(last))
        if self.refresh > 1:
            masks = tuple(kept.get(k, held) for k, held in enumerate(masks))
        if kept:
            alive = _anyones(base, [held.mask for held in kept.values()]) if all(held.ratio for held in kept.values()) else {}
        return Trace(moved, last, masks, alive)


class Merge:
    """A model that is moved by the mean update of devices, as their updates come in.

    Attributes
    ----------
    updates : dict of int to Params
        Of each device, as far as pruning has to remember them.
    """

    def __init__(self, pruning: Pruning, base: Params) -> None:
        self.updates: dict[int, Params] = {}
        self._base, self._pruning, self._mean = base, pruning, params.Mean()

    def add(self, device: int, update: Params, mask: Params, share: float) -> None:
        """An update, what was kept of its weights, and its weight [1]."""
        if self._pruning.kind == "difference":
            self.updates[device] = update
        self._mean.add(update, share, mask if self._pruning.kept_only else None)

    def model(self) -> Params:
        """The base moved; as it was where nobody sent anything."""
        mean = self._mean.values()
        return {name: p + mean[name] if name in mean else p for name, p in self._base.items()}


def _anyones(weights: Params, masks: Sequence[Params]) -> Params:
    """Ones where at least one of the masks has one, or does not know the weight."""
    return {name: torch.stack([mask.get(name, torch.ones_like(p)) for mask in masks]).amax(0) for name, p in weights.items()}


BY_MAGNITUDE = Pruning()


def prune(weights: Params, mask: Params) -> Params:
    """The weights with what ``mask`` leaves out set to zero; names that are not in the mask stay."""
    return {name: p * mask[name] if name in mask and not params.keeps_all(mask[name]) else p for name, p in weights.items()}
