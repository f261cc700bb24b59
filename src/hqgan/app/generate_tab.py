"""The first tab: controls, pictures, and all about the one that was chosen. Layout and wiring."""

import importlib.util
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from hqgan.app import showing
from hqgan.app.bundle import zip_images
from hqgan.app.generating import EXACT, Order, make, way
from hqgan.app.limits import MOST_IMAGES, SEEDS, SHOTS, STEPS
from hqgan.app.model import Model
from hqgan.app.sentences import spoken
from hqgan.app.sessions import Session, Sessions
from hqgan.models.walking import LEAST_TRUNCATION, NO_TRUNCATION

DEVICES = ("fake_marrakesh", "fake_fez", "fake_torino", "fake_brisbane", "fake_sherbrooke")
FIRST_COUNT, FIRST_SHOTS, FIRST_STEPS = 8, 1024, 8
COLUMNS = 6
NO_NOISE = "Noise of devices needs the extra quantum: pip install 'hqgan[quantum]'."


def order_of(
    class_name: str | None,
    count: Any,
    seed: Any,
    truncation: Any,
    kind: str,
    shots: Any,
    device: Any,
) -> Order:
    """The order that the controls stand for; nothing is checked yet."""
    words = {"shots": f"shots:{shots}", "noise": f"noise:{device}"}
    return Order(class_name or None, count, seed, truncation, words.get(kind, EXACT))


def fulfil(session: Session, order: Order) -> tuple[str, list[tuple[Image.Image, str]], str]:
    """Make images for a session: a sentence, pictures with captions, and the path of their zip."""
    started = time.perf_counter()
    made = make(session.model, order)
    with session.lock:
        session.made, session.selected = made, 0
    pictures = [Image.fromarray(image) for image in made.images]
    named = list(zip(pictures, showing.captions(session.model, made), strict=True))
    name = made.order.class_name or "every-class"
    plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in name)
    file = session.new_folder(f"hqgan-{plain}-seed{made.order.seed}.zip")
    file.write_bytes(zip_images(session.model, made))
    session.replace("images as zip", file)
    return showing.order_words(made, time.perf_counter() - started), named, str(file)


def backend_choices(model: Model) -> list[tuple[str, str]]:
    """Label and value of the backends that this model and this installation have."""
    choices = [("exact values", EXACT)]
    if not model.without_circuits:
        choices.append(("shots", "shots"))
    if not model.without_noise and importlib.util.find_spec("qiskit_ibm_runtime"):
        choices.append(("noise of a device", "noise"))
    return choices


def backend_note(model: Model) -> str:
    """Why there are fewer backends than three; empty where there are all."""
    if model.without_circuits:
        return model.without_circuits
    if model.without_noise:
        return model.without_noise
    return "" if importlib.util.find_spec("qiskit_ibm_runtime") else NO_NOISE


@dataclass(frozen=True)
class GenerateTab:
    """What others do with the tab when another generator is taken.

    Attributes:
        changing: the parts that `renewed` gives new values.
        then_make: called with an event, makes the first images after it.
    """

    changing: list[Any]
    then_make: Callable[[Any], None]


