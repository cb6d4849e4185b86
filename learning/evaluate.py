"""How good is a model?"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning.params import Params


def evaluate(model: nn.Sequential, weights: Params, x: Tensor, y: Tensor, batch: int = 2048) -> tuple[float, float]:
    """Accuracy [1] and mean loss [nat] on (n, ...) inputs and (n,) labels, in large batches."""
    right, loss, training = 0, 0.0, model.training
    model.eval()
    with torch.inference_mode():
        for xs, ys in zip(x.split(batch), y.split(batch), strict=True):
            out = functional_call(model, weights, (xs,))
            right += int((out.argmax(1) == ys).sum())
            loss += float(cross_entropy(out, ys, reduction="sum"))
    model.train(training)
    return right / len(y), loss / len(y)
