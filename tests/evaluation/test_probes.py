"""Probes against what is known in closed form: linear toys, textbook states, one-qubit circuits."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.evaluation import features, load_extractor
from hqgan.evaluation.probes import Judge, probe_circuits, quantum_block, verdict
from hqgan.evaluation.probes.estimates import Estimate, bootstrap
from hqgan.evaluation.probes.families import Family, family_of, gradient_variance
from hqgan.evaluation.probes.ranks import (
    effective_rank,
    feature_spectrum,
    jacobian_spectrum,
    stream_spectra,
)
from hqgan.evaluation.probes.states import (
    BINS,
    entangling,
    expressibility,
    haar_log_shares,
    meyer_wallach,
    random_states,
)
from hqgan.evaluation.probes.streams import (
    INTERVENTIONS,
    gate,
    images,
    intervened,
    outputs,
    variance_shares,
)
from hqgan.models import Generator, HybridQGenerator, HybridQV1Generator, MediqV2Generator
from hqgan.quantum import Circuit, Expectations, Operation, QuantumLayer, layered
from random_inception import random_state
from small_runs import tiny_dataset

SAME = 1e-6  # of images in [-1, 1], float32
DIFFERENCES = 2e-3  # relative, of singular values by finite differences of float32 images
STATES = 1e-5  # of float32 states
CLOSED = 1e-9  # of logarithms of closed forms
SAMPLED = 0.05  # of a mean of 2000 bounded draws
FLOORS = 2.0  # a divergence of truly random states is about one floor


class Stream(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.circuits = nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        return self.circuits(z)


class Linear(Generator):
    """Image = q A + c B + z C + q c D with q = c = z, so that every share is known."""

    def __init__(self, a: float, b: float, c: float, d: float = 0.0) -> None:
        super().__init__()
        self.classes, self.size, self.z_dim = 2, 2, 12
        self.factors = a, b, c, d
        self.quantum, self.classical = Stream(), nn.Identity()

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        a, b, c, d = self.factors
        q, k = self.quantum(z), self.classical(z)
        # The class moves the image, which the shares must not count.
        made = a * q + b * k + c * z + d * q * k + 5.0 * y[:, None]
        return made.view(-1, 3, 2, 2)


class Plain(Generator):
    """A generator without circuits."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.size, self.z_dim = 2, 2, 12


MODELS = {
    "hybridq, one group": lambda: HybridQGenerator(3, 32, qubits=2, circuit_groups=1),
    "hybridq": lambda: HybridQGenerator(3, 32, qubits=2),
    "hybridq, film": lambda: HybridQGenerator(3, 32, qubits=2, fusion="film"),
    "twin-classical": lambda: HybridQGenerator(3, 32, qubits=2, twin="classical"),
    "hybridq-v1": lambda: HybridQV1Generator(3, 32),
    "mediq-v2": lambda: MediqV2Generator(3, 32, depth=1),
}


