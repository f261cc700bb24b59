"""Trainings in processes of their own: queue, cancel, what is left to go on with, and failures."""

import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqgan.app.generating import Order, make
from hqgan.app.limits import KIMG
from hqgan.app.sessions import Session
from hqgan.app.training_jobs import Job, Stage, Trainings, Wish
from hqgan.app.training_tab import begin, is_training, packed, take
from hqgan.app.training_view import bar, job_html, seen_now, words
from hqgan.config import load_config
from hqgan.errors import UsageError
from hqgan.training import train
from small_runs import NARROW, write_folders

PATIENCE = 90.0  # seconds: a process starts in five, on a busy machine in thirty


def session_with_images(folder: Path) -> Session:
    nothing: Any = SimpleNamespace()
    session = Session(folder / "session", nothing, nothing)
    session.data = write_folders(session.folder / "images-1" / "images")
    session.train_images = 24
    return session


def until_it_steps(job: Job) -> None:
    """Wait until the process has said that it trains."""
    deadline = time.monotonic() + PATIENCE
    while "training hybridq" not in job.said():
        assert time.monotonic() < deadline, job.said()
        assert not job.stage.is_over, job.said()
        time.sleep(0.1)


def test_a_cancelled_training_is_saved_and_goes_on_from_its_zip_on_another_machine(
    tmp_path: Path,
) -> None:
    trainings = Trainings()
    session = session_with_images(tmp_path)
    # Without circuits, whose kernel would be compiled.
    narrow = (*NARROW, "generator.twin=zeros", "device=cpu", "precision=float32")
    job = begin(session, trainings, None, None, 32, 20, 0, narrow)
    with pytest.raises(UsageError, match="still running"):
        begin(session, trainings, None, None, 32, 20, 0, narrow)
    assert is_training(session)  # for which Cancel is shown, whatever else is uploaded
    until_it_steps(job)
    assert "Running" in words(job, job.records())
    trainings.cancel(job)
    assert trainings.wait(job, PATIENCE)
    assert job.stage is Stage.STOPPED
    assert not is_training(session)
    assert "hqgan train --config run/config.yaml" in job_html(job)
    file = packed(session)
    assert packed(session) is file
    elsewhere = tmp_path / "elsewhere"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(elsewhere)
        names = archive.namelist()
        assert str(tmp_path).encode() not in b"".join(archive.read(n) for n in names)
    run, data = elsewhere / "run", tmp_path / "images as packed"
    assert session.data is not None
    session.data.rename(data)
    config = load_config(
        file=run / "config.yaml",
        overrides={"data.path": str(data), "kimg": len(job.records()) + 1},
    )
    assert train(config, run).images_seen >= 1000


