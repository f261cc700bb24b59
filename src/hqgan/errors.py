"""Every error a user can cause: the message says what was seen, what was expected and what to do.

The command line prints the message as one paragraph and leaves with `exit_code`; nothing else
catches these.
"""

import difflib
import errno
import os
from collections.abc import Sequence

# What torch and Python say when memory is used up, in errors that have no class of their own.
NO_MEMORY = (
    "can't allocate memory",
    "can't allocate lock",
    "Cannot allocate memory",
    "can't start new thread",
    "could not create a primitive",  # oneDNN
    "std::bad_alloc",
)
# Of a disk that does not answer, is full, or of a process that may open no more files: whatever is
# in a file, it is not to blame.
TROUBLES = {
    getattr(errno, name)
    for name in ("EIO", "ENOSPC", "EDQUOT", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE", "ENOMEM")
    if hasattr(errno, name)
}


class HqganError(Exception):
    """A failure that is explained to the user instead of traced (exit code 1)."""

    exit_code = 1


class UsageError(HqganError):
    """The request itself is wrong: an unknown key, preset or value (exit code 2)."""

    exit_code = 2


class DataError(HqganError):
    """The data cannot be used as it is: missing, empty, unreadable, unlabelled, too few."""


class RunError(HqganError):
    """A run folder cannot be created, read or continued."""


class TrainingStopped(HqganError):
    """Training was stopped by its guard (NaN, collapse); the last good snapshot is kept."""


class Interrupted(HqganError):
    """Ctrl-C or SIGTERM; the message says what is kept and how to go on (exit code 130)."""

    exit_code = 130


class MissingExtra(HqganError):
    """An optional package is absent; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'hqgan[{extra}]'"
        )
        self.missing = package, extra, purpose

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str, str]]:
        """Pickled as it was made: it may have to leave a worker process."""
        return type(self), self.missing


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A question to append to a message, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def no_memory(error: BaseException) -> bool:
    """Whether memory is used up, whatever the error's class."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def of_the_machine(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is about memory, descriptors or a failing disk.

    Then nothing is known of what a file holds: it is not damaged, and must not be left out.
    """
    while error is not None:
        words = str(error)
        if (
            no_memory(error)
            or getattr(error, "errno", None) in TROUBLES
            or any(os.strerror(number) in words for number in TROUBLES)  # of compiled code
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def raise_if_of_the_machine(error: BaseException, place: object) -> None:
    """Raise `error` again where it says nothing of what `place` holds, but names it then."""
    if of_the_machine(error):
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(place)
        raise error


def shortage(error: BaseException) -> str | None:
    """What the machine ran out of or refused, as a sentence; None where the error is no such thing.

    Such an error may come out of any line, and a traceback would explain nothing.
    """
    said = " ".join(str(error).split())
    kept = "What was saved is kept, and the same command continues"
    if no_memory(error):
        return (
            "the memory of this machine is used up; close what else is running, or ask for less "
            f"(--batch, --size, --n). {kept}"
        )
    if isinstance(error, SystemError):  # functions that return NULL and raise nothing
        return f"Python itself failed ({said}), as it does where memory is used up. {kept}"
    if isinstance(error, OSError) or of_the_machine(error):
        return f"{said}; mend that, and repeat the command"
    return None
