"""`hqgan hardware sample` and `collect`, by a service that fails as real ones do."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import fake_runtime
from fake_runtime import SECONDS_PER_JOB, FakeRuntime, Killed, after, offline
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.quantum.backends import DeviceError
from hqgan.report import hardware_page
from hqgan.training import train
from hqgan.workflows.hardware import Settings, collect, jobs, plan, reference_of, sample
from hqgan.workflows.hardware.judging import Reference
from hqgan.workflows.hardware.order_files import ORDER
from small_extractors import Pixels
from small_runs import fingerprint, tiny_config

pytest.importorskip("qiskit_ibm_runtime")

SPEC = "python:fake_runtime:service"
N, SHOTS = 2, 200
SHOT_NOISE = 5 / SHOTS**0.5
NOBODY = Reference(None, "nobody judges")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hybrid with circuits of two qubits, trained for one step."""
    folder = tmp_path_factory.mktemp("hardware") / "run"
    train(tiny_config(0.008, "generator.z_dim=8"), folder)
    return folder


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRuntime]:
    """A new service; nobody waits."""
    return fake_runtime.renewed(monkeypatch)


def ordered(run: Path, out: Path, spec: str = SPEC, **more: object):
    settings = Settings(spec, N, shots=SHOTS, **more)
    return plan(run, settings, None, out)


def sent(run: Path, out: Path, spec: str = SPEC, *, retry: bool = False, **more: object):
    """What the command with --yes does."""
    return sample(ordered(run, out, spec, **more), NOBODY, submit=True, retry=retry)


def events(out: Path) -> list[str]:
    lines = (out / "jobs.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_a_job_is_noted_sent_waited_for_and_measured(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    found = sent(run, tmp_path / "out", noise_model="noise:fake_manila")
    assert events(tmp_path / "out") == ["intended", "submitted", "done"]
    assert [one.name for one in found.compared.sources] == ["exact", "shots", "noise", "raw"]
    assert found.as_json()["backend"] == SPEC
    assert found.as_json()["shots"] == SHOTS
    assert found.as_json()["qpu_seconds"] == SECONDS_PER_JOB
    # The service's sampler has no noise: what is left is that of the shots.
    assert 0 < found.as_json()["mean_absolute_error"] < SHOT_NOISE
    assert found.as_json()["correlation"] > 0.9
    (job,) = service.jobs.values()
    assert job.shots == SHOTS
    json.dumps(found.as_json(), allow_nan=False)
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        *("order.json", "order.npz", "jobs.jsonl", "values.npz", "images.png")
    }


