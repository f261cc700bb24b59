"""The side of IBM's service, as far as it can be checked without a network and an account."""

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hqgan.errors import UsageError
from hqgan.quantum import layered, simulate
from hqgan.quantum.backends import Device, DeviceError, open_backend
from hqgan.quantum.jobs import ibm
from random_circuits import angles

runtime = pytest.importorskip("qiskit_ibm_runtime")

TOKEN = "a-token-that-nobody-may-see"
INSTANCE = "crn:of-the-machine"
SHOTS = 1000


class Runtime:
    """The methods of a `QiskitRuntimeService` that are used, over jobs that ran here."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.tags: dict[str, list[str]] = {}
        self.state = "DONE"

    def job(self, job_id: str) -> Any:
        if job_id not in self.kept:
            raise runtime.exceptions.RuntimeJobNotFound(f"Job not found: {job_id}")
        return Job(self, job_id)

    def jobs(self, *, limit: int | None, instance: str | None, job_tags: list[str]) -> list[Any]:
        assert limit is None
        assert instance == INSTANCE
        return [Job(self, job_id) for tag in job_tags for job_id in self.tags.get(tag, [])]


class Job:
    def __init__(self, service: Runtime, job_id: str):
        self.service, self.id = service, job_id

    def job_id(self) -> str:
        return self.id

    def status(self) -> str:
        return self.service.state

    def result(self) -> Any:
        return self.service.kept[self.id].result()

    def error_message(self) -> str:
        return f"Error 6000: {TOKEN} circuits are too long"

    def metrics(self) -> dict[str, Any]:
        return {"usage": {"qpu_charge_time_seconds": 3, "status": "final"}}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Jobs that IBM's own sampler runs in local mode on a fake machine of five qubits."""
    kept = Runtime()
    make: Callable[..., Any] = ibm.sampler_for

    class Sampler:
        def __init__(self, machine: Any, **options: Any):
            self.made, self.tag = make(machine, **options), options["tag"]

        def run(self, pubs: list[Any], *, shots: int) -> Any:
            job = self.made.run(pubs, shots=shots)
            kept.kept[job.job_id()] = job
            kept.tags.setdefault(self.tag, []).append(job.job_id())
            return job

    monkeypatch.setattr(ibm, "sampler_for", Sampler)
    return kept


def device(service: Runtime, mitigation: str = "none") -> Device:
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    machine = FakeManilaV2()
    machine._instance = INSTANCE
    return Device(ibm.IbmService(service, machine), shots=SHOTS, mitigation=mitigation)


@pytest.mark.parametrize("mitigation", ["none", "dd+twirling+trex"])
def test_ibm_s_own_sampler_runs_our_jobs(service: Runtime, mitigation: str) -> None:
    circuit = layered(2, 1, readout="x")
    inputs, weights = angles(circuit, 0)
    on = device(service, mitigation)
    assert on.name == "ibm:fake_manila"
    order = on.order(circuit, inputs, weights)
    job = on.submit(order, "tag", ceiling=100.5)
    assert on.find("tag") == [job]
    assert on.status(job) == "done"
    found = on.result(order, job)
    assert found.qpu_seconds == 3
    assert (found.values - simulate(circuit, inputs, weights)).abs().max() < 0.25


def test_options_are_those_that_the_runtime_knows() -> None:
    from hqgan.quantum.devices import fake_device

    both = frozenset({"dd", "twirling"})
    sampler = ibm.sampler_for(fake_device("manila"), tag="tag", methods=both, ceiling=12.7)
    assert type(sampler).__module__.startswith("qiskit_ibm_runtime.executor_sampler")
    options = sampler.options.model_dump()
    assert options["environment"]["job_tags"] == ["tag"]
    assert options["max_execution_time"] == 12
    assert options["dynamical_decoupling"]["enable"]
    assert options["twirling"]["enable_gates"]
    assert options["twirling"]["enable_measure"]
    plain = ibm.sampler_for(fake_device("manila"), tag="t", methods=frozenset(), ceiling=None)
    assert not plain.options.dynamical_decoupling.enable
    assert plain.options.max_execution_time is None
    with pytest.raises(UsageError, match="at least 1"):
        ibm.sampler_for(fake_device("manila"), tag="t", methods=frozenset(), ceiling=0.5)


