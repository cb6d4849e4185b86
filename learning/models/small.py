"""Networks for small images, without norms."""

import math
from collections.abc import Sequence

from torch import nn

from learning.models.blocks import image


def cnn(shape: Sequence[int], classes: int, norm: str = "none") -> nn.Sequential:
    """Five blocks for small images (channels, height, width): three convolutions, a hidden layer, the classifier."""
    channels, height, width = image(shape, 4, "the CNN")
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(32 * (height // 4) * (width // 4), 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, classes)),
    )


def mlp(shape: Sequence[int], classes: int, norm: str = "none") -> nn.Sequential:
    """Four blocks: three hidden layers of 128, 64 and 32 units, and the classifier."""
    return nn.Sequential(
        nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 128), nn.ReLU()),
        nn.Sequential(nn.Linear(128, 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, 32), nn.ReLU()),
        nn.Sequential(nn.Linear(32, classes)),
    )


def lenet(shape: Sequence[int], classes: int, norm: str = "none") -> nn.Sequential:
    """Five blocks in the manner of LeNet-5: two convolutions of 5 x 5, hidden layers of 120 and 84 units, the classifier.

    LeCun et al., "Gradient-based learning applied to document recognition", 1998; with rectifiers and the maximum of each
    2 x 2 pixels, and a margin of two pixels around the image, so that 28 x 28 is its usual size.
    """
    channels, height, width = image(shape, 12, "LeNet")
    high, wide = (height // 2 - 4) // 2, (width // 2 - 4) // 2
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(16 * high * wide, 120), nn.ReLU()),
        nn.Sequential(nn.Linear(120, 84), nn.ReLU()),
        nn.Sequential(nn.Linear(84, classes)),
    )
