"""Costs are counted right where they can be counted by hand, and counting leaves no trace."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hqgan.evaluation.costs import Costs, costs, sampling_rate
from hqgan.models import Generator, build_generator, parameter_count
from hqgan.models.registry import GENERATORS
from hqgan.quantum import QuantumLayer, layered

CLASSES = 3


class Small(Generator):
    """One linear layer, one transposed convolution, one kept buffer and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.size, self.z_dim = CLASSES, 8, 10
        self.linear = nn.Linear(10, 2 * 16, bias=False)
        self.up = nn.ConvTranspose2d(2, 3, 4, 2, 1)
        self.register_buffer("kept", torch.zeros(7))
        self.register_buffer("derived", torch.zeros(5), persistent=False)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.up(self.linear(z).view(-1, 2, 4, 4)))


class Quantum(Small):
    """The same with circuits: `shared` runs twice on one image's four sites, `wide` once on all."""

    def __init__(self, diff_method: str = "auto") -> None:
        super().__init__()
        self.shared = QuantumLayer(layered(3, 2, entangler="cz_chain"), diff_method=diff_method)
        self.wide = QuantumLayer(
            layered(4, 1, entangler="cz_chain"), circuits=2, diff_method=diff_method
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        sites = z[:, :3].unsqueeze(1).expand(-1, 4, -1)
        values = self.shared(self.shared(sites)).mean() + self.wide(z[:, :4]).mean()
        return super().forward(z + values, y)


class Attentive(Small):
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        q, k = torch.ones(len(z), 2, 16, 8), torch.ones(len(z), 2, 12, 8)
        return super().forward(z + F.scaled_dot_product_attention(q, k, k).mean(), y)


LINEAR_AND_UP = 10 * 32 + 16 * 2 * 3 * 4 * 4  # every input pixel meets every weight


def test_a_classical_generator_is_counted_by_hand() -> None:
    assert costs(Small()) == Costs(
        parameters=320 + 96 + 3,
        buffers=7,
        macs_per_image=LINEAR_AND_UP,
        circuits_per_image=0,
        two_qubit_gates_per_image=0,
        qubits=0,
        simulation_work=0,
    )


def test_circuits_are_counted_by_hand() -> None:
    found = costs(Quantum())
    shared, wide = 2 * 4, 2  # calls x sites; circuits of the layer, which all get the same angles
    assert found.circuits_per_image == shared + wide
    assert found.qubits == 4
    assert found.two_qubit_gates_per_image == shared * 2 * 2 + wide * 3
    # Gates: an encoding rotation a qubit, then a rotation a qubit and the chain in every layer.
    gates_shared, gates_wide = 3 + 2 * (3 + 2), 4 + (4 + 3)
    assert found.simulation_work == shared * gates_shared * 2**3 + wide * gates_wide * 2**4
    assert found.parameters == 419 + 2 * 3 + 2 * 4


def test_simulating_circuits_is_no_classical_work() -> None:
    simulator = Quantum(diff_method="backprop")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        simulator.shared(torch.ones(1, 4, 3))
    assert counter.get_total_flops() > 0  # otherwise there would be nothing to leave out
    assert costs(simulator) == costs(Quantum())
    assert costs(simulator).macs_per_image == LINEAR_AND_UP


def test_attention_is_two_matrix_products_on_a_cpu_too() -> None:
    assert costs(Attentive()).macs_per_image == LINEAR_AND_UP + 2 * (2 * 16 * 12 * 8)


def test_the_reconstruction_of_the_paper_costs_what_its_layers_say() -> None:
    generator = build_generator("hybridq-v1", classes=8, size=64)
    found = costs(generator)
    linear = 128 * 100 + 100 * 40 + 140 * 64 * 8**2
    convolutions = 16 * (64 * 32 * 8**2 + 32 * 16 * 16**2 + 16 * 3 * 32**2)
    assert found.macs_per_image == linear + convolutions
    assert (found.circuits_per_image, found.qubits) == (8, 5)
    assert found.two_qubit_gates_per_image == 8 * 6 * 4
    assert found.parameters == parameter_count(generator)


def test_counting_and_timing_leave_the_generator_as_it_was() -> None:
    generator = build_generator("hybridq-v1", classes=CLASSES, size=32).train()
    generator.norm.eval()  # a part may have a mode of its own
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    modes = [module.training for module in generator.modules()]
    costs(generator)
    sampling_rate(generator, n=3, batch=2, repeats=1)
    assert [module.training for module in generator.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in generator.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in generator.modules())


def test_four_times_the_work_is_about_a_quarter_of_the_rate() -> None:
    class Slow(Small):
        rounds = 100

        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            for _ in range(self.rounds):
                images = super().forward(z, y)
            return images

    slow, slower = Slow(), Slow()
    slower.rounds = 400
    ratio = sampling_rate(slow, n=64, repeats=5) / sampling_rate(slower, n=64, repeats=5)
    assert 2 < ratio < 8


def test_every_image_asked_for_is_made_in_batches_of_that_size() -> None:
    sizes = []

    class Noting(Small):
        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            sizes.append(len(z))
            assert y.max() < CLASSES
            return super().forward(z, y)

    assert sampling_rate(Noting(), n=10, batch=4, repeats=2) > 0
    assert sizes == [4, *[4, 4, 2] * 2]  # the first is not timed
    with pytest.raises(ValueError, match="n, batch and repeats are 0, 64 and 3"):
        sampling_rate(Noting(), n=0)


NARROW: dict[str, dict[str, object]] = {
    "fastgan": {"width_cap": 16},
    "stylegan2": {"channel_cap": 16},
    "ddpm": {"width": 8, "sampling_steps": 2},
    "mediq-v2": {"depth": 1},
}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_can_be_counted_and_is_left_as_it_was(name: str) -> None:
    if name == "ddpm":
        pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")
    generator = build_generator(name, CLASSES, 32, **NARROW.get(name, {}))
    trained = [p.requires_grad for p in generator.parameters()]
    found = costs(generator)
    assert found.parameters == parameter_count(generator)
    assert found.macs_per_image + found.circuits_per_image > 0
    has_circuits = any(isinstance(m, QuantumLayer) for m in generator.modules())
    assert (found.circuits_per_image > 0) == (found.simulation_work > 0) == has_circuits
    assert [p.requires_grad for p in generator.parameters()] == trained