def test_jobs_wait_for_each_other_and_too_many_are_refused(tmp_path: Path) -> None:
    trainings = Trainings(waiting=1)
    nowhere = Wish(tmp_path / "nowhere", tmp_path / "run", tmp_path / "cache", 32, 1, 8)
    first, second = trainings.submit(nowhere), trainings.submit(nowhere)
    with pytest.raises(UsageError, match="try again later"):
        trainings.submit(nowhere)
    assert trainings.ahead_of(second) == 1
    assert words(second, [], 1) == "Waiting: 1 training before this one."
    trainings.cancel(second)
    assert second.stage is Stage.STOPPED
    assert trainings.wait(first, PATIENCE)
    assert first.stage is Stage.FAILED
    assert str(tmp_path) not in first.problem
    assert first.problem.startswith("There is no your images")
    trainings.close()
    with pytest.raises(UsageError, match="shutting down"):
        trainings.submit(nowhere)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"size": 128}, "32 to 64"),
        ({"size": 48}, "32 or 64"),
        ({"kimg": KIMG[1] + 1}, "0.2 to 20"),
        ({"kimg": "many"}, "not a number"),
        ({"seed": -1}, "whole number"),
        ({"init": "../../etc"}, "no such generator"),
        ({"init": "ham10000-64"}, "64 pixels"),  # with size 32
    ],
)
def test_wishes_out_of_bounds_are_refused(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    wish = {"init": None, "size": 32, "kimg": 1, "seed": 0} | change
    with pytest.raises(UsageError, match=match):
        begin(session_with_images(tmp_path), Trainings(), None, **wish)


def test_without_an_upload_nothing_is_trained(tmp_path: Path) -> None:
    session = session_with_images(tmp_path)
    session.data = None
    with pytest.raises(UsageError, match="Upload"):
        begin(session, Trainings(), None, None, 32, 1, 0)
    with pytest.raises(UsageError, match="no training yet"):
        take(session)


def test_batches_are_as_large_as_the_images_allow(tmp_path: Path) -> None:
    trainings = Trainings()
    trainings.close()  # refuses everything, so that nothing is started
    session = session_with_images(tmp_path)
    asked: list[Wish] = []
    trainings.submit = lambda wish: asked.append(wish)  # type: ignore[method-assign,assignment]
    for images in (3, 24, 5000):
        session.train_images = images
        begin(session, trainings, tmp_path / "runs", None, 32, 1, 0)
    assert [wish.batch for wish in asked] == [2, 16, 64]
    assert len({wish.run for wish in asked}) == 3
    assert all((tmp_path / "runs") in wish.run.parents for wish in asked)


def job_with(folder: Path, stage: Stage, lines: int) -> Job:
    """A job whose process has written so many lines of metrics."""
    job = Job(Wish(folder, folder / "run", folder, 32, 5, 8), stage, began=time.monotonic())
    (folder / "run").mkdir()
    text = "".join(
        f'{{"images_seen": {1000 * (i + 1)}, "critic_loss": {1 / (i + 1)}, "generator_loss": 1.5, '
        f'"seconds": {i}, "images_per_second": 100.0}}\n'
        for i in range(lines)
    )
    (folder / "run" / "metrics.jsonl").write_text(text)
    return job


def test_progress_says_how_far_how_fast_and_how_long_still(tmp_path: Path) -> None:
    job = job_with(tmp_path, Stage.RUNNING, 3)
    seen, estimated = seen_now(job, job.records())
    assert 3000 <= seen < 3900
    assert estimated
    text = words(job, job.records())
    assert text.startswith("About 3,")
    assert "of 5,000 images, 100 images/s" in text
    assert text.endswith("s left.")
    assert 'max="5000" value="3' in bar(job, job.records())
    page = job_html(job)
    assert "Losses after 3,000 images: critic 0.333, generator 1.5" in page
    assert page.count("<polyline") == 2


def test_a_finished_training_is_full_and_takes_no_estimate(tmp_path: Path) -> None:
    job = job_with(tmp_path, Stage.DONE, 3)
    assert seen_now(job, job.records()) == (5000, False)


def test_a_training_that_was_stopped_at_once_leaves_nothing_to_take(tmp_path: Path) -> None:
    job = Job(Wish(tmp_path, tmp_path / "run", tmp_path, 32, 5, 8), Stage.STOPPED)
    assert "nothing to save" in words(job, [])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_fine_tuned_generator_is_taken_and_keeps_its_licence(tmp_path: Path) -> None:
    session, trainings = session_with_images(tmp_path), Trainings()
    job = begin(session, trainings, None, "ham10000-64", 64, 0.2, 0, ("batch=8",))
    assert trainings.wait(job, 250)
    assert job.stage is Stage.DONE, job.said()
    take(session)
    assert "HAM10000" in session.model.credit()
    made = make(session.model, Order("mel", 2, 0))
    assert made.images.shape == (2, 64, 64, 3)
    with zipfile.ZipFile(packed(session)) as archive:
        assert "CC BY-NC" in archive.read("run/README.md").decode()
