"""The fused kernel against the plain torch path in float64, and as a torch operator."""

import copy
import math
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import hqgan.quantum.layer as layer_module
from hqgan.quantum import (
    Circuit,
    Expectations,
    Operation,
    Probabilities,
    QuantumLayer,
    Slot,
    layered,
    statevector,
)
from hqgan.quantum.kernel import compiling, op
from hqgan.quantum.kernel.op import FusedCircuit
from hqgan.quantum.kernel.plan import misfit, plan
from random_circuits import angles, circuits, seeds, well_posed

pytestmark = pytest.mark.timeout(600)  # each kind of circuit is compiled once, about 20 s

ATOL = 1e-5
MEMORY_BAR = 20  # MiB above the idle process at 10 qubits, 6 layers, batch 64
REAL = layered(3, 2, reupload=True, readout="z+x")
COMPLEX = layered(3, 2, encoding="ry+rz", rotation="rot", entangler="cnot_ring")


def values_and_gradients(run, inputs: Tensor, weights: Tensor) -> list[Tensor]:
    """Outputs, and gradients of a weighted mean over the samples."""
    inputs, weights = (part.detach().requires_grad_() for part in (inputs, weights))
    values = run(inputs, weights)
    direction = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
    loss = (values * direction).sum() / max(1, inputs.shape[0])
    found = [None, None]
    if loss.requires_grad:
        found = torch.autograd.grad(loss, (inputs, weights), materialize_grads=True)
    return [values.detach(), *(g for g in found if g is not None)]


def batch_first(inputs: Tensor) -> Tensor:
    """Inputs (C or 1, B, I) in the shape that a layer takes."""
    return inputs[0] if len(inputs) == 1 else inputs.transpose(0, 1)


def check(circuit: Circuit, inputs: Tensor, weights: Tensor, atol: float = ATOL) -> None:
    inputs = batch_first(inputs)
    fused = FusedCircuit(circuit, twice=False)
    ours = values_and_gradients(fused, inputs.float(), weights.float())
    exact = [inputs.float().double(), weights.float().double()]
    reference = values_and_gradients(
        lambda i, w: statevector.batch_first(statevector.simulate, circuit, i, w), *exact
    )
    for mine, theirs in zip(ours, reference, strict=False):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), theirs, atol=atol, rtol=atol)


@settings(max_examples=150)
@given(circuits, seeds, st.integers(1, 20), st.integers(1, 3), st.booleans())
def test_every_circuit_that_fits_equals_the_plain_path(
    circuit: Circuit, seed: int, samples: int, count: int, own_inputs: bool
) -> None:
    assume(misfit(circuit) is None)
    inputs, weights = angles(circuit, seed, samples, count)
    inputs = inputs if own_inputs else inputs[:1]
    assume(well_posed(circuit, inputs, weights))
    conditional = getattr(circuit.readout, "ancillas", ())
    # Dividing by the chance of a condition amplifies the rounding of float32 by its inverse.
    check(circuit, inputs, weights, atol=0.1 if conditional else ATOL)


@pytest.mark.parametrize("circuit", [REAL, COMPLEX], ids=["real", "complex"])
@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 33])
@pytest.mark.parametrize("count", [1, 3])
def test_batches_of_any_size(circuit: Circuit, samples: int, count: int) -> None:
    check(circuit, *angles(circuit, 0, samples, count))