def built(name: str) -> Generator:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def latents(generator: Generator, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    z = generator.sample_z(n, torch.Generator().manual_seed(seed))
    return z, torch.arange(n) % generator.classes


# Interventions


@pytest.mark.parametrize("name", MODELS)
def test_a_block_given_its_own_values_makes_the_same_images(name: str) -> None:
    generator = built(name)
    z, y = latents(generator, 5)
    (values,) = outputs(generator, [quantum_block(generator)], z, y)
    assert len(values) == 5
    as_is = images(generator, z, y)
    assert (images(generator, z, y, values) - as_is).abs().max() < SAME
    # Values of one image belong to it alone.
    values[0] = 1.0 - values[0]
    changed = (images(generator, z, y, values) - as_is).abs().amax((1, 2, 3))
    assert changed[0] > 10 * SAME
    assert changed[1:].max() < SAME


def test_shuffling_gives_every_image_the_values_of_another() -> None:
    values = torch.arange(7.0)[:, None]
    shuffled = intervened(values, "shuffled", torch.Generator().manual_seed(3))
    assert (shuffled != values).all()
    assert sorted(shuffled.flatten().tolist()) == values.flatten().tolist()
    mean = intervened(values, "mean", torch.Generator())
    assert mean.shape == values.shape
    assert (mean == 3.0).all()


@pytest.mark.parametrize("kind", ["shuffled", "mean"])
def test_intervening_among_equal_latents_changes_nothing(kind: str) -> None:
    generator = built("hybridq")
    z, y = latents(generator, 1)
    z, y = z.repeat(6, 1), y.repeat(6)
    (values,) = outputs(generator, [quantum_block(generator)], z, y)
    replaced = intervened(values, kind, torch.Generator().manual_seed(0))
    difference = images(generator, z, y, replaced) - images(generator, z, y)
    assert difference.abs().max() < SAME


def test_zeros_in_the_place_of_the_zeros_twin_change_nothing() -> None:
    torch.manual_seed(0)
    generator = HybridQGenerator(3, 32, qubits=2, twin="zeros").eval()
    z, y = latents(generator, 4)
    (values,) = outputs(generator, [quantum_block(generator)], z, y)
    for kind in INTERVENTIONS:
        replaced = intervened(values, kind, torch.Generator().manual_seed(0))
        assert torch.equal(images(generator, z, y, replaced), images(generator, z, y)), kind


def test_a_generator_without_circuits_is_refused() -> None:
    with pytest.raises(UsageError, match="Plain has no quantum part to probe"):
        quantum_block(Plain())


def test_an_unknown_intervention_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown intervention 'ones'"):
        intervened(torch.zeros(2, 1), "ones", torch.Generator())


# Distances


def test_the_change_between_equal_fakes_is_nothing_and_between_others_has_an_interval(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr(features, "INPUT_SIZE", 75)  # the smallest that Inception takes
    save_file(random_state(), tmp_path / "net.safetensors")
    wide = load_extractor(tmp_path / "net.safetensors", cache=False)
    judge = Judge(tiny_dataset(), wide, seed=0, repeats=50)
    assert judge.recipe == "kid768"
    rng = torch.Generator().manual_seed(0)
    dark, light = (
        judge.features((torch.rand(8, 3, 32, 32, generator=rng) + low).clamp(-1, 1))
        for low in (-1.0, 0.0)
    )
    same = judge.change(dark, dark)
    assert (same.value, same.interval) == (0.0, (0.0, 0.0))
    assert "no effect is shown" in verdict(same)
    other = judge.change(dark, light)
    assert other.value == pytest.approx(judge.distance(light).value - judge.distance(dark).value)
    assert other.interval[0] <= other.value <= other.interval[1]


def test_without_inception_the_change_has_no_interval_and_says_why() -> None:
    judge = Judge(tiny_dataset((40, 40, 40)), load_extractor(name="tiny", cache=False), seed=0)
    rng = torch.Generator().manual_seed(0)
    few, many = (judge.features(torch.rand(n, 3, 32, 32, generator=rng)) for n in (20, 80))
    assert judge.recipe == "fd_tiny"
    assert judge.distance(many).value > 0
    assert "has no interval" in judge.distance(many).reason
    assert judge.distance(few).value is None
    assert "singular covariance" in judge.distance(few).reason


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.1, 0.2), "further from the real images"),
        ((-0.2, -0.1), "nearer to the real images"),
        ((-0.1, 0.1), "no effect is shown"),
        (None, "no verdict"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(interval, words: str) -> None:
    assert words in verdict(Estimate(0.15, interval, 10))


# Shares of variance


def test_the_shares_of_a_linear_generator_are_its_squared_factors() -> None:
    a, b, c, d = 1.0, 2.0, 0.5, 1.5
    whole = a**2 + b**2 + c**2 + d**2
    found = variance_shares(Linear(a, b, c, d), torch.arange(2000) % 2, seed=1, repeats=200)
    assert found is not None
    expected = {"quantum": a**2, "classical": b**2, "rest": c**2}
    assert found.first.keys() == expected.keys()
    for name, part in expected.items():
        low, high = found.first[name].interval
        assert low < part / whole < high, name
        assert found.first[name].value == pytest.approx(part / whole, abs=SAMPLED)
    assert found.total["quantum"].value == pytest.approx((a**2 + d**2) / whole, abs=SAMPLED)
    assert found.total["rest"].value == pytest.approx(c**2 / whole, abs=SAMPLED)
    assert found.interaction.value == pytest.approx(d**2 / whole, abs=SAMPLED)
    assert found.variance == pytest.approx(whole, rel=SAMPLED)


def test_the_zeros_twin_explains_none_of_the_variance() -> None:
    torch.manual_seed(0)
    twin = HybridQGenerator(3, 32, qubits=2, twin="zeros").eval()
    found = variance_shares(twin, torch.zeros(8, dtype=torch.long), seed=0, repeats=20)
    assert found is not None
    assert found.first["quantum"].value == pytest.approx(0, abs=SAME)
    assert found.total["quantum"].value == pytest.approx(0, abs=SAME)


def test_without_a_classical_module_the_rest_is_the_classical_stream() -> None:
    found = variance_shares(built("hybridq-v1"), torch.arange(6) % 3, seed=0, repeats=20)
    assert found is not None
    assert list(found.first) == ["quantum", "classical"]
    assert variance_shares(Linear(0, 0, 0), torch.arange(6) % 2, seed=0) is None


def test_the_gate_is_one_half_at_the_start_and_absent_elsewhere() -> None:
    assert gate(built("hybridq")) == [0.5] * 16
    assert gate(built("hybridq, film")) is None
    assert gate(built("mediq-v2")) is None


def test_a_bootstrap_of_a_mean_has_its_standard_error() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (400, 1))
    found = bootstrap(rows, lambda means: means[:, 0], np.random.default_rng(1), 2000)
    assert found.value == pytest.approx(rows.mean())
    width = 2 * 1.96 * rows.std() / math.sqrt(400)
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=2 * SAMPLED)
    few = bootstrap(rows[:4], lambda means: means[:, 0], np.random.default_rng(1), 10)
    assert (few.interval, few.n) == (None, 4)
    assert few.reason


