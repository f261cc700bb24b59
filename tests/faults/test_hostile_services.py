"""A quantum service that answers nonsense, and orders and journals that somebody edited.

Nothing is paid twice, no ceiling is voided, no code is run, and each ends in a sentence.
"""

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_runtime
from fake_runtime import FakeRuntime
from faults.tampering import VALUES
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.training import train
from hqgan.workflows.hardware import Settings, collect, plan, sample
from hqgan.workflows.hardware.jobs import CEILING
from hqgan.workflows.hardware.journal import Journal
from hqgan.workflows.hardware.judging import Reference
from small_runs import tiny_config

pytest.importorskip("qiskit_ibm_runtime")
pytestmark = pytest.mark.timeout(600)

SPEC = "python:fake_runtime:service"
NOBODY = Reference(None, "nobody judges")
ROWS, SHOTS, QUBITS = 11, 50, 5  # a job of fake_manila, or nearly


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("services") / "run"
    train(tiny_config(0.008, "generator.z_dim=8"), folder)
    return folder


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRuntime]:
    return fake_runtime.renewed(monkeypatch)


def sent(run: Path, out: Path, **more: Any):
    return sample(plan(run, Settings(SPEC, 2, shots=SHOTS), None, out), NOBODY, submit=True, **more)


class Bits:
    """What stands in the place of a register's bits."""

    def __init__(self, found: Any):
        self.found = found

    def to_bool_array(self, order: str) -> Any:
        assert order == "little"
        return self.found


class Answer:
    """What stands in the place of a circuit's answer."""

    def __init__(self, data: Any):
        self.data = data


class Everything(dict):
    """The same under every name."""

    def __missing__(self, key: str) -> Any:
        return self["any"]


def bits(*shape: int, kind: Any = bool) -> list[Answer]:
    return [Answer(Everything(any=Bits(np.zeros(shape, kind)))) for _ in range(8)]


