"""Differentiable augmentation does what it says, to the share of images it says, repeatably."""

import pytest
import torch
from torch import Tensor

from hqgan.data.diffaugment import augment, cutout, flips_and_turns, translate

SIZE = 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int = 8, size: int = SIZE, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(seed)) * 2 - 1


def test_strength_zero_is_the_identity() -> None:
    images = noise()
    assert augment(images, seeded(), 0.0) is images


def test_the_same_generator_gives_the_same_images() -> None:
    images = noise()
    assert torch.equal(augment(images, seeded(3)), augment(images, seeded(3)))
    assert not torch.equal(augment(images, seeded(3)), augment(images, seeded(4)))
    assert torch.equal(flips_and_turns(images, seeded(3)), flips_and_turns(images, seeded(3)))


def test_real_and_fake_get_changes_of_their_own() -> None:
    rng, images = seeded(), noise()
    assert not torch.equal(augment(images, rng), augment(images, rng))


def test_strength_is_the_share_of_images_changed() -> None:
    images = noise(count=2000, size=8)
    moved = (augment(images, seeded(), 0.3) - images).abs().amax((1, 2, 3))
    changed = moved > 1e-4  # contrast 1 about the mean rounds
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_gradients_flow_to_every_visible_pixel() -> None:
    images = noise().requires_grad_()
    augmented = augment(images, seeded())
    augmented.square().sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_gradient_is_that_of_the_same_change() -> None:
    """With the draws fixed the map is affine in the image, so differences are exact."""
    images, step = noise(2).double(), noise(2, seed=9).double()
    images.requires_grad_()
    before = augment(images, seeded(5))
    weight = noise(2, seed=4).double()
    (before * weight).sum().backward()
    after = augment(images.detach() + step, seeded(5))
    torch.testing.assert_close(
        ((after - before.detach()) * weight).sum(), (images.grad * step).sum()
    )


def test_brightness_and_contrast_stay_within_a_fifth() -> None:
    """A flat image shows brightness; the spread of the uncut pixels of a split one, contrast."""
    flat = augment(torch.full((500, 3, SIZE, SIZE), 0.5), seeded())
    shift = flat.amax((1, 2, 3)) - 0.5  # above the hole, which is 0
    assert shift.abs().max() <= 0.2 + 1e-6
    assert shift.min() < -0.18
    assert shift.max() > 0.18
    halves = torch.ones(500, 3, SIZE, SIZE)
    halves[:, :, : SIZE // 2] = -1
    seen = augment(halves, seeded())
    contrast = (seen.amax((1, 2, 3)) - seen.amin((1, 2, 3))) / 2
    assert contrast.min() >= 0.8 - 1e-6
    assert contrast.max() <= 1.2 + 1e-6
    assert contrast.std() > 0.1


def test_colours_keep_their_order() -> None:
    """No hue, no saturation: the differences between the channels only scale with the contrast."""
    images = torch.tensor([0.6, 0.1, -0.2]).view(1, 3, 1, 1).expand(50, 3, SIZE, SIZE)
    seen = augment(images, seeded()).flatten(2)
    pixel = seen[:, :, seen.abs().sum((0, 1)).argmax()]
    uncut = pixel.abs().sum(1) > 0
    ratio = (pixel[:, 0] - pixel[:, 1]) / (pixel[:, 0] - pixel[:, 2])
    torch.testing.assert_close(ratio[uncut], torch.full_like(ratio[uncut], 0.5 / 0.8))


@pytest.mark.parametrize(("down", "right"), [(2, 0), (0, -3), (-1, 4)])
def test_translation_moves_whole_pixels_and_repeats_the_edge(down: int, right: int) -> None:
    image = noise(1)
    moved = translate(image, torch.tensor([[down, right]]))
    for row in range(SIZE):
        for column in range(SIZE):
            source = image[:, :, min(max(row - down, 0), 15), min(max(column - right, 0), 15)]
            assert torch.equal(moved[:, :, row, column], source)


def test_each_image_moves_by_its_own_shift() -> None:
    images = noise(2)
    moved = translate(images, torch.tensor([[0, 0], [1, 0]]))
    assert torch.equal(moved[0], images[0])
    assert torch.equal(moved[1, :, 1:], images[1, :, :-1])


def test_the_cutout_is_a_square_of_a_sixteenth() -> None:
    ones = torch.ones(3, 3, SIZE, SIZE)
    centre = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.5, 0.5]])
    cut = cutout(ones, centre, chosen=torch.tensor([1.0, 1.0, 0.0]))
    holes = (cut == 0).all(1).sum((1, 2))
    assert holes.tolist() == [(SIZE // 4) ** 2, (SIZE // 8) ** 2, 0]  # in a corner, a quarter of it
    assert ((cut == 0) | (cut == 1)).all()


def test_flips_and_turns_are_the_eight_symmetries_and_move_pixels_only() -> None:
    image = noise(1)
    expected = [
        torch.rot90(base, turns, (2, 3)) for base in (image, image.flip(3)) for turns in range(4)
    ]
    seen = flips_and_turns(image.expand(800, -1, -1, -1), seeded())
    hits = torch.stack([(seen == e).flatten(1).all(1) for e in expected])
    assert hits.sum(0).tolist() == [1] * 800  # each is exactly one of the eight
    share = hits.float().mean(1)
    assert share.min() > 0.08  # 1/8 each, four standard deviations below
    assert share.max() < 0.18
