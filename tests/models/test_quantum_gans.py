"""The patch GANs against PennyLane, patch by patch, their published counts, and the dense critic.

At 8 px a patch has 2x2 pixels and a circuit 3 qubits: the smallest real thing.
"""

import math

import pennylane as qml
import pytest
import torch

from hqgan.errors import UsageError
from hqgan.models.dense_critic import DenseCritic
from hqgan.models.quantum_gans import PQWGANGenerator, QPatchGenerator

CIRCUIT_TOLERANCE = 1e-5  # complex64 against complex128, behind a division by the maximum
BATCH_TOLERANCE = 1e-5  # float32 sums may run in another order in another batch
CLASSES = 3
GENERATORS = pytest.mark.parametrize("build", [QPatchGenerator, PQWGANGenerator])


def latents(model, n: int, seed: int = 0) -> torch.Tensor:
    return model.sample_z(n, torch.Generator().manual_seed(seed))


def qpatch(angles, weights):
    for q, angle in enumerate(angles):
        qml.RY(angle, wires=q)
    for row in weights.reshape(-1, len(angles)):
        for q, weight in enumerate(row):
            qml.RY(weight, wires=q)
        for q in range(len(angles) - 1):
            qml.CZ(wires=[q, q + 1])


def pqwgan(angles, weights):
    for q, angle in enumerate(angles):
        qml.RY(angle, wires=q)
    for row in weights.reshape(-1, len(angles), 3):
        for q, (phi, theta, omega) in enumerate(row):
            qml.Rot(phi, theta, omega, wires=q)
        for q in range(len(angles) - 1):
            qml.CNOT(wires=[q, q + 1])


@pytest.mark.parametrize(
    ("build", "gates", "size"),
    [(QPatchGenerator, qpatch, 8), (PQWGANGenerator, pqwgan, 8), (PQWGANGenerator, pqwgan, 16)],
)
def test_image_equals_one_painted_patch_by_patch_in_pennylane(build, gates, size):
    torch.manual_seed(0)
    model = build(CLASSES, size, layers=3).eval()
    z, y = latents(model, 1), torch.tensor([2])
    edge, qubits = size // 4, model.z_dim

    @qml.qnode(qml.device("default.qubit", wires=qubits))
    def circuit(angles, weights):
        gates(angles, weights)
        return qml.probs(wires=range(qubits))

    expected = torch.empty(3, size, size, dtype=torch.float64)
    with torch.no_grad():
        ours = model(z, y)[0]
        for channel in range(3):
            for row in range(4):
                for column in range(4):
                    number = 16 * channel + 4 * row + column
                    angles = (z[0] + model.angles.offsets[2, number]).double()
                    joint = circuit(angles, model.circuits.weight[number].double())
                    kept = joint[: 2 ** (qubits - 1)]  # the first qubit, the ancilla, is 0
                    patch = (kept / kept.sum()).reshape(edge, edge)
                    rows = slice(edge * row, edge * (row + 1))
                    columns = slice(edge * column, edge * (column + 1))
                    expected[channel, rows, columns] = (patch / patch.max() - 0.5) * 2
    torch.testing.assert_close(ours.double(), expected, atol=CIRCUIT_TOLERANCE, rtol=0)


def test_circuit_parameters_are_patches_by_qubits_by_layers_by_gates():
    patches, qubits = 48, 9
    assert PQWGANGenerator(8).circuits.weight.numel() == patches * qubits * 11 * 3
    assert QPatchGenerator(8).circuits.weight.numel() == patches * qubits * 6
    assert PQWGANGenerator(8).angles.offsets.numel() == 8 * patches * qubits


