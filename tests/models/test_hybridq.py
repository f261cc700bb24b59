"""The hybrid generator: size, range, gradients, and circuits that are what they say."""

import pytest
import torch

from hqgan.errors import UsageError
from hqgan.models import HybridQGenerator, parameter_count
from hqgan.models.hybridq import FUSIONS, SITES, Texture
from hqgan.quantum import QuantumLayer

BUDGET = 900_000  # parameters at 64 px
CIRCUIT_TOLERANCE = 1e-6
BATCH_TOLERANCE = 1e-5  # float32 sums may run in another order in another batch
NOISE_TOLERANCE = 0.02  # of mean and deviation over a million pixels


def latents(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 128, generator=torch.Generator().manual_seed(seed))


def build(classes: int = 7, size: int = 32, **options) -> HybridQGenerator:
    torch.manual_seed(0)
    return HybridQGenerator(classes, size, **options)


@pytest.mark.parametrize("classes", [7, 8])
def test_the_default_keeps_its_parameter_budget(classes: int) -> None:
    assert parameter_count(build(classes, size=64)) <= BUDGET


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_asked_for_and_stay_in_range(size: int) -> None:
    images = build(size=size)(latents(2), torch.tensor([0, 6]))
    assert images.shape == (2, 3, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.std() > 0.01


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_every_parameter(fusion: str) -> None:
    model = build(fusion=fusion)
    images = model(latents(8), torch.arange(8) % 7)
    # Weighted pixels: their plain mean is nearly constant behind a batch normalisation.
    (
        images * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    ).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0, name


@pytest.mark.parametrize("groups", [1, 2, 4, 16])
def test_each_site_runs_the_circuit_of_its_group(groups: int) -> None:
    """Sites row by row, in `groups` equal runs; one circuit at a time must give the same values."""
    stream = build(qubits=3, circuit_layers=2, circuit_groups=groups).quantum
    angles = torch.randn(2, 3, SITES, SITES)
    together = stream.expectation_values(angles)
    single = QuantumLayer(stream.circuits.circuit)
    for site in range(SITES**2):
        row, column = divmod(site, SITES)
        weight = stream.circuits.weight[site // (SITES**2 // groups)]
        single.weight.data.copy_(weight[None])
        torch.testing.assert_close(
            together[:, :, row, column],
            single(angles[:, :, row, column]),
            atol=CIRCUIT_TOLERANCE,
            rtol=0,
        )


def test_groups_differ_once_their_weights_do() -> None:
    stream = build(qubits=3, circuit_groups=4).quantum
    values = stream.expectation_values(torch.full((1, 3, SITES, SITES), 0.4))
    rows = values[0].transpose(0, 1)  # (row, outputs, column)
    assert torch.allclose(rows[0, :, 0], rows[0, :, 3], atol=CIRCUIT_TOLERANCE)
    assert not torch.allclose(rows[0, :, 0], rows[1, :, 0], atol=1e-3)


def test_the_quantum_stream_matters_to_the_image() -> None:
    model = build().eval()
    z, y = latents(2), torch.tensor([0, 1])
    before = model(z, y)
    model.quantum.circuits.weight.data.add_(1.0)
    assert (model(z, y) - before).abs().max() > 1e-3


def test_a_closed_gate_shuts_the_quantum_stream_off() -> None:
    model = build(fusion="gated").eval()
    z, y = latents(2), torch.tensor([0, 1])
    model.fusion.gate.data.fill_(-1e4)
    before = model(z, y)
    model.quantum.circuits.weight.data.add_(1.0)
    assert torch.equal(model(z, y), before)


def test_an_image_does_not_depend_on_its_batch_when_sampled() -> None:
    model = build().eval()
    z, y = latents(5), torch.arange(5)
    alone, together = model(z[2:3], y[2:3]), model(z, y)[2:3]
    torch.testing.assert_close(alone, together, atol=BATCH_TOLERANCE, rtol=0)


def test_latent_and_class_change_the_image() -> None:
    model = build().eval()
    z = latents(2)
    same = model(z[:1], torch.tensor([1]))
    assert not torch.allclose(same, model(z[:1], torch.tensor([2])), atol=1e-3)
    assert not torch.allclose(same, model(z[1:], torch.tensor([1])), atol=1e-3)


def test_what_is_not_offered_is_refused() -> None:
    with pytest.raises(UsageError, match=r"48.*32, 64 or 128"):
        build(size=48)
    with pytest.raises(ValueError, match=r"'sum'.*gated, concat, film"):
        build(fusion="sum")
    with pytest.raises(ValueError, match="circuit_groups is 3"):
        build(circuit_groups=3)


def test_texture_is_white_noise_of_its_own_for_each_latent() -> None:
    """Standard normal pixels, hardly correlated, the same for the same latent and no other."""
    torch.manual_seed(0)
    texture = Texture(channels=1, resolution=16, z_dim=128)
    torch.nn.init.ones_(texture.scale)
    z = latents(4000)
    planes = texture(torch.zeros(len(z), 1, 16, 16), z)
    again = texture(torch.zeros(5, 1, 16, 16), z[:5])
    torch.testing.assert_close(planes[:5], again, atol=BATCH_TOLERANCE, rtol=0)
    pixels = planes.flatten(1)
    correlation = torch.corrcoef(pixels.T) - torch.eye(256)
    assert pixels.mean().abs() < NOISE_TOLERANCE
    assert abs(pixels.std() - 1) < NOISE_TOLERANCE
    # Signs of 128 latents leave a correlation of the order 128^-1/2 between two pixels.
    assert correlation.square().mean().sqrt() < 2 * 128**-0.5
    between_images = torch.corrcoef(pixels[:50]) - torch.eye(50)
    assert between_images.abs().mean() < 2 * 128**-0.5
