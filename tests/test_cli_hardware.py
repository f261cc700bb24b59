"""`hqgan hardware ...`: bills, exit codes, one JSON object, and words instead of tracebacks."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import fake_runtime
from fake_runtime import FakeRuntime, offline
from hqgan import cli
from hqgan.training import train
from small_runs import tiny_config

pytest.importorskip("qiskit_ibm_runtime")

SPEC = "python:fake_runtime:service"
ORDER = ["--backend", SPEC, "--n", 2, "--shots", 200]


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-hardware") / "run"
    train(tiny_config(0.008, "generator.z_dim=8"), folder)
    return folder


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return fake_runtime.renewed(monkeypatch)


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in ("HQGAN_DATA", "HQGAN_INCEPTION"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["hqgan", "hardware", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return Said(stop.value.code or 0, said.out, said.err)

    return call


def refused(said: Said, code: int, *words: str) -> None:
    """One paragraph that holds the words, nothing on stdout, no traceback."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    (message,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in message


def test_what_may_cost_shows_the_bill_and_sends_nothing_without_yes(
    hardware: Command, service: FakeRuntime, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = hardware("sample", run, *ORDER, "--out", out, "--json")
    assert said.code == 0
    bill = json.loads(said.out)
    assert bill["sent"] is False
    assert bill["estimated_qpu_seconds"] == pytest.approx(bill["bills"][0]["qpu_seconds"])
    assert "repeat with --yes" in said.err
    assert "QPU time: about" in said.err
    assert not out.exists()
    assert service.jobs == {}


def test_with_yes_it_is_sent_and_json_has_the_promised_keys(
    hardware: Command, service: FakeRuntime, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = hardware("sample", run, *ORDER, "--out", out, "--yes", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert set(found) >= {
        *("backend", "mean_absolute_error", "correlation", "shots", "qpu_seconds"),
        *("out", "sources", "bills", "settings"),
    }
    assert {file.name for file in out.iterdir()} >= {
        *("order.npz", "order.json", "jobs.jsonl", "values.npz"),
        *("hardware.json", "images.png", "hardware.html"),
    }
    again = hardware("sample", run, *ORDER, "--out", out, "--json")  # nothing is left to pay
    assert json.loads(again.out) == found
    assert len(service.jobs) == 1


def test_results_lie_in_the_run_and_collect_finds_them_there(
    hardware: Command, service: FakeRuntime, run: Path
) -> None:
    service.scripts = [("queued", "queued", "queued", "done")]
    waiting = hardware("sample", run, *ORDER, "--yes", "--no-wait")
    assert waiting.code == 0
    assert "hqgan hardware collect" in waiting.err
    collected = hardware("collect", run, "--backend", SPEC, "--json")
    assert collected.code == 0, collected.err
    (found,) = json.loads(collected.out)["collected"]
    assert found["out"] == str(run / "hardware" / "python-fake_runtime-service-n2")
    assert len(service.jobs) == 1


def test_an_interrupt_while_waiting_keeps_the_job(
    hardware: Command, service: FakeRuntime, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    service.trouble["status"] = [KeyboardInterrupt()]
    refused(hardware("sample", run, *ORDER, "--out", out, "--yes"), 130, "interrupted")
    assert hardware("collect", out, "--backend", SPEC).code == 0
    assert len(service.jobs) == 1


def test_a_dry_run_of_a_simulated_device_is_a_bill(
    hardware: Command, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = hardware("sample", run, "--backend=fake:manila", "--n=2", "--dry-run", "--out", out)
    assert (said.code, said.out) == (0, "")
    for word in ("layout", "depth", "two-qubit gates", "4,096 shots", "repetition delay"):
        assert word in said.err
    assert not out.exists()


def test_bad_input_is_a_sentence_and_an_exit_code(
    hardware: Command, service: FakeRuntime, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sample = ("sample", run, *ORDER, "--out", out)
    refused(hardware(*sample, "--max-qpu-seconds=0.1"), 2, "--max-qpu-seconds is 0.1", "nothing")
    refused(hardware(*sample, "--mitigation=hope"), 2, "'hope' is not known")
    refused(hardware("sample", run, "--backend=ibm_fez"), 2, "Did you mean ibm:ibm_fez?")
    refused(hardware("sample", run, "--backend=fake:nothing"), 2, "no fake device")
    refused(hardware("sample", tmp_path / "typo"), 1, "typo does not exist")
    refused(hardware("sample"), 2, "say which generator")
    refused(hardware("sample", "--pretrained", "ham10000-64", "--n=1"), 2, "--out")
    for spec in ("fake:manila", "python:device_factories:generic"):  # their jobs end with us
        refused(hardware("sample", run, f"--backend={spec}", "--n=1", "--no-wait"), 2, "--no-wait")
    refused(hardware(*sample, "--noise-model", SPEC), 2, "--noise-model")
    refused(hardware("collect", tmp_path), 1, "nothing was ordered")
    refused(hardware("study", run, "--backend", "aer:fake_manila"), 2, "weaker and stronger")
    service.trouble["run"] = [offline()]
    refused(hardware(*sample, "--yes"), 1, "cannot be reached")
    assert hardware(*sample, "--yes").code == 0
    assert len(service.jobs) == 1


def test_without_an_account_ibm_is_refused(
    hardware: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qiskit_ibm_runtime
    from qiskit_ibm_runtime.accounts import AccountNotFoundError

    def nobody() -> None:
        raise AccountNotFoundError("Unable to find account.")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", nobody)
    out = tmp_path / "out"
    said = hardware("sample", run, "--backend=ibm:least_busy", "--n=1", "--out", out, "--yes")
    refused(said, 1, "needs an account", "save_account")
    assert not out.exists()


def test_a_study_writes_one_picture_and_one_table(
    hardware: Command, run: Path, tmp_path: Path
) -> None:
    order = ("study", run, "--backend=noise:fake_manila", "--n=2", "--out", tmp_path, "--json")
    said = hardware(*order)
    assert said.code == 0, said.err
    assert json.loads(said.out)["device"] == "fake_manila"
    assert {f.name for f in tmp_path.iterdir()} == {
        *("noise-study.json", "noise-study.png", "noise-study.html")
    }


def test_the_packaged_generator_runs_with_a_place_of_its_own(
    hardware: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    order = ["--backend=noise:fake_marrakesh", "--n=1", "--shots=512", "--out", out, "--json"]
    said = hardware("sample", "--pretrained", "ham10000-64", *order)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["snapshot"] == "ham10000-64"
    assert found["correlation"] > 0.95


@pytest.mark.hardware
@pytest.mark.timeout(7200)
def test_two_images_on_a_real_machine(hardware: Command, run: Path, tmp_path: Path) -> None:
    """Costs a few seconds of QPU time of the account that Qiskit knows."""
    from hqgan.quantum.backends import DeviceError, open_backend

    try:
        open_backend("ibm:least_busy")
    except DeviceError as error:
        pytest.skip(f"no account to pay with: {error}")
    order = ["--backend=ibm:least_busy", "--n=2", "--shots=256", "--mitigation=trex"]
    out = ["--out", tmp_path / "out", "--max-qpu-seconds=30"]
    said = hardware("sample", run, *order, *out, "--yes", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["correlation"] > 0.5
    assert found["qpu_seconds"] is None or found["qpu_seconds"] <= 30
