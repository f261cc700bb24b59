"""ADA's draws have the paper's distributions, its warps are what they say, its strength is led."""

import json
import math

import pytest
import torch
from torch import Tensor

from hqgan.data.ada import Adaptive, ada, colour, geometry, rotation, scaling, translation, warp

SIZE = 16
MANY = 20_000  # draws; 4 standard errors of a share are 0.014, of a standard deviation 2 %
SHARE_TOLERANCE = 0.015
SPREAD_TOLERANCE = 0.03  # relative
SAMPLING_TOLERANCE = 1e-4  # float32 positions of pixels


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int = 8, size: int = SIZE, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(seed)) * 2 - 1


def octaves(linear: Tensor) -> tuple[Tensor, Tensor]:
    """log2 of isotropic and (without its sign) anisotropic scale of inverse maps (B, 2, 2)."""
    large, little = torch.linalg.svdvals(linear).log2().unbind(1)
    return -(large + little) / 2, (large - little) / 2


def turned(linear: Tensor) -> Tensor:
    """Whether conformal maps (B, 2, 2) turn by anything but quarters."""
    return (4 * torch.atan2(linear[:, 1, 0], linear[:, 0, 0])).sin().abs() > 1e-6


def test_strength_zero_is_the_identity() -> None:
    images = noise()
    assert ada(images, seeded(), 0.0) is images


def test_the_same_generator_gives_the_same_images_and_each_call_its_own() -> None:
    rng, images = seeded(3), noise()
    first = ada(images, rng)
    assert torch.equal(first, ada(images, seeded(3)))
    assert not torch.equal(first, ada(images, rng))


def test_an_image_at_a_small_strength_is_mostly_left_alone() -> None:
    """All nine changes spare an image with this probability; a shift may round to none."""
    p, images = 0.05, noise(4000, 8)
    still = (ada(images, seeded(), p) - images).abs().amax((1, 2, 3)) < SAMPLING_TOLERANCE
    # The least shift of 8 pixels is 1, uniform within 1: half of each axis rounds to 0.
    spared = (1 - p / 2) * (1 - 3 / 4 * p) * (1 - 3 / 4 * p) * (1 - p) ** 6
    assert still.float().mean().item() == pytest.approx(spared, abs=0.03)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_geometry_is_drawn_as_published(strength: float) -> None:
    theta = geometry(MANY, SIZE, seeded(), strength)
    linear = theta[:, :, :2]
    mirrored = (torch.linalg.det(linear) < 0).double().mean().item()
    assert mirrored == pytest.approx(strength / 2, abs=SHARE_TOLERANCE)
    isotropic, anisotropic = octaves(linear)
    for values in (isotropic, anisotropic):
        changed = values.abs() > 1e-6
        assert changed.double().mean().item() == pytest.approx(strength, abs=SHARE_TOLERANCE)
        spread = values[changed].square().mean().sqrt().item()
        assert spread == pytest.approx(0.2, rel=SPREAD_TOLERANCE)
    assert abs(isotropic.mean().item()) < 0.01  # as often larger as smaller


def test_either_rotation_befalls_an_image_with_the_strength_as_probability() -> None:
    linear = geometry(MANY, SIZE, seeded(), 0.3)[:, :, :2]
    conformal = linear[octaves(linear)[1] < 1e-6]
    assert turned(conformal).double().mean().item() == pytest.approx(0.3, abs=SHARE_TOLERANCE)


def test_at_full_strength_all_directions_are_equally_likely() -> None:
    linear = geometry(MANY, SIZE, seeded(), 1.0)[:, :, :2]
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    counts = torch.histc(angle, 8, -math.pi, math.pi)
    assert ((counts / MANY - 1 / 8).abs() < SHARE_TOLERANCE).all()


def test_the_last_shift_moves_the_picture_by_an_eighth_of_its_edge() -> None:
    """Where the centre goes: the blit, which scale and rotation move, and the last shift."""
    theta = geometry(MANY, SIZE, seeded(), 1.0)
    forward = torch.linalg.inv(theta[:, :, :2])
    goes = -(forward @ theta[:, :, 2:]) / 2  # shares of the edge
    pixels = torch.arange(-2, 3) / SIZE
    weight = torch.tensor([0.5, 1, 1, 1, 0.5]) / 4  # of uniform within 2 pixels, rounded
    scale = math.exp(2 * (0.2 * math.log(2)) ** 2)  # mean square of a lognormal factor
    blit = (weight * pixels.square()).sum().item() * scale**2  # two factors, s and the stretch
    spread = goes.square().mean().item() ** 0.5
    assert spread == pytest.approx(math.sqrt(0.125**2 + blit), rel=SPREAD_TOLERANCE)


def test_whole_pixel_changes_keep_every_grey_level() -> None:
    theta = geometry(400, SIZE, seeded(), 0.3)
    linear, offset = theta[:, :, :2], theta[:, :, 2] * SIZE / 2
    whole = ((linear - linear.round()).abs().amax((1, 2)) < 1e-6) & (
        (offset - offset.round()).abs().amax(1) < 1e-6
    )
    assert whole.sum() > 20
    images = noise(1).expand(int(whole.sum()), -1, -1, -1)
    levels = warp(images, theta[whole])[:, 0].flatten()
    distance = (levels[:, None] - images[0, 0].flatten()).abs().amin(1)
    assert distance.max() < SAMPLING_TOLERANCE


