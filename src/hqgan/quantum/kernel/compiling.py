"""How the kernel is compiled: options, what is inlined, and what is kept on disk.

Two kinds of function: `inline` ones melt into their callers, and the few `entry` points are what
Python calls; only these are compiled to machine code of their own and cached.
"""

import _thread
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import njit

# Nothing that lets LLVM round differently in different places, see `lanes`; and NaN stays visible.
FLAGS = ("nsz",)
OPTIONS: dict[str, Any] = {
    "fastmath": set(FLAGS),
    "error_model": "numpy",
    "nogil": True,
    "boundscheck": False,
}

PATIENCE = 2.0
"""Seconds of a first call after which it is said that a kernel is being compiled."""

inline: Callable[[Any], Any] = njit(**OPTIONS, forceinline=True)
function: Callable[[Any], Any] = njit(**OPTIONS)


def entry(python: Callable[..., int]) -> Callable[..., int]:
    """Compile a function that Python calls, and keep its machine code between processes.

    Numba takes a cached function as current while its own file is unchanged, whatever the files
    say that it calls: the name therefore carries a fingerprint of all that is compiled. Where
    neither the package's folder nor the user's cache can be written, each process compiles anew.
    """
    folder = Path(__file__).parent
    sources = sorted(set(folder.glob("*.py")) - {folder / "op.py"})
    fingerprint = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]
    python.__qualname__ = f"{python.__qualname__}_{fingerprint}"
    try:
        compiled: Callable[..., int] = njit(**OPTIONS, cache=True)(python)
    except RuntimeError:
        compiled = njit(**OPTIONS)(python)
    return compiled


_announced = threading.Event()


@contextmanager
def announced_if_slow() -> Iterator[None]:
    """Around a first call: after `PATIENCE` seconds say, once a process, why it takes so long.

    By a thread that nobody waits for: `threading.Thread.start` waits for ever for one that had no
    memory to begin with (python/cpython#140746).
    """
    returned = threading.Event()

    def announce() -> None:
        if not returned.wait(PATIENCE) and not _announced.is_set():
            message = (
                "compiling the circuit kernel, once for each kind of circuit; about 20 seconds"
            )
            print(f"hqgan: {message}", file=sys.stderr, flush=True)
            _announced.set()

    _thread.start_new_thread(announce, ())
    try:
        yield
    finally:
        returned.set()
