"""The diffusion model as a generator: counts, noise schedule, sampling, guidance."""

import sys

import pytest
import torch

from hqgan.errors import MissingExtra, UsageError
from hqgan.models import About, load_snapshot, save_snapshot
from hqgan.models.diffusion import DiffusionGenerator
from hqgan.models.registry import parameter_count

pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

CIFAR_PARAMETERS = 35.7e6  # Ho et al. 2020, appendix B
EXACT = 1e-5
BATCHED = (
    2e-3  # float32 in another order, through a division by the little signal of the first step
)
K = 3


def small(**changes: object) -> DiffusionGenerator:
    torch.manual_seed(0)
    options = {"size": 32, "width": 8, "sampling_steps": 4} | changes
    return DiffusionGenerator(K, **options).eval()


def latents(model: DiffusionGenerator, n: int = 2) -> torch.Tensor:
    return model.sample_z(n, torch.Generator().manual_seed(1))


def test_the_published_unconditional_size_is_met() -> None:
    with torch.device("meta"):
        model = DiffusionGenerator(K, size=32)
    conditioning = parameter_count(model.label) + model.unlabelled.numel()
    assert parameter_count(model) - conditioning == pytest.approx(CIFAR_PARAMETERS, rel=2e-3)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_depend_on_latent_and_class_alone(size: int) -> None:
    model = small(size=size, sampling_steps=2)
    z, y = latents(model), torch.tensor([0, 1])
    with torch.no_grad():
        images = model(z, y)
        assert images.shape == (2, 3, size, size)
        assert images.abs().max() <= 1
        torch.testing.assert_close(images, model(z, y))
        torch.testing.assert_close(images[1:], model(z[1:], y[1:]), atol=BATCHED, rtol=0)
        assert (model(z, y.flip(0)) - images).abs().max() > 1e-4


def test_noisy_images_follow_the_linear_schedule() -> None:
    """sqrt(a) x + sqrt(1 - a) e with a the product of 1 - beta, beta from 1e-4 to 0.02."""
    model = small()
    x, noise = torch.randn(2, 2, 3, 4, 4)
    t = torch.tensor([0, 700])
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[t].view(2, 1, 1, 1)
    expected = kept.sqrt() * x + (1 - kept).sqrt() * noise
    torch.testing.assert_close(model.noisy(x, noise, t), expected, atol=EXACT, rtol=0)


def test_sampling_inverts_a_network_that_knows_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """DDIM with the true noise at every step must end at the true image, whatever the steps."""
    model = small(sampling_steps=10, guidance=1)
    image = torch.rand(1, 3, 32, 32) * 2 - 1

    def knowing(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        kept = model.schedule.alphas_cumprod[t].view(-1, 1, 1, 1)
        return (x - kept.sqrt() * image) / (1 - kept).sqrt()

    monkeypatch.setattr(model, "predict_noise", knowing)
    made = model(latents(model, 1), torch.tensor([0]))
    torch.testing.assert_close(made, image, atol=1e-3, rtol=0)


def test_guidance_goes_from_ignoring_the_class_to_exaggerating_it() -> None:
    z, y = latents(small()), torch.tensor([0, 1])
    x, t = z.view(2, 3, 32, 32), torch.tensor([5, 5])
    with torch.no_grad():
        ignored = small(guidance=0.0).guided(x, t, y)
        plain = small(guidance=1.0).guided(x, t, y)
        strong = small(guidance=3.0).guided(x, t, y)
        hidden = small().predict_noise(x, t, torch.tensor([-1, -1]))
    torch.testing.assert_close(ignored, hidden, atol=EXACT, rtol=0)
    torch.testing.assert_close(strong - ignored, 3 * (plain - ignored), atol=1e-4, rtol=0)


def test_a_snapshot_makes_the_same_images(tmp_path) -> None:
    model = small()
    about = About("ddpm", ("a", "b", "c"), (1, 1, 1), 0, 0, "ddpm", "")
    save_snapshot(model, tmp_path / "snapshot-1", about)
    loaded, _ = load_snapshot(tmp_path / "snapshot-1")
    z, y = latents(model), torch.tensor([0, 2])
    with torch.no_grad():
        torch.testing.assert_close(loaded(z, y), model(z, y))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 48}, "size is 48"),
        ({"width": 12}, "width is 12"),
        ({"sampling_steps": 21}, "sampling_steps are 21, but must divide its 1,000"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small(**changes)


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"hqgan\[diffusion\]"):
        small()
