"""`QuantumLayer` as an ordinary torch module, and what it refuses."""

import copy
import doctest
import math
import subprocess
import sys

import pytest
import torch

import hqgan.quantum.layer as layer_module
from hqgan.quantum import Circuit, QuantumLayer, layered, simulate

CIRCUIT = layered(3, 2)


def test_the_example_of_the_docstring_runs() -> None:
    result = doctest.testmod(layer_module)
    assert result.attempted > 5
    assert result.failed == 0


def test_one_circuit_takes_any_leading_shape_as_linear_does() -> None:
    layer = QuantumLayer(CIRCUIT)
    angles = torch.randn(2, 4, 3)
    assert layer(angles).shape == (2, 4, 3)
    assert layer(angles[0, 0]).shape == (3,)
    assert layer(angles[:0]).shape == (0, 4, 3)
    torch.testing.assert_close(layer(angles)[1], layer(angles[1]))


def test_many_circuits_keep_their_place() -> None:
    layer = QuantumLayer(CIRCUIT, circuits=5)
    assert layer.weight.shape == (5, 6)
    angles = torch.randn(2, 5, 3)
    outputs = layer(angles)
    for c in range(5):
        alone = simulate(CIRCUIT, angles[None, :, c], layer.weight[c : c + 1])[0]
        torch.testing.assert_close(outputs[:, c], alone)
    shared = layer(angles[:, 0])
    assert shared.shape == (2, 5, 3)
    torch.testing.assert_close(shared[:, 0], outputs[:, 0])
    assert layer(angles[:0]).shape == (0, 5, 3)


def test_weights_start_small_or_uniform_on_request() -> None:
    torch.manual_seed(0)
    small = QuantumLayer(CIRCUIT, circuits=500).weight
    assert small.std().item() == pytest.approx(0.1, rel=0.1)
    assert QuantumLayer(CIRCUIT, circuits=500, init_sd=0.5).weight.std() > 0.4
    uniform = QuantumLayer(CIRCUIT, circuits=500, init="uniform").weight
    assert 0 <= uniform.min() < 0.1
    assert 2 * math.pi - 0.1 < uniform.max() <= 2 * math.pi


def test_the_state_dict_holds_the_weights_alone_and_copies_agree() -> None:
    layer = QuantumLayer(CIRCUIT)
    assert list(layer.state_dict()) == ["weight"]
    other = QuantumLayer(CIRCUIT)
    other.load_state_dict(layer.state_dict())
    angles = torch.randn(4, 3)
    assert torch.equal(other(angles), layer(angles))
    assert torch.equal(copy.deepcopy(layer)(angles), layer(angles))


def test_printing_a_model_shows_the_circuit() -> None:
    shown = str(torch.nn.Sequential(QuantumLayer(CIRCUIT)))
    assert "RY(x0)─RY(w0)─●" in shown
    assert "reads <Z0> <Z1> <Z2>" in shown


def test_training_changes_inputs_and_weights() -> None:
    """A layer of two qubits learns to turn <Z> to -1 within a few steps."""
    torch.manual_seed(0)
    layer = QuantumLayer(layered(2, 1))
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.3)
    for _ in range(40):
        optimiser.zero_grad()
        layer(torch.zeros(1, 2)).sum().backward()
        optimiser.step()
    assert layer(torch.zeros(1, 2)).sum() < -1.95


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_cast_back(dtype: torch.dtype) -> None:
    layer = QuantumLayer(CIRCUIT)
    angles = torch.randn(4, 3).to(dtype)
    assert layer(angles).dtype == dtype
    assert torch.equal(layer(angles), layer(angles.float()).to(dtype))


def test_autocast_does_not_touch_the_circuit() -> None:
    layer = QuantumLayer(layered(3, 2, encoding="ry+rx", readout="z+x"))
    angles = torch.randn(40, 3)
    expected = layer(angles)
    expected.sum().backward()
    gradient, layer.weight.grad = layer.weight.grad, None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layer(angles)
    outputs.sum().backward()
    assert torch.equal(outputs, expected)
    assert torch.equal(layer.weight.grad, gradient)


def test_double_weights_or_inputs_are_computed_in_double() -> None:
    angles = torch.randn(4, 3, dtype=torch.float64)
    layer = QuantumLayer(CIRCUIT, dtype=torch.float64)
    exact = simulate(CIRCUIT, angles[None], layer.weight)[0]
    assert torch.equal(layer(angles), exact)
    assert layer(angles.float()).dtype == torch.float32
    assert layer.float()(angles).dtype == torch.float64


