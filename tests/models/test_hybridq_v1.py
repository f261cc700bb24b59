"""The first paper's reconstruction: counts, shapes, circuits against PennyLane, sharing."""

import pennylane as qml
import pytest
import torch

from hqgan.errors import UsageError
from hqgan.models.hybridq_v1 import HybridQV1Critic, HybridQV1Generator

CLASSES = 7
CIRCUIT_TOLERANCE = 1e-5  # complex64 against complex128
BATCH_TOLERANCE = 1e-5  # float32 sums may run in another order in another batch


def latents(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 128, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator() -> HybridQV1Generator:
    torch.manual_seed(0)
    return HybridQV1Generator(CLASSES, size=32).eval()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_asked_for_and_stay_in_range(size):
    y = torch.tensor([0, CLASSES - 1])
    images = HybridQV1Generator(CLASSES, size)(latents(2), y)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1
    assert images.std() > 0
    assert HybridQV1Critic(CLASSES, size)(images, y).shape == (2,)


def test_parameter_counts_are_those_of_the_layer_list():
    model = HybridQV1Generator(8)
    assert model.quantum.circuits.weight.numel() == 8 * 5 * 6
    encoder = 128 * 100 + 8 * 100 + 2 * 100  # linear, label, batch norm
    quantum = 100 * 40 + 40 + 240
    decoder = 140 * 4096 + 4096 + (64 * 32 + 32 * 16 + 16 * 3) * 16 + 32 + 16 + 3
    assert sum(p.numel() for p in model.parameters()) == encoder + quantum + decoder


def test_gradients_reach_every_parameter():
    generator, critic = HybridQV1Generator(CLASSES, 32), HybridQV1Critic(CLASSES, 32)
    y = torch.arange(4)
    critic(generator(latents(4), y), y).square().sum().backward()
    for model in (generator, critic):
        for name, p in model.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name


def test_quantum_features_equal_a_pennylane_circuit(generator):
    @qml.qnode(qml.device("default.qubit", wires=5))
    def mosaiq(angles, weights):
        for q in range(5):
            qml.RY(angles[q], wires=q)
            qml.RX(angles[q], wires=q)
        for layer in weights:
            for q in range(5):
                qml.RY(layer[q], wires=q)
            for q in range(4):
                qml.CZ(wires=[q, q + 1])
        return [qml.expval(qml.PauliX(q)) for q in range(5)]

    latent = torch.randn(1, 100)
    with torch.no_grad():
        ours = generator.quantum(latent)[0]
        angles = generator.quantum.to_angles(latent).view(8, 5).double()
        weights = generator.quantum.circuits.weight.view(8, 6, 5).double()
        theirs = torch.cat(
            [torch.stack(mosaiq(a, w)) for a, w in zip(angles, weights, strict=True)]
        )
    torch.testing.assert_close(ours.double(), theirs, atol=CIRCUIT_TOLERANCE, rtol=0)


def test_circuit_weights_start_uniform_in_zero_to_one(generator):
    weights = generator.quantum.circuits.weight
    assert 0 <= weights.min() < 0.1
    assert 0.9 < weights.max() < 1


def test_snapshot_gives_back_identical_images(generator, tmp_path):
    generator.save_pretrained(tmp_path)
    loaded = HybridQV1Generator.from_pretrained(tmp_path).eval()
    z, y = latents(2), torch.tensor([1, 2])
    assert torch.equal(generator(z, y), loaded(z, y))


def test_the_label_changes_the_image_and_the_logit(generator):
    critic = HybridQV1Critic(CLASSES, 32)
    z = latents(1)
    one, two = torch.tensor([1]), torch.tensor([2])
    assert not torch.allclose(generator(z, one), generator(z, two), atol=1e-3)
    assert not torch.isclose(critic(generator(z, one), one), critic(generator(z, one), two))


def test_an_image_does_not_depend_on_its_batch(generator):
    z, y = latents(3), torch.tensor([0, 3, 5])
    alone, together = generator(z[:1], y[:1]), generator(z, y)[:1]
    torch.testing.assert_close(alone, together, atol=BATCH_TOLERANCE, rtol=0)


@pytest.mark.parametrize("model", [HybridQV1Generator, HybridQV1Critic])
def test_an_unknown_size_is_a_usage_error(model):
    with pytest.raises(UsageError, match=r"48 pixels.*32, 64, 128"):
        model(CLASSES, size=48)
