"""What the first tab says and shows of a session: plain text and HTML, no layout."""

from html import escape

from hqgan.app.explaining import Site, sites, switched
from hqgan.app.generating import Made
from hqgan.app.model import Model
from hqgan.app.pictures import figure, sentences, side_by_side, table, wide_drawing
from hqgan.app.sentences import sentence
from hqgan.app.sessions import Session
from hqgan.errors import HqganError, UsageError
from hqgan.models.walking import NO_TRUNCATION
from hqgan.quantum.circuit import Expectations, Slot
from hqgan.report.page import as_png

NOTICE = "Synthetic images, for research, not for diagnosis."
NO_ORDER = "Make images first, then choose one of them."
EVERY_CLASS = ""  # the value of the choice
KINDS = {"zeros": "quantum stream off (zeros)", "shuffled": "quantum stream of another image"}


def head_html(model: Model) -> str:
    """What generator this is."""
    about = model.about
    source = (
        f"<p>Source of its training data: {escape(words)}</p>" if (words := model.source) else ""
    )
    return (
        f'<div class="hq-head"><h1>hqgan: {escape(model.name)}</h1><p>{escape(about.generator)}, '
        f"{model.generator.size} pixels, {len(about.classes)} classes, trained for "
        f"{about.images_seen:,} images.</p>{source}</div>"
    )


def notice_html(model: Model) -> str:
    """What must be said beside every picture."""
    return (
        f'<div class="hq-notice" role="note"><strong>{NOTICE}</strong> '
        f"<span>{escape(model.credit())}</span></div>"
    )


def class_choices(model: Model) -> list[tuple[str, str]]:
    """Label and value of each class, then of all together."""
    about = model.about
    named = [
        (f"{name} ({count:,} training images)", name)
        for name, count in zip(about.classes, about.class_counts, strict=True)
    ]
    return [*named, ("every class", EVERY_CLASS)]


def backend_words(backend: str) -> str:
    """A backend as it is said in a sentence."""
    kind, _, rest = backend.partition(":")
    if kind == "shots":
        return f"{int(rest):,} shots of each circuit"
    return f"the noise of {rest}" if kind == "noise" else "exact values"


def order_words(made: Made, seconds: float) -> str:
    """What was made, as a sentence."""
    order = made.order
    of = f"of {order.class_name}" if order.class_name is not None else "of every class"
    cut = "" if order.truncation == NO_TRUNCATION else f", truncation {order.truncation:g}"
    return (
        f"{len(made)} image{'s' * (len(made) != 1)} {of}, seed {order.seed}{cut}, "
        f"{backend_words(order.backend)}; {seconds:.1f} s."
    )


def captions(model: Model, made: Made) -> list[str]:
    """One for each image: its number, after its class where there are several."""
    if made.order.class_name is not None:
        return [f"image {i}" for i in made.numbers]
    return image_names(model, made)


def image_names(model: Model, made: Made) -> list[str]:
    """One for each image: class and number."""
    classes = model.about.classes
    return [f"{classes[y]} {i}" for y, i in zip(made.labels, made.numbers, strict=True)]


def chosen_made(session: Session, i: object) -> tuple[Made, int]:
    """The latest images and a number among them, from wherever it comes; UsageError."""
    made = session.made
    if made is None:
        raise UsageError(NO_ORDER)
    if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < len(made):
        raise UsageError("That picture is not among the latest ones; choose another.")
    return made, i


def selected_html(session: Session, i: object) -> str:
    """A picture, and what becomes of it without its quantum stream."""
    made, i = chosen_made(session, i)
    model, name = session.model, image_names(session.model, made)[i]
    figures = [figure(made.images[i], f"Synthetic image {name}", f"{name}, as made")]
    if model.without_stream:
        return side_by_side(figures) + sentences([model.without_stream])
    for one in switched(model, made, i):
        alt = f"Synthetic image {name} with the {KINDS[one.kind]}"
        words = f"{KINDS[one.kind]}: changes {one.change:.1f} of 255 grey levels"
        figures.append(figure(one.image, alt, words))
    return side_by_side(figures)


