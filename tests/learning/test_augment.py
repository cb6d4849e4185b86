import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch.testing import assert_close

from learning.augment import Augment

torch.set_num_threads(1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(rng, count, channels=3, height=6, width=5):
    """Images whose pixels are all different and none of which is zero."""
    x = rng.permutation(count * channels * height * width).reshape(count, channels, height, width) + 1.0
    return torch.from_numpy(x)


def variants(image, flip, crop):
    """All results that are allowed for one image, by (flip, top, left), made with slices of a larger plane."""
    channels, height, width = image.shape
    found = {}
    for mirrored in (False, True) if flip else (False,):
        plane = torch.zeros(channels, height + 2 * crop, width + 2 * crop, dtype=image.dtype)
        plane[:, crop:crop + height, crop:crop + width] = image
        for top in range(2 * crop + 1):
            for left in range(2 * crop + 1):
                cut = plane[:, top:top + height, left:left + width]
                found[mirrored, top, left] = cut.flip(2) if mirrored else cut
    return found


def which(out, image, flip, crop):
    """The one variant of an image that came out."""
    hits = [key for key, value in variants(image, flip, crop).items() if torch.equal(out, value)]
    assert len(hits) == 1
    return hits[0]


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 1), (True, 2), (True, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_comes_out_as_exactly_one_of_its_shifts_and_mirrors(rng, flip, crop, channels):
    x = images(rng, 20, channels)
    out = Augment(flip, crop)(x, seeded())
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert len({which(o, image, flip, crop) for o, image in zip(out, x, strict=True)}) > 1


def test_every_choice_is_equally_likely():
    """Pearson's statistic of 9000 images over the 2 x 3 x 3 variants stays below its quantile of 1 - 1e-6."""
    flip, crop, count = True, 1, 9000
    image = images(np.random.default_rng(0), 1)[0]
    out = Augment(flip, crop)(image.expand(count, -1, -1, -1), seeded(1))
    seen = [int((out == value).flatten(1).all(1).sum()) for value in variants(image, flip, crop).values()]
    assert sum(seen) == count
    expected = count / len(seen)
    assert sum((n - expected) ** 2 for n in seen) / expected < chi2.ppf(1 - 1e-6, len(seen) - 1)


def test_draws_of_neighbours_are_independent():
    """Of 10,000 pairs, half are both flipped or both not: within five standard deviations of a coin."""
    x = torch.arange(1.0, 3.0).expand(20_000, 1, 1, 2)
    flipped = Augment(flip=True)(x, seeded(2))[:, 0, 0, 0] == 2
    same = int((flipped[::2] == flipped[1::2]).sum())
    assert abs(same - 5000) < 5 * np.sqrt(10_000) / 2


def test_all_channels_of_an_image_move_together(rng):
    x = images(rng, 50, 1).expand(-1, 3, -1, -1)
    out = Augment(True, 2)(x, seeded())
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[:, 0], out[:, 2])


def test_without_flip_and_crop_inputs_of_any_shape_come_back_and_nothing_is_drawn():
    source, x = seeded(), torch.ones(4, 7)
    before = source.get_state()
    assert Augment()(x, source) is x
    assert torch.equal(source.get_state(), before)


def test_the_input_stays_as_it_is(rng):
    x = images(rng, 8)
    before = x.clone()
    Augment(True, 2)(x, seeded())
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_the_same_seed_gives_the_same_bits_and_the_type_stays(dtype):
    x = (torch.arange(8 * 48) % 251).reshape(8, 3, 4, 4).to(dtype)
    once, again, other = (Augment(True, 2)(x, seeded(seed)) for seed in (3, 3, 4))
    assert once.dtype == dtype
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_gradients_pass_to_the_pixels_that_were_kept():
    """Without a crop every pixel is used once, so the gradient of the sum is one everywhere."""
    x = torch.rand(5, 2, 4, 4, generator=seeded()).requires_grad_()
    Augment(flip=True)(x, seeded()).sum().backward()
    assert_close(x.grad, torch.ones_like(x), rtol=0, atol=0)


def test_an_empty_batch_stays_empty():
    assert Augment(True, 1)(torch.empty(0, 3, 4, 4), seeded()).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("crop", [-1, 1.5, "4"])
def test_a_bad_padding_is_named(crop):
    with pytest.raises(ValueError, match=r"crop must be a whole number of pixels, 0 \(no crop\) or more, got"):
        Augment(crop=crop)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 9), (3, 8, 8)])
def test_inputs_that_are_no_images_or_too_small_are_named(shape):
    with pytest.raises(ValueError, match=r"need images \(b, channels, height, width\) of more than crop = 4 pixels a side, got"):
        Augment(True, 4)(torch.ones(shape), seeded())
