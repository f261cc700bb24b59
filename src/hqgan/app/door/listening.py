"""The port, taken before anything is loaded, and the server that answers at it."""

import errno
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from hqgan.app.door.connections import Watch
from hqgan.errors import RunError, UsageError

START = 60.0  # seconds for the server to answer
GRACE = 1.0  # seconds for answers to end at shutdown; streams to open pages never would
END = 10  # seconds until what still runs then is broken off
WORK = 20.0  # seconds for orders of images, which cannot be broken off
BACKLOG = 1024  # connections that the system holds while the server is busy
FILES = 8192  # open at once: connections, and what they read


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens at `port`, or at a free one for 0; nobody else gets it.

    Raises:
        UsageError: no port number.
        RunError: it is taken, or the host is no address of this machine.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port is {port}, but must lie from 1 to 65535, or be 0 for a free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            found.listen(BACKLOG)
        except BaseException:
            found.close()
            raise
        return found
    except (socket.gaierror, UnicodeError) as error:  # the latter for labels of names too long
        raise RunError(f"--host {host} is no address that is known here") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RunError(
                f"port {port} is in use; choose another with --port, or 0 for any free one"
            ) from error
        raise RunError(f"cannot listen on {host}, port {port}: {error.strerror}") from error


class Listener:
    """Uvicorn in a thread, answering at an open socket.

    Args:
        app: what answers.
        port: a socket that listens; closed with the listener.
        watch: over its connections.
    """

    def __init__(self, app: Any, port: socket.socket, watch: Watch):
        import uvicorn  # comes with Gradio

        allow_files(FILES)
        http: Any = watch.protocol
        config = uvicorn.Config(
            app,
            http=http,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=END,
        )
        self.port, self.watch = port, watch
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, args=([port],), name="web page", daemon=True
        )
        self.before = set(threading.enumerate())

    def start(self) -> None:
        """Return once it answers; RunError where it does not."""
        self.thread.start()
        deadline = time.monotonic() + START
        while not self.server.started:
            if time.monotonic() > deadline or not self.thread.is_alive():
                raise RunError("the web page did not start; its log has the details")
            time.sleep(0.01)

    def close(self) -> None:
        """Stop answering, free the port, and wait for the orders that are worked at.

        Their threads are daemons, as the server's is. One that is in compiled code while Python
        ends would abort the process ("terminate called without an active exception").
        """
        self.server.should_exit = True
        if self.thread.is_alive():
            self.thread.join(GRACE)
            self.watch.close()
            self.thread.join(END + 10)
        self.port.close()
        deadline = time.monotonic() + WORK
        for thread in set(threading.enumerate()) - self.before:
            thread.join(max(0.0, deadline - time.monotonic()))


def allow_files(count: int) -> None:
    """Let this process open so many files, as far as the system allows."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
