"""Networks as ordered blocks: any ``nn.Sequential`` without buffers, cut between any two of its children."""

from collections.abc import Callable, Sequence

import torch
from torch import nn


def cnn(shape: Sequence[int], classes: int) -> nn.Sequential:
    """Five blocks for small images (channels, height, width): three convolutions, a hidden layer, the classifier."""
    channels, height, width = shape
    if height < 4 or width < 4:
        raise ValueError(f"the CNN halves its images twice and needs at least 4 x 4 pixels, got {height} x {width}")
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(32 * (height // 4) * (width // 4), 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, classes)),
    )


def mlp(shape: Sequence[int], classes: int) -> nn.Sequential:
    """Four blocks: three hidden layers of 128, 64 and 32 units, and the classifier."""
    inputs = int(torch.Size(shape).numel())
    return nn.Sequential(
        nn.Sequential(nn.Flatten(), nn.Linear(inputs, 128), nn.ReLU()),
        nn.Sequential(nn.Linear(128, 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, 32), nn.ReLU()),
        nn.Sequential(nn.Linear(32, classes)),
    )


def build(make: Callable[[Sequence[int], int], nn.Sequential], shape: Sequence[int], classes: int,
          seed: int) -> nn.Sequential:
    """Make a model with initial weights (He's, zero biases) of its own ``seed``; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(shape, classes)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    if any(True for _ in model.buffers()):
        raise ValueError("the model keeps buffers (batch norm?), which these algorithms do not average; use group norm")
    if any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in model.modules()):
        raise ValueError("the model has dropout layers, whose draws no seed of a run governs; take them out")
    return model