REPLIES: dict[str, Any] = {
    "nothing": None, "a number": 7, "a word": "done", "no answers": [], "a mapping": {},
    "one answer too few": bits(16, SHOTS, 2)[:1], "without data": [object()] * 8,
    "data of None": [Answer(None)] * 8, "no shot": bits(16, 0, 2), "no row": bits(0, SHOTS, 2),
    "too few rows": bits(3, SHOTS, 2), "too many rows": bits(99, SHOTS, 2),
    "foreign bits: more": bits(16, SHOTS, 7), "foreign bits: fewer": bits(16, SHOTS, 1),
    "more axes": bits(2, 16, SHOTS, 2), "words": bits(16, SHOTS, 2, kind=str),
    "NaN": [Answer(Everything(any=Bits(np.full((16, SHOTS, 2), np.nan))))] * 8,
    "registers of another name": [Answer({"meas": Bits(np.zeros((16, SHOTS, 2), bool))})] * 8,
    "numbers": bits(16, SHOTS, 2, kind=float),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_of_nonsense_is_a_sentence_and_nothing_is_paid_twice(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch, figures: Counter[str], name: str
) -> None:
    honest = service.result
    monkeypatch.setattr(service, "result", lambda job_id: REPLIES[name])
    for _ in range(2):
        with pytest.raises(HqganError, match="reading the answer to the job job-1 failed"):
            sent(run, tmp_path / "out")
    monkeypatch.setattr(service, "result", honest)
    (found,) = collect(tmp_path / "out", backend=SPEC)
    assert found.compared.sources
    assert len(service.jobs) == 1
    figures["replies of nonsense: a sentence, and one job"] += 1


@pytest.mark.parametrize("shots", [1, SHOTS - 1, 3 * SHOTS])
def test_fewer_shots_than_asked_for_are_used_and_the_errors_say_so(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch, shots: int
) -> None:
    """They are paid for; the service may also round up."""
    submit = service.run

    def other(pubs: list[Any], **named: Any) -> str:
        return submit(pubs, **{**named, "shots": shots})

    monkeypatch.setattr(service, "run", other)
    found = sent(run, tmp_path / "out")
    errors = [e for one in found.compared.sources if (e := one.standard_error) is not None]
    assert errors
    assert max(errors) <= 1 / max(shots - 1, 1) ** 0.5


@pytest.mark.parametrize(
    "seconds", [float("nan"), float("inf"), -1e9, "3", None, True, [], {}, 10**400]
)
def test_a_price_that_is_none_is_not_believed(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch, figures: Counter[str], seconds
) -> None:
    monkeypatch.setattr(service, "qpu_seconds", lambda job_id: seconds)
    found = sent(run, tmp_path / "out")
    assert found.qpu_seconds is None
    notes = Journal(tmp_path / "out" / "jobs.jsonl")
    assert notes.cost == pytest.approx(notes.jobs[0].estimated)
    figures["prices of nonsense: what was expected is reckoned with"] += 1


@pytest.mark.parametrize("status", ["", "DONE", "paid", None, 7, ["done"]])
def test_a_state_that_no_job_has_pays_nothing_again(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch, figures: Counter[str], status
) -> None:
    monkeypatch.setattr(service, "status", lambda job_id: status)
    try:
        found = sent(run, tmp_path / "out")
    except HqganError:
        pass
    else:
        assert found is not None
    assert len(service.jobs) == 1
    figures["states of nonsense: one job"] += 1


@pytest.mark.faults
def test_no_edit_of_a_journal_voids_the_ceiling(
    run: Path, service: FakeRuntime, tmp_path: Path, figures: Counter[str]
) -> None:
    whole = tmp_path / "whole"
    sent(run, whole)
    jobs_before = len(service.jobs)
    lines = [json.loads(line) for line in (whole / "jobs.jsonl").read_text().splitlines()]
    for number, record in enumerate(lines):
        for key in record:
            for name, value in VALUES.items():
                changed = json.dumps({**record, key: "@@"}).replace('"@@"', value)
                texts = [json.dumps(one) for one in lines]
                texts[number] = changed
                file = tmp_path / "jobs.jsonl"
                file.write_text("\n".join(texts) + "\n", encoding="utf-8", errors="replace")
                with contextlib.suppress(RunError):
                    assert 0 <= Journal(file).cost < float("inf"), (key, name)
                figures["edited journals: a sentence, or a cost that is a number"] += 1
    assert len(service.jobs) == jobs_before


def edits(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Orders that ask for something else."""
    odd = (None, -1, 0, 10**9, 1e300, float("nan"), "x", [], {}, "../../x", True)
    job = content["jobs"][0]
    for key in content["settings"]:
        for value in odd:
            yield f"settings.{key}", {**content, "settings": {**content["settings"], key: value}}
    for key in job["order"]:
        for value in odd:
            order = {**job["order"], key: value}
            yield f"order.{key}", {**content, "jobs": [{**job, "order": order}]}
    for value in odd:
        yield "name", {**content, "jobs": [{**job, "name": value}]}
        yield "images", {**content, "jobs": [{**job, "images": value}]}
        yield "snapshot", {**content, "snapshot": value}
        bill = {**job["order"]["bill"], "qpu_seconds": value}
        yield "bill", {**content, "jobs": [{**job, "order": {**job["order"], "bill": bill}}]}


@pytest.mark.faults
def test_an_edited_order_sends_nothing_beyond_the_ceiling(
    run: Path, service: FakeRuntime, tmp_path: Path, figures: Counter[str], monkeypatch
) -> None:
    whole = tmp_path / "whole"
    ready = plan(run, Settings(SPEC, 2, shots=SHOTS), None, whole)
    assert sample(ready, NOBODY, submit=False) is None
    content = json.loads((whole / "order.json").read_text())
    ceilings = []
    submit = service.run

    def watched(pubs: list[Any], **named: Any) -> str:
        ceilings.append(named["ceiling"])
        return submit(pubs, **named)

    monkeypatch.setattr(service, "run", watched)
    for number, (what, edited) in enumerate(edits(content)):
        out = tmp_path / f"{number}"
        shutil.copytree(whole, out)
        (out / "order.json").write_text(json.dumps(edited))
        before = len(service.jobs)
        with contextlib.suppress(HqganError):
            assert sent(run, out) is not None, what
        assert len(service.jobs) <= before + 1, what
        assert {file.name for file in tmp_path.iterdir()} == {"whole", *map(str, range(number + 1))}
        figures["edited orders: a sentence, or one job below the ceiling"] += 1
    assert all(0 <= one <= CEILING for one in ceilings)


def test_code_that_an_order_names_is_not_run_unless_the_user_names_it(
    run: Path, service: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert sent(run, out, wait=False) is None
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    content = json.loads((out / "order.json").read_text())
    content["settings"]["backend"] = "python:evil:factory"
    for job in content["jobs"]:
        job["order"]["backend"] = "python:evil:factory"
    (out / "order.json").write_text(json.dumps(content))
    for named in (None, SPEC):
        with pytest.raises(UsageError, match="code that a file names is not run unasked"):
            list(collect(out, backend=named))
    assert not (tmp_path / "owned").exists()
