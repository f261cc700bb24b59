"""The controls of the hybrid generator: same shapes, same size, and what each one lacks."""

from pathlib import Path

import pytest
import torch

from hqgan.errors import UsageError
from hqgan.models import HybridQGenerator, build_generator, load_snapshot, parameter_count
from hqgan.models.twins import TWINS, ClassicalTwin
from hqgan.quantum import QuantumLayer
from hqgan.training import train
from small_runs import tiny_config, tiny_dataset

WHOLE_TOLERANCE, BLOCK_TOLERANCE = 0.001, 0.05
MATCHED = ("classical", "fourier", "random", "product")  # zeros has nothing to match


def build(twin: str | None, size: int = 32) -> HybridQGenerator:
    torch.manual_seed(0)
    return HybridQGenerator(7, size, twin=twin)


@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_has_the_hybrid_s_parameters(twin: str) -> None:
    whole, hybrid = build(twin, 64), build(None, 64)
    count = parameter_count(hybrid)
    assert abs(parameter_count(whole) - count) <= WHOLE_TOLERANCE * count
    if twin in MATCHED:
        block = parameter_count(hybrid.quantum)
        assert abs(parameter_count(whole.quantum) - block) <= BLOCK_TOLERANCE * block


@pytest.mark.parametrize("twin", TWINS)
def test_its_values_have_the_circuits_shape_and_range(twin: str) -> None:
    stream = build(twin).quantum
    angles = torch.pi * torch.linspace(-1, 1, 3 * 6 * 16).view(3, 6, 4, 4)
    values = stream.expectation_values(angles)
    assert values.shape == build(None).quantum.expectation_values(angles).shape
    assert values.abs().max() <= 1 + 1e-6
    assert (values.std() > 0.1) == (twin != "zeros")


@pytest.mark.parametrize("twin", ["classical", "fourier", "product"])
def test_a_trained_twin_learns_all_its_parameters(twin: str) -> None:
    stream = build(twin).quantum
    values = stream.expectation_values(torch.randn(4, 6, 4, 4))
    (values * torch.randn(values.shape)).sum().backward()
    for name, parameter in stream.circuits.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().min() > 0, name


def test_the_random_twin_is_a_circuit_that_is_not_trained() -> None:
    circuits = build("random").quantum.circuits
    assert isinstance(circuits, QuantumLayer)
    assert not circuits.weight.requires_grad
    assert circuits.weight.max() > 5  # drawn from all angles


def test_the_product_twin_entangles_nothing() -> None:
    """Each qubit's values depend on its own angle alone."""
    stream = build("product").quantum
    angles = torch.zeros(1, 6, 4, 4)
    moved = angles.clone()
    moved[:, 2] = 1.0
    change = stream.expectation_values(moved) - stream.expectation_values(angles)
    touched = {channel for channel in range(12) if change[0, channel].abs().max() > 1e-6}
    assert touched == {2, 8}  # <Z2> and <X2>


def test_sites_of_one_set_share_the_classical_map() -> None:
    stream = build("classical").quantum
    assert isinstance(stream.circuits, ClassicalTwin)
    values = stream.expectation_values(torch.ones(1, 6, 4, 4))
    assert torch.allclose(values, values[:, :, :1, :1].expand_as(values))


def test_an_unknown_twin_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown twin 'evil'; known are classical"):
        build("evil")


@pytest.mark.parametrize("twin", TWINS)
def test_training_moves_a_twin_as_it_should(twin: str, tmp_path: Path) -> None:
    config = tiny_config(0.016, f"generator.twin={twin}")
    result = train(config, tmp_path / "run", tiny_dataset())
    torch.manual_seed(config.seed)
    before = build_generator(classes=3, size=config.size, **config.generator.model_dump())
    after = load_snapshot(Path(result.snapshot))[0].state_dict()
    moved = {name for name, p in before.named_parameters() if not torch.equal(p, after[name])}
    assert "decoder.to_rgb.weight" in moved
    learned = {"classical", "product"}
    assert ("quantum.circuits.weight" in moved) == (twin in learned)
    assert ("quantum.circuits.phase" in moved) == (twin == "fourier")
