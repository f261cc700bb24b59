"""A run that was stopped, killed or extended ends bit for bit like one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqgan.training import Callbacks, Interrupted, load_state, loop, train
from hqgan.training.runs import read_records
from small_runs import fingerprint, metrics, tiny_config, tiny_dataset, weights, write_folders

KIMG = 0.12
EVERY = 24  # images between two lines of metrics.jsonl (else 1,000); states are saved every 16
PATIENCE = 60  # seconds for a subprocess to get where it is waited for


@pytest.fixture(autouse=True)
def frequent_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", EVERY)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", EVERY)
        train(tiny_config(KIMG), run, tiny_dataset())
    return run


def assert_equal_runs(run: Path, other: Path) -> None:
    assert weights(run) == weights(other)
    assert metrics(run) == metrics(other)
    assert fingerprint(run / "samples") == fingerprint(other / "samples")


def stop_with(number: int, after: int) -> Callbacks:
    """Callbacks that send this process a signal once `after` images were seen."""

    def progress(seen: int, goal: int, record: dict[str, float]) -> None:
        if seen == after:
            os.kill(os.getpid(), number)

    return Callbacks(progress=progress)


def test_a_run_leaves_lines_pictures_snapshot_and_state(unbroken: Path) -> None:
    expected = {"config.yaml", "env.json", "metrics.jsonl", "samples", "snapshot-000.12"}
    assert {f.name for f in unbroken.iterdir()} == expected | {"state.pt", ".lock"}
    assert [r["images_seen"] for r in metrics(unbroken)] == list(range(EVERY, 121, EVERY))
    assert not list(unbroken.rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [24, 72])
def test_a_stopped_run_continues_as_if_it_had_not(
    unbroken: Path, tmp_path: Path, number: int, after: int
) -> None:
    config, dataset, run = tiny_config(KIMG), tiny_dataset(), tmp_path / "run"
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="the same command continues") as stopped:
        train(config, run, dataset, stop_with(number, after))
    assert stopped.value.exit_code == 130
    assert signal.getsignal(number) is before
    state = load_state(run)
    assert state is not None
    assert state["images_seen"] == after
    train(config, run, dataset)
    assert_equal_runs(run, unbroken)


@pytest.mark.parametrize(
    "settings",
    [
        ("precision=bf16", "generator.fusion=film", "augmentation.strength=0.5"),
        ("loss.name=wgan-gp", "critic.steps=2", "data.balance=1"),  # stopped between G's steps
        ("loss.name=hinge", "loss.r1_every=4", "generator_training.ema_kimg=0"),
    ],
)
def test_so_does_every_kind_of_training(tmp_path: Path, settings: tuple[str, ...]) -> None:
    config, dataset = tiny_config(KIMG, *settings), tiny_dataset()
    train(config, tmp_path / "whole", dataset)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", dataset, stop_with(signal.SIGTERM, 72))
    train(config, tmp_path / "run", dataset)
    assert_equal_runs(tmp_path / "run", tmp_path / "whole")


def test_a_larger_kimg_continues_to_the_same_weights(unbroken: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny_config(KIMG / 2), run, tiny_dataset())
    state = load_state(run)
    assert state is not None
    assert state["recent"]["counts"]["critic_loss"] == 2  # stopped between two lines
    result = train(tiny_config(KIMG), run, tiny_dataset())
    assert result.images_seen == 1000 * KIMG
    (last,) = weights(unbroken)
    assert weights(run)[last] == weights(unbroken)[last]
    assert metrics(run) == metrics(unbroken)


def test_a_finished_run_is_only_looked_at(unbroken: Path) -> None:
    before = fingerprint(unbroken)
    result = train(tiny_config(KIMG), unbroken, tiny_dataset())
    after = fingerprint(unbroken)
    assert result.snapshot == str(unbroken / "snapshot-000.12")
    # torch numbers the entries of an archive by address, so the state's bytes may differ.
    assert {k: v for k, v in after.items() if k != "state.pt"} == {
        k: v for k, v in before.items() if k != "state.pt"
    }


def test_half_a_line_is_written_again(unbroken: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(tiny_config(KIMG), run, tiny_dataset(), stop_with(signal.SIGTERM, 48))
    file = run / "metrics.jsonl"
    later = file.read_text().splitlines()[-1].replace('"images_seen": 48', '"images_seen": 72')
    file.write_text(file.read_text() + later + "\n" + later[:20])  # killed after the last save
    assert [r["images_seen"] for r in read_records(file)] == [24, 48, 72]
    train(tiny_config(KIMG), run, tiny_dataset())
    assert_equal_runs(run, unbroken)


def command(data: Path, out: Path) -> list[str]:
    """`hqgan train`, logging as often as these tests do."""
    config = tiny_config(KIMG, data=data)
    settings = [
        *("critic.width=8", "generator.qubits=2", "generator.circuit_layers=1"),
        *("precision=float32", "device=cpu", f"save_every_kimg={config.save_every_kimg}"),
    ]
    flags = [f"--data={data}", f"--out={out}", "--size=32", "--batch=8", f"--kimg={KIMG}"]
    start = (
        "import torch; torch.set_num_threads(1); import hqgan.training.loop as loop; "
        f"loop.LOG_EVERY = {EVERY}; from hqgan.cli import main; main()"
    )
    return [sys.executable, "-c", start, "train", *flags, *(f"--set={s}" for s in settings)]


def moments(run: Path, rng: random.Random) -> Iterator[bool]:
    """Whether to kill now, asked in short intervals: after a few saves and a moment more."""
    state = run / "state.pt"

    def age() -> float:
        return state.stat().st_mtime if state.exists() else 0.0

    saves, last = rng.randint(1, 2), age()
    while saves:
        if age() != last:
            saves, last = saves - 1, age()
        yield False
    for _ in range(rng.randint(0, 30)):
        yield False
    yield True


@pytest.mark.timeout(300)
def test_kill_9_anywhere_and_the_same_command_give_the_unbroken_run(tmp_path: Path) -> None:
    data = write_folders(tmp_path / "data")
    whole, run = tmp_path / "whole", tmp_path / "killed"
    train(tiny_config(KIMG, data=data), whole)
    rng = random.Random(0)
    kills = 0
    for attempt in range(4):
        with subprocess.Popen(command(data, run), stderr=subprocess.PIPE) as process:
            if attempt < 2:
                moment = moments(run, rng)
            elif attempt == 2:  # while a state is being written
                moment = iter(lambda: (run / "state.pt.part").exists(), None)
            else:
                moment = iter(())
            deadline = time.monotonic() + PATIENCE
            for now in moment:
                if now:
                    process.kill()
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.002)
            errors = process.communicate(timeout=PATIENCE)[1].decode()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
    assert process.returncode == 0, errors
    assert kills >= 1
    assert_equal_runs(run, whole)