def test_constants_made_under_inference_mode_serve_training_later() -> None:
    circuit = layered(3, 1, entangler="cnot_ring", readout="z+x", encoding="ry+rz")
    layer = QuantumLayer(circuit)
    with torch.inference_mode():
        layer(torch.zeros(2, 3))
    layer(torch.zeros(2, 3)).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_torch_compile_gives_the_same_values_and_gradients() -> None:
    layer = QuantumLayer(CIRCUIT)
    angles = torch.randn(4, 3)
    compiled = torch.compile(layer, backend="aot_eager")
    compiled(angles).sum().backward()
    gradient, layer.weight.grad = layer.weight.grad, None
    layer(angles).sum().backward()
    torch.testing.assert_close(layer.weight.grad, gradient)


@pytest.mark.parametrize(
    ("angles", "message"),
    [
        (torch.zeros(2, 4), r"shape \(..., 3\), got \(2, 4\)"),
        (torch.tensor(0.0), r"got \(\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "not torch.int64"),
        (torch.zeros(2, 3, dtype=torch.complex64), "not torch.complex64"),
        (torch.tensor([[0.0, float("nan"), float("inf")]]), "2 of 3 angles are NaN or infinite"),
        (torch.zeros(2, 3, device="meta"), "on meta, the layer is on cpu"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(angles: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantumLayer(CIRCUIT)(angles)


def test_many_circuits_refuse_another_number_of_circuits() -> None:
    with pytest.raises(ValueError, match=r"\(B, 4, 3\) or \(B, 3\), got \(2, 5, 3\)"):
        QuantumLayer(CIRCUIT, circuits=4)(torch.zeros(2, 5, 3))


def test_large_but_finite_angles_are_not_mistaken_for_infinite_ones() -> None:
    assert QuantumLayer(CIRCUIT)(torch.full((2, 3), 3e38)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"circuits": 0}, "circuits=0"),
        ({"diff_method": "magic"}, r"'magic' is not available; available: auto, backprop, fused"),
        ({"init": "zeros"}, "init='zeros': choose one of small, uniform"),
        ({"dtype": torch.float16}, "torch.float16"),
    ],
)
def test_unknown_options_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantumLayer(CIRCUIT, **options)


def test_circuits_beyond_the_memory_are_refused_with_the_gigabytes_needed() -> None:
    with pytest.raises(ValueError, match=r"45 qubits and 1 states .* need about .*GiB.* fewer"):
        QuantumLayer(layered(45, 1))
    layer = QuantumLayer(layered(14, 1, readout="z"))
    with pytest.raises(ValueError, match="14 qubits and 50000000 states"):
        layer(torch.zeros(1, 14).expand(50_000_000, 14))


@pytest.mark.parametrize(
    ("circuit", "dtype", "amplitude"),
    [
        (layered(45, 1), torch.float32, 4),
        (layered(45, 1), torch.float64, 8),
        (layered(45, 1, encoding="ry+rx"), torch.float32, 8),
        (layered(45, 1, encoding="ry+rx"), torch.float64, 16),
    ],
)
def test_the_memory_named_is_that_of_four_states(
    circuit: Circuit, dtype: torch.dtype, amplitude: int
) -> None:
    """Of one sample, before anything is differentiated; complex numbers take twice the room."""
    needed = f"{4 * amplitude * 2**15:.3g}".replace("+", r"\+")
    with pytest.raises(ValueError, match=f"need about {needed} GiB"):
        QuantumLayer(circuit, dtype=dtype)


def test_the_package_imports_neither_images_nor_pennylane() -> None:
    code = (
        "import sys, hqgan.quantum;"
        "wrong = {'pennylane', 'PIL', 'torchvision', 'qiskit', 'hqgan.models', 'hqgan.data',"
        " 'hqgan.training'} & set(sys.modules);"
        "sys.exit(', '.join(wrong) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_its_kernel_a_layer_simulates_in_plain_torch() -> None:
    layer, angles = QuantumLayer(CIRCUIT, circuits=2), torch.randn(5, 2, 3)
    with_kernel = layer(angles)
    layer.without_kernel()
    plain = layer(angles)
    assert torch.equal(
        plain, simulate(CIRCUIT, angles.transpose(0, 1), layer.weight).transpose(0, 1)
    )  # to the last bit
    torch.testing.assert_close(plain, with_kernel)
