"""The door: every spec opens what it names, and what does not fit is explained."""

import sys
from pathlib import Path

import pytest
import torch

from hqgan.errors import MissingExtra, UsageError
from hqgan.quantum import layered, simulate
from hqgan.quantum.backends import SPECS, Backend, Device, DeviceError, open_backend
from random_circuits import angles

pytest.importorskip("qiskit_aer")
pytest.importorskip("qiskit_ibm_runtime")

CIRCUIT = layered(2, 2, readout="z+x")
INPUTS, WEIGHTS = (values.detach() for values in angles(CIRCUIT, 0, samples=3, count=2))
EXACT = simulate(CIRCUIT, INPUTS, WEIGHTS)
SHOTS = 4000
DEVIATIONS = 5
NOISE = 0.1  # what a good device's noise makes of two qubits, at most


def test_exact_values_and_shots_come_at_once() -> None:
    exact = open_backend("exact")
    assert isinstance(exact, Backend)
    assert exact.name == "exact"
    torch.testing.assert_close(exact(CIRCUIT, INPUTS, WEIGHTS), EXACT)
    drawn = [open_backend(f"shots:{SHOTS}", seed=7)(CIRCUIT, INPUTS, WEIGHTS) for _ in range(2)]
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert 0 < (drawn[0] - EXACT).abs().max() < DEVIATIONS * SHOTS**-0.5


@pytest.mark.parametrize("kind", ["noise", "aer"])
def test_noise_comes_at_once_exact_or_with_shots(kind: str) -> None:
    backend = open_backend(f"{kind}:fake_manila")
    assert isinstance(backend, Backend)
    noisy = backend(CIRCUIT, INPUTS, WEIGHTS)
    assert 0 < (noisy - EXACT).abs().max() < NOISE
    drawn = open_backend(f"{kind}:fake_manila", shots=SHOTS)(CIRCUIT, INPUTS, WEIGHTS)
    assert 0 < (drawn - noisy).abs().max() < DEVIATIONS * SHOTS**-0.5


@pytest.mark.parametrize(
    "spec",
    [
        "fake:manila",
        "fake:fake_marrakesh",
        "python:device_factories:generic",
        "python:device_factories:ideal",
        "python:device_factories:bare_estimator",
        "python:device_factories:estimator",
        "python:device_factories:runtime_estimator",
    ],
)
def test_a_device_is_a_run(spec: str) -> None:
    device = open_backend(spec, shots=SHOTS)
    assert isinstance(device, Device)
    assert device.name == spec
    values = device(CIRCUIT, INPUTS.float(), WEIGHTS.float())
    assert values.shape == EXACT.shape
    assert values.dtype == torch.float32
    assert (values - EXACT).abs().max() < NOISE + DEVIATIONS * SHOTS**-0.5


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("fake_manila", {}, "Did you mean aer:fake_manila"),
        ("ibm_fez", {}, "Did you mean ibm:ibm_fez"),
        ("shoots:5", {}, "Did you mean 'shots'"),
        ("aer:", {}, "is no backend"),
        ("exact:1", {}, "is no backend"),
        ("shots:0", {}, "whole number"),
        ("shots:1e3", {}, "whole number"),
        ("shots:5", {"shots": 6}, "with shots=6"),
        ("exact", {"shots": 6}, "write shots:6"),
        ("fake:manila", {"shots": 0}, "at least one"),
        ("fake:manilla", {}, "Did you mean 'fake_manila'"),
        ("aer:manila", {"mitigation": "trex"}, "is for devices"),
        ("fake:manila", {"mitigation": "tres"}, "Did you mean 'trex'"),
        ("fake:manila", {"mitigation": "zne+dd"}, "'dd' is not available on fake:manila"),
        ("python:device_factories:estimator", {"mitigation": "trex"}, "option of the estimator"),
        ("python:device_factories", {}, "names no factory"),
        ("python:no.such.module:f", {}, "cannot import"),
        ("python:.relative:f", {}, "cannot import '.relative': TypeError"),
        ("python:broken_module:f", {}, "cannot import 'broken_module': RuntimeError: no driver"),
        ("python:device_factories:f", {}, "has no 'f'"),
        ("python:device_factories:wrong", {}, "returned a Tensor"),
        ("python:device_factories:refusing", {}, "needs a region"),
    ],
)
def test_what_does_not_fit_is_explained(
    spec: str,
    options: dict[str, object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no driver')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=message):
        open_backend(spec, **options)  # type: ignore[arg-type]


def test_a_factory_that_fails_says_what_it_raised() -> None:
    with pytest.raises(DeviceError, match="OSError: no key for this vendor"):
        open_backend("python:device_factories:failing")


@pytest.mark.parametrize("spec", ["aer:fake_manila", "fake:manila", "ibm:ibm_fez"])
def test_without_the_packages_the_extra_is_named(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hqgan.quantum import devices

    devices._fakes.cache_clear()
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.fake_provider", None)
    with pytest.raises(MissingExtra, match=r"hqgan\[quantum\]"):
        open_backend(spec)


def test_specs_say_all_kinds() -> None:
    assert {spec.split(":")[0] for spec in SPECS} == {
        *("exact", "shots", "noise", "aer", "fake", "ibm", "python")
    }
