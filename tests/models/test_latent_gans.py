"""MosaiQ and LatentQGAN: circuits against PennyLane, codes there and back, and preparing."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch

from hqgan.errors import DataError, UsageError
from hqgan.models.autoencoder import Autoencoder
from hqgan.models.latent_gans import LatentQGANGenerator, MosaiQGenerator, redistribution
from hqgan.models.pca import PrincipalComponents

CIRCUIT_TOLERANCE = 1e-5  # complex64 against complex128
CODE_TOLERANCE = 1e-4  # float32 sums over thousands of pixels
SUBSPACE_TOLERANCE = 1e-4  # cosine of the largest angle to the exact subspace, from 1
CLASSES = 3
BUILDS = pytest.mark.parametrize("build", [MosaiQGenerator, LatentQGANGenerator])
KIMG = 0.128  # four batches


def pictures(n: int, size: int, waves: int = 8) -> np.ndarray:
    """Smooth random images (n, S, S, 3): waves^2 directions of decaying strength, and rounding."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    directions = [
        np.cos(np.pi * (i * x + j * y))[..., None] * rng.normal(size=3) / (1 + i + j)
        for i in range(waves)
        for j in range(waves)
    ]
    mixed = np.tensordot(rng.normal(size=(n, len(directions))), directions, 1)
    return np.clip(128 + 20 * mixed, 0, 255).astype(np.uint8)


def floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(build, seed: int = 0, **options):
    torch.manual_seed(seed)
    if build is LatentQGANGenerator:
        options = {"autoencoder_kimg": KIMG, **options}
    return build(CLASSES, 32, **options)


@pytest.fixture(scope="module")
def mosaiq():
    model = small(MosaiQGenerator)
    model.prepare(pictures(60, 32), rng())
    return model


def test_mosaiq_code_is_that_of_pennylane_circuits_with_redistributed_components(mosaiq):
    @qml.qnode(qml.device("default.qubit", wires=5))
    def circuit(angles, weights):
        for q in range(5):
            qml.RY(angles[q], wires=q)
            qml.RX(angles[q], wires=q)
        for row in weights:
            for q in range(5):
                qml.RY(row[q], wires=q)
            for q in range(4):
                qml.CZ(wires=[q, q + 1])
        return [qml.expval(qml.PauliX(q)) for q in range(5)]

    z, y = mosaiq.sample_z(1, rng()), torch.tensor([1])
    expected = torch.empty(40, dtype=torch.float64)
    with torch.no_grad():
        ours = mosaiq.code(z, y)[0]
        for i in range(8):
            angles = (math.pi / 8 * z[0] + mosaiq.angles.offsets[1, i]).double()
            values = circuit(angles, mosaiq.circuits.weight[i].view(6, 5).double())
            places = (i, 39 - 4 * i, 38 - 4 * i, 37 - 4 * i, 36 - 4 * i)
            for place, value in zip(places, values, strict=True):
                expected[place] = value
    torch.testing.assert_close(ours.double(), expected, atol=CIRCUIT_TOLERANCE, rtol=0)


@pytest.mark.parametrize("circuits", [1, 8, 24])
def test_redistribution_is_a_permutation_of_one_strong_and_four_weak_components(circuits):
    order = redistribution(circuits)
    assert sorted(order.tolist()) == list(range(5 * circuits))
    rows = order.view(circuits, 5)
    assert rows[:, 0].tolist() == list(range(circuits))
    assert rows[:, 1:].min() == circuits
    assert redistribution(8)[:10].tolist() == [0, 39, 38, 37, 36, 1, 35, 34, 33, 32]


def test_latentqgan_code_is_that_of_postselected_pennylane_circuits():
    @qml.qnode(qml.device("default.qubit", wires=4))
    def circuit(angles, weights):
        for q in range(4):
            qml.RY(angles[q], wires=q)
        for row in weights:
            for q in range(4):
                qml.RY(row[q], wires=q)
            for q in range(3):
                qml.CZ(wires=[q, q + 1])
        return qml.probs(wires=range(4))

    model = small(LatentQGANGenerator)
    z, y = model.sample_z(1, rng()), torch.tensor([2])
    with torch.no_grad():
        ours = model.code(z, y)[0].view(5, 8)
        for i in range(5):
            angles = (z[0, 4 * i : 4 * i + 4] + model.angles.offsets[2, i]).double()
            kept = circuit(angles, model.circuits.weight[i].view(7, 4).double())[:8]
            expected = kept / kept.sum()
            torch.testing.assert_close(ours[i].double(), expected, atol=CIRCUIT_TOLERANCE, rtol=0)


