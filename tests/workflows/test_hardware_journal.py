"""The journal of paid jobs: what it keeps through kills, and what it refuses."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hqgan.errors import RunError
from hqgan.workflows.hardware.journal import JOBS, Journal, journal

ORDER = "0" * 64


def intend(notes: Journal, part: str = "raw", seconds: float = 12.0):
    return notes.intend(part, ORDER, "ibm_fez", seconds)


def test_a_job_is_what_its_events_made_of_it(tmp_path: Path) -> None:
    with journal(tmp_path) as notes:
        raw, better = intend(notes), intend(notes, "mitigated", 20.0)
        raw = notes.submitted(raw, "job-1")
        better = notes.submitted(better, "job-2")
        notes.ended(raw, "done", used=11.0)
        notes.ended(better, "failed", reason="no qubits today")
        before = notes.jobs
    with journal(tmp_path) as notes:
        assert notes.jobs == before
        raw, better = notes.jobs
        assert (raw.state, raw.id, raw.used, raw.cost) == ("done", "job-1", 11.0, 11.0)
        assert (better.state, better.reason, better.cost) == ("failed", "no qubits today", 20.0)
        assert notes.latest("raw") == raw
        assert notes.cost == 31.0


def test_every_tag_is_another_one_and_fit_for_a_service(tmp_path: Path) -> None:
    with journal(tmp_path / "a") as a, journal(tmp_path / "b") as b:
        tags = {intend(notes, part).tag for notes in (a, b) for part in ("raw", "trex+dd")}
    assert len(tags) == 4
    assert all(len(tag) < 80 and tag.startswith("hqgan-") for tag in tags)


def test_a_part_with_a_job_that_may_run_or_is_done_gets_no_second_one(tmp_path: Path) -> None:
    with journal(tmp_path) as notes:
        job = intend(notes)
        with pytest.raises(RunError, match="intended\\); it is not paid twice"):
            intend(notes)
        job = notes.submitted(job, "job-1")
        with pytest.raises(RunError, match="job-1, submitted"):
            intend(notes)
        notes.ended(job, "done")
        with pytest.raises(RunError, match="job-1, done"):
            intend(notes)
        assert len(notes.jobs) == 1


@pytest.mark.parametrize("end", ["failed", "cancelled", "missing"])
def test_what_brought_nothing_may_be_tried_again(tmp_path: Path, end: str) -> None:
    with journal(tmp_path) as notes:
        first = notes.ended(intend(notes), end)
        second = intend(notes)
        assert first.tag != second.tag
        assert notes.latest("raw") == second
        assert first.cost == (0.0 if end == "missing" else 12.0)


def test_a_last_line_cut_in_half_is_dropped_at_any_place(tmp_path: Path) -> None:
    with journal(tmp_path / "whole") as notes:
        notes.submitted(intend(notes), "job-1")
    content = (tmp_path / "whole" / JOBS).read_bytes()
    first = content.index(b"\n") + 1
    for cut in range(len(content)):
        folder = tmp_path / "cut"
        folder.mkdir(exist_ok=True)
        (folder / JOBS).write_bytes(content[:cut])
        with journal(folder) as notes:
            assert [job.state for job in notes.jobs] == ([] if cut < first else ["intended"])
            if cut < first:
                intend(notes)
            else:
                notes.submitted(notes.jobs[0], "job-1")
        lines = (folder / JOBS).read_text().splitlines()
        assert [json.loads(line)["event"] for line in lines] == (
            ["intended"] if cut < first else ["intended", "submitted"]
        )


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "{}",
        "not json",
        '{"event": "done", "tag": "of nobody"}',
        '{"event": "dreamt", "tag": "t"}',
        '{"event": "intended", "tag": "t"}',
    ],
)
def test_a_line_that_is_none_of_ours_stops_everything(tmp_path: Path, line: str) -> None:
    (tmp_path / JOBS).write_text(line + "\n")
    with pytest.raises(RunError, match=r"line 1 of .*record of paid jobs"), journal(tmp_path):
        pass
    assert (tmp_path / JOBS).read_text() == line + "\n"


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with (
        journal(tmp_path),
        pytest.raises(RunError, match="another process is working"),
        journal(tmp_path),
    ):
        pass
    with journal(tmp_path) as notes:
        assert notes.jobs == []


def test_a_note_is_on_disk_when_the_process_is_killed_the_next_moment(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from hqgan.workflows.hardware.journal import journal
        with journal(Path({str(tmp_path)!r})) as notes:
            notes.intend("raw", "{ORDER}", "ibm_fez", 1.0)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert ended.returncode < 0
    with journal(tmp_path) as notes:  # and the lock died with it
        assert [job.state for job in notes.jobs] == ["intended"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="choose another --out"), journal(tmp_path / "new"):
        pass


def test_without_its_note_nothing_is_intended(tmp_path: Path) -> None:
    with journal(tmp_path) as notes:
        (tmp_path / JOBS).mkdir()
        with pytest.raises(RunError, match="without its journal no job is submitted"):
            intend(notes)
        assert notes.jobs == []
