"""Random flips and crops of a mini-batch of images, in one gather and without a loop over images.

Image n of a batch is padded with zeros by ``crop`` pixels on every side, cut out again at a corner (t_n, l_n) that is uniform on
0..2 crop in each axis, and mirrored from left to right with probability one half (f_n = 1):

    out[n, c, i, j] = padded[n, c, t_n + i, l_n + (W - 1 - j if f_n else j)]                                            (1)
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augment:
    """What is done to the images of a mini-batch before they are used; nothing, unless it is asked for.

    Zeros are black as long as images are in [0, 1], and the mean colour of the training data after standardisation.

    Attributes
    ----------
    flip : bool
        Mirror each image from left to right with probability one half.
    crop : int
        Padding on every side before a random crop to the old size [pixels]; 0 for no crop. CIFAR-10 is usually trained with 4.
    """

    flip: bool = False
    crop: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.crop, int) or self.crop < 0:
            raise ValueError(f"crop must be a whole number of pixels, 0 (no crop) or more, got {self.crop!r}")

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Augmented copies of images (b, channels, height, width), of the same shape and type.

        Each image has draws of its own. Without flip and crop, ``x`` itself comes back, of any shape, and nothing is drawn.
        """
        if not self.flip and not self.crop:
            return x
        if x.ndim != 4 or self.crop >= min(x.shape[2:]):
            raise ValueError(f"flips and crops need images (b, channels, height, width) of more than crop = {self.crop} pixels a "
                             f"side, got {tuple(x.shape)}")
        flips = self._draw(2 if self.flip else 1, x, rng) == 1
        tops, lefts = (self._draw(2 * self.crop + 1, x, rng) for _ in range(2))
        return _gather(pad(x, (self.crop,) * 4), flips, tops, lefts, x.shape)

    @staticmethod
    def _draw(choices: int, x: Tensor, rng: torch.Generator) -> Tensor:
        """One of 0, ..., choices - 1 for each image (b,); only a real choice draws."""
        if choices == 1:
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return torch.randint(choices, (len(x),), generator=rng, device=rng.device).to(x.device)


def _gather(padded: Tensor, flips: Tensor, tops: Tensor, lefts: Tensor, shape: torch.Size) -> Tensor:
    """(1) for a batch: the pixel of each place, by its number in the padded plane, which all channels share."""
    height, width = shape[2:]
    columns = torch.arange(width, device=padded.device)
    columns = torch.where(flips[:, None], width - 1 - columns, columns) + lefts[:, None]                # (b, width)
    rows = tops[:, None] + torch.arange(height, device=padded.device)                                   # (b, height)
    places = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).flatten(1)                      # (b, height width)
    return padded.flatten(2).gather(2, places[:, None].expand(-1, shape[1], -1)).view(shape)
