"""Training on a noisy machine: circuits feel it, snapshots do not, and runs continue exactly."""

from pathlib import Path

import pytest
import torch

from hqgan.config import load_config
from hqgan.errors import UsageError
from hqgan.models import load_snapshot
from hqgan.quantum import QuantumLayer
from hqgan.training import train
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.fabric import make_fabric
from hqgan.training.trainer import run_on_noisy_machine
from small_runs import tiny_config, tiny_dataset

pytest.importorskip("qiskit_ibm_runtime", reason="the extra quantum is not installed")

MANILA = "noise.device=fake_manila"


def layers(model: torch.nn.Module) -> list[QuantumLayer]:
    return [module for module in model.modules() if isinstance(module, QuantumLayer)]


def test_the_flag_and_the_setting_name_the_same_machine() -> None:
    named = load_config("hybridq", overrides={"noise.device": "aer:fake_manila"}).noise
    assert named == tiny_config(0.1, MANILA).noise
    assert tiny_config().noise is None


def test_circuits_are_trained_under_noise() -> None:
    config = tiny_config(0.1, MANILA)
    trainer = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))
    (layer,) = layers(trainer.generator)
    before = layer.weight.detach().clone()
    noisy = layer(torch.ones(3, layer.circuits, 2)).detach()
    with_strength = tiny_config(0.1, MANILA, "noise.strength=0")
    run_on_noisy_machine(trainer.generator, with_strength.noise)
    perfect = layer(torch.ones(3, layer.circuits, 2)).detach()
    assert (noisy - perfect).abs().max() > 1e-3
    run_on_noisy_machine(trainer.generator, config.noise)
    trainer.step(8)
    assert not torch.equal(before, layer.weight)


def test_a_snapshot_runs_on_a_perfect_machine(tmp_path: Path) -> None:
    result = train(tiny_config(0.032, MANILA), tmp_path / "run", tiny_dataset())
    generator, _ = load_snapshot(Path(result.snapshot))
    assert [layer.noise for layer in layers(generator)] == [None]


def test_a_continued_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    data = tiny_dataset()
    train(tiny_config(0.016, MANILA), tmp_path / "broken", data)
    found = [
        load_snapshot(Path(train(tiny_config(0.032, MANILA), tmp_path / name, data).snapshot))[0]
        for name in ("broken", "whole")
    ]
    for mine, theirs in zip(*(model.state_dict().values() for model in found), strict=True):
        assert torch.equal(mine, theirs)


def test_noise_may_not_change_when_a_run_goes_on(tmp_path: Path) -> None:
    train(tiny_config(0.016, MANILA), tmp_path, tiny_dataset())
    with pytest.raises(UsageError, match="noise"):
        train(tiny_config(0.032), tmp_path, tiny_dataset())


def test_a_model_without_circuits_has_nothing_to_be_noisy() -> None:
    config = load_config(
        "dcgan", overrides={"data.path": "embedded", "size": 32, "noise.device": "fake_manila"}
    )
    with pytest.raises(UsageError, match="no circuits"):
        AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))


def test_an_unknown_machine_is_refused_by_name() -> None:
    config = tiny_config(0.1, "noise.device=fake_manilla")
    with pytest.raises(UsageError, match="mean 'fake_manila'"):
        AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))


@pytest.mark.parametrize(
    ("device", "qubits", "words"), [("marrakesh", 13, "up to 12"), ("manila", 6, "a line of")]
)
def test_circuits_too_large_for_it_are_refused_before_a_run_begins(
    tmp_path: Path, device: str, qubits: int, words: str
) -> None:
    config = tiny_config(0.1, f"noise.device=fake_{device}", f"generator.qubits={qubits}")
    with pytest.raises(UsageError, match=words):
        train(config, tmp_path / "run", tiny_dataset())
    assert not (tmp_path / "run").exists()
