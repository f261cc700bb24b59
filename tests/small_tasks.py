"""What worker processes can be given: importable there, done at once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgan.errors import UsageError
from hqgan.training import Callbacks
from hqgan.workflows.cell import Cell, run_cell


@dataclass(frozen=True)
class Number:
    """A task with a name."""

    value: int

    @property
    def name(self) -> str:
        return f"number {self.value}"


def double(task: Number, callbacks: Callbacks | None = None) -> int:
    tell = callbacks or Callbacks()
    tell.message("begun")
    tell.message(f"{task.name}: doubled")
    return 2 * task.value


def refuse(task: Number, callbacks: Callbacks | None = None) -> int:
    if task.value == 0:
        raise UsageError("0 is refused")
    return double(task, callbacks)


def starve(cell: Cell, callbacks: Callbacks | None = None) -> dict[str, Any]:
    """`run_cell`, with so much memory as $HQGAN_TEST_MEMORY says beyond what the process has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    held = pages * resource.getpagesize()
    resource.setrlimit(
        resource.RLIMIT_AS, (held + int(os.environ["HQGAN_TEST_MEMORY"]), resource.RLIM_INFINITY)
    )
    return run_cell(cell, callbacks)