@pytest.mark.parametrize(
    ("state", "status", "message", "transient"),
    [
        ("INITIALIZING", "queued", "is queued", True),
        ("QUEUED", "queued", "is queued", True),
        ("RUNNING", "running", "is running", True),
        ("CANCELLED", "cancelled", "was cancelled", False),
        ("ERROR", "error", r"\*\*\* circuits are too long", False),
    ],
)
def test_a_job_that_is_not_done_has_no_result(
    service: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    status: str,
    message: str,
    transient: bool,
) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    circuit = layered(2, 1)
    on = device(service)
    order = on.order(circuit, *angles(circuit, 0))
    service.kept["job"], job = None, "job"
    service.state = state
    assert on.status(job) == status
    with pytest.raises(DeviceError, match=message) as caught:
        on.result(order, job)
    assert caught.value.transient is transient
    with pytest.raises(DeviceError, match="another account"):
        on.status("unknown")


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "CHANNEL", "INSTANCE", "URL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)
    monkeypatch.setattr(
        "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE",
        str(tmp_path / "none.json"),
    )


@pytest.mark.usefixtures("no_account")
def test_without_an_account_it_says_how_to_get_one() -> None:
    with pytest.raises(DeviceError, match=r"save_account.*QISKIT_IBM_TOKEN") as caught:
        open_backend("ibm:least_busy")
    assert not caught.value.transient


@pytest.mark.usefixtures("no_account")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CHANNEL", "ibm_quantum", "Unset QISKIT_IBM_CHANNEL"),
        ("INSTANCE", "crn:v1:x", "whole resource name"),
    ],
)
def test_a_crippled_account_is_explained(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    monkeypatch.setenv(f"QISKIT_IBM_{name}", value)
    with caplog.at_level(logging.DEBUG), pytest.raises(DeviceError, match=message) as caught:
        open_backend("ibm:ibm_fez")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN not in caplog.text


def raised(name: str, text: str, status: int | None = None) -> Exception:
    """An error of the runtime, of Qiskit or of the network, by name."""
    from qiskit.providers.exceptions import QiskitBackendNotFoundError
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError

    if name == "RequestsApiError":
        return RequestsApiError(text, status_code=status or -1)
    if name == "QiskitBackendNotFoundError":
        return QiskitBackendNotFoundError(text)
    if name == "ConnectionError":
        return ConnectionError(text)
    kinds = {**vars(runtime.exceptions), **vars(runtime.accounts.exceptions)}
    made: Exception = kinds[name](text)
    return made


@pytest.mark.parametrize(
    ("name", "text", "status", "message", "transient"),
    [
        ("InvalidAccountError", "Invalid `token` value", None, "not accepted", False),
        ("InvalidAccountError", "Unable to retrieve instances", None, "token is wrong or", False),
        ("IBMNotAuthorizedError", "The token is no longer valid", None, "not accepted", False),
        ("RequestsApiError", "401 Client Error: Unauthorized", 401, "not accepted", False),
        ("IBMRuntimeError", "Failed: '403 Client Error: Forbidden'", None, "accepted", False),
        ("QiskitBackendNotFoundError", "No backend matches", None, "retired", False),
        ("RuntimeJobNotFound", "no such job", None, "another account", False),
        ("RequestsApiError", "404 Client Error", 404, "another account", False),
        ("RequestsApiError", "500 Server Error", 500, "busy", True),
        ("RequestsApiError", "503 Server Error", 503, "busy", True),
        ("RequestsApiError", "408 Request Timeout", 408, "busy", True),
        ("IBMRuntimeError", "Failed to run: '502 Server Error: Bad'", None, "busy", True),
        ("IBMRuntimeError", "'429 Client Error: Too Many Requests'", None, "busy", True),
        ("RequestsApiError", "Max retries exceeded with url", -1, "network", True),
        ("ConnectionError", "reset by peer", None, "network", True),
        ("IBMRuntimeError", "not authorized to run a session", None, "paid plan", False),
        ("IBMInputValueError", "circuit 0 is not ISA", None, "docs/errors", False),
    ],
)
def test_errors_of_the_service_say_what_to_do(
    name: str, text: str, status: int | None, message: str, transient: bool
) -> None:
    with pytest.raises(DeviceError, match=message) as caught, ibm.explained("sending a job"):
        raise raised(name, text, status)
    assert "sending a job failed: " in str(caught.value)
    assert caught.value.transient is transient
    assert caught.value.exit_code == 1


@pytest.mark.hardware
@pytest.mark.timeout(7200)
def test_a_job_on_the_least_busy_machine() -> None:
    """Needs an account; charges a few seconds."""
    on = open_backend("ibm:least_busy", shots=1000, mitigation="trex")
    assert isinstance(on, Device)
    circuit = layered(2, 2)
    inputs, weights = angles(circuit, 0, samples=3)
    order = on.order(circuit, inputs, weights)
    found = on.wait(order, on.submit(order, "hqgan-test", ceiling=20))
    assert (found.values - simulate(circuit, inputs, weights)).abs().max() < 0.3