# Effective ranks


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([2.0, 2.0, 2.0, 2.0], 4.0),
        ([7.0, 0.0, 0.0], 1.0),
        ([3.0, 1.0], 4 / 3**0.75),  # exp of the entropy of (3/4, 1/4)
        ([0.0, 0.0], 0.0),
    ],
)
def test_the_effective_rank_of_known_spectra(values: list[float], rank: float) -> None:
    assert effective_rank(np.array(values)) == pytest.approx(rank)


def test_features_are_centred_and_scaled_to_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    wide, narrow = rng.normal(0, 3, 4000), rng.normal(0, 1, 4000)
    found = feature_spectrum(10.0 + np.outer(wide, directions[0]) + np.outer(narrow, directions[1]))
    assert found.singular_values[:2] == pytest.approx((3.0, 1.0), rel=SAMPLED)
    assert found.rank.value == pytest.approx(4 / 3**0.75, rel=SAMPLED)
    assert found.half == pytest.approx(found.rank.value, rel=SAMPLED)
    assert feature_spectrum(np.full((9, 3), 0.1)).rank.value == 0.0


def test_the_spectra_are_those_of_both_streams() -> None:
    found = stream_spectra(built("hybridq"), *latents(built("hybridq"), 10))
    widths = {name: spectrum.features for name, spectrum in found.items()}
    map_values = 16 * 8 * 8
    assert widths == {
        "circuits": 4 * 4 * 4,
        "quantum stream": map_values,
        "classical stream": map_values,
    }
    assert all(1 < s.rank.value <= 9 for s in found.values())
    v1 = stream_spectra(built("hybridq-v1"), *latents(built("hybridq-v1"), 10))
    assert v1["classical stream"].features == 100


