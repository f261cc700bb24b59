"""What can stand in the place of hybridq's circuits: the controls of every claim about them.

Each is called as the circuits are: angles (B, G, Q) in radians, one row of each of G groups, to
values (B, G, 2Q) in [-1, 1]. All else in the generator stays as it is.

| twin | in the circuits' place | what it controls for |
| --- | --- | --- |
| classical | a linear map and tanh | do the qubits do more than as many classical parameters? |
| fourier | cosines of whole multiples of the angles | does more than the function class matter? |
| zeros | nothing | is the stream needed at all? |
| random | the circuits, never trained | is it enough that features are random? |
| product | the circuits without entanglers | does entanglement matter? |
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.quantum import Circuit, QuantumLayer
from hqgan.quantum.circuit import TWO_QUBIT_GATES

TWINS = ("classical", "fourier", "zeros", "random", "product")


def circuits_or_twin(twin: str | None, circuit: Circuit, groups: int) -> nn.Module:
    """The circuits themselves for None, else their twin; weights are drawn from torch's generator.

    Raises:
        UsageError: for an unknown twin.
    """
    if twin is None:
        return QuantumLayer(circuit, circuits=groups)
    if twin == "classical":
        return ClassicalTwin(circuit, groups)
    if twin == "fourier":
        return FourierTwin(circuit, groups)
    if twin == "zeros":
        return ZerosTwin(circuit)
    if twin == "random":
        # As far from the identity as circuits get: small angles would pass the inputs through.
        return QuantumLayer(circuit, circuits=groups, init="uniform").requires_grad_(False)
    if twin == "product":
        alone = (o for o in circuit.operations if o.gate not in TWO_QUBIT_GATES)
        return QuantumLayer(replace(circuit, operations=tuple(alone)), circuits=groups)
    raise UsageError(f"unknown twin {twin!r}; known are {', '.join(TWINS)}")


class ClassicalTwin(nn.Module):
    """A linear map and tanh, with as many sets of weights as come nearest to the circuits' number.

    Where groups are more than sets, neighbouring groups share one.
    """

    def __init__(self, circuit: Circuit, groups: int):
        super().__init__()
        one = circuit.outputs * (circuit.inputs + 1)
        divisors = (g for g in range(1, groups + 1) if groups % g == 0)
        sets = min(divisors, key=lambda g: abs(g * one - groups * circuit.weights))
        bound = circuit.inputs**-0.5
        self.weight = nn.Parameter(torch.empty(sets, circuit.inputs, circuit.outputs))
        self.bias = nn.Parameter(torch.zeros(sets, circuit.outputs))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, angles: Tensor) -> Tensor:
        by_set = angles.unflatten(1, (len(self.weight), -1))  # (B, sets, groups / sets, Q)
        mapped = torch.einsum("bsgi,sio->bsgo", by_set, self.weight) + self.bias[:, None]
        return torch.tanh(mapped).flatten(1, 2)


class FourierTwin(nn.Module):
    """cos(k . (s * angles) + phase) for each output: a term of the circuits' own Fourier series.

    A circuit that uploads its inputs L times is a trigonometric polynomial of degree L in each
    (Schuld et al., arXiv 2008.08605). Here the whole numbers k, drawn from -L to L, are fixed; the
    phases and the scales s, one per input and group, are learned.
    """

    frequencies: Tensor

    def __init__(self, circuit: Circuit, groups: int):
        super().__init__()
        uploads = sum(getattr(o.angle, "source", "") == "input" for o in circuit.operations)
        degree = uploads // circuit.inputs
        shape = circuit.inputs, circuit.outputs
        drawn = torch.randint(-degree, degree + 1, shape).float()
        self.register_buffer("frequencies", drawn)
        self.scale = nn.Parameter(torch.ones(groups, circuit.inputs))
        self.phase = nn.Parameter(torch.rand(groups, circuit.outputs) * 2 * torch.pi)

    def forward(self, angles: Tensor) -> Tensor:
        return torch.cos((angles * self.scale) @ self.frequencies + self.phase)


class ZerosTwin(nn.Module):
    """Zeros."""

    def __init__(self, circuit: Circuit):
        super().__init__()
        self.outputs = circuit.outputs

    def forward(self, angles: Tensor) -> Tensor:
        return angles.new_zeros(*angles.shape[:-1], self.outputs)
