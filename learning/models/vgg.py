"""VGG networks in the form for small images: a block per convolution, and one linear classifier.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015. Images are halved
at the end of each of five stages, by the last block of the stage, so that a cut behind it sends the small image. Odd sizes
are rounded up (28 pixels: 14, 7, 4, 2, 1), so images of any size will do; what is left is averaged.
"""

from collections.abc import Sequence

from torch import nn

from learning.models.blocks import classifier, convolution, image

WIDTHS = (64, 128, 256, 512, 512)    # channels of each stage


def vgg11(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Eight convolutions and the classifier: nine blocks."""
    return _vgg((1, 1, 2, 2, 2), shape, classes, norm)


def vgg16(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Thirteen convolutions and the classifier: 14 blocks."""
    return _vgg((2, 2, 3, 3, 3), shape, classes, norm)


def vgg19(shape: Sequence[int], classes: int, norm: str = "batch") -> nn.Sequential:
    """Sixteen convolutions and the classifier: 17 blocks."""
    return _vgg((2, 2, 4, 4, 4), shape, classes, norm)


def _vgg(depths: Sequence[int], shape: Sequence[int], classes: int, norm: str) -> nn.Sequential:
    """``depths`` are the convolutions of each stage; ``norm`` may be "none" too, as in the paper."""
    inputs, _, _ = image(shape, 1, "VGG")
    blocks = []
    for width, depth in zip(WIDTHS, depths, strict=True):
        for number in range(depth):
            halve = [nn.MaxPool2d(2, ceil_mode=True)] if number == depth - 1 else []
            blocks.append(nn.Sequential(*convolution(inputs, width, 3, norm), nn.ReLU(), *halve))
            inputs = width
    return nn.Sequential(*blocks, classifier(inputs, classes))
