"""Draws docs/images/how-it-works.svg: the generator, with the sizes that the code has.

Usage: python .ci/figure.py     (`make figure`)

The picture at its right end is made by the packaged generator.
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from hqgan.config import load_config
from hqgan.data import to_uint8
from hqgan.models import HybridQGenerator, generate, load_snapshot
from hqgan.models.hybridq import MAP, SITES, STREAM_CHANNELS, Encoder
from hqgan.pretrained import find_pretrained

OUT = Path(__file__).parents[1] / "docs" / "images" / "how-it-works.svg"
PACKAGED, CLASS, SEED = "ham10000-64", "mel", 3
WIDTH, HEIGHT = 1180, 486
INK, SOFT, LINE = "#1f2933", "#52606d", "#7b8794"
PLAIN, CLASSICAL, QUANTUM, LEARN = "#eef1f4", "#d7e9f7", "#f9e3d2", "#e3efe6"
EDGE = {PLAIN: LINE, CLASSICAL: "#0072b2", QUANTUM: "#d55e00", LEARN: "#00805b"}


def main() -> None:
    settings = load_config("hybridq").generator.model_dump()
    settings.pop("name")
    generator = HybridQGenerator(classes=7, **settings)
    circuits = generator.quantum.circuits.circuit
    z, sites, values = settings["z_dim"], SITES**2, circuits.outputs
    stream, latent_map = f"{STREAM_CHANNELS}×{MAP}×{MAP}", f"{Encoder.channels}×{MAP}×{MAP}"
    parts = [
        box(18, 70, 104, 46, PLAIN, "latent z", f"{z} numbers"),
        box(18, 150, 104, 46, PLAIN, "class y", "akiec … vasc"),
        box(160, 100, 104, 66, PLAIN, "encoder", f"map {latent_map}"),
        arrow((122, 93), (142, 93), (142, 120), (160, 120)),
        arrow((122, 173), (142, 173), (142, 146), (160, 146)),
        # the two streams
        label(310, 30, "classical stream", EDGE[CLASSICAL]),
        box(310, 42, 470, 56, CLASSICAL, "convolution", f"{latent_map} → {stream}"),
        arrow((264, 120), (286, 120), (286, 70), (310, 70)),
        label(310, 146, "quantum stream", EDGE[QUANTUM]),
        arrow((264, 146), (286, 146), (286, 212), (310, 212)),
        box(310, 158, 96, 108, QUANTUM, "pool", f"{SITES}×{SITES} = {sites} sites"),
        box(426, 158, 104, 108, QUANTUM, "to angles", f"{circuits.inputs} a site,", "in (−π, π)"),
        frame(550, 158, 134, 108, QUANTUM),
        wires(560, 170, 114, 62),
        text(617, 247, f"{sites} circuits of {circuits.qubits} qubits", 11, SOFT),
        text(617, 260, f"{values} values each", 11, SOFT),
        box(704, 158, 76, 108, QUANTUM, "to map", stream),
        *(arrow((x, 212), (x + 20, 212)) for x in (406, 530, 684)),
        # fusion, decoder, image
        box(826, 104, 92, 66, PLAIN, "fuse", "learned gate"),
        arrow((780, 70), (804, 70), (804, 126), (826, 126)),
        arrow((780, 212), (804, 212), (804, 150), (826, 150)),
        box(946, 104, 92, 66, PLAIN, "decoder", f"{MAP} → {settings.get('size', 64)} px"),
        arrow((918, 137), (946, 137)),
        arrow((1038, 137), (1066, 137)),
        picture(1066, 89, 96, sample()),
        text(1114, 202, f"synthetic {CLASS}", 11, SOFT),
        # what the quantum stream is held against
        text(
            545,
            292,
            "controls put something else in the circuits' place: twin-classical, "
            "twin-fourier, twin-zeros, twin-random, twin-product",
            12,
            SOFT,
        ),
        # training
        f'<path d="M18 322H{WIDTH - 18}" stroke="#cbd2d9"/>',
        label(18, 348, "training", EDGE[LEARN]),
        box(18, 362, 170, 60, LEARN, "real and synthetic", "the same number of each"),
        box(214, 362, 182, 60, LEARN, "augmentation", "differentiable, of both alike"),
        box(422, 362, 156, 60, LEARN, "critic", "knows the class"),
        box(604, 362, 192, 60, LEARN, "loss", "non-saturating, R1 penalty"),
        box(
            822, 362, 340, 60, LEARN, "moving average of the generator", "what is saved and shared"
        ),
        *(arrow((x, 392), (x + 26, 392)) for x in (188, 396, 578, 796)),
        text(
            18,
            452,
            "The clock is real images shown to the critic (kimg). Every box above the line "
            "is in models/hybridq.py, the circuits in quantum/statevector.py.",
            12,
            SOFT,
            "start",
        ),
    ]
    OUT.write_text(svg(parts), encoding="utf-8")


def sample() -> bytes:
    generator, about = load_snapshot(find_pretrained(PACKAGED))
    image = to_uint8(next(generate(generator, [about.classes.index(CLASS)], SEED)))[0]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def svg(parts: Sequence[str]) -> str:
    said = (
        "HybridQ's generator: latent and class are encoded to a map that a classical and a quantum "
        "stream read; both are fused and decoded to an image. Below: how it is trained."
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
 font-family="system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif">
<title>{escape(said)}</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>
{chr(10).join(parts)}
</svg>
"""


