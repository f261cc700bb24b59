"""No room, no permission, no file descriptors, no memory: a sentence, nothing half-written, and the
same command ends as one that never met any of it."""

import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.canonical import contents
from faults.commands import Command, Place, augmentation, comparison, study, training
from faults.crashing import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

COMMANDS = pytest.mark.parametrize(
    "command", [training, augmentation, comparison, study], ids=lambda one: one.__name__
)
ROUNDS = 3  # disks of different sizes, for each command
AMPLE = 512 << 20  # bytes


@pytest.fixture
def disk(place: Place) -> Iterator[Path]:
    """A file system of its own, of `AMPLE` bytes; `resized` makes it smaller or larger."""
    folder = place.folder / "disk"
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or mount("-t", "tmpfs", "-o", f"size={AMPLE}", "tmpfs", str(folder)):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode


def resized(disk: Path, *options: str) -> None:
    assert mount("-o", ",".join(["remount", *options]), str(disk)) == 0


def emptied(disk: Path) -> None:
    for entry in disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def unbroken(
    command: Command, place: Place, server: Server
) -> tuple[list[str], Path, dict[str, str]]:
    """The arguments of a command, its folder, not there again, and what it writes undisturbed."""
    folder = place.folder / f"shortage-{command.__name__}"
    arguments = command(place, folder / "out")
    shutil.rmtree(folder, ignore_errors=True)
    server.finish(arguments, folder)
    expected = contents(folder)
    shutil.rmtree(folder)
    return arguments, folder, expected


def assert_refusal(status: int, log: str) -> None:
    """Exit code 1 and a sentence that begins with error, but no traceback."""
    assert status == 1, log
    assert "Traceback" not in log, log
    assert "\nerror: " in "\n" + log, log


@COMMANDS
def test_a_full_disk_costs_nothing_but_room(
    command: Command, place: Place, server: Server, disk: Path, figures: Counter[str]
) -> None:
    out = disk / "out"
    arguments = command(place, out)
    server.finish(arguments, disk)
    expected = contents(disk)
    used = sum(file.stat().st_size for file in disk.rglob("*") if file.is_file())
    rng = random.Random(command.__name__)
    for _ in range(ROUNDS):
        emptied(disk)
        resized(disk, f"size={rng.randint(8, used // 1024 - 8)}k")
        answer = server.run(arguments, disk)
        assert_refusal(answer.status, answer.log)
        assert "No space left" in answer.log, answer.log
        figures["full disks: a sentence, and the same result with more room"] += 1
        resized(disk, f"size={AMPLE}")
        server.finish(arguments, disk)
        assert contents(disk) == expected


@COMMANDS
def test_a_read_only_disk_is_refused(
    command: Command, place: Place, server: Server, disk: Path, figures: Counter[str]
) -> None:
    resized(disk, "ro")
    answer = server.run(command(place, disk / "out"), disk)
    assert_refusal(answer.status, answer.log)
    assert "Read-only" in answer.log
    figures["read-only disks: a sentence"] += 1


MEGABYTE = 1 << 20
# Some compiled code does not ask whether it was given the memory that it asked for: oneDNN's
# convolutions, CPython's thread states, LLVM. No sentence can come then; it is as after a kill.
NATIVE = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
# Python before 3.14 computes on for ever where there is no memory for a number that a `finally`
# needs (python/cpython#132508). The system ends it here; it would not end a process that waits.
ENDLESS = -signal.SIGXCPU
COMPUTING = 60  # seconds of a processor; a command here takes 3
SHORTAGES = {  # how much more there is than the process begins with
    "file descriptors": [{"files": number} for number in range(5)],
    "memory": [
        {"memory": int(number * MEGABYTE), "computing": COMPUTING}
        for number in (2, 8, 20, 21.5, 23, 32)
    ],
}
IN_THREADS = ("Exception in thread", "Exception ignored")  # of Python's own, beside the sentence


@pytest.mark.parametrize("what", SHORTAGES)
@COMMANDS
def test_what_is_used_up_is_an_error_and_no_damage(
    command: Command, what: str, place: Place, server: Server, figures: Counter[str]
) -> None:
    arguments, folder, expected = unbroken(command, place, server)
    for limit in SHORTAGES[what]:
        answer = server.run(arguments, folder, **limit)
        if what == "memory" and answer.status in NATIVE:
            figures["memory used up: ended by a library, as by a kill; the same result"] += 1
        elif what == "memory" and answer.status == ENDLESS:
            figures["memory used up: Python had to be ended by hand; the same result"] += 1
        elif answer.status:
            if not any(words in answer.log for words in IN_THREADS):
                assert_refusal(answer.status, answer.log)
            assert answer.status == 1, answer.log
            assert "\nerror: " in "\n" + answer.log, answer.log
            figures[f"{what} used up: a sentence, and the same result afterwards"] += 1
        server.finish(arguments, folder)
        assert contents(folder) == expected
        shutil.rmtree(folder)
