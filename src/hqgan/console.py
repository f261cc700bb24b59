"""What a command prints: human text and progress on stderr, one JSON object on stdout."""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hqgan.durations import duration
from hqgan.errors import HqganError, Interrupted
from hqgan.foreign import on_terminal

if TYPE_CHECKING:
    from hqgan.training import Callbacks

screen = Console(stderr=True, emoji=False)  # ":cat:" in a path stays what it is
QUIET_FOR = 2.0  # seconds between plain lines of one stage
NOTHING_WRITTEN = "nothing was written; the same command starts again"
IS_FIRST_PROCESS = os.environ.get("RANK", "0") == "0"  # set by torchrun
_reserve = bytearray(4 << 20)


def make_room() -> None:
    """Give back memory that was kept for last words: there may be no other left to print them."""
    _reserve.clear()


def fail(message: str, code: int) -> NoReturn:
    """Print what went wrong as one paragraph, in every process, and leave."""
    lines = (line.strip() for line in f"error: {message}".splitlines())
    text = on_terminal(" ".join(line for line in lines if line))
    screen.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def last_words(message: str, code: int) -> NoReturn:
    """`fail` where there may be no memory: by the least of Python, which is not sound then.

    An empty line comes first, because Python's own complaints may lack their ends of line.
    """
    sys.stderr.write(f"\nerror: {on_terminal(message)}\n")
    sys.exit(code)


def say(text: str) -> None:
    """One line of human text; of several processes of one run the first speaks for all."""
    if IS_FIRST_PROCESS:
        screen.print(on_terminal(text), highlight=False, markup=False, soft_wrap=True)


def command(*words: object) -> str:
    """`hqgan WORDS` to be copied, with the path of hqgan where it is not on PATH."""
    folder = Path(sys.executable).parent
    found = "hqgan" if shutil.which("hqgan") else shutil.which("hqgan", path=str(folder))
    if found is None:
        return shlex.join([sys.executable, "-m", "hqgan.cli", *map(str, words)])
    if Path(found).is_relative_to(Path.cwd()):
        found = str(Path(found).relative_to(Path.cwd()))
    return shlex.join([found, *map(str, words)])


def propose(*commands: str) -> None:
    """What may come next, a line each, to be copied."""
    for number, text in enumerate(commands):
        say(f"{'' if number else 'next:':9} {text}")


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


class Bars(Progress):
    """Bars, and one line below them that would leave no room beside them."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """For rich."""
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below)


class TimeLeft(TimeRemainingColumn):
    """Nothing beside a text, which says it itself."""

    def render(self, task: Task) -> Text:
        """For rich."""
        return Text() if task.fields["worded"] else super().render(task)


@dataclass
class Stage:
    """What is shown of one stage of a job; times are monotonic seconds."""

    task: TaskID
    began: float
    first: int
    done: int
    said: float


@contextmanager
def stages(quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Progress bars, called as progress(stage, done, total, text=None, below="").

    `text` replaces the name, `below` has a line of its own. Without a terminal they are plain
    lines, with the time left: one every tenth, but not more than one in two seconds and one at the
    end, or one for each text. `quiet` shows nothing.
    """
    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeft(),
        console=screen,
        transient=True,
        disable=quiet or not (screen.is_terminal and IS_FIRST_PROCESS),
    ) as bars:
        known: dict[str, Stage] = {}

        def update(
            stage: str,
            done: int,
            total: int | None,
            text: str | None = None,
            below: str = "",
        ) -> None:
            now, said = time.monotonic(), on_terminal(text or stage)
            shown = known.get(stage)
            if shown is None or done < shown.done:
                for one in bars.tasks:  # what is done makes room
                    if one.finished or (shown and one.id == shown.task):
                        bars.update(one.id, visible=False)
                task = bars.add_task(said, total=total, completed=done, worded=bool(text))
                shown = known[stage] = Stage(task, now, done, 0, now)
            before, shown.done, bars.below = shown.done, done, on_terminal(below)
            bars.update(shown.task, completed=done, total=total, description=said)
            bars.update(shown.task, worded=bool(text))
            if screen.is_terminal or quiet:
                return
            if text:
                say(f"{done:,} of {total:,}: {', '.join(filter(None, (text, below)))}")
            elif total and 10 * done // total > 10 * before // total:
                if done < total and now - shown.said < QUIET_FOR:
                    return
                pace = (now - shown.began) / max(done - shown.first, 1)
                left = f", {duration(pace * (total - done))} left" * (shown.first < done < total)
                say(f"{stage}: {done:,} of {total:,}{left}")
                shown.said = now

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
    except (KeyboardInterrupt, Exception) as error:
        if not is_ctrl_c(error):
            raise
        raise Interrupted(f"interrupted; {kept() if callable(kept) else kept}") from None


def is_ctrl_c(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: compiled code, as Qiskit's, wraps it in one of its own."""
    found: BaseException | None = error
    while found and not isinstance(found, KeyboardInterrupt):
        found = found.__cause__
    return found is not None


@contextmanager
def training_progress() -> Iterator["Callbacks"]:
    """Callbacks that show images/s, remaining time and losses while a model trains."""
    from hqgan.training import Callbacks
    from hqgan.training.runs import LOSSES

    names = LOSSES | {"diversity": "diversity"}
    with stages() as bars:

        def progress(seen: int, goal: int, record: dict[str, float]) -> None:
            rate = record["images_per_second"]
            left = duration(max(goal - seen, 0) / max(rate, 1e-9))
            shown = [f"{key} {record[name]:.3f}" for name, key in names.items() if name in record]
            bars("training", seen, goal, f"{rate:.0f} images/s, {left} left", ", ".join(shown))

        yield Callbacks(
            message=say,
            decoding=lambda done, total: bars("decoding", done, total),
            progress=progress,
            stage=bars,
        )
