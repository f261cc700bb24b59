"""Circuits taken out of a generator and put back."""

import pytest
import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models import Generator, HybridQGenerator, HybridQV1Generator
from hqgan.models.latent_gans import LatentQGANGenerator
from hqgan.models.quantum_gans import QPatchGenerator
from hqgan.quantum import QuantumLayer, layered, simulate
from hqgan.workflows.hardware.capture import (
    BATCH,
    Replay,
    circuit_call,
    decoded,
    quantum_layer,
    require_simulable,
    with_values,
)

ROUNDING = 1e-5  # float32 images


def latents(generator: Generator, n: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return generator.sample_z(n, rng), torch.arange(n) % generator.classes


def plain_images(generator: Generator, z: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([generator(z[i : i + 1], y[i : i + 1]) for i in range(len(z))])


@pytest.fixture(scope="module", params=["hybridq", "hybridq-v1", "qpatch", "latentqgan"])
def generator(request: pytest.FixtureRequest) -> Generator:
    torch.manual_seed(1)
    made = {
        "hybridq": lambda: HybridQGenerator(3, 32, 8, qubits=3, circuit_layers=2),
        "hybridq-v1": lambda: HybridQV1Generator(3, 32),
        "qpatch": lambda: QPatchGenerator(3, 32),
        "latentqgan": lambda: LatentQGANGenerator(3, 32),
    }[request.param]()
    quantum_layer(made).without_kernel()
    return made.eval()


def test_exact_values_put_back_give_the_images_of_the_generator(generator: Generator) -> None:
    z, y = latents(generator, BATCH + 3)  # more than one batch
    layer, inputs, weights = circuit_call(generator, z, y)
    assert weights.shape == (layer.circuits, layer.circuit.weights)
    values = simulate(layer.circuit, inputs, weights)
    assert values.shape[1] % len(z) == 0
    images = decoded(generator, z, y, values)
    assert torch.allclose(images, plain_images(generator, z, y), atol=ROUNDING)


def test_rows_belong_to_images_in_order(generator: Generator) -> None:
    z, y = latents(generator, 5)
    _, inputs, _ = circuit_call(generator, z, y)
    _, of_third, _ = circuit_call(generator, z[2:3], y[2:3])
    rows = inputs.shape[1] // 5
    assert torch.allclose(inputs[:, 2 * rows : 3 * rows], of_third, atol=ROUNDING)


def test_the_values_a_run_gives_are_those_the_images_are_made_of(generator: Generator) -> None:
    z, y = latents(generator, 4)
    before = plain_images(generator, z, y)
    with with_values(generator, lambda *call: simulate(*call)):
        same = generator(z, y)
    with with_values(generator, lambda *call: 0.5 * simulate(*call)):
        others = generator(z, y)
    assert torch.allclose(same, before, atol=ROUNDING)
    assert (
        not torch.allclose(others, before, atol=ROUNDING)
        or "qpatch" in str(type(generator)).lower()
    )
    assert torch.allclose(plain_images(generator, z, y), before)  # and afterwards as before


def test_a_replay_gives_no_more_than_it_has() -> None:
    circuit = layered(2, 1)
    replay = Replay(torch.zeros(1, 3, circuit.outputs))
    inputs, weights = torch.zeros(1, 2, circuit.inputs), torch.zeros(1, circuit.weights)
    assert replay(circuit, inputs, weights).shape == (1, 2, circuit.outputs)
    with pytest.raises(ValueError, match=r"\(1, 1, 2\) are left for a call of \(1, 2, 2\)"):
        replay(circuit, inputs, weights)


class Odd(Generator):
    """As many layers of circuits as asked for, called as often as asked for."""

    def __init__(self, layers: int, calls: int = 1):
        super().__init__()
        self.classes, self.size, self.z_dim, self.calls = 2, 32, 2, calls
        self.layers = nn.ModuleList(QuantumLayer(layered(2, 1)) for _ in range(layers))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        for layer in list(self.layers) * self.calls:
            z = layer(z)
        return z


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (Odd(0), "has no circuits to run on a quantum computer"),
        (Odd(2), "has 2 layers of circuits"),
        (Odd(1, calls=2), "calls its circuits 2 times an image"),
        (HybridQGenerator(2, 32, 8, twin="classical"), "not of a classical model or twin"),
    ],
    ids=["none", "several", "twice", "twin"],
)
def test_a_generator_without_one_call_is_refused(odd: Generator, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        circuit_call(odd.eval(), *latents(odd, 2))


def test_circuits_too_large_for_simulated_noise_are_refused() -> None:
    require_simulable(QuantumLayer(layered(12, 1)))
    with pytest.raises(UsageError, match="have 13 qubits, but noise is simulated up to 12"):
        require_simulable(QuantumLayer(layered(13, 1)))