def test_circuits_have_the_published_parameter_counts():
    assert MosaiQGenerator(8, 32).circuits.weight.numel() == 240
    assert LatentQGANGenerator(8, 32).circuits.weight.numel() == 140
    trainable = sum(p.numel() for p in MosaiQGenerator(8, 32).parameters())
    assert trainable == 240 + 8 * 40  # and a vector of angles for each class
    autoencoder = LatentQGANGenerator(8, 64).autoencoder
    assert 100_000 < sum(p.numel() for p in autoencoder.parameters()) < 400_000


def test_components_span_the_subspace_of_a_singular_value_decomposition():
    images = pictures(200, 16, waves=4)
    pca = PrincipalComponents(16, 16)
    pca.fit(images, rng())
    flat = floats(images).flatten(1).double().numpy()
    centred = flat - flat.mean(0)
    exact = np.linalg.svd(centred, full_matrices=False)[2][:16]
    cosines = np.linalg.svd(exact @ pca.components.double().numpy().T)[1]
    assert cosines.min() > 1 - SUBSPACE_TOLERANCE
    alignment = np.abs(np.sum(exact * pca.components.double().numpy(), 1))
    assert alignment.min() > 1 - SUBSPACE_TOLERANCE  # each, and in their order
    codes = pca.encode(floats(images))
    assert codes.min().item() == pytest.approx(-1, abs=CODE_TOLERANCE)
    assert codes.max().item() == pytest.approx(1, abs=CODE_TOLERANCE)


