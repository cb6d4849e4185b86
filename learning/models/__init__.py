"""Networks as ordered blocks, cut between any two of them.

Every network of the table is made by a function ``f(shape, classes, norm="batch") -> nn.Sequential``: ``shape`` (channels,
height, width) is that of one sample, ``norm`` is "batch" or "group" (networks without such layers take no notice of it).
``build`` gives a network its initial weights; ``as_blocks`` checks a chain of the user's own, and ``cut_at`` makes a chain
of an arbitrary module.
"""

from learning.models.blocks import as_blocks, build, initialise, smashed_shape
from learning.models.graph import cut_at
from learning.models.resnet import resnet18, resnet18_cifar, resnet50, resnet50_cifar
from learning.models.small import cnn, lenet, mlp
from learning.models.vgg import vgg11, vgg16, vgg19
from learning.models.vit import vit_tiny

__all__ = ["as_blocks", "build", "cnn", "cut_at", "initialise", "lenet", "mlp", "resnet18", "resnet18_cifar", "resnet50",
           "resnet50_cifar", "smashed_shape", "vgg11", "vgg16", "vgg19", "vit_tiny"]
