"""What an export carries for people without torch: circuits and latents in numpy, against torch."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hqgan.models import build_generator
from hqgan.models import latents as from_torch
from hqgan.quantum import Circuit, simulate
from hqgan.quantum.interop import to_json
from hqgan.workflows.exporting.latent_rule import latent_rule
from hqgan.workflows.exporting.standalone.circuits import measured, values
from hqgan.workflows.exporting.standalone.latents import latents
from random_circuits import angles, gate_circuits, seeds, well_posed

EXACT = 1e-8  # both in double precision
ROUNDING = 1e-6  # float32 logarithms and cosines of two libraries


@given(gate_circuits(), seeds)
def test_any_circuit_has_the_values_of_the_torch_path(circuit: Circuit, seed: int) -> None:
    inputs, weights = (a.detach() for a in angles(circuit, seed, samples=3))
    assume(well_posed(circuit, inputs, weights))
    written = json.loads(to_json(circuit, weights[0]))
    expected = simulate(circuit, inputs, weights)[0].numpy()
    assert np.abs(values(written, inputs[0].numpy()) - expected).max() < EXACT


@pytest.mark.parametrize("name", ["hybridq", "qpatch"])
def test_circuits_belong_to_their_place_in_the_array(name: str) -> None:
    """Three images, two runs of each of the circuits, each circuit with weights of its own."""
    torch.manual_seed(0)
    generator = build_generator(name, 3, 32)
    layer = generator.quantum.circuits if name == "hybridq" else generator.circuits
    layer.without_kernel()
    asked = torch.rand(3, 2, layer.circuits, layer.circuit.inputs)
    expected = torch.stack([layer(asked[:, r]) for r in range(2)], 1).detach().numpy()
    written = [json.loads(to_json(layer.circuit, row)) for row in layer.weight.detach()]
    got = measured(written, asked.numpy())
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-5  # the layer computes in single precision


@given(
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.sampled_from([1, 5, 15, 16, 17, 31, 32, 100, 128]),
)
def test_a_seed_means_the_same_latents_as_in_torch(
    seed: int, labels: list[int], z_dim: int
) -> None:
    generator = build_generator("hybridq", 3, 32, qubits=2, z_dim=z_dim)
    expected = torch.cat([z for z, _ in from_torch(generator, labels, seed)]).numpy()
    got = latents({"size": z_dim, "distribution": "normal"}, np.array(labels), seed)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < ROUNDING


@pytest.mark.parametrize("name", ["qpatch", "pqwgan", "mosaiq", "latentqgan"])
def test_uniform_latents_too(name: str) -> None:
    generator = build_generator(name, 3, 32)
    rule = latent_rule(generator)
    assert rule["distribution"] == "uniform"
    labels = [0, 2, 1, 1, 0]
    expected = torch.cat([z for z, _ in from_torch(generator, labels, 11)]).numpy()
    assert np.abs(latents(rule, np.array(labels), 11) - expected).max() < ROUNDING
