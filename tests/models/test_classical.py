"""DCGAN, WGAN-GP's critic and FastGAN: counts, shapes, conditioning, links, what learns."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models import parameter_count
from hqgan.models.classical import NORMS, DCGANCritic, DCGANGenerator
from hqgan.models.critic import Critic
from hqgan.models.fastgan import FastGANGenerator, SkipExcitation, blur
from hqgan.models.fastgan_critic import FastGANCritic, crop
from hqgan.models.generator import Generator

CLASSES = 3
SIZES = [32, 64, 128]
CAP = 16  # widths of FastGAN in these tests
LABEL_CHANGES = 0.05  # least mean change of a pixel, in [-1, 1], when only the label does
BF16_TOLERANCE = 0.05  # mean change of a pixel under bf16, which keeps 8 bits of each layer
HALVED = 0.5  # what a few steps must leave of the reconstruction error
PENALTY_SLOPE_TOLERANCE = 1e-6  # float64, central difference


def make_generator(name: str, size: int = 32) -> Generator:
    torch.manual_seed(0)
    if name == "dcgan":
        return DCGANGenerator(CLASSES, size)
    return FastGANGenerator(CLASSES, size, width_cap=CAP)


def make_critic(name: str, size: int = 32) -> Critic:
    torch.manual_seed(0)
    if name == "fastgan":
        return FastGANCritic(CLASSES, size, width_cap=CAP)
    return DCGANCritic(CLASSES, size, norm=name)


def inputs(generator: Generator, n: int = 4) -> tuple[Tensor, Tensor]:
    z = generator.sample_z(n, torch.Generator().manual_seed(1))
    return z, torch.arange(n) % CLASSES


def unconditional(model: DCGANGenerator | FastGANGenerator | DCGANCritic) -> int:
    return parameter_count(model) - parameter_count(model.label)


def test_dcgan_has_the_published_parameter_counts():
    assert unconditional(DCGANGenerator(8)) == 3_576_704
    assert unconditional(DCGANCritic(8)) == 2_765_568


@pytest.mark.parametrize(
    ("size", "widths"),
    [(32, (64, 128, 256)), (64, (64, 128, 256, 512)), (128, (64, 128, 256, 512, 1024))],
)
def test_dcgan_doubles_its_channels_at_each_halving(size, widths):
    critic = DCGANCritic(CLASSES, size)
    convolutions = [m for m in critic.features if isinstance(m, nn.Conv2d)]
    assert tuple(m.out_channels for m in convolutions) == widths
    generator = DCGANGenerator(CLASSES, size)
    transposed = [m for m in generator.layers if isinstance(m, nn.ConvTranspose2d)]
    assert tuple(m.out_channels for m in transposed) == (*reversed(widths), 3)


def test_fastgan_has_the_parameters_of_its_layer_list():
    """At 64 px: published as 22.6 M."""
    widths = (256, 512, 512, 256, 128)
    start = 256 * 512 * 16 + 2 * 512
    up = sum(
        a * 4 * a + 4 * a  # 1x1 before the pixel shuffle
        + a * 2 * b * 16 + 2 * b  # 4x4
        + 2 * b  # noise
        + 4 * b  # batch norm
        for a, b in pairwise(widths)
    )  # fmt: skip
    count = unconditional(FastGANGenerator(8))
    assert count == start + up + 128 * 3 * 9 + 3
    assert round(count / 1e6, 1) == 22.6


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["dcgan", "fastgan"])
def test_images_have_the_size_asked_for_and_stay_in_range(name, size):
    generator = make_generator(name, size)
    images = generator(*inputs(generator))
    assert images.shape == (4, 3, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.std() > 0.1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "shape"), [*((norm, (4,)) for norm in NORMS), ("fastgan", (4, 50))]
)
def test_critics_return_their_logits(name, shape, size):
    logits = make_critic(name, size)(torch.randn(4, 3, size, size), torch.arange(4) % CLASSES)
    assert logits.shape == shape
    assert logits.dtype == torch.float32
    assert logits.std() > 0.01


@pytest.mark.parametrize("name", ["dcgan", "fastgan"])
def test_the_label_changes_the_image(name):
    generator = settled(make_generator(name))
    z, _ = inputs(generator)
    one, two = (generator(z, torch.full((4,), y)) for y in (0, 1))
    assert (one - two).abs().mean() > LABEL_CHANGES


@pytest.mark.parametrize("name", [*NORMS, "fastgan"])
def test_the_label_changes_the_logit(name):
    critic, images = make_critic(name), torch.randn(4, 3, 32, 32)
    one, two = (critic(images, torch.full((4,), y)) for y in (0, 1))
    assert (one - two).abs().min() > 1e-4


@pytest.mark.parametrize("name", ["dcgan", "fastgan"])
def test_in_eval_mode_an_image_follows_from_latent_and_class_alone(name):
    generator = make_generator(name)
    if isinstance(generator, FastGANGenerator):
        switch_noise_on(generator)
    z, y = inputs(generator)
    assert torch.equal(generator(z, y), generator(z, y)) == (name == "dcgan")
    generator.eval()
    images = generator(z, y)
    assert torch.equal(images, generator(z, y))
    torch.testing.assert_close(generator(z[:1], y[:1]), images[:1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["dcgan", "fastgan"])
def test_a_snapshot_gives_back_identical_images(name, tmp_path):
    generator = make_generator(name).eval()
    generator.save_pretrained(tmp_path)
    loaded = type(generator).from_pretrained(tmp_path).eval()
    z, y = inputs(generator)
    assert torch.equal(generator(z, y), loaded(z, y))


@pytest.mark.parametrize(
    ("generator", "critic"), [("dcgan", norm) for norm in NORMS] + [("fastgan", "fastgan")]
)
def test_gradients_reach_every_parameter(generator, critic):
    made, judge = make_generator(generator), make_critic(critic)
    if isinstance(made, FastGANGenerator):
        switch_noise_on(made)
    z, y = inputs(made, 6)
    images = made(z, y)
    loss = judge(images, y).square().sum() + judge.auxiliary(images)
    loss.backward()
    for name, p in [*made.named_parameters(), *judge.named_parameters()]:
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


@pytest.mark.parametrize("name", [*NORMS, "fastgan"])
def test_the_gradient_of_a_gradient_penalty_is_its_slope(name):
    """Central difference along the penalty's own gradient, in double precision."""
    critic = make_critic(name).double()
    if name == "fastgan":
        critic.eval()  # in training mode each call moves the spectral norm
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1])
    weights = [p for n, p in critic.named_parameters() if "decoder" not in n]

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(critic(images, y).sum(), images, create_graph=True)
        return gradient.square().sum()

    slopes = torch.autograd.grad(penalty(), weights, allow_unused=True)
    size = torch.cat([s.flatten() for s in slopes if s is not None]).norm()
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for p, s in zip(weights, slopes, strict=True):
                if s is not None:
                    p += step / size * s
        values.append(penalty().item())
    difference = (values[0] - values[1]) / 2e-6
    assert difference == pytest.approx(size.item(), rel=PENALTY_SLOPE_TOLERANCE)