def test_mitigated_values_stand_beside_raw_ones_of_the_same_job(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    found = sent(run, tmp_path / "out", mitigation="zne")
    with np.load(tmp_path / "out" / "values.npz") as kept:
        assert kept["raw"].shape == kept["mitigated"].shape == kept["errors"].shape
        assert not np.array_equal(kept["raw"], kept["mitigated"])
    assert [one.name for one in found.compared.sources][-2:] == ["raw", "mitigated"]
    assert len(service.jobs) == 1


def test_the_same_command_neither_sends_nor_computes_again(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    first = sent(run, tmp_path / "out")
    before = {
        name: digest
        for name, digest in fingerprint(tmp_path / "out").items()
        if name != "values.npz"  # zip files hold the time of day
    }
    service.calls.clear()
    again = sent(run, tmp_path / "out")
    assert again.as_json() == first.as_json()
    assert service.calls == []
    after_all = fingerprint(tmp_path / "out")
    assert {name: after_all[name] for name in before} == before


def test_the_journal_is_on_disk_before_the_service_is_called(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.trouble["run"] = [Killed()]
    with pytest.raises(Killed):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out") == ["intended"]
    assert service.jobs == {}


def test_a_kill_between_intention_and_job_id_pays_once(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.trouble["run"] = [after(Killed())]
    with pytest.raises(Killed):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out") == ["intended"]
    assert len(service.jobs) == 1
    (found,) = collect(tmp_path / "out", backend=SPEC)
    assert events(tmp_path / "out") == ["intended", "submitted", "done"]
    assert len(service.jobs) == 1
    assert found.qpu_seconds == SECONDS_PER_JOB


def test_a_job_that_never_arrived_is_sent_by_the_same_command_and_not_by_collect(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.trouble["run"] = [Killed()]
    with pytest.raises(Killed):
        sent(run, tmp_path / "out")
    said: list[str] = []
    assert list(collect(tmp_path / "out", message=said.append, backend=SPEC)) == []
    assert "never sent" in " ".join(said)
    assert service.jobs == {}
    assert sent(run, tmp_path / "out") is not None
    assert events(tmp_path / "out") == ["intended", "missing", "intended", "submitted", "done"]
    assert len(service.jobs) == 1


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_service_that_lists_a_job_late_is_asked_again_whatever_the_clock_says(
    run: Path, service: FakeRuntime, tmp_path: Path, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.trouble["run"] = [after(Killed())]
    with pytest.raises(Killed):
        sent(run, tmp_path / "out")
    file = tmp_path / "out" / "jobs.jsonl"
    record = json.loads(file.read_text())
    moved = datetime.fromisoformat(record["time"]) + timedelta(hours=hours)
    file.write_text(json.dumps(record | {"time": moved.isoformat()}) + "\n")
    find, late = service.find, [None] * 5
    monkeypatch.setattr(service, "find", lambda tag: late.pop() or [] if late else find(tag))
    monkeypatch.setattr(jobs, "GRACE", 30.0)
    assert sent(run, tmp_path / "out") is not None
    assert events(tmp_path / "out") == ["intended", "submitted", "done"]
    assert len(service.jobs) == 1


@pytest.mark.parametrize("arrived", [True, False])
def test_a_network_failure_while_sending_is_looked_into_before_anything_is_sent_again(
    run: Path, service: FakeRuntime, tmp_path: Path, arrived: bool
) -> None:
    service.trouble["run"] = [after(offline()) if arrived else offline()]
    if arrived:
        assert sent(run, tmp_path / "out") is not None
    else:
        with pytest.raises(DeviceError, match="cannot be reached"):
            sent(run, tmp_path / "out")
        assert events(tmp_path / "out") == ["intended", "missing"]
        assert sent(run, tmp_path / "out") is not None
    assert len(service.jobs) == 1


def test_network_failures_while_waiting_are_waited_out(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 5.0)
    service.trouble = {"status": [None, offline(), offline()], "result": [offline()]}
    assert sent(run, tmp_path / "out") is not None
    assert events(tmp_path / "out") == ["intended", "submitted", "done"]


def test_a_network_that_stays_away_leaves_the_journal_and_collect_finishes(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.trouble["status"] = [offline()] * 9
    with pytest.raises(DeviceError, match="cannot be reached"):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out") == ["intended", "submitted"]
    service.trouble.clear()
    assert len(list(collect(tmp_path / "out", backend=SPEC))) == 1
    assert len(service.jobs) == 1


def test_a_failed_job_among_several_costs_the_others_nothing(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.scripts = [("queued", "done"), ("running", "error")]
    out = tmp_path / "out"
    with pytest.raises(RunError, match=r"1 of 2 jobs brought nothing: job-2 failed .*9999"):
        sent(run, out, images_per_job=1)
    kept = fingerprint(out)["job-1.npz"]
    with pytest.raises(RunError, match="--retry"):  # not again without being told to
        sent(run, out, images_per_job=1)
    assert len(service.jobs) == 2
    found = sent(run, out, images_per_job=1, retry=True)
    assert len(service.jobs) == 3
    assert fingerprint(out)["job-1.npz"] == kept
    assert found.qpu_seconds == 3 * SECONDS_PER_JOB  # the failed one was charged too
    assert found.as_json()["mean_absolute_error"] < SHOT_NOISE


def test_several_jobs_give_what_one_gives(run: Path, service: FakeRuntime, tmp_path: Path) -> None:
    one = ordered(run, tmp_path / "one")
    two = ordered(run, tmp_path / "two", images_per_job=1)
    assert len(two.parts) == N
    assert two.qpu_seconds == pytest.approx(one.qpu_seconds, rel=1e-6)
    assert sent(run, tmp_path / "two", images_per_job=1).as_json()["correlation"] > 0.9


def test_a_cancelled_job_is_said_to_be_so(run: Path, service: FakeRuntime, tmp_path: Path) -> None:
    service.scripts = [("queued", "cancelled")]
    with pytest.raises(RunError, match="job-1 cancelled"):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out")[-1] == "cancelled"


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("error", [DeviceError("not accepted"), KeyError("id")])
def test_after_an_error_while_sending_the_same_command_asks_and_then_tries_again(
    run: Path, service: FakeRuntime, tmp_path: Path, error: Exception, arrived: bool
) -> None:
    service.trouble["run"] = [after(error) if arrived else error]
    with pytest.raises(DeviceError, match=r"not accepted|KeyError"):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out") == ["intended"]
    assert sent(run, tmp_path / "out") is not None
    assert len(service.jobs) == 1
    again = [] if arrived else ["missing", "intended"]
    assert events(tmp_path / "out") == ["intended", *again, "submitted", "done"]


def test_a_job_that_another_account_does_not_know_is_not_given_up(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert sample(ordered(run, out), NOBODY, submit=True, wait=False) is None
    kept, service.jobs = service.jobs, {}
    with pytest.raises(DeviceError, match="journal keeps the job job-1"):
        list(collect(out, backend=SPEC))
    with pytest.raises(DeviceError, match="journal keeps the job job-1"):
        sent(run, out)
    assert events(out) == ["intended", "submitted"]
    service.jobs = kept
    assert len(list(collect(out, backend=SPEC))) == 1
    assert len(service.jobs) == 1


def test_a_job_that_the_service_has_lost_is_given_up_when_told_so(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert sample(ordered(run, out), NOBODY, submit=True, wait=False) is None
    service.jobs.clear()
    assert sent(run, out, retry=True) is not None
    assert events(out) == ["intended", "submitted", "failed", "intended", "submitted", "done"]


def test_values_are_kept_where_nobody_says_what_they_cost(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(job_id: str) -> float:
        raise DeviceError("no usage is kept")

    monkeypatch.setattr(service, "qpu_seconds", unknown)
    found = sent(run, tmp_path / "out")
    assert found.qpu_seconds is None
    assert events(tmp_path / "out")[-1] == "done"


def test_an_answer_that_makes_no_sense_is_a_message_and_leaves_the_job(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "result", lambda job_id: [1, 2])
    with pytest.raises(DeviceError, match="reading the answer to the job job-1 failed"):
        sent(run, tmp_path / "out")
    assert events(tmp_path / "out") == ["intended", "submitted"]


@pytest.mark.parametrize("spec", [SPEC, "fake:manila", "ibm:ibm_fez", "exact"])
def test_a_model_of_the_noise_is_no_device_that_would_be_paid_unasked(spec: str) -> None:
    with pytest.raises(UsageError, match="noise-model"):
        Settings("exact", N, noise_model=spec)


def test_an_unknown_model_of_the_noise_leaves_nothing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fake device"):
        ordered(run, tmp_path / "out", "fake:manila", noise_model="aer:fake_nothing")
    assert not (tmp_path / "out").exists()


def test_a_kill_while_the_order_is_saved_is_no_hindrance(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sent(run, out)
    for file in out.iterdir():
        if file.name != "order.npz":
            file.unlink()
    assert sent(run, out) is not None


def test_a_disk_without_room_is_a_message(run: Path, service: FakeRuntime, tmp_path: Path) -> None:
    sent(run, tmp_path / "out")
    (tmp_path / "out" / "values.npz").unlink()
    (tmp_path / "out" / "values.npz.part").mkdir()  # cannot be written
    with pytest.raises(RunError, match=r"cannot write .*values\.npz.*make room"):
        sent(run, tmp_path / "out")


def test_values_of_another_shape_are_computed_anew(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    first = sent(run, tmp_path / "out")
    np.savez(tmp_path / "out" / "values.npz", exact=np.zeros((1, 2, 3)))
    assert sent(run, tmp_path / "out").as_json() == first.as_json()


def test_the_ceiling_is_hard_and_goes_to_the_service(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    ready = ordered(run, tmp_path / "out")
    due = ready.qpu_seconds
    with pytest.raises(UsageError, match="nothing was sent"):
        sample(ready, NOBODY, submit=True, ceiling=0.9 * due)
    assert service.jobs == {}
    found = sample(ordered(run, tmp_path / "out"), NOBODY, submit=True, ceiling=1.5 * due)
    assert found is not None
    (job,) = service.jobs.values()
    assert job.ceiling == 1.5 * due


def test_what_several_jobs_may_take_stays_below_the_ceiling(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    service.trouble["run"] = [None, Killed()]
    ready = ordered(run, out, images_per_job=1)
    ceiling = 3 * ready.qpu_seconds
    with pytest.raises(Killed):
        sample(ready, NOBODY, submit=True, wait=False, ceiling=ceiling)
    service.statuses = ("queued", "done")
    ready = ordered(run, out, images_per_job=1)
    assert sample(ready, NOBODY, submit=True, ceiling=ceiling) is not None
    assert len(service.jobs) == N
    assert sum(job.ceiling for job in service.jobs.values()) == pytest.approx(ceiling)


def test_what_was_spent_counts_towards_the_ceiling(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    service.scripts = [("error",)]
    with pytest.raises(RunError, match="brought nothing"):
        sent(run, tmp_path / "out")
    ready = ordered(run, tmp_path / "out")
    ceiling = SECONDS_PER_JOB + 0.5 * ready.qpu_seconds
    with pytest.raises(UsageError, match="beside 3 s of jobs before"):
        sample(ready, NOBODY, submit=True, retry=True, ceiling=ceiling)
    assert len(service.jobs) == 1


def test_a_second_process_is_kept_out(run: Path, service: FakeRuntime, tmp_path: Path) -> None:
    refusals = []

    def meanwhile(text: str) -> None:
        if text.startswith("sent"):
            with pytest.raises(RunError, match="another process is working") as refusal:
                sent(run, tmp_path / "out")
            refusals.append(refusal)

    ready = ordered(run, tmp_path / "out")
    assert sample(ready, NOBODY, submit=True, message=meanwhile) is not None
    assert len(refusals) == len(service.jobs) == 1


def test_a_plan_made_before_another_process_ordered_is_refused(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    late = ordered(run, tmp_path / "out")
    sent(run, tmp_path / "out")
    with pytest.raises(RunError, match="another process is at work in"):
        sample(late, NOBODY, submit=True)
    assert len(service.jobs) == 1


def test_other_settings_or_another_snapshot_are_refused(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sent(run, out)
    before = fingerprint(out)
    with pytest.raises(UsageError, match=r"shots: 200 -> 201"):
        plan(run, Settings(SPEC, N, shots=201), None, out)
    content = json.loads((out / ORDER).read_text())
    content["snapshot"] = content["snapshot"].replace("snapshot-", "snapshot-9")
    (out / ORDER).write_text(json.dumps(content))
    with pytest.raises(UsageError, match="snapshot: snapshot-9"):
        ordered(run, out)
    assert {k: v for k, v in fingerprint(out).items() if k != ORDER} == {
        k: v for k, v in before.items() if k != ORDER
    }


def test_a_damaged_order_is_said_to_be_so(run: Path, service: FakeRuntime, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sent(run, out)
    kept = (out / "order.npz").read_bytes()
    (out / "order.npz").write_bytes(b"PK no arrays")
    with pytest.raises(RunError, match="cannot be read"):
        next(collect(out, backend=SPEC))
    (out / "order.npz").write_bytes(kept)
    content = json.loads((out / ORDER).read_text())
    content["jobs"][0]["images"] = []
    (out / ORDER).write_text(json.dumps(content))
    with pytest.raises(RunError, match="cannot be read"):
        next(collect(out, backend=SPEC))


def test_a_lost_answer_is_fetched_again_without_paying(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    first = sent(run, tmp_path / "out")
    (tmp_path / "out" / "job-1.npz").write_bytes(b"")
    with pytest.raises(RunError, match="delete it"):
        next(collect(tmp_path / "out", backend=SPEC))
    (tmp_path / "out" / "job-1.npz").unlink()
    (again,) = collect(tmp_path / "out", backend=SPEC)
    assert again.as_json()["sources"] == first.as_json()["sources"]
    assert len(service.jobs) == 1


def test_collect_finishes_what_it_can_and_then_says_what_failed(
    run: Path, service: FakeRuntime, tmp_path: Path
) -> None:
    place = tmp_path / "run" / "hardware"
    sent(run, place / "a")
    service.scripts = [("error",)]
    with pytest.raises(RunError):
        sent(run, place / "b")
    sent(run, place / "c")
    said: list[str] = []
    found = collect(tmp_path / "run", message=said.append, backend=SPEC)
    done = []
    with pytest.raises(RunError, match="brought nothing"):
        done.extend(one.folder.name for one in found)
    assert done == ["a", "c"]
    with pytest.raises(RunError, match="nothing was ordered"):
        next(collect(run, backend=SPEC))


def test_a_circuit_wider_than_the_device_is_refused(
    run: Path, service: FakeRuntime, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wide = tmp_path_factory.mktemp("wide") / "run"
    train(tiny_config(0.008, "generator.z_dim=8", "generator.qubits=6"), wide)
    with pytest.raises(UsageError, match="needs a line of 6 coupled qubits"):
        ordered(wide, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ibn:fez", "is no backend"),
        ("fake:marakesh", "Did you mean"),
        ("python:nowhere:factory", "cannot import"),
        ("python:fake_runtime:nobody", "has no 'nobody'"),
    ],
)
def test_an_unknown_backend_is_refused_and_leaves_nothing(
    run: Path, tmp_path: Path, spec: str, words: str
) -> None:
    with pytest.raises(HqganError, match=words):
        ordered(run, tmp_path / "out", spec)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spec", ["exact", "shots:300", "noise:fake_manila", "aer:fake_manila"])
def test_what_is_simulated_here_answers_at_once(run: Path, tmp_path: Path, spec: str) -> None:
    settings = Settings(spec, N)
    found = sample(plan(run, settings, None, tmp_path / "out"), NOBODY)
    best = found.answer
    assert best.name == "backend"
    assert found.as_json()["qpu_seconds"] is None
    assert (best.mean_absolute_error == 0) == (spec == "exact")
    assert best.correlation > 0.9
    assert not (tmp_path / "out" / "jobs.jsonl").exists()
    exact = found.compared.sources[0]
    assert exact.moved.value == 0.0


def test_a_simulated_device_forgets_its_jobs_and_they_are_sent_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "FIRST_PAUSE", 0.05)
    out = tmp_path / "out"
    ready = ordered(run, out, "fake:manila")
    assert sample(ready, NOBODY, submit=True, wait=False) is None
    found = sent(run, out, "fake:manila")
    assert found is not None
    assert events(out) == ["intended", "submitted", "missing", "intended", "submitted", "done"]
    assert found.answer.mean_absolute_error > 0


def test_with_a_judge_kid768_of_each_source_and_its_change_are_measured(
    run: Path, tmp_path: Path
) -> None:
    reference = reference_of(run, 8)
    ready = plan(run, Settings("noise:fake_manila", 8), reference.mix(8), tmp_path / "out")
    found = sample(ready, reference, Pixels())
    assert found is not None
    exact, shots, noisy = found.compared.sources
    assert exact.change is None
    assert found.as_json()["reason"] is None
    for one in (shots, noisy):
        assert one.change.value == pytest.approx(one.distance.value - exact.distance.value)
        assert one.bound == max(abs(end) for end in one.change.interval)
        low, high = one.change.interval
        assert high - low < 0.1 * (exact.distance.interval[1] - exact.distance.interval[0])
    text = hardware_page(found).read_text()
    assert "change of kid768" in text
    written = json.loads((tmp_path / "out" / "hardware.json").read_text())
    assert written == json.loads(json.dumps(found.as_json(), allow_nan=False))


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"n": 0}, {"n": 1, "shots": 0}, {"n": 1, "images_per_job": 0}, {"n": 10**6}):
        with pytest.raises(UsageError, match="must be"):
            Settings("exact", **wrong)


def test_the_reference_is_the_val_split_or_a_reason(run: Path, tmp_path: Path) -> None:
    assert "too few" in (reference_of(run, 4).reason or "")
    judged = reference_of(run, 8)
    assert judged.images is not None
    assert sum(judged.mix(8) or ()) == 8
    with pytest.raises(HqganError):
        reference_of(run, 8, str(tmp_path / "nowhere"))
