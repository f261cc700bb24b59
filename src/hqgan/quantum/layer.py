"""`QuantumLayer`: a circuit as an `nn.Module`, from angles to expectations or probabilities."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from hqgan.quantum.circuit import Circuit
from hqgan.quantum.gradients import Differentiated, Rule, adjoint, parameter_shift
from hqgan.quantum.kernel.plan import misfit
from hqgan.quantum.noise import Noise, Noisy
from hqgan.quantum.shots import Shots
from hqgan.quantum.statevector import Run, batch_first, saved_states, simulate

if TYPE_CHECKING:
    from hqgan.quantum.kernel.op import FusedCircuit

Init = Literal["small", "uniform"]
DiffMethod = Literal["auto", "backprop", "fused", "adjoint", "parameter-shift"]
RULES: dict[str, Rule] = {"adjoint": adjoint, "parameter-shift": parameter_shift}

_CPU = torch.device("cpu")

WORTH_CHECKING = 2**30
"""Bytes below which the memory is not compared with the machine's."""


class QuantumLayer(nn.Module):
    """Turn angles into measured values by a batch of simulated circuits, as any other torch layer.

    Used like `qml.qnn.TorchLayer`, but a whole batch, and many circuits of one shape, run at once.

    Args:
        circuit: what to run; see `hqgan.quantum.layered` for named ones.
        circuits: C, number of circuits of this shape, each with its own weights (patches, sites).
        init: "small" draws the weights from a normal distribution around 0, which keeps the
            gradients of deep circuits alive (LaSt-QGAN, arXiv 2406.02668); "uniform" from
            [0, 2 pi), as PennyLane does.
        init_sd: standard deviation of the "small" weights, radians.
        diff_method: "fused" runs the compiled kernel with its adjoint gradient, in float32 on the
            CPU; "backprop" differentiates through the state vector by torch's autograd, anywhere
            and as often as wanted; "auto" takes the kernel where it fits, and backprop elsewhere,
            for second derivatives and under `torch.func`. "adjoint" saves memory on any device;
            "parameter-shift" differentiates as on hardware, by two more runs a gate; both once.
        dtype: dtype of the weights, float32 or float64.
        shots: measurements of each circuit; exact values by default. With shots the gradient is by
            "parameter-shift", which "auto" then stands for.
        generator: where the shots' outcomes are drawn from; torch's global one by default.
        noise: what a noisy machine adds to the circuits, see `hqgan.quantum.noise`; differentiated
            by "backprop", which "auto" then stands for, or by "parameter-shift".

    Attributes:
        weight: (C, P) `nn.Parameter`, radians; row c belongs to circuit c.

    Shapes:
        circuits = 1: (..., inputs) to (..., outputs), as `nn.Linear`.
        circuits = C: (B, C, inputs) to (B, C, outputs); angles of shape (B, inputs) go to all C.

    Inputs may have any real floating dtype, and the result has the same. Half precision is computed
    in float32, also under autocast, for rounding errors would add up over the gates; the backward
    pass belongs outside of autocast, as torch advises.

    Under torch.compile the kernel is one operator of the graph; backprop runs eagerly between the
    compiled parts.

    Cost: see `hqgan.quantum.simulate`; the kernel keeps one state per sample, and is compiled when
    a kind of circuit first runs on a machine (about 20 s).

    Raises:
        ValueError: at construction for unknown options, and for "fused" if the circuit does not fit
            the kernel; at call for wrong width, dtype or device,
            for angles that are not finite (checked on the CPU only, where it is cheap), and for
            states beyond the memory, with the GiB needed.

    Examples:
        >>> import torch
        >>> from hqgan.quantum import QuantumLayer, layered
        >>> _ = torch.manual_seed(0)
        >>> circuit = layered(qubits=3, layers=1, entangler="cnot_chain")
        >>> print(circuit.draw())
        0: ─RY(x0)─RY(w0)─●───
        1: ─RY(x1)─RY(w1)─⊕─●─
        2: ─RY(x2)─RY(w2)───⊕─
        reads <Z0> <Z1> <Z2>
        >>> layer = QuantumLayer(circuit)
        >>> angles = torch.zeros(2, 3, requires_grad=True)
        >>> layer(angles).shape
        torch.Size([2, 3])
        >>> layer(angles).sum().backward()
        >>> layer.weight.grad.shape, angles.grad.shape
        (torch.Size([1, 3]), torch.Size([2, 3]))
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 3), layer, torch.nn.Linear(3, 1))
        >>> model(torch.zeros(5, 8)).shape
        torch.Size([5, 1])
    """

    weight: nn.Parameter

    def __init__(
        self,
        circuit: Circuit,
        circuits: int = 1,
        *,
        init: Init = "small",
        init_sd: float = 0.1,
        diff_method: DiffMethod = "auto",
        dtype: torch.dtype = torch.float32,
        shots: int | None = None,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
    ):
        super().__init__()
        if circuits < 1:
            raise ValueError(f"circuits={circuits}: a layer has at least one circuit")
        if diff_method not in get_args(DiffMethod):
            raise ValueError(
                f"diff_method={diff_method!r} is not available; "
                f"available: {', '.join(get_args(DiffMethod))}"
            )
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype={dtype}: weights are float32 or float64")
        if shots is not None and diff_method not in ("auto", "parameter-shift"):
            raise ValueError(
                f"diff_method={diff_method!r} differentiates exact values, not shots={shots}: "
                "use 'parameter-shift'"
            )
        self.circuit = circuit
        self.circuits = circuits
        self.shots = shots
        self.generator = generator
        self.init = init
        self.init_sd = init_sd
        self.diff_method = diff_method
        self.weight = nn.Parameter(torch.empty(circuits, circuit.weights, dtype=dtype))
        self._fused: FusedCircuit | None = None
        self._other: Run | None = None
        self._check_memory()
        self.set_noise(noise)
        self.reset_parameters()

    def set_noise(self, noise: Noise | None) -> None:
        """From now on run on a machine with this noise; None is a perfect one.

        Raises:
            ValueError: the layer's `diff_method` needs a perfect machine.
        """
        if noise is not None and self.diff_method in ("fused", "adjoint"):
            raise ValueError(
                f"diff_method={self.diff_method!r} differentiates a perfect machine, not a noisy "
                "one: use 'auto' or 'backprop'"
            )
        self.noise = noise
        self._run: Run = simulate
        self._rule = RULES.get(self.diff_method)
        self._fused = None
        if noise is not None:
            self._run = Noisy(noise, self.shots, self.generator)
        elif self.shots is not None:
            self._run = Shots(self.shots, self.generator)
        if self.shots is not None:
            self._rule = parameter_shift
        elif noise is None and self.diff_method in ("auto", "fused"):
            self._fused = self._fuse()

    @contextmanager
    def run_by(self, run: Run) -> Iterator[None]:
        """Let `run` compute the layer's values in this block: a backend, or values known before.

        `run` takes the circuit, inputs (C or 1, B, I) and weights (C, P), as `simulate` does; its
        values are differentiable if it makes them so.
        """
        before, self._other = self._other, run
        try:
            yield
        finally:
            self._other = before

    def reset_parameters(self) -> None:
        """Draw the weights anew from torch's global generator."""
        if self.init == "small":
            nn.init.normal_(self.weight, std=self.init_sd)
        elif self.init == "uniform":
            nn.init.uniform_(self.weight, 0.0, 2 * math.pi)
        else:
            raise ValueError(f"init={self.init!r}: choose one of {', '.join(get_args(Init))}")

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the circuits; shapes and errors as the class says."""
        dtype = torch.promote_types(
            torch.promote_types(inputs.dtype, self.weight.dtype), torch.float32
        )
        if self._other is not None:
            self._check(inputs)
            return self._by(self._other, inputs, dtype)
        fused = self._fused
        transformed = torch._C._are_functorch_transforms_active()  # torch.func, which sees all
        if fused is None or dtype != torch.float32 or inputs.device != _CPU or transformed:
            if self.diff_method == "fused":
                where = " under torch.func" if transformed else ""
                raise ValueError(
                    f"diff_method='fused' runs in float32 on the CPU, not in {dtype} on "
                    f"{inputs.device}{where}: use 'auto' or 'backprop'"
                )
            return self._simulate(inputs, dtype)
        self._check(inputs)
        if not torch.compiler.is_compiling():
            self._check_memory(inputs)
        if inputs.dtype == torch.float32:
            return fused(inputs, self.weight)
        return fused(inputs.float(), self.weight).to(inputs.dtype)

    def without_kernel(self) -> None:
        """From now on run in plain torch: nothing is compiled, as pays where few samples come.

        Values differ from the kernel's by rounding. A layer made with "fused" refuses to run then.
        """
        self._fused = None

    # To trace dozens of small steps costs torch.compile more than fusing them gains.
    @torch.compiler.disable
    def _simulate(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        self._check(inputs)
        # The sum is one cheap pass; on a GPU, reading it would make the host wait for the device,
        # and under vmap there is no one number to read.
        seen = inputs.device.type == "cpu" and not torch._C._are_functorch_transforms_active()
        if seen and not math.isfinite(inputs.detach().sum().item()):
            wrong = int((~inputs.isfinite()).sum())
            if wrong:
                raise ValueError(f"{wrong} of {inputs.numel()} angles are NaN or infinite")
        self._check_memory(inputs)
        run = self._run
        if self._rule is not None:
            run = partial(Differentiated.apply, self._run, self._rule)
        return self._by(run, inputs, dtype)

    def _by(self, run: Run, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        values = batch_first(run, self.circuit, inputs.to(dtype), self.weight.to(dtype))
        return values.to(inputs.dtype)

    def _fuse(self) -> "FusedCircuit | None":
        """The kernel for this circuit, or None; an error if it was asked for by name."""
        reason = misfit(self.circuit) or _without_numba()
        if reason is None:
            from hqgan.quantum.kernel.op import FusedCircuit

            return FusedCircuit(self.circuit, twice=self.diff_method == "auto")
        if self.diff_method == "fused":
            raise ValueError(
                f"diff_method='fused' cannot run this circuit: {reason}; use 'auto' or 'backprop'"
            )
        return None

    def extra_repr(self) -> str:
        settings = f"circuits={self.circuits}, init={self.init!r}, diff_method={self.diff_method!r}"
        if self.shots is not None:
            settings += f", shots={self.shots}"
        if self.noise is not None:
            settings += f", noise={self.noise!r}"
        return f"{settings}, {self.circuit!r}\n{self.circuit.draw()}"

    def _check(self, inputs: Tensor) -> None:
        if not inputs.is_floating_point():
            raise ValueError(f"angles are floating point numbers, not {inputs.dtype}")
        width, circuits = self.circuit.inputs, self.circuits
        if circuits == 1:
            expected, fits = f"(..., {width})", inputs.ndim >= 1
        else:
            expected = f"(B, {circuits}, {width}) or (B, {width})"
            fits = inputs.ndim == 2 or (inputs.ndim == 3 and inputs.shape[1] == circuits)
        if not fits or inputs.shape[-1] != width:
            raise ValueError(f"expected angles of shape {expected}, got {tuple(inputs.shape)}")
        if inputs.device != self.weight.device:
            raise ValueError(
                f"the angles are on {inputs.device}, the layer is on {self.weight.device}"
            )

    def _check_memory(self, inputs: Tensor | None = None) -> None:
        """Refuse a batch, or at construction a single sample, if the machine cannot hold it."""
        differentiated, samples, circuits = False, 1, 1
        if inputs is not None:
            differentiated = torch.is_grad_enabled() and (
                inputs.requires_grad or self.weight.requires_grad
            )
            circuits = self.circuits
            samples = inputs.shape[:-1].numel() if circuits == 1 else inputs.shape[0]
        if self._fused is not None:
            needed = self._fused.bytes_needed(samples, circuits, differentiated)
        else:
            number = 4 if self.weight.dtype == torch.float32 else 8
            amplitude = number if self.circuit.is_real else 2 * number
            copies = saved_states(self.circuit) if differentiated else 4
            needed = samples * circuits * copies * amplitude * 2**self.circuit.qubits
        if needed < WORTH_CHECKING:
            return
        available = _memory(self.weight.device)
        if needed > available:
            raise ValueError(
                f"{self.circuit.qubits} qubits and {samples * circuits} states at once need about "
                f"{needed / 2**30:.3g} GiB, but {self.weight.device} has {available / 2**30:.3g}: "
                "use fewer qubits, a smaller batch, or torch.no_grad()"
            )


def _memory(device: torch.device) -> int:
    """Bytes of memory that `device` has in all."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@lru_cache(maxsize=1)
def _without_numba() -> str | None:
    """Why the kernel cannot be used on this machine, said once on stderr; None if it can."""
    try:
        import hqgan.quantum.kernel.op  # noqa: F401
    except ImportError as error:
        print(f"hqgan: circuits run without the fast kernel: {error}", file=sys.stderr)
        return f"the kernel cannot be imported ({error})"
    return None
