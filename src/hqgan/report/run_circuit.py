"""The circuit of a generator with its learned angles, and what one image feeds in and reads out."""

import torch

from hqgan.data import to_uint8
from hqgan.errors import UsageError
from hqgan.models import About, Generator, latents
from hqgan.quantum import QuantumLayer, simulate
from hqgan.report.circuit_figure import circuit_figure, in_words
from hqgan.report.pieces import chart, details, paragraph, photographs, scrolled
from hqgan.workflows.hardware.capture import Call, circuit_call

TEXT_WIDE = 400  # characters of a text drawing; a longer one helps nobody


def circuit(generator: Generator, about: About, seed: int) -> list[str]:
    """The drawing, the image it belongs to, and its gates as text; or why there is none."""
    if not any(isinstance(module, QuantumLayer) for module in generator.modules()):
        return [paragraph("This generator has no circuits.")]
    most = int(torch.tensor(about.class_counts).argmax())
    z, y = next(latents(generator, [most], seed))
    try:
        call = circuit_call(generator, z, y)
    except UsageError as refusal:
        return [paragraph(f"Its circuits are not drawn: {refusal}")]
    layer = call.layer
    inputs, weights = call.inputs[0, 0], call.weights[0]
    values = simulate(layer.circuit, call.inputs[:1, :1], call.weights[:1])[0, 0]
    with torch.inference_mode():
        image = to_uint8(generator(z, y).float())
    drawn = circuit_figure(layer.circuit, weights=weights, inputs=inputs, values=values)
    name = about.classes[most]
    text = layer.circuit.draw()
    parts = [
        paragraph(what(call)),
        '<div class="example">'
        + photographs(image, f"The generated image of the class {name} that the numbers are of")
        + paragraph(f"The numbers are those of this image: class {name}, seed {seed}, its first.")
        + "</div>",
        chart(drawn, "circuit", in_words(layer.circuit, values)),
    ]
    if max(map(len, text.splitlines())) <= TEXT_WIDE:
        inside = scrolled(f"<pre>{text.translate(ESCAPES)}</pre>", "Circuit as text", "code")
        parts.append(details("The circuit as text", inside, printed=False))
    return parts


ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def what(call: Call) -> str:
    """How many circuits an image runs, and what is drawn of them."""
    circuit, count = call.layer.circuit, call.layer.circuits
    rows = call.inputs.shape[1]
    total = count * rows
    several = f"{total} circuits of {circuit.qubits} qubits for each image"
    kinds = "all with the same learned angles" if count == 1 else f"with {count} sets of weights"
    shown = "It" if total == 1 else "The first of them"
    return (
        f"{several}, {kinds}: {len(circuit.operations)} gates, depth {circuit.depth}, "
        f"{circuit.two_qubit_gates} gates on two qubits. {shown} is drawn, with the angles that it "
        "learned, those that one image feeds in, and the values that it reads out (exact)."
    )
