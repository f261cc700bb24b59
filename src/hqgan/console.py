"""What a command prints: human text and progress on stderr, one JSON object on stdout."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from hqgan.durations import duration
from hqgan.errors import HqganError, Interrupted

if TYPE_CHECKING:
    from hqgan.training import Callbacks

screen = Console(stderr=True, emoji=False)  # ":cat:" in a path stays what it is
SHOWN = {  # while a model trains
    "critic_loss": "critic",
    "generator_loss": "generator",
    "denoising_loss": "loss",
    "diversity": "diversity",
}
NOTHING_WRITTEN = "nothing was written; the same command starts again"
IS_FIRST_PROCESS = os.environ.get("RANK", "0") == "0"  # set by torchrun


def fail(message: str, code: int) -> NoReturn:
    """Print what went wrong as one paragraph, in every process, and leave."""
    lines = (line.strip() for line in f"error: {message}".splitlines())
    text = " ".join(line for line in lines if line)
    screen.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def say(text: str) -> None:
    """One line of human text; of several processes of one run the first speaks for all."""
    if IS_FIRST_PROCESS:
        screen.print(text, highlight=False, markup=False, soft_wrap=True)


def emit(value: dict[str, Any]) -> None:
    """The one JSON object on stdout; HqganError where nobody takes it, as on a full disk."""
    if not IS_FIRST_PROCESS:
        return
    try:
        print(json.dumps(value), flush=True)
    except OSError as error:
        # What is left in the buffer must not be tried again, with a traceback, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HqganError(f"cannot write to standard output: {error.strerror}") from error


@contextmanager
def stages(quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Progress bars, called as progress(stage, done, total, text=None); `text` replaces the name.

    Without a terminal they are plain lines, with the time left: one every tenth, or one for each
    text. `quiet` shows nothing.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=quiet or not (screen.is_terminal and IS_FIRST_PROCESS),
    ) as bars:
        known: dict[str, TaskID] = {}
        begun: dict[str, tuple[float, int]] = {}

        def update(stage: str, done: int, total: int | None, text: str | None = None) -> None:
            if stage not in known or done < bars.tasks[known[stage]].completed:
                known[stage] = bars.add_task(stage, total=total)
                begun[stage] = time.monotonic(), done
            before = bars.tasks[known[stage]].completed
            bars.update(known[stage], completed=done, total=total, description=text or stage)
            if screen.is_terminal or quiet:
                return
            if text:
                say(f"{done:,} of {total:,}: {text}")
            elif total and 10 * done // total > 10 * before // total:
                start, first = begun[stage]
                pace = (time.monotonic() - start) / max(done - first, 1)
                left = f", {duration(pace * (total - done))} left" * (first < done < total)
                say(f"{stage}: {done:,} of {total:,}{left}")

        yield update


@contextmanager
def counter(stage: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A single progress bar, called as progress(done, total)."""
    with stages(quiet) as progress:
        yield lambda done, total: progress(stage, done, total)


def going_to(place: Path | str) -> None:
    """Where a job's files go, said before it begins."""
    say(f"files go to {place}")


@contextmanager
def interruptible(kept: str | Callable[[], str]) -> Iterator[None]:
    """Say on Ctrl-C what is kept and how to go on: `kept`, asked for once it has happened.

    Jobs that save as they go raise an `Interrupted` of their own, which passes.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {kept() if callable(kept) else kept}") from None


@contextmanager
def training_progress() -> Iterator["Callbacks"]:
    """Callbacks that show images/s, remaining time and losses while a model trains."""
    from hqgan.training import Callbacks

    with stages() as bars:

        def progress(seen: int, goal: int, record: dict[str, float]) -> None:
            rate = record["images_per_second"]
            left = duration(max(goal - seen, 0) / max(rate, 1e-9))
            shown = [f"{key} {record[name]:.3f}" for name, key in SHOWN.items() if name in record]
            text = ", ".join([f"{rate:.0f} images/s", f"{left} left", *shown])
            bars("training", seen, goal, text)

        yield Callbacks(
            message=say,
            decoding=lambda done, total: bars("decoding", done, total),
            progress=progress,
            stage=bars,
        )
