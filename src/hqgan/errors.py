"""Every error a user can cause: the message says what was seen, what was expected and what to do.

The command line prints the message as one paragraph and leaves with `exit_code`; nothing else
catches these.
"""

import difflib
from collections.abc import Sequence


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
