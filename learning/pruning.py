r"""Which weights a device keeps, and what the server makes of devices that keep different ones.

A mask m has ones on the kept entries. Of n entries it keeps n - round(ratio n), those of largest score; by magnitude it is the
best of its size, for it leaves out the smallest squares:

.. math:: \lVert w - m \odot w \rVert^2 \le \frac{\mathrm{round}(\rho n)}{n} \lVert w \rVert^2.                    (1)
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from learning.params import Mean, Params

T = TypeVar("T")
SCORES = ("magnitude", "random", "gradient", "difference")
SCOPES = ("layer", "global")


def score(kind: str, weights: Params, *, grads: Params | None = None, reference: Params | None = None,
          rng: torch.Generator | None = None) -> Params:
    """How much each entry of ``weights`` matters, non-negative, of their shapes.

    Parameters
    ----------
    kind : str
        "magnitude" \\|w\\|, "random" (uniform), "gradient" \\|w g\\| (what the loss loses by the weight, to first order), or
        "difference" \\|w - reference\\| (of local and global weights: the importance of arXiv 2309.01816).
    weights : Params
        Tensors of any shape.
    grads, reference : Params
        Of the same names and shapes; needed by "gradient" and by "difference".
    rng : torch.Generator
        Needed by "random"; each tensor takes as many draws as it has entries, in the order of ``weights``, on the CPU.
    """
    if kind not in SCORES:
        raise ValueError(f"kind of score must be one of {', '.join(SCORES)}, got {kind!r}")
    if kind == "gradient":
        given = _given(grads, "grads", kind)
        return {name: (p * given[name]).abs() for name, p in weights.items()}
    if kind == "difference":
        given = _given(reference, "reference", kind)
        return {name: (p - given[name]).abs() for name, p in weights.items()}
    if kind == "random":
        source = _given(rng, "rng", kind)
        return {name: torch.rand(p.shape, generator=source, dtype=p.dtype).to(p.device) for name, p in weights.items()}
    return {name: p.abs() for name, p in weights.items()}


def _given(argument: T | None, name: str, kind: str) -> T:
    if argument is None:
        raise ValueError(f"{name} must be given for scores of kind {kind!r}, got None")
    return argument


def keep_mask(weights: Params, ratio: float, score: Params | None = None, scope: str = "layer") -> Params:
    """Ones on the entries of largest score, zeros on the share ``ratio`` of least score.

    Tensors with one axis or none (biases, norms and their statistics) are kept whole. Of equal scores the first are kept.

    Parameters
    ----------
    weights : Params
        Tensors of any shape.
    ratio : float
        Share of the prunable entries that is left out, in [0, 1] [1].
    score : Params
        One for each prunable entry; None for the magnitude of the weights.
    scope : str
        "layer": the share holds in each tensor, so that the work falls as the weights do. "global": over all prunable tensors
        together, of which some may then vanish; scores of different tensors have to be comparable.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio must be within [0, 1] [1], got {ratio}")
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {', '.join(SCOPES)}, got {scope!r}")
    prunable = {name: p for name, p in weights.items() if p.dim() > 1}
    scores = {name: _magnitude(p) if score is None else _checked(name, score[name], p) for name, p in prunable.items()}
    cut = _each if scope == "layer" else _together
    return {**{name: torch.ones_like(p) for name, p in weights.items()},
            **{name: kept.view_as(prunable[name]).to(prunable[name].dtype) for name, kept in cut(scores, ratio).items()}}


def kept_of(size: int, ratio: float) -> int:
    """Entries of ``size`` that pruning by ``ratio`` keeps."""
    return size - round(ratio * size)


def _magnitude(p: Tensor) -> Tensor:
    return p.detach().abs().flatten()


def _checked(name: str, s: Tensor, p: Tensor) -> Tensor:
    """The given scores of one tensor in a row; looking into them makes an accelerator wait, which magnitudes do not."""
    if s.shape != p.shape or bool(s.isnan().any()):
        raise ValueError(f"score of {name} must be numbers of the shape {tuple(p.shape)}, got shape {tuple(s.shape)} "
                         f"with {int(s.isnan().sum())} NaN")
    return s.detach().flatten()


def _each(scores: Params, ratio: float) -> Params:
    return {name: _largest(s, kept_of(len(s), ratio)) for name, s in scores.items()}


def _together(scores: Params, ratio: float) -> Params:
    if not scores:
        return {}
    everything = torch.cat(list(scores.values()))
    kept = _largest(everything, kept_of(len(everything), ratio))
    return dict(zip(scores, kept.split([len(s) for s in scores.values()]), strict=True))


def _largest(s: Tensor, kept: int) -> Tensor:
    """Where the ``kept`` largest of (n,) scores are, of equals the first; in time O(n)."""
    if kept in (0, len(s)):
        return torch.full_like(s, kept > 0, dtype=torch.bool)
    least = s.kthvalue(len(s) - kept + 1).values
    above, equal = s > least, s == least
    return above | equal & (equal.cumsum(0) <= kept - above.sum())


def average_kept(values: Sequence[Params], masks: Sequence[Params], weights: Sequence[float], otherwise: Params) -> Params:
    """Weighted mean of each entry over the devices that kept it; ``otherwise`` where none did.

    Parameters
    ----------
    values : (K,) sequence of Params
        What the devices hold; names that a device lacks (it has fewer blocks) it did not keep.
    masks : (K,) sequence of Params
        Not zero where the device kept the entry; a name without a mask is kept whole. What ``values`` has elsewhere does not
        matter, be it NaN.
    weights : (K,) sequence of float
        Such as the numbers of samples; only their ratios matter.
    otherwise : Params
        All names of the result, such as the global weights.
    """
    if not len(values) == len(masks) == len(weights) or min(weights, default=0) < 0:
        raise ValueError(f"values, masks and weights must be one for each device, no weight below 0, got {len(values)} values, "
                         f"{len(masks)} masks and the weights {list(weights)}")
    made = Mean()
    for value, mask, weight in zip(values, masks, weights, strict=True):
        made.add(value, weight, mask)
    return {**otherwise, **made.values(otherwise)}
