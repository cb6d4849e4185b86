"""Residual networks: the stem, a block per residual block, and the classifier.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. Stages have 64, 128, 256 and 512 channels and halve
the image at the start of each but the first. There are two stems: a convolution of 7 x 7 with stride 2 and a maximum of
3 x 3 with stride 2, as for large images, or a convolution of 3 x 3 for small ones ("cifar"). In ResNet-18 stage s ends
behind block 2 s, so that the cut after the second stage is ``cut = 5`` [blocks].

The last norm of a residual block starts at scale one, not zero: with zero, the first gradients of the weights in front of
it vanish, and nothing could be said yet about which of them to prune.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from learning.models.blocks import classifier, convolution, image

WIDTHS = (64, 128, 256, 512)         # channels of each stage


class Residual(nn.Module):
    """The rectified sum of two ways through a block.

    Parameters
    ----------
    body : nn.Module
        The long way.
    shortcut : nn.Module
        The short way, to the same shape.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, height, width) to images."""
        return relu(self.body(x) + self.shortcut(x))


def _shortcut(inputs: int, outputs: int, stride: int, norm: str) -> nn.Module:
    """The identity, or a convolution of 1 x 1 where the shape changes."""
    same = inputs == outputs and stride == 1
    return nn.Identity() if same else nn.Sequential(*convolution(inputs, outputs, 1, norm, stride))


def _basic(inputs: int, width: int, stride: int, norm: str) -> Residual:
    """Two convolutions of 3 x 3; ``width`` channels come out."""
    body = nn.Sequential(*convolution(inputs, width, 3, norm, stride), nn.ReLU(), *convolution(width, width, 3, norm))
    return Residual(body, _shortcut(inputs, width, stride, norm))


def _bottleneck(inputs: int, width: int, stride: int, norm: str) -> Residual:
    """Convolutions of 1 x 1, 3 x 3 (with the stride) and 1 x 1; four times ``width`` channels come out."""
    body = nn.Sequential(*convolution(inputs, width, 1, norm), nn.ReLU(), *convolution(width, width, 3, norm, stride),
                         nn.ReLU(), *convolution(width, 4 * width, 1, norm))
    return Residual(body, _shortcut(inputs, 4 * width, stride, norm))


def resnet18(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Ten blocks: the stem of 7 x 7, four stages of two residual blocks, the classifier."""
    return _resnet(_large_stem, _basic, (2, 2, 2, 2), shape, classes, norm)


def resnet18_cifar(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Ten blocks: as ``resnet18``, with the stem of 3 x 3."""
    return _resnet(_small_stem, _basic, (2, 2, 2, 2), shape, classes, norm)


def resnet50(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Eighteen blocks: the stem of 7 x 7, stages of 3, 4, 6 and 3 bottlenecks, the classifier."""
    return _resnet(_large_stem, _bottleneck, (3, 4, 6, 3), shape, classes, norm)


def resnet50_cifar(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Eighteen blocks: as ``resnet50``, with the stem of 3 x 3."""
    return _resnet(_small_stem, _bottleneck, (3, 4, 6, 3), shape, classes, norm)


def _large_stem(channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(*convolution(channels, WIDTHS[0], 7, norm, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))


def _small_stem(channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(*convolution(channels, WIDTHS[0], 3, norm), nn.ReLU())


def _resnet(stem: Callable[[int, str], nn.Sequential], residual: Callable[[int, int, int, str], Residual],
            depths: Sequence[int], shape: Sequence[int], classes: int, norm: str) -> nn.Sequential:
    if norm not in ("batch", "group"):
        raise ValueError(f"norm of a residual network must be 'batch' or 'group', got {norm!r}")
    channels, _, _ = image(shape, 1, "a residual network")
    wider = 4 if residual is _bottleneck else 1
    blocks, inputs = [], WIDTHS[0]
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
        for number in range(depth):
            stride = 2 if stage > 0 and number == 0 else 1
            blocks.append(residual(inputs, width, stride, norm))
            inputs = wider * width
    return nn.Sequential(stem(channels, norm), *blocks, classifier(inputs, classes))