def test_the_jacobian_of_a_linear_generator_is_known() -> None:
    toy = Linear(1.0, 2.0, 0.5)
    found = jacobian_spectrum(toy, *latents(toy, 6), seed=0, repeats=20)
    assert found.singular_values == pytest.approx([3.5] * 12)
    assert found.rank.value == pytest.approx(12)
    assert found.rank.interval == pytest.approx((12, 12))


def test_the_jacobian_of_the_hybrid_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    generator = HybridQGenerator(2, 32, z_dim=6, qubits=2).eval().double()
    z, y = torch.randn(1, 6, dtype=torch.float64), torch.tensor([1])
    steps = 1e-3 * torch.eye(6, dtype=torch.float64)
    with torch.no_grad():
        ends = [generator(z + step, y.expand(6)).double().flatten(1) for step in (steps, -steps)]
    numeric = np.linalg.svd(((ends[0] - ends[1]) / 2e-3).numpy(), compute_uv=False)
    found = jacobian_spectrum(generator, z, y, seed=0)
    assert found.singular_values == pytest.approx(tuple(numeric), rel=DIFFERENCES)


# Circuits


def test_a_family_is_found_by_its_circuit() -> None:
    block = quantum_block(built("hybridq"))
    assert isinstance(block, QuantumLayer)
    family, layers = family_of(block.circuit)
    assert layers == 3
    assert family.circuit(2, 3) == block.circuit
    names = ("ry+rx", False, "ry", "cz_ring", "x", True)
    assert family_of(Family(*names).circuit(4, 2)) == (Family(*names), 2)
    bell = (Operation("h", (0,)), Operation("cnot", (0, 1)))
    assert family_of(Circuit(2, bell, Expectations(("ZI",)))) is None


@pytest.mark.parametrize("init", ["small", "uniform"])
@pytest.mark.parametrize(
    ("circuit", "variance"),
    [
        (layered(1, 1), 1 / 2),  # <Z> = cos(x + w)
        (layered(2, 1, entangler="none", readout="zz"), 1 / 4),  # a product of two
        (layered(2, 1, readout="z"), 1 / 2),  # CZ commutes with Z
        # P(00) = cos²((x + w) / 2) for each qubit: sin² / 4 has mean 1/8, cos⁴ has 3/8.
        (layered(2, 1, readout="probabilities"), 3 / 64),
        # P(0 | ancilla in 0) does not depend on the ancilla's own angle.
        (layered(2, 1, entangler="none", readout="postselected"), 0.0),
    ],
)
def test_the_gradient_variance_of_small_circuits_is_known(
    circuit: Circuit, variance: float, init: str
) -> None:
    found = gradient_variance(circuit, init, samples=2000, seed=0, repeats=100)
    assert found.value == pytest.approx(variance, abs=SAMPLED * max(variance, 1e-3))
    assert found.n == 2000


def test_gradients_of_deep_uniform_circuits_vanish_with_qubits() -> None:
    narrow, wide = (
        gradient_variance(
            layered(q, 4 * q, rotation="rot", entangler="cz_ring"), "uniform", 200, seed=0
        ).value
        for q in (2, 6)
    )
    # A 2-design's variance falls by 2 for each qubit: McClean et al., arXiv 1803.11173.
    assert wide < narrow / 4


@pytest.mark.parametrize("dimension", [2, 4, 64])
def test_the_shares_of_haar_fidelities_are_the_closed_form(dimension: int) -> None:
    edges = np.linspace(0, 1, BINS + 1)
    tails = (1 - edges) ** (dimension - 1)
    real = stats.beta(0.5, (dimension - 1) / 2).sf(edges)
    for is_real, tail in ((False, tails), (True, real)):
        found = haar_log_shares(dimension, is_real)
        expected = tail[:-1] - tail[1:]
        seen = expected > 1e-12
        assert np.exp(found[seen]) == pytest.approx(expected[seen], rel=1e-3)
        assert np.exp(found).sum() == pytest.approx(1, abs=CLOSED)
    assert np.isfinite(haar_log_shares(2**10, False)).all()
    assert np.isfinite(haar_log_shares(2**10, True)).all()


