"""A process that has imported everything once, and forks a child for each command it is sent.

Reads a JSON object a line on stdin, writes one a line on stdout. A fork costs milliseconds where a
start of Python with torch costs seconds, so that hundreds of kills fit into minutes; to the command
it makes no difference.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


def main() -> None:
    """Answer requests until stdin ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    import_everything()
    for line in requests:
        request = json.loads(line)
        started = time.perf_counter()
        told, telling = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            run(request, telling)
        os.close(telling)
        status = wait(child, request.get("seconds"))
        facts = json.loads(os.read(told, 10_000) or b"{}")
        os.close(told)
        answer = {"status": status, "seconds": time.perf_counter() - started, **facts}
        print(json.dumps(answer), file=answers, flush=True)


def import_everything() -> None:
    """What the commands import when they are called."""
    import importlib
    import pkgutil

    import torch

    import hqgan

    torch.set_num_threads(1)
    skipped = ("hqgan.app", "hqgan.__main__")
    for module in pkgutil.walk_packages(hqgan.__path__, "hqgan."):
        if not module.name.startswith(skipped):
            importlib.import_module(module.name)
    importlib.import_module("matplotlib.backends.backend_agg")


def wait(child: int, seconds: float | None) -> int:
    """Exit status of the child, negative for a signal; it is killed after `seconds`."""
    deadline = None if seconds is None else time.perf_counter() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG if deadline else 0)
        if done:
            return os.waitstatus_to_exitcode(status)
        if deadline and time.perf_counter() >= deadline:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.0005)


def run(request: dict[str, Any], telling: int) -> None:
    """In the child: die where the request says, or run the command and leave."""
    os.chdir(request["cwd"])
    os.environ.update(request.get("environment", {}))
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    limits = {
        "bytes": (resource.RLIMIT_FSIZE, 0),
        "files": (resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd"))),
        "memory": (resource.RLIMIT_AS, pages_of_address_space() * resource.getpagesize()),
        "computing": (resource.RLIMIT_CPU, 0),
    }
    for name, (limit, held) in limits.items():
        if name in request:
            resource.setrlimit(limit, (request[name] + held, resource.getrlimit(limit)[1]))
    if request.get("die_at_limit"):
        # A file that grows beyond RLIMIT_FSIZE ends the process in the middle of its write.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counted = count_operations(Path(request["watched"]), request.get("operation"))
    refused = refuse(**request["refuse"]) if "refuse" in request else dict
    sys.argv = ["hqgan", *request["arguments"]]
    code: Any = 0
    try:
        for statement in request.get("before", ()):
            exec(statement, {})
        from hqgan.cli import main as command

        command()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(telling, json.dumps({"operations": counted(), **refused()}).encode())
    os._exit(code if isinstance(code, int) else int(code is not None))


def pages_of_address_space() -> int:
    """The size of this process's address space, in pages."""
    return int(Path("/proc/self/statm").read_text().split()[0])


def count_operations(watched: Path, last: int | None) -> Callable[[], int]:
    """Count what changes files below a folder, and die before the operation number `last`."""
    count, folder = 0, str(watched)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & WRITING:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike) or not os.path.abspath(path).startswith(folder):
            return
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


def refuse(
    folder: str, at: int, error: int, lasting: bool, changes: bool
) -> Callable[[], dict[str, Any]]:
    """Let the `at`-th operation below a folder fail (`failing_io.c`); returns what tells of it."""
    library = ctypes.CDLL(None)
    library.fail_from_now(folder.encode(), ctypes.c_long(at), error, lasting, changes)
    library.operation_failed.restype = ctypes.c_char_p
    library.operations_counted.restype = ctypes.c_long

    def told() -> dict[str, Any]:
        found = {
            "io_operations": library.operations_counted(),
            "failed": os.fsdecode(library.operation_failed()),
        }
        library.fail_from_now(b"", ctypes.c_long(0), 0, 0, 0)
        return found

    return told


if __name__ == "__main__":
    main()
