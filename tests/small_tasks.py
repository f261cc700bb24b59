"""What worker processes can be given: importable there, done at once."""

from dataclasses import dataclass

from hqgan.errors import UsageError
from hqgan.training import Callbacks


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