def test_maps_lead_from_where_a_pixel_goes_to_where_it_comes_from() -> None:
    image, one = noise(1).double(), torch.ones(1, 1, dtype=torch.float64)
    mirror, quarter = scaling(-one, one), rotation(-math.pi / 2 * one)
    down = translation(torch.tensor([[0.0, -2 * 3 / SIZE]], dtype=torch.float64))
    torch.testing.assert_close(warp(image, mirror[:, :2]), image.flip(3))
    # y points down, so that x towards y is clockwise
    torch.testing.assert_close(warp(image, quarter[:, :2]), torch.rot90(image, -1, (2, 3)))
    moved = warp(image, down[:, :2])
    torch.testing.assert_close(moved[:, :, 3:], image[:, :, :-3])
    torch.testing.assert_close(moved[:, :, :3], image[:, :, :3].flip(2))  # mirrored at the edge
    both = warp(image, (mirror @ quarter @ down)[:, :2])
    torch.testing.assert_close(both, warp(torch.rot90(image.flip(3), -1, (2, 3)), down[:, :2]))
    larger = warp(torch.ones(1, 1, 4, 4).double().cumsum(3), scaling(one / 2, one / 2)[:, :2])
    torch.testing.assert_close(larger[0, 0, 0].diff(), torch.full((3,), 0.5).double())


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_brightness_and_contrast_are_drawn_as_published(strength: float) -> None:
    contrast, shift = colour(MANY, seeded(), strength)
    for values, spread in ((contrast.log2(), 0.5), (shift / contrast, 0.2)):
        changed = values != 0
        assert changed.float().mean().item() == pytest.approx(strength, abs=SHARE_TOLERANCE)
        assert values[changed].std().item() == pytest.approx(spread, rel=SPREAD_TOLERANCE)
        assert abs(values.mean().item()) < 4 * spread / math.sqrt(MANY)


def test_no_hue_no_saturation_and_no_border() -> None:
    """A flat image stays flat, and the differences between its channels only scale."""
    images = torch.tensor([0.6, 0.1, -0.2]).view(1, 3, 1, 1).expand(50, 3, SIZE, SIZE)
    seen = ada(images, seeded()).flatten(2)
    assert seen.std(2).max() < SAMPLING_TOLERANCE
    pixel = seen[:, :, 0]
    ratio = (pixel[:, 0] - pixel[:, 1]) / (pixel[:, 0] - pixel[:, 2])
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.5 / 0.8), atol=1e-4, rtol=0)
    assert ((pixel[:, 0] - pixel[:, 2]) > 0).all()  # no luma flip


def test_the_gradient_is_that_of_the_same_change() -> None:
    """With the draws fixed the map is affine in the image, so differences are exact."""
    images, step = noise(4).double(), noise(4, seed=9).double()
    images.requires_grad_()
    before = ada(images, seeded(5))
    weight = noise(4, seed=4).double()
    (before * weight).sum().backward()
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()
    after = ada(images.detach() + step, seeded(5))
    torch.testing.assert_close(
        ((after - before.detach()) * weight).sum(), (images.grad * step).sum()
    )


def test_strength_rises_while_the_critic_is_sure_and_falls_while_it_is_not() -> None:
    sure, unsure = torch.ones(32), torch.tensor([1.0, -1.0]).repeat(16)
    controller = Adaptive(target=0.6, kimg=1, every=4)
    for _ in range(8):
        controller.observe(sure, 32)
    assert controller.strength == pytest.approx(8 * 32 / 1000)
    for _ in range(4):
        controller.observe(unsure, 32)
    assert controller.strength == pytest.approx(4 * 32 / 1000)


def test_strength_moves_every_fourth_call_by_the_mean_sign_of_all_four() -> None:
    controller = Adaptive(target=0.6, kimg=1, every=4)
    # 3/4 are positive in all: a mean sign of 0.5, whatever their size
    for logits in (torch.ones(8, 2), 5 * torch.ones(8, 2), torch.ones(8, 2), -torch.ones(8, 2)):
        assert controller.strength == 0
        controller.observe(logits, 8)
    assert controller.strength == 0  # below the target, and no lower than 0
    easier = Adaptive(target=0.4, kimg=1, every=4)
    for logits in (torch.ones(8), torch.ones(8), torch.ones(8), -9 * torch.ones(8)):
        assert easier.strength == 0
        easier.observe(logits, 8)
    assert easier.strength == pytest.approx(4 * 8 / 1000)


def test_strength_rests_where_the_mean_sign_is_the_target() -> None:
    controller = Adaptive(target=0.5, kimg=1, every=1, strength=0.25)
    controller.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]), 4)
    assert controller.strength == 0.25


def test_strength_takes_500_kimg_from_0_to_1_and_stays_there() -> None:
    controller = Adaptive()
    for _ in range(499):
        controller.observe(torch.ones(4), 250)
    assert controller.strength == pytest.approx(496 * 250 / 500_000)
    for _ in range(2000):
        controller.observe(torch.ones(4), 250)
    assert controller.strength == 1


def test_a_resumed_controller_goes_on_equal() -> None:
    logits = torch.randn(40, 16, generator=seeded()) + 1
    unbroken = Adaptive(kimg=1)
    for row in logits[:17]:
        unbroken.observe(row, 16)
    resumed = Adaptive(kimg=1)
    resumed.load_state_dict(json.loads(json.dumps(unbroken.state_dict())))
    for row in logits[17:]:
        unbroken.observe(row, 16)
        resumed.observe(row, 16)
        assert resumed.state_dict() == unbroken.state_dict()
    assert 0 < resumed.strength < 1
