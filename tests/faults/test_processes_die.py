"""Of several processes one dies, or its owner did: the rest ends in words, and nothing is lost."""

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
from hqgan.training.runs import LOCK, acquire

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TESTS = Path(__file__).parents[1]
PROCESSES = 2
PATIENCE = 120  # seconds
ROUNDS = 5

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
