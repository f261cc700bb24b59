"""The second tab: a visitor's images looked at, and a small generator trained on them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgan.app.bundle import zip_run
from hqgan.app.findings import FEWEST_CLASSES, findings_html
from hqgan.app.generate_tab import GenerateTab, renewed
from hqgan.app.limits import KIMG, MEGABYTE, SEEDS, SIZES, UploadLimits, real, whole
from hqgan.app.model import open_model
from hqgan.app.neighbours import TrainingImages
from hqgan.app.pictures import sentences
from hqgan.app.sentences import sentence, spoken
from hqgan.app.sessions import Session, Sessions
from hqgan.app.settings import Settings
from hqgan.app.training_jobs import Job, Trainings, Wish
from hqgan.app.training_view import job_html, run_card
from hqgan.app.uploads import unpack
from hqgan.data import inspect
from hqgan.errors import DataError, UsageError
from hqgan.models import read_about
from hqgan.pretrained import find_pretrained, pretrained_names

LARGEST_BATCH = 64
FIRST_KIMG = 2.0
POLL = 1.0  # seconds
SCRATCH = ""
TAB = "generate"


@dataclass(frozen=True)
class Looked:
    """What came of an upload."""

    html: str
    trainable: bool


def receive(
    session: Session,
    file: Path,
    limits: UploadLimits,
    make_room: Callable[[int], None] = lambda count: None,
) -> Looked:
    """Unpack and inspect an upload; the zip itself is deleted whatever comes of it.

    `make_room` is called with the bytes that it needs, see `Sessions.make_room`.

    Raises:
        DataError: what is wrong with it, in words of the visitor's.
    """
    try:
        if is_training(session):
            raise UsageError("A training is using your images; wait for it, or cancel it.")
        session.forget_upload()
        into = session.new_folder("images")
        unpacked = unpack(file, into, limits, make_room)
    finally:
        file.unlink(missing_ok=True)
    session.data, session.train_images = unpacked.folder, 0
    try:
        found = inspect(unpacked.folder)
    except DataError as error:
        session.forget_upload()
        raise DataError(sentence(error, {str(unpacked.folder): "your zip"})) from error
    counted = sum(found.counts["train"].values())
    trainable = len(found.classes) >= FEWEST_CLASSES and counted >= 2
    session.train_images = counted
    return Looked(findings_html(found, unpacked.left_out), trainable)


def is_training(session: Session) -> bool:
    """Whether a training of the session waits or runs."""
    return session.job is not None and not session.job.stage.is_over


def begin(
    session: Session,
    trainings: Trainings,
    runs: Path | None,
    init: str | None,
    size: Any,
    kimg: Any,
    seed: Any,
    assignments: tuple[str, ...] = (),
) -> Job:
    """Queue a training on a session's upload.

    Raises:
        UsageError: no upload, one that runs already, numbers out of bounds, or a full queue.
    """
    if is_training(session):
        raise UsageError("Your training is still running; wait for it, or cancel it.")
    if session.data is None:
        raise UsageError("Upload your images first.")
    size = whole("The size", size, (min(SIZES), max(SIZES)))
    if size not in SIZES:
        raise UsageError(f"The size is {size}, but must be {' or '.join(map(str, SIZES))}.")
    if init and init not in pretrained_names():
        raise UsageError("There is no such generator to start from; choose one of the list.")
    if init and size != (own := size_of(init)):
        raise UsageError(f"{init} makes images of {own} pixels; choose that size to fine-tune it.")
    batch = 2
    while 2 * batch <= min(LARGEST_BATCH, session.train_images):
        batch *= 2
    parent = session.new_folder("run").parent
    if runs is not None:
        parent = runs / f"{session.folder.name}-{parent.name}"
    wish = Wish(
        data=session.data,
        run=parent / "run",
        cache=session.cache,
        size=size,
        kimg=real("Thousands of images", kimg, KIMG),
        batch=batch,
        seed=whole("The seed", seed, SEEDS),
        init=init or None,
        assignments=assignments,
    )
    session.job = trainings.submit(wish)
    session.replace("run", wish.run)  # those in `runs` lie elsewhere, and stay
    return session.job


def size_of(name: str) -> int:
    """Pixels of a packaged generator's images."""
    import json

    return int(json.loads((find_pretrained(name) / "config.json").read_text())["size"])


def take(session: Session) -> None:
    """Let a session's first tab use the generator it trained; UsageError where there is none."""
    job = finished(session)
    if job.snapshot is None:
        raise UsageError(
            "It was stopped before its first 1,000 images, so that there is no generator yet."
        )
    model = open_model(job.snapshot, "your generator")
    images = TrainingImages(model, job.wish.run, data=str(job.wish.data), cache=session.cache)
    session.show(model, images)


def finished(session: Session) -> Job:
    """The latest training of a session, once it is over."""
    if session.job is None:
        raise UsageError("There is no training yet.")
    if not session.job.stage.is_over:
        raise UsageError("The training is still running.")
    return session.job


