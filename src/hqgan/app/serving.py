"""Open the page and keep it open until Ctrl-C: address, accounts, shutdown, nothing left behind."""

import hmac
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hqgan.app.door.connections import Watch
from hqgan.app.door.guard import Door, Guard
from hqgan.app.door.listening import Listener, open_port
from hqgan.app.door.orders import events
from hqgan.app.door.receiving import Receiving
from hqgan.app.door.shelf import Shelf
from hqgan.app.door.waiting import Waiting
from hqgan.app.limits import REQUESTS, STORED
from hqgan.app.model import Model, open_model
from hqgan.app.neighbours import TrainingImages
from hqgan.app.sessions import Sessions
from hqgan.app.settings import Settings
from hqgan.app.tidying import tidy
from hqgan.app.training_jobs import Trainings
from hqgan.errors import MissingExtra

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
    # Statistics that nobody asks for: a table of all orders, made anew after each.
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
}
STATES = 64
CACHE = "gradio"  # what Gradio keeps, in the folder of the server
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
    require_gradio()
    stop = stop or threading.Event()
    # The port first: loading a model takes seconds, that it is taken is known at once.
    with (
        closing(open_port(settings.host, settings.port)) as port,
        temporary_folder() as folder,
        stopped_by_signals(stop),
    ):
        model = open_model(settings.run, settings.name)
        trainings = Trainings()
        images = first_images(settings, model)
        images.require_source()
        most = STORED * settings.uploads.unpacked_bytes
        sessions = Sessions(folder, lambda: (model, images), trainings, most_bytes=most)
        blocks = built(settings, model, sessions, trainings)
        shelf = Shelf(folder / CACHE / "uploads", settings.uploads.zip_bytes)
        sessions.keep_sweeping(shelf.sweep, lambda: tidy(folder / CACHE, blocks.temp_file_sets))
        listener = Listener(guarded(settings, blocks, shelf, sessions), port, Watch())
        try:
            listener.start()
            images.load_in_background(message)
            announce(settings, port.getsockname()[1], message)
            stop.wait()
            message("closing; trainings are saved first")
        finally:
            trainings.close()
            images.close()
            blocks.close(verbose=False)
            listener.close()
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


def built(settings: Settings, model: Model, sessions: Sessions, trainings: Trainings) -> Any:
    """The page with its queue, not yet open to anybody."""
    from hqgan.app.page import build

    blocks = build(settings, model, sessions, trainings)
    # Positions are told once a second: told at every change, 200 that wait are 40,000 messages.
    blocks.queue(
        max_size=2 * REQUESTS,  # `Waiting` refuses before, in a sentence
        default_concurrency_limit=2,
        status_update_rate=1,
        api_open=False,
    )
    # What Gradio remembers of each page, a megabyte and more; nothing here needs it.
    blocks.state_session_capacity = STATES
    return blocks


def guarded(settings: Settings, blocks: Any, shelf: Shelf, sessions: Sessions) -> Guard:
    """The page as a web application, with all that stands before it."""
    import gradio as gr
    from fastapi import FastAPI  # comes with Gradio

    from hqgan.app.look import CSS, theme
    from hqgan.app.settings import LOOPBACK

    web = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        auth=account_check(settings.accounts) if settings.accounts else None,
        allowed_paths=[],
        blocked_paths=[str(settings.run)],
        show_error=False,
        max_file_size=settings.uploads.zip_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
        theme=theme(),
        css=CSS,
    )
    return Guard(
        web,
        Door(
            hosts=(*LOOPBACK, "[::1]") if settings.is_local else None,
            accounts=bool(settings.accounts),
            made=shelf.folder.parent,
            events=events(blocks),
            waiting=Waiting(blocks._queue),
            receiving=Receiving(shelf),
            left=sessions.leave,
        ),
    )


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


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all that visitors upload and make, Gradio's own copies included."""
    folder = Path(tempfile.mkdtemp(prefix="hqgan-app-")).resolve()
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / CACHE)
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