def test_only_batch_norm_lets_a_logit_depend_on_its_batch_mates():
    images, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    for norm in NORMS:
        critic = make_critic(norm)
        alone, together = critic(images[:2], y[:2]), critic(images, y)[:2]
        assert torch.allclose(alone, together, atol=1e-5) == (norm != "batch")


@pytest.mark.parametrize("name", ["dcgan", "fastgan"])
def test_bf16_changes_images_little(name):
    generator = settled(make_generator(name).to(memory_format=torch.channels_last))
    z, y = inputs(generator)
    with torch.autocast("cpu", torch.bfloat16):
        rough = generator(z, y)
    assert rough.dtype == torch.float32
    assert (rough - generator(z, y)).abs().mean() < BF16_TOLERANCE


@pytest.mark.parametrize("name", [*NORMS, "fastgan"])
def test_critics_learn_under_bf16(name):
    critic = make_critic(name).to(memory_format=torch.channels_last)
    images, y = torch.randn(4, 3, 32, 32, requires_grad=True), torch.arange(4) % CLASSES
    with torch.autocast("cpu", torch.bfloat16):
        logits = critic(images, y)
        error = critic.auxiliary(images)
    assert logits.dtype == torch.float32
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    (gradient.square().sum() + error).backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("size", "start_link", "links"),
    [
        (32, False, {}),
        (64, False, {}),
        (128, False, {"8": "128"}),
        (32, True, {}),
        (64, True, {"4": "64"}),
        (128, True, {"4": "64", "8": "128"}),
    ],
)
def test_skip_links_exist_where_the_size_allows(size, start_link, links):
    generator = FastGANGenerator(CLASSES, size, width_cap=CAP, start_link=start_link)
    assert generator.links == links
    assert set(generator.gates) == set(links.values())
    assert any("gates" in name for name, _ in generator.named_parameters()) == bool(links)


