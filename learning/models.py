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
        for p in model.parameters():
            nn.init.kaiming_normal_(p, nonlinearity="relu") if p.dim() > 1 else nn.init.zeros_(p)
    if any(True for _ in model.buffers()):
        raise ValueError("the model keeps buffers (batch norm?), which these algorithms do not average; use group norm")
    return model
