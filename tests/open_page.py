"""`hqgan app` in a process of its own, on a free port."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

START = 120.0  # seconds, on a busy machine


@contextmanager
def a_page(
    environment: dict[str, str] | None = None, *arguments: str
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The page's address and its process, which is ended afterwards."""
    command = [sys.executable, "-m", "hqgan.cli", "app", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment or dict(os.environ)
    )
    assert process.stderr is not None
    said: list[str] = []
    found = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if "http://" in line:
                found.set()
        found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert found.wait(START), said
        address = re.search(r"http://\S+", "".join(said))
        assert address, "".join(said)
        yield address[0], process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        reader.join(10)
        process.stderr.close()
