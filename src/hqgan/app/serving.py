"""Open the page and keep it open until Ctrl-C: address, accounts, shutdown, nothing left behind."""

import errno
import hmac
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hqgan.app.limits import REQUESTS
from hqgan.app.model import Model, open_model
from hqgan.app.neighbours import TrainingImages
from hqgan.app.sessions import Sessions
from hqgan.app.settings import Settings
from hqgan.app.training_jobs import Trainings
from hqgan.errors import MissingExtra, RunError, UsageError

Message = Callable[[str], None]

# Set before Gradio is imported, and for no longer than this process: nothing is reported, and no
# address of the web is asked for versions or tunnels.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
HIDDEN_DATA = (
    "the training images are real, and this page is open to other machines; whoever runs it may "
    "show them with --data."
)
WITHOUT_ACCOUNTS = (
    "warning: whoever reaches {host} can use this page: make images, upload and train. Give it "
    "accounts with --auth-file, and put it behind HTTPS."
)
WITH_ACCOUNTS = (
    "note: passwords and images travel unencrypted unless this page stands behind HTTPS."
)


def serve(settings: Settings, message: Message, stop: threading.Event | None = None) -> None:
    """Open the page and return after Ctrl-C, SIGTERM or `stop`; its temporary files are gone then.

    Args:
        settings: what to show, where, to whom.
        message: receives the address and warnings.
        stop: set it to end, where signals are somebody else's.

    Raises:
        MissingExtra: Gradio is not installed.
        RunError: no snapshot, a port that is taken, or an address that is none of this machine.
    """
    model = open_model(settings.run, settings.name)
    require_gradio()
    port = free_port(settings.host, settings.port)
    stop = stop or threading.Event()
    with temporary_folder() as folder, stopped_by_signals(stop):
        trainings = Trainings()
        images = first_images(settings, model)
        sessions = Sessions(folder, lambda: (model, images), trainings)
        blocks = opened(settings, model, sessions, trainings, port)
        try:
            images.load_in_background()
            sessions.keep_sweeping()
            announce(settings, port, message)
            stop.wait()
            message("closing; trainings are saved first")
        finally:
            trainings.close()
            blocks.close(verbose=False)
            sessions.close()


def announce(settings: Settings, port: int, message: Message) -> None:
    """Say where the page is, and what is unsafe about that."""
    if not settings.is_local:
        warning = WITH_ACCOUNTS if settings.accounts else WITHOUT_ACCOUNTS
        message(warning.format(host=settings.host))
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    message(f"hqgan app: http://{shown}:{port}  (Ctrl-C ends it)")


def first_images(settings: Settings, model: Model) -> TrainingImages:
    """What the first generator learned from; real images are shown to others only if named."""
    hidden = "" if settings.is_local or settings.data else HIDDEN_DATA
    return TrainingImages(
        model, settings.run, data=settings.data, label=settings.label, hidden=hidden
    )


def opened(
    settings: Settings, model: Model, sessions: Sessions, trainings: Trainings, port: int
) -> Any:
    """The page, answering."""
    from starlette.middleware import Middleware  # comes with Gradio

    from hqgan.app.guard import Guard
    from hqgan.app.look import CSS, theme
    from hqgan.app.page import build
    from hqgan.app.settings import LOOPBACK

    blocks = build(settings, model, sessions, trainings)
    blocks.queue(max_size=REQUESTS, default_concurrency_limit=2, api_open=False)
    hosts = (*LOOPBACK, "[::1]") if settings.is_local else None
    blocks.launch(
        server_name=settings.host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        auth=account_check(settings.accounts) if settings.accounts else None,
        max_file_size=settings.uploads.zip_bytes,
        allowed_paths=[],
        blocked_paths=[str(settings.run)],
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        strict_cors=True,
        inbrowser=False,
        theme=theme(),
        css=CSS,
        app_kwargs={
            "middleware": [Middleware(Guard, hosts=hosts, upload_bytes=settings.uploads.zip_bytes)],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
    )
    return blocks


def account_check(accounts: dict[str, str]) -> Callable[[str, str], bool]:
    """Whether a name and a password belong together, in the same time for every wrong one."""

    def right(user: str, password: str) -> bool:
        known = accounts.get(user, "")
        equal = hmac.compare_digest(known.encode(), password.encode())
        return equal and user in accounts

    return right


def require_gradio() -> None:
    """Import Gradio, silent; MissingExtra where there is none."""
    os.environ.update(QUIET)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtra("gradio", "app", "the web page") from error


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0.

    Raises:
        UsageError: no port number.
        RunError: it is taken, or the host is no address of this machine.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port is {port}, but must lie from 1 to 65535, or be 0 for a free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (socket.gaierror, UnicodeError) as error:  # the latter for labels of names too long
        raise RunError(f"--host {host} is no address that is known here") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RunError(
                f"port {port} is in use; choose another with --port, or 0 for any free one"
            ) from error
        raise RunError(f"cannot listen on {host}, port {port}: {error.strerror}") from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all that visitors upload and make, Gradio's own copies included."""
    folder = Path(tempfile.mkdtemp(prefix="hqgan-app-"))
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM set `stop`; a second one acts as usual."""
    originals: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, originals[number])

    if threading.current_thread() is threading.main_thread():
        for wanted in (signal.SIGINT, signal.SIGTERM):
            originals[wanted] = signal.signal(wanted, note)
    try:
        yield
    finally:
        for number, original in originals.items():
            signal.signal(number, original)
