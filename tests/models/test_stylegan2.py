"""StyleGAN2: the published counts, the fast forms against the literal ones, noise, R1."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hqgan.errors import UsageError
from hqgan.models import parameter_count
from hqgan.models.stylegan2 import (
    EqualConv,
    EqualLinear,
    ModulatedConv,
    StyledConv,
    StyleGAN2Critic,
    StyleGAN2Generator,
    smooth,
)

CLASSES = 3
TOLERANCE = 1e-5  # float32 sums in another order
BATCH_TOLERANCE = 1e-4  # the same, through the whole generator
HALF_TOLERANCE = 0.1  # of the spread of the images: bfloat16 has 8 bits
DIFFERENCE_TOLERANCE = 0.02  # of a finite difference in float32, with kinks of leaky ReLUs


def small(size: int = 16, **options: int) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(CLASSES, size, channel_cap=16, z_dim=12, w_dim=24, **options)


def small_critic(size: int = 16) -> StyleGAN2Critic:
    torch.manual_seed(1)
    return StyleGAN2Critic(CLASSES, size, channel_cap=16)


def latents(n: int, seed: int = 0, z_dim: int = 12) -> Tensor:
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(seed))


def louder(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    """The noise, which starts at strength 0, made audible."""
    for module in generator.modules():
        if isinstance(module, StyledConv):
            module.strength.data.fill_(0.5)
    return generator


def test_parameter_counts_are_those_of_the_published_layers():
    with torch.device("meta"):
        generator, critic = StyleGAN2Generator(8), StyleGAN2Critic(8)
        narrow = StyleGAN2Generator(8, channel_cap=128), StyleGAN2Critic(8, channel_cap=128)
    dense, embedding = 512 * 512 + 512, 8 * 512 + 512
    assert parameter_count(generator) == 22_510_360
    assert parameter_count(generator) - embedding - 512 * 512 == 22_243_608  # without the label
    assert parameter_count(critic) == 25_775_360
    label_free = parameter_count(critic) - embedding - 8 * dense - dense + 512 + 1
    assert label_free == 23_407_361
    assert [parameter_count(m) for m in narrow] == [3_043_608, 1_807_488]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_asked_for_and_stay_in_range_in_eval_mode(size):
    generator, y = small(size), torch.tensor([0, CLASSES - 1])
    raw, images = generator(latents(2), y), generator.eval()(latents(2), y)
    assert images.shape == (2, 3, size, size)
    assert raw.abs().max() > 1  # training sees what eval mode clamps
    assert images.abs().max() <= 1
    assert torch.equal(images, raw.clamp(-1, 1))  # noise has strength 0 before training
    assert small_critic(size)(raw, y).shape == (2,)


@pytest.mark.parametrize("size", [4, 48])
def test_a_size_that_is_no_power_of_two_is_a_usage_error(size):
    for model in (StyleGAN2Generator, StyleGAN2Critic):
        with pytest.raises(UsageError, match=f"{size} pixels.*power of two from 8"):
            model(CLASSES, size)


def test_a_width_of_nothing_is_a_usage_error():
    with pytest.raises(UsageError, match="channel_cap 0"):
        StyleGAN2Generator(CLASSES, channel_cap=0)


def literal_weights(conv: ModulatedConv, w: Tensor) -> list[Tensor]:
    """Each image's own weights (C', C, k, k), by the equations of the paper, entry by entry."""
    weights = []
    for style in conv.affine(w):
        modulated = torch.zeros_like(conv.weight)
        for i in range(modulated.shape[1]):
            modulated[:, i] = style[i] * conv.weight[:, i] * conv.gain
        if conv.demodulate:
            for o in range(len(modulated)):
                modulated[o] /= torch.sqrt((modulated[o] ** 2).sum() + 1e-8)
        weights.append(modulated)
    return weights


@pytest.mark.parametrize(("kernel", "demodulate"), [(3, True), (1, False), (3, False)])
def test_modulated_convolution_equals_one_with_each_images_own_weights(kernel, demodulate):
    torch.manual_seed(0)
    conv = ModulatedConv(5, 4, kernel, 6, demodulate=demodulate)
    x, w = torch.randn(3, 5, 8, 8), torch.randn(3, 6)
    with torch.no_grad():
        literal = [
            F.conv2d(image[None], weight, padding=kernel // 2)
            for image, weight in zip(x, literal_weights(conv, w), strict=True)
        ]
        torch.testing.assert_close(conv(x, w), torch.cat(literal), atol=TOLERANCE, rtol=TOLERANCE)


def test_upsampling_equals_zero_insertion_filter_and_convolution_inside():
    """Zeros outside the map are cut off at another place, hence two pixels of edge."""
    torch.manual_seed(0)
    conv = ModulatedConv(5, 4, 3, 6, up=True)
    x, w = torch.randn(2, 5, 8, 8), torch.randn(2, 6)
    with torch.no_grad():
        ours, literal = conv(x, w), []
        for image, weight in zip(x, literal_weights(conv, w), strict=True):
            wide = torch.zeros(1, 5, 16, 16)
            wide[:, :, ::2, ::2] = image
            filtered = 4 * smooth(F.pad(wide, (1, 0, 1, 0)), padding=1)
            literal.append(F.conv2d(filtered, weight.flip(2, 3), padding=1))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(
        ours[inside], torch.cat(literal)[inside], atol=TOLERANCE, rtol=TOLERANCE
    )


def test_the_filter_is_1331_along_both_edges():
    impulse = torch.zeros(1, 2, 7, 7)
    impulse[:, :, 3, 3] = 64
    response = smooth(impulse, padding=2)[0]
    line = torch.tensor([1.0, 3, 3, 1])
    assert torch.equal(response[1, 2:6, 2:6], torch.outer(line, line))
    assert response.sum() == 2 * 64


def test_bilinear_doubling_of_rgb_equals_the_1331_filter_inside():
    image = torch.randn(1, 3, 6, 6)
    wide = torch.zeros(1, 3, 13, 13)
    wide[:, :, 1::2, 1::2] = image
    filtered, bilinear = 4 * smooth(wide, padding=1), F.interpolate(image, None, 2, "bilinear")
    torch.testing.assert_close(bilinear[..., 1:-1, 1:-1], filtered[..., 1:-1, 1:-1])
    assert not torch.allclose(bilinear[..., 0, :], filtered[..., 0, :])


def test_demodulation_keeps_the_variance_whatever_the_style():
    torch.manual_seed(0)
    conv = ModulatedConv(64, 64, 3, 8)
    x, w = torch.randn(4, 64, 16, 16), 30 * torch.randn(4, 8)
    assert conv(x, w)[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_layers_store_unit_weights_and_use_them_at_unit_gain(rate):
    torch.manual_seed(0)
    layer, x = EqualLinear(400, 300, rate, bias=1.0), torch.randn(200, 400)
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    assert layer(x).std().item() == pytest.approx(1, abs=0.05)
    assert layer(x).mean().item() == pytest.approx(1, abs=0.05)
    before = layer(x)
    with torch.no_grad():  # what a step of Adam does: each weight by the learning rate
        layer.weight += 1e-3
    step = 1e-3 * rate * x.sum(1, keepdim=True) / math.sqrt(400)
    torch.testing.assert_close(layer(x) - before, step.expand(-1, 300), atol=1e-5, rtol=0)


def test_equalised_convolution_starts_with_unit_weights_and_unit_gain():
    torch.manual_seed(0)
    conv = EqualConv(64, 64, 3)
    assert conv.weight.std().item() == pytest.approx(1, rel=0.02)
    assert conv(torch.randn(2, 64, 12, 12)).std().item() == pytest.approx(1, abs=0.05)


def test_noise_is_fresh_in_training_and_fixed_in_eval_mode():
    generator, z, y = louder(small()), latents(2), torch.tensor([0, 1])
    assert not torch.allclose(generator(z, y), generator(z, y), atol=0.01)
    generator.eval()
    assert torch.equal(generator(z, y), generator(z, y))
    quiet = small().eval()
    assert not torch.allclose(generator(z, y), quiet(z, y), atol=0.01)


def test_an_image_depends_on_its_latent_and_class_and_not_on_its_batch():
    generator, y = louder(small()).eval(), torch.tensor([0, 1, 2])
    together = generator(latents(3), y)
    alone = generator(latents(3)[:1], y[:1])
    torch.testing.assert_close(alone, together[:1], atol=BATCH_TOLERANCE, rtol=0)
    other_class = generator(latents(3), y.roll(1))
    other_latent = generator(latents(3, seed=5), y)
    for other in (other_class, other_latent):
        assert ((other - together).abs().amax((1, 2, 3)) > 0.1).all()


def test_only_the_direction_of_a_latent_counts():
    generator, z, y = small().eval(), latents(2), torch.tensor([0, 1])
    torch.testing.assert_close(generator(z, y), generator(7 * z, y), atol=BATCH_TOLERANCE, rtol=0)


def test_the_label_changes_the_logit():
    critic, images = small_critic(), torch.randn(4, 3, 16, 16)
    logits = torch.stack([critic(images, torch.full((4,), k)) for k in range(CLASSES)])
    assert logits.std(0).min() > 1e-2


def test_gradients_reach_every_parameter():
    generator, critic, y = small(), small_critic(), torch.tensor([0, 1, 2, 0])
    critic(generator(latents(4), y), y).square().sum().backward()
    for model in (generator, critic):
        for name, p in model.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name


def test_the_second_derivative_of_the_critic_is_that_of_finite_differences():
    """R1 moves a critic's weights along the derivative of its squared image gradient."""
    critic, y = small_critic(8), torch.tensor([0, 1, 2, 0])
    images = torch.randn(4, 3, 8, 8, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(critic(images, y).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    moved = [p for p in critic.parameters() if p.grad is not None]
    length = torch.stack([p.grad.square().sum() for p in moved]).sum().sqrt()
    values, epsilon = [], 3e-3
    for sign in (1, -2):  # there, and back past the start
        for p in moved:
            p.data.add_(sign * epsilon / length * p.grad)
        values.append(penalty().item())
    slope = (values[0] - values[1]) / (2 * epsilon)
    assert slope == pytest.approx(length.item(), rel=DIFFERENCE_TOLERANCE)
    unmoved = {n for n, p in critic.named_parameters() if p.grad is None}
    assert unmoved <= {"project.bias"}  # the image's gradient does not know it


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_half_precision_gives_the_same_images_and_logits_nearly(layout):
    y = torch.tensor([0, 1, 2, 0])
    generator, critic = small(32).to(memory_format=layout), small_critic(32)
    critic.to(memory_format=layout)
    exact = generator(latents(4), y)
    judged = critic(exact, y)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(latents(4), y)
        logits = critic(exact, y)
    assert images.dtype == logits.dtype == torch.float32
    assert (images - exact).abs().max() < HALF_TOLERANCE * exact.std()
    assert (logits - judged).abs().max() < HALF_TOLERANCE * judged.std()
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters() if p.grad is not None)


def test_snapshot_gives_back_identical_images(tmp_path):
    generator = louder(small()).eval()
    generator.save_pretrained(tmp_path)
    loaded = StyleGAN2Generator.from_pretrained(tmp_path).eval()
    z, y = latents(2), torch.tensor([1, 2])
    assert torch.equal(generator(z, y), loaded(z, y))
