"""What the noise of a device does to a generator, simulated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hqgan.errors import UsageError
from hqgan.quantum import layered, simulate
from hqgan.report import hardware_study_page
from hqgan.report.hardware_study import columns
from hqgan.training import train
from hqgan.workflows.hardware import NoiseStudy, study
from hqgan.workflows.hardware.judging import Reference, reference_of
from hqgan.workflows.hardware.mitigated import Mitigated
from small_extractors import Pixels
from small_runs import tiny_config

pytest.importorskip("qiskit_ibm_runtime")
from hqgan.quantum.devices import DeviceNoise
from hqgan.quantum.noise import Noisy

DEVICE, BACKEND = "fake_manila", "noise:fake_manila"
SAME = 1e-10
N = 8


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    for seed, name in enumerate(("one", "other")):
        train(tiny_config(0.008, "generator.z_dim=8", f"seed={seed}"), folder / name)
    return folder


@pytest.fixture(scope="module")
def found(runs: Path) -> NoiseStudy:
    nobody = Reference(None, "nobody judges")
    return study(runs / "one", nobody, backend=BACKEND, against=[runs / "other"], n=N)


def values(run) -> torch.Tensor:
    circuit = layered(3, 2)
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 4, circuit.inputs, generator=rng, dtype=torch.float64)
    weights = torch.randn(1, circuit.weights, generator=rng, dtype=torch.float64)
    return run(circuit, inputs, weights)


def test_without_mitigation_it_is_the_noise_of_the_device() -> None:
    for factor in (0.5, 1.0):
        plain = values(Noisy(DeviceNoise(DEVICE, factor)))
        assert torch.allclose(values(Mitigated(DEVICE, strength=factor)), plain, atol=SAME)
    assert torch.allclose(values(Mitigated(DEVICE, strength=0.0)), values(simulate), atol=1e-6)


def test_each_method_brings_values_nearer_to_exact_ones_without_shots() -> None:
    exact = values(simulate)
    error = {
        methods: (values(Mitigated(DEVICE, methods)) - exact).abs().mean().item()
        for methods in ("none", "trex", "zne", "trex+zne")
    }
    assert error["trex+zne"] < error["trex"] < error["none"]
    assert error["trex+zne"] < error["zne"] < error["none"]


def test_noise_moves_values_and_pixels_the_more_the_stronger_it_is(found: NoiseStudy) -> None:
    for one in found.runs:
        noise, shots, _ = ([one.at(name) for name in column.names] for column in columns())
        errors = [source.mean_absolute_error for source in noise]
        moved = [source.moved.value for source in noise]
        assert errors[0] == moved[0] == 0.0
        assert errors == sorted(errors)
        assert moved == sorted(moved)
        assert shots[0].mean_absolute_error > shots[-1].mean_absolute_error


def test_the_study_is_plain_json_and_a_page(found: NoiseStudy, tmp_path: Path) -> None:
    page = hardware_study_page(found, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "noise-study.json").read_text())
    assert content == json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [len(one["sources"]) for one in content["runs"]] == [12, 12]
    text = page.read_text()
    assert "nobody judges" in text
    assert "4096 shots, trex+zne" in text
    assert content["differences"] == {}


def test_with_a_judge_runs_are_compared_at_every_condition(runs: Path, tmp_path: Path) -> None:
    reference = reference_of(runs / "one", N)
    found = study(runs / "one", reference, Pixels(), backend=BACKEND, against=[runs / "other"], n=N)
    (changes,) = found.differences.values()
    one, other = (run.at("exact").distance.value for run in found.runs)
    assert changes["exact"].value == pytest.approx(other - one)
    assert list(changes) == [source.name for source in found.runs[0].compared.sources]
    assert all(change.interval is not None for change in changes.values())
    assert "less that of the first run" in hardware_study_page(found, tmp_path).read_text()
    assert any("less that of the first run" in line for line in found.lines())
    far = [replace(one, run=f"/{'long/' * 40}{'name' * 20}") for one in found.runs]
    hardware_study_page(replace(found, runs=far), tmp_path / "far")  # curves have their room


def test_what_cannot_be_studied_is_refused(runs: Path, tmp_path: Path) -> None:
    nobody = Reference(None)
    with pytest.raises(UsageError, match="weaker and stronger, which fake:manila cannot"):
        study(runs / "one", nobody, backend="fake:manila")
    with pytest.raises(UsageError, match="no fake device is called 'fake_nowhere'"):
        study(runs / "one", nobody, backend="noise:fake_nowhere", n=2)
    with pytest.raises(UsageError, match="at least 1"):
        study(runs / "one", nobody, backend=BACKEND, n=0)
    large = tmp_path / "large"
    train(tiny_config(0.008, "generator.z_dim=8", "size=64"), large)
    with pytest.raises(UsageError, match="of 64 pixels"):
        study(runs / "one", nobody, backend=BACKEND, against=[large], n=2)
