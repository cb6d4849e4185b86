"""A small vision transformer: patches, encoder layers, the classifier.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; the tiny size (12 layers of width 192, 3 heads) is that of
Touvron et al., "Training data-efficient image transformers", ICML 2021. Norms stand in front (pre-norm). The scores come
from the mean over the tokens; there is no class token, so that smashed data are (n, tokens, width) and each token
stands for one patch.

Attention is written in matrix products, whose work ``torch.utils.flop_counter`` counts, and which have derivatives of all
orders; the fused kernels have first derivatives only, and auxiliary networks are trained through second ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learning.models.blocks import image

SPREAD = 0.02        # standard deviation of initial weights, cut off at two
MOST_TOKENS = 1024


def vit_tiny(shape: Sequence[int], classes: int, norm: str = "none", *, patch: int | None = None, depth: int = 12,
             width: int = 192, heads: int = 3) -> nn.Sequential:
    """``depth`` + 2 blocks: the patches, an encoder layer each, the classifier.

    Parameters
    ----------
    shape : (channels, height, width)
        Of one image; a patch must fit it a whole number of times.
    classes : int
        Number of classes.
    norm : str
        Not used: a transformer has layer norm.
    patch : int, optional
        Side of a patch [pixels]. By default the largest of 16, 8, 4 and 2 that leaves seven patches or more a side, else 1.
    depth, width, heads : int
        Encoder layers, features of a token, and heads, which share the features evenly.
    """
    channels, high, wide = image(shape, 1, "the transformer")
    patch = patch or next((p for p in (16, 8, 4, 2) if high % p == wide % p == 0 and min(high, wide) >= 7 * p), 1)
    if high % patch or wide % patch:
        raise ValueError(f"patch must divide the sides of the image, {high} x {wide} [pixels], got {patch}")
    if width % heads:
        raise ValueError(f"heads must divide the width of {width} features, got {heads}")
    tokens = (high // patch) * (wide // patch)
    if tokens > MOST_TOKENS:
        raise ValueError(f"an image of {high} x {wide} in patches of {patch} [pixels] must give at most {MOST_TOKENS} tokens, "
                         f"got {tokens}; pad or crop the images to a multiple of 16")
    return nn.Sequential(
        Patches(channels, width, patch, tokens),
        *(Encoder(width, heads) for _ in range(depth)),
        nn.Sequential(nn.LayerNorm(width), TokenMean(), nn.Linear(width, classes)),
    )


class Patches(nn.Module):
    """Images (n, channels, height, width) to tokens (n, tokens, width): a linear map of each patch, and its position."""

    def __init__(self, channels: int, width: int, patch: int, tokens: int):
        super().__init__()
        self.map = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(torch.empty(tokens, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Outputs as spread as the pixels."""
        _draw(self.map, self.map.weight[0].numel() ** -0.5)
        nn.init.trunc_normal_(self.position, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        """Images to tokens."""
        return self.map(x).flatten(2).transpose(1, 2) + self.position


class Attention(nn.Module):
    """Every token looks at all tokens of its sample: (n, tokens, width) to the same."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens."""
        split = self.queries_keys_values(x).unflatten(2, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4)                              # each (n, heads, tokens, width / heads)
        shares = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(3)     # (n, heads, tokens, tokens)
        return self.out((shares @ v).transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """An encoder layer: attention, then two linear layers for each token alone, both added to what came in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.alone = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def reset_parameters(self) -> None:
        """Small weights and zero biases, so that a layer starts near the identity."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                _draw(layer, SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens."""
        x = x + self.attention(x)
        return x + self.alone(x)


class TokenMean(nn.Module):
    """The mean over the tokens: (n, tokens, width) to (n, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to features."""
        return x.mean(1)


def _draw(layer: nn.Conv2d | nn.Linear, spread: float) -> None:
    nn.init.trunc_normal_(layer.weight, std=spread, a=-2 * spread, b=2 * spread)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
