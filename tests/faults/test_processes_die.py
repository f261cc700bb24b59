"""Of several processes one dies, or its owner did: the rest ends in words, and nothing is lost."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from faults.canonical import contents
from faults.commands import Place, training
from hqgan.errors import shortage
from hqgan.training.runs import LOCK, acquire
from hqgan.workflows.cell import Cell, Recipe, run_cell
from hqgan.workflows.executor import Executor, run_all
from small_runs import tiny_config
from small_tasks import starve

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TESTS = Path(__file__).parents[1]
PROCESSES = 2
PATIENCE = 120  # seconds
ROUNDS = 3
MORE = 16 << 20  # bytes of memory, too few to train

# Holds the lock of a folder, says so, and sleeps.
HOLDER = """
import sys, time
from pathlib import Path
from hqgan.training.runs import acquire
lock = acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HQGAN_INCEPTION": ""}


def start(arguments: list[str]) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "hqgan.cli", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers(parent: int) -> list[int]:
    """The processes that a launcher has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(number) for number in children.read_text().split()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_a_training_of_two_processes_of_which_one_is_killed_continues(
    rank: int, place: Place, figures: Counter[str]
) -> None:
    folder = place.folder / f"two-processes-{rank}"
    whole, out = folder / "whole", folder / "out"
    done = start(training(place, whole))
    text, _ = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, text
    expected = contents(whole)
    broken = start(training(place, out))
    until = time.monotonic() + PATIENCE
    while not (out / "state.pt").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(sorted(workers(broken.pid))[rank], signal.SIGKILL)
    text, _ = broken.communicate(timeout=PATIENCE)
    assert broken.returncode != 0, text
    assert not workers_left(out)
    again = start(training(place, out))
    text, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, text
    assert contents(out) == expected
    figures["workers of a distributed training killed: the same result"] += 1


def workers_left(out: Path) -> list[str]:
    """Command lines of processes that still train there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_text().replace("\0", " ")
        except OSError:
            continue
        if str(out) in line and entry.parent.name != str(os.getpid()):
            found.append(line)
    return found


def test_the_lock_of_a_killed_owner_is_free_at_once(tmp_path: Path, figures: Counter[str]) -> None:
    lock = tmp_path / LOCK
    rng = random.Random(0)
    for _ in range(ROUNDS):
        owner = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(lock)],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(Exception, match="another process is training"):
            acquire(lock)
        time.sleep(rng.uniform(0, 0.05))
        owner.kill()
        owner.wait()
        owner.stdout.close()
        acquire(lock).close()
        figures["locks of killed owners: free at once"] += 1


def test_a_lock_from_before_a_reboot_is_free_whoever_has_its_number_now(
    tmp_path: Path, figures: Counter[str]
) -> None:
    """It is held by the system, for a process that lives, and not by what stands in the file."""
    lock = tmp_path / LOCK
    for number in (os.getpid(), os.getppid(), 1, 2**22):
        lock.write_text(f"{number}\n")
        os.utime(lock, (0, 0))
        acquire(lock).close()
        figures["locks left behind by another life of the machine: free"] += 1


def test_a_lock_that_was_removed_meanwhile_is_not_held(
    tmp_path: Path, figures: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes it between our opening it and our locking it: the next one is ours."""
    import fcntl

    lock, real = tmp_path / LOCK, fcntl.flock

    def flock(file: object, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with acquire(lock), pytest.raises(Exception, match="another process"):
        acquire(lock)
    figures["locks removed while they were waited for: made anew"] += 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_worker_whose_memory_is_used_up_says_so_and_loses_nothing(
    place: Place, figures: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes to its parent as a sentence, or the worker dies as of a kill."""
    folder = place.folder / "starved"
    config = tiny_config(0.032, "generator.twin=zeros", data=place.data)
    recipe = Recipe(split="val", n=12, curve_n=12, extractor="tiny", seed=0)
    made = [folder / name for name in ("first", "second")]
    cells = [Cell("twin-zeros", config, str(place.data), None, one, one, recipe) for one in made]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HQGAN_TEST_MEMORY", str(MORE))
    with pytest.raises(Exception) as met:  # which one is asked below
        list(run_all(starve, cells, Executor("processes", 2)))
    said = shortage(met.value) or str(met.value)
    assert "memory" in said or "was killed by" in said, said
    assert not multiprocessing.active_children()
    list(run_all(run_cell, cells, Executor("processes", 2)))
    first, second = map(contents, made)
    assert first == second
    assert "state.pt" in first
    figures["workers without memory: a sentence, and the same result afterwards"] += 1