def test_in_training_mode_mosaiq_encodes_an_image_to_the_code_it_was_decoded_from(mosaiq):
    codes = 2 * torch.rand(4, 40, generator=rng()) - 1
    images = mosaiq.train().decode(codes)
    assert images.abs().max() > 1  # else nothing would be clamped below
    torch.testing.assert_close(mosaiq.encode(images), codes, atol=CODE_TOLERANCE, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(mosaiq.encode(images), codes, atol=CODE_TOLERANCE, rtol=0)
    assert torch.equal(mosaiq.eval().decode(codes), images.clamp(-1, 1))


def test_decoding_a_code_of_many_components_restores_the_image(mosaiq):
    images = floats(pictures(60, 32))
    restored = mosaiq.eval().decode(mosaiq.encode(images))
    error = (restored - images).square().mean() / images.var()
    assert error < 0.05


@BUILDS
def test_preparing_twice_with_the_same_randomness_gives_the_same_state(build):
    images = pictures(60, 32)
    one, other, third = small(build), small(build), small(build)
    one.prepare(images, rng())
    other.prepare(images, rng())
    assert one.preparation(len(images)) == (60 if build is MosaiQGenerator else 128)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    third.prepare(images, rng(1))
    z, y = one.sample_z(2, rng()), torch.tensor([0, 1])
    with torch.no_grad():
        code = one.code(z, y)
        assert torch.equal(code, third.code(z, y))  # circuits are not touched
        assert not torch.equal(one.decode(code), third.decode(code))


@BUILDS
def test_preparing_does_not_depend_on_the_grad_mode(build):
    images = pictures(60, 32)
    states = []
    for mode in (torch.enable_grad(), torch.no_grad(), torch.inference_mode()):
        model = small(build)
        with mode:
            model.prepare(images, rng())
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
        assert torch.equal(value, states[2][name]), name


def test_too_few_or_equal_images_are_a_data_error():
    model = small(MosaiQGenerator)
    with pytest.raises(DataError, match=r"40 .*at least 41 .*there are 40"):
        model.prepare(pictures(40, 32), rng())
    with pytest.raises(DataError, match="same"):
        model.prepare(np.full((50, 32, 32, 3), 7, np.uint8), rng())
    with pytest.raises(DataError, match="none"):
        small(LatentQGANGenerator).prepare(pictures(0, 32), rng())


def test_the_noise_bound_follows_the_ratio_of_the_losses():
    model = small(MosaiQGenerator).eval()
    z = model.sample_z(1000, rng())
    assert 0 <= z.min() < 0.01
    assert 0.99 < z.max() < 1
    low, span = math.pi / 8, 5 * math.pi / 8
    for losses, bound in [
        ((1.0, 2.0), low),
        ((3.0, 2.0), low + span * math.tanh(1)),
        ((0, 2), low),
    ]:
        model.observe_losses(*losses)
        assert model.latent.bound.item() == pytest.approx(bound)
    y, before = torch.tensor([0]), model.code(z[:1], torch.tensor([0]))
    model.observe_losses(3.0, 2.0)
    assert (model.code(z[:1], y) - before).abs().max() > 0.01


def test_the_autoencoder_learns_and_its_latents_are_distributions():
    torch.manual_seed(0)
    autoencoder = Autoencoder(16, 5, 8)
    images = pictures(200, 16, waves=4)
    real = floats(images)

    def error() -> float:
        return (autoencoder.decode(autoencoder.encode(real)) - real).square().mean().item()

    autoencoder.fit(images, 313, rng())
    assert error() < 0.5 * real.var(0).mean()  # half of what the mean image leaves
    latents = autoencoder.encode(real).view(-1, 5, 8)
    assert latents.min() >= 0
    torch.testing.assert_close(latents.sum(-1), torch.ones(200, 5))
    assert not any(p.requires_grad for p in autoencoder.parameters())
    assert torch.equal(autoencoder.train().encode(real[:1]), autoencoder.encode(real[:1]))


@BUILDS
def test_gradients_reach_every_trainable_parameter_through_code_and_image(build):
    y = torch.arange(6) % CLASSES
    for look in ("code", "forward"):
        model = small(build)
        getattr(model, look)(model.sample_z(6, rng()), y).square().sum().backward()
        for name, p in model.named_parameters():
            if p.requires_grad:
                assert p.grad.abs().min() > 0, name
            else:
                assert name.startswith("autoencoder.")


@BUILDS
def test_encoding_is_differentiable_in_the_image(build):
    model = small(build)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    model.encode(images).square().sum().backward()
    assert images.grad.abs().max() > 0


@BUILDS
@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_and_codes_have_the_shape_asked_for_and_stay_in_range(build, size):
    model = build(CLASSES, size).eval()
    z, y = model.sample_z(2, rng()), torch.tensor([0, 1])
    with torch.no_grad():
        images = model(z, y)
        assert model.code(z, y).shape == model.encode(images).shape == (2, model.code_size)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1


@BUILDS
def test_class_and_latent_change_the_image(build):
    model = small(build).eval()
    model.prepare(pictures(60, 32), rng())
    zero, one = torch.tensor([0]), torch.tensor([1])
    with torch.no_grad():
        image = model(model.sample_z(1, rng()), zero)
        assert (image - model(model.sample_z(1, rng()), one)).abs().max() > 1e-3
        assert (image - model(model.sample_z(1, rng(1)), zero)).abs().max() > 1e-3


@BUILDS
def test_snapshot_gives_back_identical_images(build, tmp_path):
    model = small(build).eval()
    model.prepare(pictures(60, 32), rng())
    model.observe_losses(1.0, 2.0)
    model.observe_losses(3.0, 2.0)
    model.save_pretrained(tmp_path)
    loaded = build.from_pretrained(tmp_path).eval()
    z, y = model.sample_z(2, rng()), torch.tensor([1, 2])
    assert torch.equal(model(z, y), loaded(z, y))


@BUILDS
def test_an_unknown_size_is_a_usage_error(build):
    with pytest.raises(UsageError, match=r"48 pixels.*32, 64, 128"):
        build(CLASSES, size=48)


def test_components_that_circuits_cannot_share_are_a_usage_error():
    with pytest.raises(UsageError, match=r"42 components.*multiple of 5"):
        MosaiQGenerator(CLASSES, 32, components=42)