@GENERATORS
@pytest.mark.parametrize(("size", "qubits"), [(32, 7), (64, 9), (128, 11)])
def test_images_have_the_size_asked_for_and_each_patch_its_brightest_pixel(build, size, qubits):
    model = build(CLASSES, size, layers=1).eval()
    assert model.z_dim == qubits
    with torch.no_grad():
        images = model(latents(model, 2), torch.tensor([0, 1]))
    assert images.shape == (2, 3, size, size)
    assert images.dtype == torch.float32
    assert images.min() >= -1
    patches = images.unfold(2, size // 4, size // 4).unfold(3, size // 4, size // 4)
    assert torch.equal(patches.amax((-1, -2)), torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize(("build", "end"), [(QPatchGenerator, math.pi / 2), (PQWGANGenerator, 1.0)])
def test_prior_is_uniform_from_zero_to_its_published_end(build, end):
    z = latents(build(CLASSES, 8), 1000)
    assert 0 <= z.min() < 0.01
    assert 0.99 * end < z.max() < end
    assert torch.equal(z[:5], latents(build(CLASSES, 8), 1000)[:5])


@GENERATORS
def test_weights_start_uniform_in_zero_to_one(build):
    weights = build(CLASSES, 8).circuits.weight
    assert 0 <= weights.min() < 0.1
    assert 0.9 < weights.max() < 1


@GENERATORS
def test_gradients_reach_every_parameter_that_can_change_a_probability(build):
    torch.manual_seed(0)
    model, critic = build(CLASSES, 8, layers=2), DenseCritic(CLASSES, 8)
    y = torch.arange(6) % CLASSES
    critic(model(latents(model, 6), y), y).square().sum().backward()
    gradient = model.circuits.weight.grad.clone()
    if build is PQWGANGenerator:  # RZ is the last gate before a permutation of the outcomes
        last = gradient.view(48, 2, 3, 3)[:, -1, :, 2]
        assert last.abs().max() < CIRCUIT_TOLERANCE
        last.fill_(1)
    assert gradient.abs().min() > 0
    assert model.angles.offsets.grad.abs().min() > 0
    for name, p in critic.named_parameters():
        assert p.grad.abs().max() > 0, name


@GENERATORS
def test_class_and_latent_change_the_image(build):
    torch.manual_seed(0)
    model = build(CLASSES, 8).eval()
    zero, one = torch.tensor([0]), torch.tensor([1])
    with torch.no_grad():
        image = model(latents(model, 1), zero)
        assert (image - model(latents(model, 1), one)).abs().max() > 0.01
        assert (image - model(latents(model, 1, seed=1), zero)).abs().max() > 0.01


@GENERATORS
def test_an_image_does_not_depend_on_its_batch(build):
    model = build(CLASSES, 8).eval()
    z, y = latents(model, 3), torch.arange(3)
    with torch.no_grad():
        alone, together = model(z[:1], y[:1]), model(z, y)[:1]
    torch.testing.assert_close(alone, together, atol=BATCH_TOLERANCE, rtol=0)


@GENERATORS
def test_snapshot_gives_back_identical_images(build, tmp_path):
    model = build(CLASSES, 8, layers=2).eval()
    model.save_pretrained(tmp_path)
    loaded = build.from_pretrained(tmp_path).eval()
    z, y = latents(model, 2), torch.tensor([1, 2])
    assert torch.equal(model(z, y), loaded(z, y))


@GENERATORS
def test_an_unknown_size_is_a_usage_error(build):
    with pytest.raises(UsageError, match=r"48 pixels.*32, 64, 128"):
        build(CLASSES, size=48)


def test_the_critic_has_the_published_layers_plus_a_vector_for_each_class():
    def parameters(**options):
        return sum(p.numel() for p in DenseCritic(CLASSES, **options).parameters())

    assert parameters(inputs=784, widths=(512, 256)) == 533_505 + CLASSES * 512
    assert parameters(inputs=40, widths=(64, 16)) == 3_681 + CLASSES * 64
    assert parameters(size=32, widths=[64]) == 3 * 32**2 * 64 + 64 + 64 + 1 + CLASSES * 64


def test_the_critic_judges_images_as_it_judges_their_pixels_and_hears_the_class():
    torch.manual_seed(0)
    critic = DenseCritic(CLASSES, 16)
    images, y = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    logits = critic(images, y)
    assert logits.shape == (4,)
    assert torch.equal(logits, critic(images.flatten(1), y))
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(logits, critic(channels_last, y))
    assert (logits - critic(images, (y + 1) % CLASSES)).abs().min() > 1e-3


def test_the_critic_takes_a_gradient_penalty():
    critic = DenseCritic(CLASSES, inputs=40, widths=(8,))
    codes, y = torch.randn(4, 40, requires_grad=True), torch.zeros(4, dtype=torch.long)
    (gradient,) = torch.autograd.grad(critic(codes, y).sum(), codes, create_graph=True)
    gradient.square().sum().backward()
    assert critic.layers[0].weight.grad.abs().max() > 0


def test_without_leak_the_critic_is_a_relu_network():
    torch.manual_seed(0)
    critic = DenseCritic(1, inputs=4, widths=(6,), leak=0.0)
    first, last = critic.layers
    codes, y = torch.randn(5, 4), torch.zeros(5, dtype=torch.long)
    expected = last((first(codes) + critic.label.weight).relu()).squeeze(1)
    torch.testing.assert_close(critic(codes, y), expected)


def test_a_critic_without_hidden_layers_is_refused():
    with pytest.raises(ValueError, match="hidden layer"):
        DenseCritic(CLASSES, widths=())
