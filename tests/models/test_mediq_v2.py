"""The second paper's model: published counts, its circuits against PennyLane, latents, sharing.

Sixteen qubits are dear, so batches are of one or two, and circuits shallow unless depth matters.
"""

import math
from itertools import combinations

import pennylane as qml
import pytest
import torch
import torch.nn.functional as F

from hqgan.errors import UsageError
from hqgan.models.mediq_v2 import READ_SITES, MediqV2Critic, MediqV2Generator

CIRCUIT_TOLERANCE = 1e-5  # complex64 against complex128
BATCH_TOLERANCE = 1e-5  # float32 sums may run in another order in another batch
FLOAT_TOLERANCE = 1e-6
LATENT_KINDS = pytest.mark.parametrize("prototypes", [True, False])


def millions(*modules: torch.nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def latents(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 128, generator=torch.Generator().manual_seed(seed))


def small(prototypes: bool = True) -> MediqV2Generator:
    """Two classes, 32 px, one circuit layer; the noise scales, zero at the start, as if trained."""
    torch.manual_seed(0)
    model = MediqV2Generator(2, size=32, prototypes=prototypes, depth=1).eval()
    for name, p in model.named_parameters():
        if "noise" in name:
            torch.nn.init.constant_(p, 0.1)
    return model


@pytest.mark.parametrize(
    ("variant", "prototypes", "published"),
    [("style2", False, 0.74), ("style2", True, 1.45), ("vanilla", True, 9.38)],
)
def test_generator_has_the_published_parameter_count(variant, prototypes, published):
    model = MediqV2Generator(8, variant=variant, prototypes=prototypes)
    assert round(millions(model), 2) == published


def test_parts_have_the_published_parameter_counts():
    style2, vanilla = MediqV2Generator(8), MediqV2Generator(8, variant="vanilla")
    assert style2.quantum.circuits.weight.numel() == 640
    assert MediqV2Generator(8, depth=6).quantum.circuits.weight.numel() == 480
    assert round(millions(style2.latent), 2) == 0.73
    assert round(millions(style2.decoder), 2) == 0.51
    assert round(millions(vanilla.decoder), 2) == 8.43
    # "Encoder and split" is all between latent and fusion but the circuits and the label.
    split = (style2.encoder, style2.classical_part, style2.quantum_part, style2.classical)
    assert round(millions(*split, style2.quantum) - 640e-6, 3) == 0.209
    assert round(millions(MediqV2Critic(8)), 2) == 2.82


@pytest.mark.parametrize("variant", ["style2", "vanilla"])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_asked_for_and_stay_in_range(variant, size):
    model = MediqV2Generator(3, size, variant, depth=1)
    y = torch.tensor([2])
    with torch.no_grad():
        images = model(latents(1), y)
        assert images.shape == (1, 3, size, size)
        assert images.abs().max() <= 1
        assert images.std() > 0
        assert MediqV2Critic(3, size)(images, y).shape == (1,)


@LATENT_KINDS
@pytest.mark.parametrize("variant", ["style2", "vanilla"])
def test_gradients_reach_every_parameter(variant, prototypes):
    generator = MediqV2Generator(2, 32, variant, prototypes, depth=1)
    critic = MediqV2Critic(2, 32)
    y = torch.tensor([0, 1])
    critic(generator(latents(2), y), y).square().sum().backward()
    for model in (generator, critic):
        for name, p in model.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name


def test_quantum_cells_are_means_of_pennylane_circuits_at_the_five_sites():
    @qml.qnode(qml.device("default.qubit", wires=16))
    def circuit(angles, weights):
        for q in range(16):
            qml.RY(angles[q], wires=q)
            qml.RX(angles[q], wires=q)
        for layer in weights:
            for q in range(16):
                qml.RY(layer[q], wires=q)
            for q in range(15):
                qml.CZ(wires=[q, q + 1])
        return [qml.expval(qml.PauliX(q)) for q in range(16)]

    torch.manual_seed(0)
    branch = MediqV2Generator(2, 32, depth=2).quantum
    part = torch.randn(1, 16, 8, 8)
    expected = torch.zeros(5, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        ours = branch.cells(part)[0]
        weights = branch.circuits.weight.view(5, 2, 16).double()
        for i, site in enumerate((0, 4, 8, 11, 15)):
            row, column = divmod(site, 4)
            window = part[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            angles = branch.to_angles(window.mean((1, 2))).double()
            expected[i, row, column] = torch.stack(circuit(angles, weights[i])).mean()
    torch.testing.assert_close(ours.double(), expected, atol=CIRCUIT_TOLERANCE, rtol=0)


def test_read_sites_are_the_rounded_even_spacing():
    assert tuple(torch.linspace(0, 15, 5).round().int().tolist()) == READ_SITES


def test_circuit_weights_start_uniform_in_zero_to_one():
    weights = MediqV2Generator(2, 32).quantum.circuits.weight
    assert 0 <= weights.min() < 0.1
    assert 0.9 < weights.max() < 1


@LATENT_KINDS
def test_snapshot_gives_back_identical_images(prototypes, tmp_path):
    model = small(prototypes)
    model.observe_losses(1.0, 2.0)
    model.observe_losses(3.0, 2.0)  # so that the bound is not the one of a fresh model
    model.save_pretrained(tmp_path)
    loaded = MediqV2Generator.from_pretrained(tmp_path).eval()
    z, y = latents(2), torch.tensor([0, 1])
    with torch.no_grad():
        assert torch.equal(model(z, y), loaded(z, y))


@LATENT_KINDS
def test_latent_and_label_change_the_image(prototypes):
    model = small(prototypes)
    zero, one = torch.tensor([0]), torch.tensor([1])
    with torch.no_grad():
        image = model(latents(1), zero)
        assert (image - model(latents(1), one)).abs().max() > 1e-3
        assert (image - model(latents(1, seed=1), zero)).abs().max() > 1e-3


def test_the_label_changes_the_score():
    critic = MediqV2Critic(2, 32)
    images = torch.randn(1, 3, 32, 32)
    assert not torch.isclose(critic(images, torch.tensor([0])), critic(images, torch.tensor([1])))


def test_an_image_in_eval_mode_does_not_depend_on_its_batch():
    model = small()
    z, y = latents(2), torch.tensor([0, 1])
    with torch.no_grad():
        alone, together = model(z[:1], y[:1]), model(z, y)[:1]
        torch.testing.assert_close(alone, together, atol=BATCH_TOLERANCE, rtol=0)
        model.train()
        assert not torch.allclose(alone, model(z[:1], y[:1]), atol=1e-3)  # fresh pixel noise


def test_prototype_latent_has_the_spread_of_its_class():
    latent = MediqV2Generator(3, 32).latent
    with torch.no_grad():
        latent.raw_sigma.copy_(torch.tensor([[-9.0], [0.0], [9.0]]))  # softplus 1e-4, 0.69, 9
        y = torch.arange(3)
        mean = latent(torch.zeros(3, 128), y)
        spread = latent(torch.ones(3, 128), y) - mean
    expected = torch.tensor([0.2, math.log(2), 0.8])[:, None].expand(3, 128)
    torch.testing.assert_close(spread, expected, atol=FLOAT_TOLERANCE, rtol=0)
    assert not torch.allclose(mean[0], mean[1])


def test_penalty_is_the_hinge_on_pairs_of_normalised_prototypes():
    model = MediqV2Generator(3, 32)
    assert model.penalty().item() == 0  # random directions are farther apart than the margin
    with torch.no_grad():
        model.latent.prototypes.copy_(torch.ones(3, 1280))
        model.latent.prototypes[1:, :300] += torch.tensor([[0.5], [0.9]])
    unit = F.normalize(model.latent.prototypes.detach())
    hinges = [max(0.0, 1 - float((a - b).norm())) for a, b in combinations(unit, 2)]
    assert model.penalty().item() == pytest.approx(5e-3 * sum(hinges) / 3, rel=1e-4)
    model.penalty().backward()
    assert model.latent.prototypes.grad.abs().max() > 0
    assert MediqV2Generator(1, 32).penalty().item() == 0  # a single class has no pair
    assert MediqV2Generator(3, 32, prototypes=False).penalty() == 0


def test_noise_bound_follows_the_ratio_of_the_losses():
    model = MediqV2Generator(2, 32, prototypes=False)
    noise, y = torch.ones(1, 128), torch.tensor([0])

    def bound() -> float:
        return float(model.latent(noise, y).unique())

    low, span = math.pi / 8, 5 * math.pi / 8
    assert bound() == pytest.approx(low)
    model.observe_losses(1.0, 2.0)  # R0 = 0.5
    assert bound() == pytest.approx(low)
    model.observe_losses(3.0, 2.0)  # R = 1.5
    assert bound() == pytest.approx(low + span * math.tanh(1.0), rel=FLOAT_TOLERANCE)
    model.observe_losses(5.0, 0.0)  # no ratio: the bound stays
    assert bound() == pytest.approx(low + span * math.tanh(1.0), rel=FLOAT_TOLERANCE)
    model.observe_losses(0.2, 2.0)  # R below R0
    assert bound() == pytest.approx(low)


@pytest.mark.parametrize("build", [MediqV2Generator, MediqV2Critic])
def test_an_unknown_size_is_a_usage_error(build):
    with pytest.raises(UsageError, match=r"256 pixels.*32, 64, 128"):
        build(2, size=256)


def test_an_unknown_variant_is_a_usage_error():
    with pytest.raises(UsageError, match=r"'style3'.*style2, vanilla"):
        MediqV2Generator(2, variant="style3")