def build(page: Any, sessions: Sessions, model: Model, head: Any, notice: Any) -> GenerateTab:
    """Lay out the tab for the generator that is shown first; called within a tab of a page."""
    import gradio as gr

    # Values come as they were sent, and are checked where they are used: Gradio answers wrong ones
    # by a traceback in the log.
    named: dict[str, Any] = {"api_visibility": "private", "preprocess": False}
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            chosen = gr.Dropdown(
                showing.class_choices(model), value=model.about.classes[0], label="Class"
            )
            count = gr.Slider(
                1, MOST_IMAGES, FIRST_COUNT, step=1, label="Images", buttons=[], elem_id="count"
            )
            with gr.Row(elem_classes="hq-end"):
                seed = gr.Number(
                    0, label="Seed", precision=0, minimum=0, maximum=SEEDS[1], min_width=120
                )
                another = gr.Button("Another seed", size="md", min_width=120)
            truncation = gr.Slider(
                LEAST_TRUNCATION,
                NO_TRUNCATION,
                NO_TRUNCATION,
                step=0.1,
                label="Truncation",
                info="Less is more typical and less varied; 4 is none.",
                interactive=model.can_truncate,
                buttons=[],
            )
            kind = gr.Radio(backend_choices(model), value=EXACT, label="Circuits are run by")
            shots = gr.Number(
                FIRST_SHOTS, label="Shots", precision=0, minimum=1, maximum=SHOTS[1], visible=False
            )
            device = gr.Dropdown(DEVICES, value=DEVICES[0], label="Device", visible=False)
            note = gr.HTML(_note(backend_note(model)))
            go = gr.Button("Make images", variant="primary", elem_id="make")
        with gr.Column(scale=5, min_width=320):
            said = gr.HTML('<p class="hq-note">Choose a class and make images.</p>', elem_id="said")
            gallery = gr.Gallery(
                label="Synthetic images",
                show_label=False,
                columns=COLUMNS,
                height="auto",
                format="png",
                allow_preview=False,
                object_fit="contain",
                buttons=[],
                interactive=False,
                elem_id="gallery",
            )
            download = gr.DownloadButton(
                "Download as zip", visible=False, size="sm", elem_id="download"
            )
    with gr.Column(visible=False) as details:
        gr.HTML('<h2 class="hq-part">The chosen image</h2>')
        with gr.Row(equal_height=False):
            streams = gr.HTML(elem_id="streams", min_width=320)
            nearest = gr.HTML(elem_id="nearest", min_width=320)
        gr.HTML('<h2 class="hq-part">Its circuits</h2>')
        site = gr.Dropdown([("Site 1", 0)], value=0, label="Circuit", elem_id="site")
        circuit = gr.HTML(elem_id="circuit")
    gr.HTML('<h2 class="hq-part">Walk between two seeds</h2>')
    with gr.Row(elem_classes="hq-end"):
        first = gr.Number(0, label="From seed", precision=0, minimum=0, maximum=SEEDS[1])
        second = gr.Number(1, label="To seed", precision=0, minimum=0, maximum=SEEDS[1])
        steps = gr.Slider(*STEPS, FIRST_STEPS, step=1, label="Images of the walk", buttons=[])
        walk = gr.Button("Walk", elem_id="walk")
    strip = gr.HTML(elem_id="strip")

    controls = [chosen, count, seed, truncation, kind, shots, device]
    # Images come first: what explains them takes ten times as long, and has a queue of its own.
    one = {**named, "concurrency_id": "images", "concurrency_limit": 2}
    look = {**named, "concurrency_id": "looks", "concurrency_limit": 1}

    @spoken
    def on_kind(value: str) -> Any:
        return gr.Number(visible=value == "shots"), gr.Dropdown(visible=value == "noise")

    @spoken
    def on_make(
        class_name: Any, count: Any, seed: Any, cut: Any, kind: Any, shots: Any, device: Any,
        request: gr.Request,
    ) -> Any:  # fmt: skip
        session = sessions.of(request.session_hash)
        order = order_of(class_name, count, seed, cut, kind, shots, device)
        words, pictures, file = fulfil(session, order)
        return (
            _note(words),
            gr.Gallery(pictures, selected_index=0),
            gr.DownloadButton(value=file, visible=True),
            gr.Column(visible=True),
        )

    @spoken
    def on_shown(request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        return about_selected(session)

    @spoken
    def on_nearest(request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        return showing.nearest_html(session, session.selected)

    @spoken
    def on_select(event: gr.SelectData, request: gr.Request) -> None:
        session = sessions.of(request.session_hash)
        _, session.selected = showing.chosen_made(session, event.index)

    def about_selected(session: Session) -> Any:
        """Streams, the list of circuits, and the first of them."""
        i = session.selected
        choices = showing.site_choices(session, i)
        shown = (
            gr.Dropdown(choices, value=0, visible=True) if choices else gr.Dropdown(visible=False)
        )
        return showing.selected_html(session, i), shown, showing.circuit_html(session, i, 0)

    @spoken
    def on_site(k: Any, request: gr.Request) -> Any:
        session = sessions.of(request.session_hash)
        return showing.circuit_html(session, session.selected, k)

    @spoken
    def on_walk(
        class_name: Any, a: Any, b: Any, steps: Any, cut: Any, kind: Any, shots: Any, device: Any,
        request: gr.Request,
    ) -> Any:  # fmt: skip
        session = sessions.of(request.session_hash)
        order = order_of(class_name, 1, a, cut, kind, shots, device)
        images = way(
            session.model, order.class_name, (a, b), steps, order.truncation, order.backend
        )
        return showing.walk_html(session, list(images), (a, b), class_name)

    kind.change(on_kind, kind, [shots, device], show_progress="hidden", **named)
    another.click(lambda: secrets.randbelow(1_000_000), None, seed, show_progress="hidden", **named)
    made: dict[str, Any] = {
        "fn": on_make,
        "inputs": controls,
        "outputs": [said, gallery, download, details],
        "show_progress_on": said,  # the pictures of before stay in sight, also after an error
        **one,
    }

    def then_look(event: Any) -> None:
        about = [streams, site, circuit]
        event.success(on_shown, None, about, show_progress="minimal", **look)
        event.success(on_nearest, None, nearest, show_progress="minimal", **named)

    def then_make(event: Any) -> None:
        then_look(event.success(**made))

    then_look(go.click(**made))
    # Those who come would rather look than read: the first images are there before a click.
    then_look(page.load(**made))
    then_look(gallery.select(on_select, None, None, show_progress="hidden", **named))
    site.input(on_site, site, circuit, show_progress="minimal", **look)
    walk.click(
        on_walk, [chosen, first, second, steps, truncation, kind, shots, device], strip, **one
    )
    changing = [head, notice, chosen, truncation, kind, shots, device, note]
    changing += [said, gallery, download, details, strip]
    return GenerateTab(changing, then_make)


def renewed(model: Model) -> list[Any]:
    """What the parts in `GenerateTab.changing` become when a session takes another generator."""
    import gradio as gr

    return [
        showing.head_html(model),
        showing.notice_html(model),
        gr.Dropdown(showing.class_choices(model), value=model.about.classes[0]),
        gr.Slider(value=NO_TRUNCATION, interactive=model.can_truncate),
        gr.Radio(backend_choices(model), value=EXACT),
        gr.Number(visible=False),
        gr.Dropdown(visible=False),
        _note(backend_note(model)),
        _note("Choose a class and make images."),
        gr.Gallery([]),
        gr.DownloadButton(value=None, visible=False),
        gr.Column(visible=False),
        "",
    ]


def _note(text: str) -> str:
    from hqgan.app.pictures import sentences

    return sentences([text]) if text else ""
