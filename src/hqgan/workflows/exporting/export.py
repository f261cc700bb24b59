"""A generator for people without torch, and its circuits for other machines: `hqgan export`."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import torch

import hqgan
from hqgan.errors import RunError, UsageError
from hqgan.models import About, Generator, load_snapshot
from hqgan.models.diffusion import DiffusionGenerator
from hqgan.workflows.exporting.card import LICENCE_UNKNOWN, NOTICE, card
from hqgan.workflows.exporting.checking import Check, check
from hqgan.workflows.exporting.circuit_files import write_circuits
from hqgan.workflows.exporting.latent_rule import latent_rule
from hqgan.workflows.exporting.onnx_files import (
    OPSET,
    require_opset,
    require_packages,
    write_onnx,
)
from hqgan.workflows.exporting.split import Angles, Cut, Images, cut_at_circuits
from hqgan.writing import writing

WHOLE = "latents_to_images.onnx"
ENCODER, DECODER = "latents_to_angles.onnx", "values_to_images.onnx"
MANIFEST = "manifest.json"
EXAMPLES = 2  # rows that are traced: the batch must not look like a constant


@dataclass(frozen=True)
class Exported:
    """What was written; the keys of `hqgan export --json`.

    Attributes:
        out: the folder.
        files: in it.
        model: of the generator.
        opset: of the ONNX files.
        circuits: sets of learned angles, each a file in OpenQASM 3 and one in JSON.
        check: the largest differences of ONNX Runtime from torch.
    """

    out: str
    files: list[str]
    model: str
    opset: int
    circuits: int
    check: Check


def export(
    run: Path,
    out: Path,
    *,
    opset: int = OPSET,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the newest snapshot of `run` into the new folder OUT, and check it.

    A model with circuits becomes latents_to_angles.onnx, the circuits in circuits/, and
    values_to_images.onnx; a model without them latents_to_images.onnx. With them come
    manifest.json (order, shapes, latents), latents.py and circuits.py (the same in numpy), and
    README.md. The folder appears when all of it is checked.

    Args:
        run: a run folder or a snapshot.
        out: a folder that is absent or empty.
        opset: version of ONNX's operators.
        progress: called as progress(done, total) after each step.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        UsageError: another opset, or a model that cannot be exported.
        RunError: no snapshot, `out` holds something, or ONNX Runtime makes other images.

    Cost: 20 s for hybridq on one core.
    """
    require_packages()
    require_opset(opset)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty; nothing is overwritten, so choose another --out")
    generator, about = load_snapshot(run)
    generator.requires_grad_(False)
    require_one_pass(generator)
    cut = cut_at_circuits(generator)
    with writing(f"to {out}"), new_folder(out) as folder:
        found = _write(generator, about, cut, folder, opset, progress or (lambda *_: None))
    names = sorted(str(f.relative_to(out)) for f in out.rglob("*") if f.is_file())
    sets = cut.layer.circuits if cut else 0
    return Exported(str(out), names, about.generator, opset, sets, found)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write in that gets the name `out` when all is well, and is removed if not."""
    out = out.resolve()  # a link to a folder stays one
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if out.is_dir():  # empty; it may be somebody's working folder, which must stay
            for file in temporary.iterdir():
                file.rename(out / file.name)
        else:
            temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_one_pass(generator: Generator) -> None:
    """UsageError for a model that makes an image in many passes."""
    if isinstance(generator, DiffusionGenerator):
        raise UsageError(
            f"ddpm makes an image in {generator.sampling_steps} passes of its network, with a "
            "scheduler between them that is no part of ONNX; export a model that makes an image in "
            "one pass, or take the weights as they are, model.safetensors in the snapshot"
        )


def _write(
    generator: Generator,
    about: About,
    cut: Cut | None,
    folder: Path,
    opset: int,
    progress: Callable[[int, int], None],
) -> Check:
    steps = 3 if cut is None else 4
    manifest = manifest_of(generator, about, opset)
    z = generator.sample_z(EXAMPLES, torch.Generator().manual_seed(0))
    examples = {"latents": z, "classes": torch.zeros(EXAMPLES, dtype=torch.long)}
    metadata = metadata_of(manifest)
    shapes = {"latents": ["batch", generator.z_dim], "classes": ["batch"]}
    pictures = {"images": ["batch", 3, generator.size, generator.size]}
    if cut is None:
        onnx = {"images": WHOLE}
        write_onnx(generator, examples, "images", folder / WHOLE, opset=opset, metadata=metadata)
        manifest["steps"] = [{"file": WHOLE, "inputs": shapes, "outputs": pictures}]
    else:
        onnx = {"angles": ENCODER, "images": DECODER}
        write_onnx(
            Angles(generator, cut),
            examples,
            "angles",
            folder / ENCODER,
            opset=opset,
            metadata=metadata,
        )
        progress(1, steps)
        values = torch.zeros(EXAMPLES, cut.rows, cut.layer.circuits, cut.layer.circuit.outputs)
        write_onnx(
            Images(generator, cut),
            examples | {"values": values},
            "images",
            folder / DECODER,
            opset=opset,
            metadata=metadata,
        )
        circuits = write_circuits(generator, cut, folder)
        angles = {"angles": circuits["angles"]["shape"]}
        measured = {"values": circuits["values"]["shape"]}
        manifest["steps"] = [
            {"file": ENCODER, "inputs": shapes, "outputs": angles},
            {"circuits": "see circuits", "inputs": angles, "outputs": measured},
            {"file": DECODER, "inputs": shapes | measured, "outputs": pictures},
        ]
        manifest["circuits"] = circuits
    progress(steps - 2, steps)
    standalone = package_files("hqgan.workflows.exporting.standalone")
    for name in ("latents.py", *(["circuits.py"] if cut else [])):
        (folder / name).write_bytes((standalone / name).read_bytes())
    write_json(folder / MANIFEST, manifest)
    found = check(generator, cut, folder, onnx)
    progress(steps - 1, steps)
    write_json(folder / MANIFEST, manifest | {"check": asdict(found)})
    text = card(about, manifest, found)
    (folder / "README.md").write_bytes(text.encode("utf-8", "replace"))
    progress(steps, steps)
    return found


def manifest_of(generator: Generator, about: About, opset: int) -> dict[str, Any]:
    """What a program needs to know of the generator."""
    origin = about.origin
    return {
        "format": "hqgan.export",
        "version": 1,
        "hqgan": hqgan.__version__,
        "notice": NOTICE,
        "licence": origin.licence if origin else LICENCE_UNKNOWN,
        "credit": origin.terms("these files and the images they make") if origin else "",
        "model": about.generator,
        "preset": about.preset,
        "images_seen": about.images_seen,
        "training_seed": about.seed,
        "training_data_sha256": about.data_checksum,
        "classes": [name.encode("utf-8", "replace").decode() for name in about.classes],
        "size": generator.size,
        "opset": opset,
        "latents": latent_rule(generator),
        "pixels": {
            "range": [-1, 1],
            "order": "images[b, colour, row, column], red first",
            "as_8_bit": "round((pixel + 1) * 127.5), clipped to 0 ... 255",
        },
    }


def metadata_of(manifest: dict[str, Any]) -> dict[str, str]:
    """What each ONNX file says of itself, wherever it is copied to."""
    kept = (
        *("hqgan", "notice", "licence", "credit", "model", "preset", "images_seen"),
        *("training_data_sha256", "classes", "latents", "pixels"),
    )
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in ((key, manifest[key]) for key in kept)
    }


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Indented, but lists of plain values on one line."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    # No string of JSON holds a line break, so none is touched.
    text = re.sub(r"\[\n[^][{}]*\n *\]", lambda found: re.sub(r"\n *", " ", found[0]), text)
    file.write_text(text + "\n", encoding="utf-8")