KINDS = {
    "real": {"reupload": True, "readout": "z+x"},
    "real gates": {"encoding": "ry+rz", "rotation": "rot", "entangler": "cnot_ring"},
    "complex": {"encoding": "ry+rx", "rotation": "rot", "entangler": "cz_ring", "reupload": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", [16, 4, 2])
def test_any_number_of_lanes_and_of_sweeps(monkeypatch, lanes: int, kind: str) -> None:
    monkeypatch.setattr(op, "lanes_for", lambda *_: lanes)
    for qubits in (1, 2, 3, 4, 7, 11, 12, 14, 16 if lanes < 16 else 15):
        circuit = layered(qubits, 2, **KINDS[kind])
        check(circuit, *angles(circuit, 0, samples=3))


def test_kinds_of_circuits_are_what_they_are_called() -> None:
    found = {name: plan(layered(3, 2, **names)) for name, names in KINDS.items()}
    assert [made.real for made in found.values()] == [True, False, False]
    assert [made.real_gates for made in found.values()] == [True, True, False]


def test_rotations_about_z_alone_and_between_entanglers() -> None:
    """What is taken out of gates as phases: with RZ before, after, without RY, and of constants."""
    slots = iter(range(100))

    def turn(gate: str, wire: int) -> Operation:
        return Operation(gate, (wire,), Slot("weight", next(slots)))

    def entangle() -> list[Operation]:
        return [Operation("cnot", (0, 1)), Operation("cz", (1, 2)), Operation("cnot", (2, 0))]

    gates = [Operation("ry", (w,), Slot("input", w)) for w in range(3)]
    gates += [turn("rz", 0), turn("ry", 1), turn("rz", 1), *entangle()]
    gates += [
        turn("rz", 0),
        turn("rz", 0),
        turn("rz", 1),
        turn("ry", 1),
        turn("ry", 2),
        *entangle(),
    ]
    gates += [turn("ry", 0), turn("rz", 0), Operation("z", (1,)), turn("ry", 1), *entangle()]
    gates += [turn("ry", 1), turn("rz", 1), turn("rz", 2)]
    for words in (("ZII", "IZZ"), ("XII", "IIX", "IZI"), ("IXX",)):
        circuit = Circuit(3, tuple(gates), Expectations(words))
        assert plan(circuit).real_gates
        check(circuit, *angles(circuit, 3, samples=5, count=2))


@pytest.mark.parametrize("angle", [0.0, math.pi, -math.pi, 2 * math.pi, 1e3, -9999.0, 1e6, 3e38])
def test_angles_of_any_size(angle: float) -> None:
    """Beyond ten thousand a float32 has lost its digits; values stay values."""
    circuit = layered(2, 2, encoding="ry+rz", rotation="rot")
    layer = QuantumLayer(circuit, diff_method="fused")
    layer.weight.data.fill_(angle)
    values = layer(torch.full((3, 2), angle))
    assert values.abs().max() <= 1 + ATOL
    if abs(angle) < 1e4:
        plain = QuantumLayer(circuit, diff_method="backprop", dtype=torch.float64)
        plain.weight.data = layer.weight.detach().double()
        exact = plain(torch.full((3, 2), angle).double())
        torch.testing.assert_close(values.double(), exact, atol=ATOL, rtol=0)


def test_post_selection_and_marginals() -> None:
    for readout in (Probabilities((1, 3)), Probabilities((0, 2), ancillas=(1, 3))):
        circuit = Circuit(4, layered(4, 2, rotation="rot").operations, readout)
        check(circuit, *angles(circuit, 5, samples=7))


def test_words_of_several_letters_and_constants() -> None:
    gates = (Operation("h", (0,)), *layered(3, 2).operations, Operation("rx", (2,), 0.3))
    circuit = Circuit(3, gates, Expectations(("ZIZ", "XXI", "IZI", "XXX")))
    check(circuit, *angles(circuit, 1, samples=5))


@pytest.mark.parametrize("circuit", [REAL, COMPLEX], ids=["real", "complex"])
def test_the_operators_keep_torch_s_contract(circuit: Circuit) -> None:
    key = FusedCircuit(circuit, twice=True).key
    inputs, weights = angles(circuit, 0, samples=5, count=2)
    inputs, weights = batch_first(inputs).float(), weights.float()
    inputs, weights = (part.detach().requires_grad_() for part in (inputs, weights))
    torch.library.opcheck(op.circuit_operator, (inputs, weights, key, True, True))
    values, states = op.circuit_operator(inputs, weights, key, True, True)
    arguments = torch.ones_like(values), states.detach(), inputs.detach(), weights.detach(), key
    torch.library.opcheck(op.backward_operator, arguments)


def test_the_number_of_threads_changes_no_bit(monkeypatch) -> None:
    fused = FusedCircuit(COMPLEX, twice=False)
    inputs, weights = angles(COMPLEX, 0, samples=50, count=3)
    parameters = batch_first(inputs).float(), weights.float()
    expected = values_and_gradients(fused, *parameters)
    monkeypatch.setattr(op, "ONE_THREAD", 1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for mine, theirs in zip(values_and_gradients(fused, *parameters), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_calls_from_many_threads_do_not_disturb_each_other() -> None:
    circuits_ = [layered(q, 2, readout="z+x") for q in (2, 5, 7)] * 4
    drawn = [angles(c, i, samples=20) for i, c in enumerate(circuits_)]
    parameters = [(batch_first(inputs), weights) for inputs, weights in drawn]

    def run(i: int) -> list[Tensor]:
        fused = FusedCircuit(circuits_[i], twice=False)
        return values_and_gradients(fused, *(part.float() for part in parameters[i]))

    expected = [run(i) for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for mine, theirs in zip(pool.map(run, range(12)), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_backward_twice_through_a_kept_graph_gives_the_same() -> None:
    inputs, weights = (part.float().detach().requires_grad_() for part in angles(REAL, 0))
    loss = FusedCircuit(REAL, twice=False)(inputs, weights).sum()
    first = torch.autograd.grad(loss, (inputs, weights), retain_graph=True)
    second = torch.autograd.grad(loss, (inputs, weights))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def second_derivative(layer: QuantumLayer, inputs: Tensor) -> list[Tensor]:
    (slope,) = torch.autograd.grad(layer(inputs).square().sum(), inputs, create_graph=True)
    return list(torch.autograd.grad(slope.square().sum(), (inputs, layer.weight)))


@pytest.mark.parametrize("readout", ["z+x", "postselected"])
def test_auto_falls_back_for_second_derivatives(readout: str) -> None:
    circuit = layered(3, 2, readout=readout)
    layer = QuantumLayer(circuit)
    plain = QuantumLayer(circuit, diff_method="backprop", dtype=torch.float64)
    plain.weight.data = layer.weight.detach().double()
    inputs = torch.rand(4, 3)
    ours = second_derivative(layer, inputs.requires_grad_())
    exact = second_derivative(plain, inputs.detach().double().requires_grad_())
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-4, rtol=1e-4)


def test_fused_refuses_second_derivatives() -> None:
    layer = QuantumLayer(REAL, diff_method="fused")
    with pytest.raises(RuntimeError, match=r"second derivative .* use diff_method='auto'"):
        second_derivative(layer, torch.rand(4, 3, requires_grad=True))


def test_auto_takes_the_kernel_in_float32_and_the_plain_path_in_float64(monkeypatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("the plain path was taken")

    monkeypatch.setattr(layer_module, "batch_first", refuse)
    layer = QuantumLayer(REAL)
    layer(torch.zeros(2, 3)).sum().backward()
    with pytest.raises(AssertionError, match="plain path"):
        layer(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(AssertionError, match="plain path"):
        QuantumLayer(REAL, diff_method="backprop")(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [
        (Circuit(2, layered(2, 1).operations, Expectations(("YI",))), "YI is not a product of Z"),
        (Circuit(2, layered(2, 1).operations, Expectations(("XZ",))), "XZ is not a product of Z"),
        (layered(21, 1), "21 qubits, and the kernel takes up to 20"),
        (
            Circuit(
                3,
                (Operation("cz", (0, 1)), Operation("h", (0,)), Operation("cz", (1, 2))),
                Probabilities((0,)),
            ),
            "only 1 of 3 qubits",
        ),
    ],
)
def test_circuits_that_do_not_fit_are_refused_by_name_and_simulated_by_auto(
    circuit: Circuit, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"diff_method='fused' .*{reason}.*use 'auto'"):
        QuantumLayer(circuit, diff_method="fused")
    if circuit.qubits < 20:
        QuantumLayer(circuit)(torch.zeros(1, circuit.inputs))


def test_auto_works_under_torch_func() -> None:
    layer = QuantumLayer(REAL)
    inputs = torch.randn(4, 3)
    jacobians = torch.func.vmap(torch.func.jacrev(layer))(inputs)
    whole = torch.autograd.functional.jacobian(layer, inputs)
    expected = torch.stack([whole[i, :, i] for i in range(4)])
    torch.testing.assert_close(jacobians, expected, atol=ATOL, rtol=0)
    with pytest.raises(ValueError, match=r"under torch\.func: use 'auto'"):
        torch.func.grad(lambda x: QuantumLayer(REAL, diff_method="fused")(x).sum())(inputs)


def test_fused_refuses_double_precision() -> None:
    layer = QuantumLayer(REAL, diff_method="fused")
    with pytest.raises(ValueError, match=r"float32 on the CPU, not in torch\.float64"):
        layer(torch.zeros(2, 3, dtype=torch.float64))


def test_a_compiled_model_holds_the_kernel_in_its_graph() -> None:
    layer = QuantumLayer(REAL, circuits=2)
    inputs = torch.randn(4, 2, 3, requires_grad=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    outputs = compiled(inputs)
    ours = [outputs, *torch.autograd.grad(outputs.sum(), (inputs, layer.weight))]
    expected = layer(inputs)
    theirs = [expected, *torch.autograd.grad(expected.sum(), (inputs, layer.weight))]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_distributed_data_parallel_wraps_it(tmp_path) -> None:
    """In a process of its own: a process group leaves threads behind."""
    code = (
        "import sys, torch\n"
        "from torch.nn.parallel import DistributedDataParallel\n"
        "from hqgan.quantum import QuantumLayer, layered\n"
        "torch.distributed.init_process_group(\n"
        "    'gloo', init_method=f'file://{sys.argv[1]}/store', rank=0, world_size=1)\n"
        "layer = QuantumLayer(layered(3, 2), diff_method='fused')\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 3), layer)\n"
        "inputs = torch.randn(5, 4)\n"
        "model(inputs).square().sum().backward()\n"
        "alone = layer.weight.grad.clone()\n"
        "layer.weight.grad = None\n"
        "DistributedDataParallel(model)(inputs).square().sum().backward()\n"
        "torch.distributed.destroy_process_group()\n"
        "assert torch.equal(layer.weight.grad, alone)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_copies_and_pickles_run_in_another_process() -> None:
    layer = QuantumLayer(COMPLEX)
    inputs = torch.rand(2, 3)
    assert torch.equal(copy.deepcopy(layer)(inputs), layer(inputs))
    code = "import pickle, sys, torch; pickle.load(sys.stdin.buffer)(torch.rand(2, 3))"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(layer), check=True)


def test_equal_circuits_have_equal_keys() -> None:
    assert plan(layered(3, 2)).key == plan(layered(3, 2)).key
    assert plan(layered(3, 2)).key != plan(layered(3, 2, entangler="none")).key


def test_only_circuits_of_ry_run_in_real_arithmetic() -> None:
    assert plan(REAL).real
    assert not plan(layered(3, 1, encoding="ry+rx")).real


def test_without_numba_circuits_run_on_the_plain_path_and_say_so_once() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch\n"
        "from hqgan.quantum import QuantumLayer, layered\n"
        "for _ in range(2):\n"
        "    QuantumLayer(layered(3, 1))(torch.zeros(2, 3)).sum().backward()\n"
        "try:\n"
        "    QuantumLayer(layered(3, 1), diff_method='fused')\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("circuits run without the fast kernel") == 1
    assert "cannot be imported" in done.stdout


def test_a_slow_first_call_is_explained_once(monkeypatch, capsys) -> None:
    announced = threading.Event()
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    monkeypatch.setattr(compiling, "_announced", announced)
    for _ in range(2):
        with compiling.announced_if_slow():
            assert announced.wait(timeout=10)
    assert capsys.readouterr().err.count("compiling the circuit kernel") == 1


def test_a_cache_that_cannot_be_written_is_done_without() -> None:
    nowhere = {**os.environ, "NUMBA_CACHE_DIR": os.devnull + "/cache"}
    code = "import hqgan.quantum.kernel.op"
    subprocess.run([sys.executable, "-c", code], env=nowhere, check=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_same_source_runs_on_a_processor_without_avx() -> None:
    """SSE2 alone: no wide registers, no fused multiply-add; numba compiles for what it is told."""
    plain = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse2"}
    code = (
        "import torch\n"
        "from hqgan.quantum import QuantumLayer, layered\n"
        "torch.manual_seed(0)\n"
        "circuit = layered(5, 2, encoding='ry+rz', rotation='rot', entangler='cnot_ring')\n"
        "fused = QuantumLayer(circuit, diff_method='fused')\n"
        "plain = QuantumLayer(circuit, diff_method='backprop', dtype=torch.float64)\n"
        "plain.weight.data = fused.weight.detach().double()\n"
        "for samples in (3, 20):\n"
        "    angles = torch.randn(samples, 5)\n"
        "    found = [torch.autograd.grad(layer(x).square().sum(), (x, layer.weight))\n"
        "             for layer in (fused, plain)\n"
        "             for x in [angles.to(layer.weight.dtype).requires_grad_()]]\n"
        "    for mine, exact in zip(*found):\n"
        f"        torch.testing.assert_close(mine.double(), exact, atol={ATOL}, rtol={ATOL})\n"
    )
    subprocess.run([sys.executable, "-c", code], env=plain, check=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux tells its peaks")
def test_memory_of_ten_qubits_stays_small() -> None:
    code = (
        "import torch\n"
        "from hqgan.quantum import QuantumLayer, layered\n"
        "def run(qubits, layers, batch):\n"
        "    circuit = layered(qubits, layers, encoding='ry+rz', rotation='rot')\n"
        "    layer = QuantumLayer(circuit, diff_method='fused')\n"
        "    layer(torch.rand(batch, qubits, requires_grad=True)).sum().backward()\n"
        "def peak(field):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(field))\n"
        "run(2, 2, 64)\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "idle = peak('VmRSS')\n"
        "run(10, 6, 64)\n"
        "print((peak('VmHWM') - idle) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= MEMORY_BAR


@pytest.mark.slow
def test_code_from_the_disk_gives_the_bits_of_code_just_compiled(tmp_path) -> None:
    """Else a training that compiled the kernel would not be continued as it began."""
    code = (
        "import hashlib, torch\n"
        "from hqgan.quantum import QuantumLayer, layered\n"
        "torch.manual_seed(0)\n"
        f"for names in {list(KINDS.values())}:\n"
        "    layer = QuantumLayer(layered(5, 3, **names), diff_method='fused')\n"
        "    angles = torch.randn(20, 5, requires_grad=True)\n"
        "    values = layer(angles)\n"
        "    values.square().sum().backward()\n"
        "    for part in (values, angles.grad, layer.weight.grad):\n"
        "        print(hashlib.sha256(part.detach().numpy().tobytes()).hexdigest())\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
