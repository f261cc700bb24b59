"""The standard augmentation moves, zooms and recolours within its bounds, repeatably."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hqgan.data.standard_augmentation import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    ROTATION,
    SATURATION,
    SMALLEST_AREA,
    STRETCH,
    TO_YIQ,
    recolour,
    standard_augmentation,
    zoom,
)

ROUNDING = 1e-5
SIZE = 32


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int = 8, size: int = SIZE, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(seed)) * 2 - 1


@given(st.integers(0, 2**31), st.integers(1, 5), st.sampled_from([8, 17, 32]))
def test_images_stay_images(seed: int, count: int, size: int) -> None:
    augmented = standard_augmentation(noise(count, size), seeded(seed))
    assert augmented.shape == (count, 3, size, size)
    assert augmented.dtype == torch.float32
    assert augmented.abs().max() <= 1


def test_the_same_generator_gives_the_same_images() -> None:
    images = noise()
    first = standard_augmentation(images, seeded(3))
    assert torch.equal(first, standard_augmentation(images, seeded(3)))
    assert not torch.equal(first, standard_augmentation(images, seeded(4)))


def test_the_memory_layout_changes_nothing() -> None:
    images = noise()
    other = standard_augmentation(images.contiguous(memory_format=torch.channels_last), seeded())
    torch.testing.assert_close(other, standard_augmentation(images, seeded()))


def test_neither_the_images_nor_the_global_generator_are_touched() -> None:
    images, state = noise(), torch.random.get_rng_state()
    before = images.clone()
    standard_augmentation(images, seeded())
    assert torch.equal(images, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_each_image_is_changed_in_its_own_way() -> None:
    copies = noise(1).expand(20, -1, -1, -1)
    augmented = standard_augmentation(copies, seeded())
    assert len(torch.unique(augmented.flatten(1), dim=0)) == 20


@given(st.integers(0, 2**31))
def test_greys_stay_grey(seed: int) -> None:
    grey = noise(4)[:, :1].expand(-1, 3, -1, -1)
    seen = recolour(grey, seeded(seed))
    torch.testing.assert_close(seen[:, 0], seen[:, 1], atol=ROUNDING, rtol=0)
    torch.testing.assert_close(seen[:, 0], seen[:, 2], atol=ROUNDING, rtol=0)


def test_brightness_and_contrast_are_the_factors_they_say() -> None:
    """Grey halves of 0.4 and 0.6: their mean is 0.5 times brightness, their distance 0.2 times
    brightness and contrast."""
    halves = torch.full((4000, 3, 8, 8), 0.4)
    halves[:, :, 4:] = 0.6
    seen = (recolour(halves * 2 - 1, seeded()) + 1) / 2
    dark, light = seen[:, 0, 0, 0], seen[:, 0, -1, 0]
    brightness = dark + light
    contrast = (light - dark) / 0.2 / brightness
    for factor, reach in ((brightness, BRIGHTNESS), (contrast, CONTRAST)):
        assert factor.min() >= 1 - reach - 1e-4
        assert factor.max() <= 1 + reach + 1e-4
        assert factor.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.05)  # uniform
        assert factor.mean().item() == pytest.approx(1, abs=0.01)


def test_hue_turns_slightly_and_saturation_scales_within_bounds() -> None:
    """Read off a flat colour: its angle and its length in the plane of the colour differences."""
    colour = torch.tensor([0.6, 0.45, 0.4]).view(1, 3, 1, 1).expand(4000, -1, 4, 4)
    seen = (recolour(colour * 2 - 1, seeded()) + 1) / 2
    plane = seen[:, :, 0, 0] @ TO_YIQ.T
    before = colour[:, :, 0, 0] @ TO_YIQ.T
    angle = torch.atan2(plane[:, 2], plane[:, 1]) - torch.atan2(before[:, 2], before[:, 1])
    assert angle.abs().max() <= math.radians(HUE) + 1e-4
    assert angle.std().item() == pytest.approx(math.radians(HUE) / math.sqrt(3), rel=0.05)
    luminance_gain = plane[:, 0] / before[:, 0]
    length = plane[:, 1:].norm(dim=1) / before[:, 1:].norm(dim=1) / luminance_gain
    # A flat image has no contrast of its own luminance, but its colour differences are scaled.
    assert length.max() <= (1 + SATURATION) * (1 + CONTRAST) + 1e-4
    assert length.min() >= (1 - SATURATION) * (1 - CONTRAST) - 1e-4
    assert length.std() > 0.1


def ramps(count: int, size: int = 64) -> Tensor:
    """An image whose first channel is x and whose second is y, from -1 to 1: where is what."""
    steps = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = steps.expand(size, size), steps[:, None].expand(size, size)
    return torch.stack([x, y, torch.zeros_like(x)]).expand(count, -1, -1, -1)


def test_the_zoom_shows_a_turned_rectangle_within_its_bounds() -> None:
    """On the ramps, a pixel is its own source position, and differences give the affine map."""
    seen = zoom(ramps(1000), seeded())
    step = 1 / 64 * 2
    middle = slice(31, 33)
    block = seen[:, :2, middle, middle]  # inside, whatever the crop
    along = (block[:, :, 0, 1] - block[:, :, 0, 0]) / step  # source shift for one pixel right
    down = (block[:, :, 1, 0] - block[:, :, 0, 0]) / step
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    assert area.min() >= SMALLEST_AREA - 1e-3
    assert area.max() <= 1 + 1e-3
    assert area.std() > 0.05
    angle = torch.atan2(along[:, 1], along[:, 0])
    assert angle.abs().max() <= math.radians(ROTATION) + 1e-3
    assert angle.std().item() == pytest.approx(math.radians(ROTATION) / math.sqrt(3), rel=0.1)
    ratio = along.norm(dim=1) / down.norm(dim=1)
    assert ratio.max() <= STRETCH + 1e-3
    assert ratio.min() >= 1 / STRETCH - 1e-3


def test_the_zoom_keeps_the_centre_of_the_image_in_view() -> None:
    """A lesion stands in the middle; no crop may leave it out."""
    seen = zoom(ramps(1000), seeded())[:, :2]
    distance = seen.square().sum(1).flatten(1).amin(1).sqrt()
    assert distance.max() < 2 / 64


def test_the_zoom_of_a_flat_image_is_the_flat_image() -> None:
    """No border of another colour enters, whatever the turn."""
    flat = torch.full((200, 3, SIZE, SIZE), 0.3)
    torch.testing.assert_close(zoom(flat, seeded()), flat, atol=ROUNDING, rtol=0)
