"""How good is a model, on all test data and on what a device's data are like?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning.params import Params

BATCH = {"cpu": 256, "cuda": 2048}      # samples: what fits a processor's cache, and what keeps an accelerator busy


class Score(NamedTuple):
    """Of one model: accuracy [1] and mean loss [nat] on the test data, and the accuracy on each class (C,) [1]."""

    accuracy: float
    loss: float
    by_class: Tensor


def evaluate(model: nn.Sequential, weights: Params, x: Tensor, y: Tensor, batch: int | None = None) -> Score:
    """Test a model on (n, ...) inputs and (n,) labels, in batches of a size that suits the device; a class without samples has
    accuracy NaN."""
    training, batch = model.training, batch or BATCH.get(x.device.type, BATCH["cuda"])
    model.eval()
    with torch.inference_mode():
        out = torch.cat([functional_call(model, weights, (xs,)) for xs in x.split(batch)])
        loss = float(cross_entropy(out, y, reduction="sum"))
    model.train(training)
    right, seen = (torch.bincount(y, weights=w, minlength=out.shape[1]) for w in ((out.argmax(1) == y).double(), None))
    return Score(float(right.sum()) / len(y), loss / len(y), right / seen)


class Scores(NamedTuple):
    """Means over the devices: of accuracy [1] and loss [nat] on the test data, and of the accuracy on classes mixed as in
    each device's own data [1]."""

    accuracy: float
    loss: float
    own_accuracy: float


NOT_TESTED = Scores(math.nan, math.nan, math.nan)


def evaluate_all(model: nn.Sequential, models: Sequence[Params], x: Tensor, y: Tensor, labels: Sequence[Tensor]) -> Scores:
    """Test the model that serves all devices, or the one that each device has; ``labels`` (n_k,) are those of its own data."""
    each = [evaluate(model, weights, x, y) for weights in models]
    own = torch.stack([torch.nanmean(score.by_class[held]) for score, held in
                       zip(each if len(each) > 1 else each * len(labels), labels, strict=True) if len(held)]).tolist()
    known = [value for value in own if not math.isnan(value)] or [math.nan]           # who has classes that there are tests of
    return Scores(*(sum(values) / len(values) for values in ([s.accuracy for s in each], [s.loss for s in each], known)))
