"""Writes the circuit gallery, docs/reference/circuits.md: every named circuit, drawn by the code.

Run by .ci/pages.py. Encodings, entanglers and read-outs are shown on three qubits and one layer;
presets as a generator of 64 pixels has them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

from matplotlib import rc_context

import hqgan.quantum.ansatz as ansatz
from hqgan.config import load_config, preset_names
from hqgan.evaluation.costs import costs
from hqgan.models import build_generator, parameter_count
from hqgan.quantum import ENCODINGS, ENTANGLERS, READOUTS, ROTATIONS, Circuit, QuantumLayer, layered
from hqgan.report.circuit_figure import circuit_figure

CLASSES, SIZE = 7, 64
QUBITS = 4  # of the circuits that show one choice


def main(out: Path) -> None:
    (out / "circuits").mkdir(exist_ok=True)
    (out / "circuits.md").write_text("\n".join(gallery(out / "circuits")), encoding="utf-8")


def gallery(pictures: Path) -> Iterator[str]:
    yield "# Circuit gallery\n"
    yield (
        "Every circuit that has a name here, drawn by the code that runs it; `Circuit.draw()` "
        "gives the same as text. Angles `x` are inputs, different for each image and place; "
        "angles `w` are weights, learned. Qubit 0 is the top line, and the most significant "
        "bit.\n"
    )
    yield from presets(pictures)
    yield "\n## Choices by name\n"
    yield (
        "`hqgan.quantum.layered` joins them: an encoding, then for each layer rotations and an "
        f"entangler, then a read-out. Here on {QUBITS} qubits with one layer. Who used which:\n"
    )
    yield used_by()
    for title, key, names, fixed in (
        ("Encodings", "encoding", ENCODINGS, {"entangler": "none"}),
        ("Rotations", "rotation", ROTATIONS, {"entangler": "none"}),
        ("Entanglers", "entangler", ENTANGLERS, {}),
        ("Read-outs", "readout", READOUTS, {"entangler": "cz_chain", "final_rotation": True}),
    ):
        yield f"\n### {title}\n"
        for name in names:
            circuit = layered(QUBITS, 1, **{**fixed, key: name})
            yield f"\n#### {key} `{name}`\n"
            yield from drawn(circuit, f"{key}-{name}", pictures, f"{key} {name}")


def presets(pictures: Path) -> Iterator[str]:
    yield "\n## Circuits of the presets\n"
    yield (
        f"Generators of {SIZE} px for {CLASSES} classes. *Circuits an image*: sets of angles that "
        "are run to make one image. *Weights*: of one circuit. Presets that share a circuit are "
        "drawn once; presets without circuits are not here.\n"
    )
    heads = ["preset", "qubits", "gates", "on two qubits", "depth", "inputs", "weights", "values"]
    heads += ["circuits an image", "two-qubit gates an image", "generator parameters"]
    yield "| " + " | ".join(heads) + " |\n" + "| --- " + "| ---: " * (len(heads) - 1) + "|"
    shown: dict[Circuit, list[str]] = {}
    for name in [name for name in preset_names() if "+" not in name]:
        options = load_config(name).generator.model_dump()
        generator = build_generator(classes=CLASSES, size=SIZE, **options)
        layers = [m for m in generator.modules() if isinstance(m, QuantumLayer)]
        if not layers:
            continue
        for layer in layers:
            layer.without_kernel()  # which would take its time to compile
        circuits = {layer.circuit for layer in layers}
        count = costs(generator.eval())
        for circuit in circuits:
            shown.setdefault(circuit, []).append(name)
            numbers = [circuit.qubits, len(circuit.operations), circuit.two_qubit_gates]
            numbers += [circuit.depth, circuit.inputs, circuit.weights, circuit.outputs]
            numbers += [count.circuits_per_image, count.two_qubit_gates_per_image]
            numbers += [parameter_count(generator)]
            yield f"| `{name}` | " + " | ".join(f"{n:,}" for n in numbers) + " |"
    for circuit, names in shown.items():
        yield f"\n### {', '.join(names)}\n"
        yield from drawn(circuit, names[0], pictures, f"the circuit of {' and '.join(names)}")


def drawn(circuit: Circuit, name: str, pictures: Path, what: str) -> Iterator[str]:
    """A picture, what it is made of, and the same as text to copy."""
    gates = Counter(operation.gate.upper() for operation in circuit.operations)
    listed = ", ".join(f"{count} {gate}" for gate, count in sorted(gates.items()))
    state = "real" if circuit.is_real else "complex"
    file = pictures / f"{re.sub('[^a-z0-9]+', '-', name)}.svg"
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": file.name}):
        circuit_figure(circuit).savefig(file, metadata={"Date": None})
    alt = f"{what}: {circuit.qubits} qubits, {listed or 'no gates'}"
    yield f"![{alt}]({pictures.name}/{file.name}){{ .circuit }}\n"
    yield f"{listed}; depth {circuit.depth}; {circuit.outputs} values; a {state} state.\n"
    yield '??? note "As text"'
    yield indent(f"```text\n{circuit.draw()}\n```\n", "    ")


def used_by() -> str:
    """The table of the module's docstring."""
    return "\n".join(re.findall(r"^\|.*\|$", ansatz.__doc__ or "", re.MULTILINE)) + "\n"