def test_the_8x8_map_gates_the_channels_of_the_128x128_map():
    generator = make_generator("fastgan", 128)
    z, y = inputs(generator, 2)
    gate = generator.gates["128"]
    seen: list[tuple[Tensor, Tensor]] = []
    gate.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    with torch.no_grad():
        open_image = generator(z, y)
        zeros = generator.blocks["8"].register_forward_hook(
            lambda module, args, output: torch.zeros_like(output)
        )
        generator(z, y)
        zeros.remove()
        gate.expand.weight.zero_()
        gate.expand.bias.fill_(-100)
        closed_image = generator(z, y)
    (low, by_features), (_, by_nothing), _ = seen
    assert low.shape == (2, CAP, 8, 8)
    assert by_features.shape == (2, CAP, 1, 1)
    assert (by_features - by_nothing).abs().max() > 1e-2
    assert open_image.std() > 0.1
    assert closed_image.abs().max() < 1e-6  # no channel passes, the last bias is 0


def test_a_gate_is_between_0_and_1_and_follows_its_input():
    gate = SkipExcitation(8, 4)
    one, two = gate(torch.randn(2, 8, 8, 8))
    assert ((one > 0) & (one < 1)).all()
    assert (one - two).abs().max() > 1e-3


def test_the_blur_is_a_binomial_filter():
    point = torch.zeros(1, 1, 8, 8)
    point[0, 0, 4, 4] = 16
    row = torch.tensor([1.0, 2.0, 1.0])
    spread = blur(point)[0, 0]
    assert spread.shape == (9, 9)
    assert torch.equal(spread[3:6, 3:6], torch.outer(row, row))
    assert spread.sum() == 16


def test_quadrants_tile_the_image():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    a, b, c, d = (crop(image, i) for i in range(4))
    assert torch.equal(torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2), image)


@pytest.mark.parametrize("size", [32, 64])
def test_the_critic_learns_to_redraw_smooth_images(size):
    critic, images = make_critic("fastgan", size), smooth_images(8, size)
    optimiser = torch.optim.Adam(critic.parameters(), lr=5e-3)
    errors = []
    for _ in range(40):
        error = critic.auxiliary(images)
        error.backward()
        optimiser.step()
        optimiser.zero_grad()
        errors.append(error.item())
    assert sum(errors[-5:]) < HALVED * sum(errors[:5])


@pytest.mark.parametrize("model", [DCGANGenerator, DCGANCritic, FastGANGenerator, FastGANCritic])
def test_an_unknown_size_is_a_usage_error(model):
    with pytest.raises(UsageError, match=r"48 pixels.*32, 64, 128"):
        model(CLASSES, size=48)


def test_an_unknown_norm_is_a_usage_error():
    with pytest.raises(UsageError, match=r"'instance'.*batch, layer, none"):
        DCGANCritic(CLASSES, norm="instance")


@torch.no_grad()
def settled(generator: Generator) -> Generator:
    """In eval mode, once the batch norms know their statistics."""
    for _ in range(30):
        generator(*inputs(generator, 16))
    return generator.eval()


def switch_noise_on(generator: FastGANGenerator) -> None:
    for name, p in generator.named_parameters():
        if name.endswith("noise.scale"):
            nn.init.ones_(p)


def smooth_images(n: int, size: int) -> Tensor:
    """Sums of a few waves of low frequency, (N, 3, S, S) in [-1, 1]."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 3, 3, generator=rng) * 2 - 1
    return nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True).clamp(-1, 1)