def gaussian_states(n: int, dimension: int, dtype: torch.dtype, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return nn.functional.normalize(torch.randn(n, dimension, dtype=dtype, generator=rng))


def test_haar_random_states_are_at_the_floor() -> None:
    one, other = (gaussian_states(4000, 8, torch.complex64, seed) for seed in (0, 1))
    found = expressibility(one, other, "random", 0)
    assert found.divergence < FLOORS * found.floor < 0.05
    assert found.real_divergence is None
    assert sum(found.histogram) == pytest.approx(1)
    real = [gaussian_states(4000, 8, torch.float32, seed) for seed in (0, 1)]
    found = expressibility(real[0], real[1], "random", 0)
    assert found.real_divergence < FLOORS * found.floor
    assert found.divergence > 5 * found.floor


def test_a_circuit_that_does_nothing_has_the_largest_divergence() -> None:
    idle = torch.zeros(10, 16)
    idle[:, 0] = 1.0
    found = expressibility(idle, idle, "none", 0)
    assert found.divergence == pytest.approx(15 * math.log(BINS))


def test_one_qubit_turned_about_y_is_a_random_real_state() -> None:
    found = expressibility(*random_states(layered(1, 1), 4000, seed=0), "uniform", 0)
    assert found.real_divergence < FLOORS * found.floor
    assert found.divergence > 5 * found.floor


def test_trained_states_of_a_row_come_from_one_circuit() -> None:
    circuit = layered(2, 1, encoding="ry+rz", rotation="rot")
    weights = torch.zeros(3, circuit.weights)
    weights[:, 1::3] = torch.tensor([0.0, 1.0, 2.0])[:, None]
    one, _ = random_states(circuit, 7, seed=0, weights=weights)
    again, _ = random_states(circuit, 7, seed=0, weights=weights[:2])
    same = [torch.equal(a, b) for a, b in zip(one, again, strict=True)]
    assert same == [True, True, False, False, False, False, True]


def test_the_entanglement_of_textbook_states() -> None:
    ghz = torch.zeros(1, 8)
    ghz[0, [0, 7]] = 0.5**0.5
    w = torch.zeros(1, 8)
    w[0, [1, 2, 4]] = (1 / 3) ** 0.5
    assert meyer_wallach(ghz).item() == pytest.approx(1)
    assert meyer_wallach(w).item() == pytest.approx(8 / 9)
    product, _ = random_states(layered(3, 2, encoding="ry+rx", entangler="none"), 20, seed=0)
    assert meyer_wallach(product).abs().max() < STATES


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float32])
def test_random_states_have_the_entanglement_that_is_said(dtype: torch.dtype) -> None:
    found = entangling(gaussian_states(4000, 8, dtype, 0), "random", seed=0, repeats=100)
    assert found.capability.value == pytest.approx(found.haar, abs=0.01)
    assert found.capability.interval[0] < found.haar < found.capability.interval[1]


def test_a_probe_of_wide_circuits_takes_ten_qubits_of_their_family() -> None:
    wide = QuantumLayer(layered(12, 2, encoding="ry+rx", readout="x"))
    found = probe_circuits(wide, 0, samples=10, pairs=20, qubits=(2, 3))
    assert found.qubits == 10
    assert [e.angles for e in found.expressibility] == ["uniform"]
    assert {(g.qubits, g.layers) for g in found.gradients} == {
        (q, depth) for q in (2, 3) for depth in (1, 2, 4, 8)
    }
    narrow = probe_circuits(QuantumLayer(layered(2, 1)), 0, samples=10, pairs=20, qubits=(2,))
    assert [e.angles for e in narrow.entangling] == ["uniform", "trained"]
    unnamed = Circuit(11, (Operation("h", (0,)),), Expectations(("Z" * 11,)))
    lonely = probe_circuits(QuantumLayer(unnamed), 0, samples=10, pairs=20)
    assert (lonely.family, lonely.gradients, lonely.expressibility) == (None, [], [])