def frame(x: int, y: int, width: int, height: int, fill: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" '
        f'stroke="{EDGE[fill]}" stroke-width="1.4"/>'
    )


def box(x: int, y: int, width: int, height: int, fill: str, title: str, *more: str) -> str:
    middle, top = x + width / 2, y + height / 2 - 7 * len(more) + 5
    lines = [text(middle, top, title, 14, INK, weight=600)]
    lines += [text(middle, top + 17 + 14 * i, line, 11, SOFT) for i, line in enumerate(more)]
    return frame(x, y, width, height, fill) + "".join(lines)


def text(
    x: float, y: float, said: str, size: int, fill: str, anchor: str = "middle", weight: int = 400
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(said)}</text>'
    )


def label(x: int, y: int, said: str, fill: str) -> str:
    return text(x, y, said, 13, fill, "start", 600)


def arrow(*points: tuple[int, int]) -> str:
    path = "L".join(f"{x} {y}" for x, y in points)
    return (
        f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="1.4" marker-end="url(#tip)"/>'
    )


def wires(x: int, y: int, width: int, height: int) -> str:
    """A small circuit: three wires with rotations, controlled Z gates, and what is read."""
    edge, parts = EDGE[QUANTUM], []
    rows = [y + height * (i + 0.5) / 3 for i in range(3)]
    for row in rows:
        parts.append(f'<path d="M{x} {row:g}H{x + width}" stroke="{edge}"/>')
        for column in (8, 64):
            parts.append(
                f'<rect x="{x + column}" y="{row - 7:g}" width="14" height="14" fill="#fff" '
                f'stroke="{edge}"/>'
            )
    for column, first in ((36, 0), (48, 1), (90, 0), (102, 1)):
        top, bottom = rows[first], rows[first + 1]
        parts.append(f'<path d="M{x + column} {top:g}V{bottom:g}" stroke="{edge}"/>')
        parts += [
            f'<circle cx="{x + column}" cy="{r:g}" r="3" fill="{edge}"/>' for r in (top, bottom)
        ]
    return "".join(parts)


def picture(x: int, y: int, edge: int, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return (
        f'<image x="{x}" y="{y}" width="{edge}" height="{edge}" '
        f'href="data:image/png;base64,{data}"/>'
    )


if __name__ == "__main__":
    main()