def nearest_html(session: Session, i: object) -> str:
    """The training image nearest to a picture, or a sentence why there is none."""
    made, i = chosen_made(session, i)
    name = image_names(session.model, made)[i]
    try:
        found = session.training_images.nearest(made.images[i])
    except HqganError as error:
        known = {str(session.training_images.run): "this generator"}
        return sentences([f"There is no training image beside it. {sentence(error, known)}"])
    which = "nearest training image" if found.trained_on else "nearest of these data"
    pair = [
        figure(made.images[i], f"Synthetic image {name}", f"{name}, synthetic"),
        figure(
            found.image,
            f"Real image, class {found.class_name}, nearest to {name}",
            f"{which}, real: {found.class_name}, distance {found.distance:.1f}",
        ),
    ]
    words = (
        "Distance: root mean square of 16 x 16 averages, turned and mirrored as need be, in grey "
        "levels of 255; 0 is a copy."
    )
    if not found.trained_on:
        words += " These data are not exactly those that the generator was trained on."
    return side_by_side(pair) + sentences([words])


def site_choices(session: Session, i: object) -> list[tuple[str, int]]:
    """The circuits of a picture, by name; empty for a model without."""
    made, i = chosen_made(session, i)
    if session.model.without_circuits:
        return []
    return [(site.name, k) for k, site in enumerate(sites(session.model, made, i))]


def circuit_html(session: Session, i: object, k: object) -> str:
    """A circuit of a picture: drawn, and its numbers as a table."""
    made, i = chosen_made(session, i)
    if session.model.without_circuits:
        return sentences([session.model.without_circuits])
    all_sites = sites(session.model, made, i)
    if not isinstance(k, int) or isinstance(k, bool) or not 0 <= k < len(all_sites):
        raise UsageError(f"There are {len(all_sites)} circuits; choose one of the list.")
    site, name = all_sites[k], image_names(session.model, made)[i]
    # No class in it: matplotlib reads dollar signs as mathematics, and its font lacks scripts.
    drawing = as_png(site.figure(f"{site.name}, {backend_words(made.order.backend)}"))
    alt = (
        f"{site.name}, of {name}: circuit of {site.circuit.qubits} qubits and "
        f"{len(site.circuit.operations)} gates; its numbers are in the table below"
    )
    return wide_drawing(drawing, alt, "Drawing of the circuit") + numbers_html(site)


def numbers_html(site: Site) -> str:
    """Angles and values of a circuit, for those who copy or cannot see the drawing."""
    circuit = site.circuit
    angles = [f"{float(angle):+.3f}" for angle in site.inputs]
    if not isinstance(circuit.readout, Expectations):
        rows = [[f"outcome {k}", f"{float(v):.3f}"] for k, v in enumerate(site.values)]
        return table(("Read out", "Probability"), rows, "Probabilities read out")
    uploaded: dict[int, str] = {}
    for operation in circuit.operations:
        if isinstance(operation.angle, Slot) and operation.angle.source == "input":
            uploaded.setdefault(operation.wires[0], angles[operation.angle.index])
    single: dict[tuple[int, str], str] = {}
    longer: list[list[str]] = []
    for word, value in zip(circuit.readout.observables, site.values, strict=True):
        letters = [(wire, letter) for wire, letter in enumerate(word) if letter != "I"]
        if len(letters) == 1:
            single[letters[0]] = f"{float(value):+.3f}"
        else:
            longer.append(["".join(f"{p}{w}" for w, p in letters), f"{float(value):+.3f}"])
    letters_read = [p for p in "XYZ" if any(p == letter for _, letter in single)][::-1]
    rows2 = [
        [
            f"qubit {wire}",
            uploaded.get(wire, ""),
            *(single.get((wire, p), "") for p in letters_read),
        ]
        for wire in range(circuit.qubits)
    ]
    head = ("Wire", "Angle of this image, radians", *(f"⟨{p}⟩" for p in letters_read))
    text = table(head, rows2, "Angles and expectation values")
    if longer:
        text += table(("Read out", "Value"), longer, "Products that are read out")
    return text


def walk_html(session: Session, images: list, seeds: tuple[int, int], class_name: str) -> str:
    """A strip of images from one seed to another."""
    last = len(images) - 1
    figures = []
    for step, image in enumerate(images):
        words = {0: f"seed {seeds[0]}", last: f"seed {seeds[1]}"}.get(step, f"{step} of {last}")
        alt = f"Synthetic image {class_name}, step {step} of {last} from seed {seeds[0]} to "
        figures.append(figure(image, f"{alt}{seeds[1]}", words))
    return side_by_side(figures, "hq-walk")
