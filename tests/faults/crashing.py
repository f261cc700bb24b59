"""Commands that are killed at moments of our choosing, and what they must come to in the end.

A crash is one of: `seconds` after the start, at random; before the n-th `operation` that changes a
file of the output folder, so that every order of half-done steps is met; in the middle of a write,
when a file has grown to `bytes`.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "src"
DEATHS = (-signal.SIGKILL, -signal.SIGXFSZ)
ATTEMPTS = 60  # kills in one chain before it may finish


@dataclass(frozen=True)
class Answer:
    """What became of a command: exit status (negative: a signal), seconds, changes of files.

    After `refuse`, operations of any kind too, and the one that failed.
    """

    status: int
    seconds: float
    log: str
    operations: int = 0
    io_operations: int = 0
    failed: str = ""


@dataclass
class Server:
    """`crash_server.py` in a process of its own; commands run in `cwd`."""

    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        quiet = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        paths = os.pathsep.join([str(SOURCES), str(TESTS)])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | quiet | {"PYTHONPATH": paths} | self.environment,
        )

    def run(self, arguments: Sequence[str], watched: Path, **crash: Any) -> Answer:
        """Run `hqgan ARGUMENTS`, dying as `crash` says; `watched` is the folder it writes."""
        log = self.cwd / f"log-{self.process.pid}.txt"
        request = {
            "arguments": list(arguments),
            "cwd": str(self.cwd),
            "watched": str(watched),
            "log": str(log),
            **crash,
        }
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the server itself has left with {self.process.wait()}"
        answer = json.loads(line)
        return Answer(**answer, log=log.read_text(errors="replace"))

    def finish(self, arguments: Sequence[str], watched: Path, **more: Any) -> Answer:
        """Run `hqgan ARGUMENTS`; AssertionError unless it succeeds."""
        answer = self.run(arguments, watched, **more)
        assert answer.status == 0, answer.log
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def crashes(
    rng: random.Random, seconds: float, operations: int, largest: int
) -> Iterator[dict[str, Any]]:
    """Crashes without end, of the three kinds in turn."""
    while True:
        yield {"seconds": rng.uniform(0, seconds)}
        yield {"operation": rng.randint(1, max(operations, 1))}
        yield {"bytes": rng.randint(1, max(largest, 2)), "die_at_limit": True}


def survive(
    server: Server, arguments: Sequence[str], out: Path, kinds: Iterator[dict[str, Any]]
) -> int:
    """Kill the same command again and again until it gets through; returns the kills.

    AssertionError where it ever leaves by itself with a failure.
    """
    kills = 0
    while True:
        crash = next(kinds) if kills < ATTEMPTS else {}
        answer = server.run(arguments, out, **crash)
        if answer.status == 0:
            return kills
        assert answer.status in DEATHS, f"{crash}: {answer.status}\n{answer.log}"
        kills += 1