def packed(session: Session) -> Path:
    """The run of a session as a zip, written once."""
    job = finished(session)
    if session.packed is not None and session.packed[0] is job:
        return session.packed[1]
    licence = "The licence of the images it was trained on extends to it and to what it makes."
    if job.snapshot is not None and (origin := read_about(job.snapshot).origin):
        licence = f"{origin.terms('this run and what it makes')} So does that of your images."
    into = session.new_folder("hqgan-run.zip")
    session.replace("run as zip", into)
    session.packed = job, zip_run(job.wish.run, job.wish.data, into, run_card(job, licence))
    return into


def build(
    sessions: Sessions, trainings: Trainings, settings: Settings, tabs: Any, shown: GenerateTab
) -> None:
    """Lay out the tab; called within a tab of a page."""
    import gradio as gr

    # Values come as they were sent, and are checked where they are used: Gradio answers wrong ones
    # by a traceback in the log.
    named: dict[str, Any] = {"api_visibility": "private", "preprocess": False}
    limits = settings.uploads
    gr.HTML(
        sentences(
            [
                f"Pack one folder for each class, with its images in it, as a zip of at most "
                f"{limits.zip_bytes / MEGABYTE:g} MB and {limits.files:,} files.",
                "What you upload stays on this server, and is deleted when you close or reload "
                "this page.",
                "Upload no image by which a person can be recognised, and none that you may not "
                "share with whoever runs this server.",
            ]
        )
    )
    file = gr.File(label="Zip of your images", file_types=[".zip"], elem_id="upload")
    findings = gr.HTML(elem_id="findings")
    with gr.Column(visible=False) as wishes:
        gr.HTML('<h2 class="hq-part">Train a small generator</h2>')
        with gr.Row():
            init = gr.Radio(
                [("from scratch", SCRATCH), *((f"from {n}", n) for n in pretrained_names())],
                value=SCRATCH,
                label="Start",
                min_width=280,
                info="From a packaged one it learns faster; its licence then extends to yours.",
            )
            size = gr.Radio(
                [(f"{edge} pixels", edge) for edge in SIZES],
                value=SIZES[0],
                label="Size",
                min_width=280,
            )
        with gr.Row():
            kimg = gr.Slider(
                *KIMG,
                FIRST_KIMG,
                step=0.2,
                label="Thousands of images to train on",
                min_width=280,
                buttons=[],
            )
            seed = gr.Number(
                0, label="Seed", min_width=280, precision=0, minimum=0, maximum=SEEDS[1]
            )
        with gr.Row():
            go = gr.Button("Train", variant="primary", elem_id="train")
            stop = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
    progress = gr.HTML(elem_id="progress")
    with gr.Row(visible=False) as results:
        use = gr.Button("Use this generator", variant="primary", elem_id="use")
        save = gr.DownloadButton("Download the run as zip", elem_id="save")
    back = gr.Button(f"Back to {settings.name}", visible=False, elem_id="back")
    timer = gr.Timer(POLL, active=False)

    @spoken
    def on_upload(sent: dict[str, Any] | None, request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        if sent is None:
            raise UsageError("Choose a zip first.")
        room = functools.partial(sessions.make_room, session)
        try:
            looked = receive(session, Path(sent["path"]), limits, room)
        except (DataError, UsageError) as error:
            refusal = sentences([sentence(error)], "hq-warning")
            # Cancel is in there, which a training that runs needs.
            return None, refusal, gr.Column(visible=is_training(session))
        return None, looked.html, gr.Column(visible=looked.trainable)

    @spoken
    def on_train(init: Any, size: Any, kimg: Any, seed: Any, request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        with session.lock:  # two clicks at once are one training
            begin(session, trainings, settings.runs, init, size, kimg, seed)
        return state(session)

    @spoken
    def on_cancel(request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        if session.job is not None:
            trainings.cancel(session.job)
        return state(session)

    @spoken
    def on_tick(request: gr.Request) -> Any:
        return state(sessions.of(request.session_hash))

    def state(session: Session) -> Any:
        job = session.job
        if job is None:
            return "", gr.Timer(active=False), gr.Button(), gr.Button(), gr.Row(), gr.Button()
        over = job.stage.is_over
        ready = over and job.is_kept
        return (
            job_html(job, trainings.ahead_of(job)),
            gr.Timer(active=not over),
            gr.Button(interactive=over),
            gr.Button(interactive=not over),
            gr.Row(visible=ready),
            gr.DownloadButton(value=str(packed(session))) if ready else gr.DownloadButton(),
        )

    @spoken
    def on_use(request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        take(session)
        return [gr.Tabs(selected=TAB), gr.Button(visible=True), *renewed(session.model)]

    @spoken
    def on_back(request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        sessions.reset(session)
        return [gr.Tabs(selected=TAB), gr.Button(visible=False), *renewed(session.model)]

    seen = [progress, timer, go, stop, results, save]
    file.upload(on_upload, file, [file, findings, wishes], **named, concurrency_limit=2)
    init.change(
        lambda name: gr.Radio(value=size_of(name)) if name in pretrained_names() else gr.Radio(),
        init,
        size,
        show_progress="hidden",
        **named,
    )
    go.click(on_train, [init, size, kimg, seed], seen, **named)
    stop.click(on_cancel, None, seen, show_progress="hidden", **named)
    timer.tick(on_tick, None, seen, show_progress="hidden", **named, concurrency_limit=None)
    for button, taken in ((use, on_use), (back, on_back)):
        shown.then_make(button.click(taken, None, [tabs, back, *shown.changing], **named))
