"""Tasks in worker processes: what they say, what they make, and how they end."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from hqgan.config import read_config
from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.training import Callbacks, load_state, train
from hqgan.training.runs import CONFIG, LOCK, STATE, acquire
from hqgan.workflows.cell import Cell, Recipe, run_cell
from hqgan.workflows.executor import Executor, run_all
from hqgan.workflows.processes import portable
from small_runs import NARROW, tiny_config, weights, write_folders
from small_tasks import Number, refuse

KIMG = 0.08
PATIENCE = 90  # seconds until both workers train, imports included
GONE = 5  # seconds that Python's own helper process may outlive its parent
MODEL = "twin-zeros"  # has no kernel that the first worker would have to compile


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "the workers did not get so far"
        time.sleep(0.02)


def cells(folder: Path, data: Path, *settings: str) -> list[Cell]:
    recipe = Recipe(split="val", n=12, curve_n=12, extractor="tiny", seed=0)
    made = []
    for seed in range(2):
        config = tiny_config(KIMG, f"seed={seed}", "generator.twin=zeros", *settings, data=data)
        run = folder / f"seed{seed}"
        made.append(Cell(MODEL, config, str(data), None, run, run, recipe))
    return made


def test_a_worker_answers_speaks_and_fails_as_its_task_does() -> None:
    said: list[str] = []
    tasks = [Number(3), Number(1), Number(0), Number(2)]
    answers = run_all(refuse, tasks, Executor("processes", 1), Callbacks(message=said.append))
    assert [next(answers), next(answers)] == [(0, 6), (1, 2)]
    with pytest.raises(UsageError, match="0 is refused"):
        next(answers)
    assert said == [
        "number 3: begun",
        "number 3: doubled",
        "number 1: begun",
        "number 1: doubled",
    ]
    assert not multiprocessing.active_children()


def test_errors_that_are_made_of_several_values_survive_the_way() -> None:
    error = portable(MissingExtra("ray", "cluster", "a test"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MissingExtra
    assert str(again) == str(error)


def test_an_error_that_cannot_be_sent_says_what_it_was() -> None:
    class Local(HqganError):
        pass

    sent = portable(Local("no space"))
    assert type(sent) is HqganError
    assert "no space" in str(sent)


def test_two_workers_make_what_one_thread_makes_here(one_thread: None, tmp_path: Path) -> None:
    data = write_folders(tmp_path / "data")
    mine, theirs = (cells(tmp_path / name, data) for name in ("mine", "theirs"))
    answers = dict(run_all(run_cell, theirs, Executor("processes", 2)))
    for index, (here, there) in enumerate(zip(mine, theirs, strict=True)):
        expected = run_cell(here)
        assert answers[index]["recipes"] == expected["recipes"]
        assert weights(there.run) == weights(here.run)
        assert json.loads((there.run / "env.json").read_text())["threads"] == 1


@pytest.mark.faults
def test_a_killed_worker_is_told_and_the_other_saves_its_state(
    one_thread: None, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "data")
    tasks = cells(tmp_path, data, "kimg=100")
    said: list[str] = []

    def kill() -> None:
        wait_for(lambda: all((cell.run / STATE).is_file() for cell in tasks))
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(
        HqganError, match=r"seed\d was killed by SIGKILL, as .* memory runs out.*same"
    ):
        list(run_all(run_cell, tasks, Executor("processes", 2), Callbacks(message=said.append)))
    killer.join()
    assert not multiprocessing.active_children()
    (saved,) = (cell for cell in tasks if f"all saved in {cell.run}" in said[-1])
    assert stopped_at(saved.run) in said[-1]


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_saves_every_training_and_leaves_no_process(
    tmp_path: Path, number: int
) -> None:
    data, out = write_folders(tmp_path / "data"), tmp_path / "out"
    runs = [out / f"{MODEL}-seed{seed}" for seed in range(2)]
    settings = [*NARROW, "batch=8", "precision=float32"]
    command = [sys.executable, "-m", "hqgan.cli", "compare", f"--models={MODEL}", "--seeds=2"]
    command += [f"--data={data}", f"--out={out}", "--kimg=100", "--size=32", "--device=cpu"]
    command += ["--executor=processes", "--workers=2", *(f"--set={s}" for s in settings)]
    hidden = {"OMP_NUM_THREADS": "1", "HQGAN_INCEPTION": ""}
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **hidden},
        start_new_session=True,
    ) as parent:
        wait_for(lambda: all((run / STATE).is_file() for run in runs))
        listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
        children = [Path("/proc", pid) for pid in listed.split()]
        # Ctrl-C goes to all processes of a terminal, `kill` to one.
        (os.killpg if number == signal.SIGINT else os.kill)(parent.pid, number)
        errors = parent.communicate(timeout=PATIENCE)[1]
    assert parent.returncode == 130
    assert "what is done is kept, and the same command continues" in errors
    assert "Traceback" not in errors
    assert len(children) >= 2
    deadline = time.monotonic() + GONE
    while any(child.exists() for child in children):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.02)
    for run in runs:
        acquire(run / LOCK).close()
        assert stopped_at(run) in errors
    continued_equals_unbroken(runs[0], tmp_path / "unbroken")


def stopped_at(run: Path) -> str:
    """What a training says that saved its state when it was stopped, and not before."""
    state = load_state(run)
    assert state is not None
    return f"stopped at {state['images_seen']:,} images, all saved in {run}"


def continued_equals_unbroken(run: Path, unbroken: Path) -> None:
    """A run that was stopped goes on as if it had not been."""
    state = load_state(run)
    assert state is not None
    config = read_config(run / CONFIG)
    config = config.model_copy(update={"kimg": state["images_seen"] / 1000 + KIMG})
    train(config, run)
    train(config, unbroken)
    (last,) = set(weights(unbroken)) & {f"snapshot-{config.kimg:06g}"}
    assert weights(run)[last] == weights(unbroken)[last]
