"""Write synthetic images to disk: what `hqgan sample` does."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqgan.data import class_folders, open_source, save_grid, save_png, to_uint8
from hqgan.errors import Interrupted, RunError, UsageError
from hqgan.evaluation import reference_class_mix
from hqgan.foreign import in_code, in_markdown
from hqgan.models import About, Generator, Origin, generate, load_snapshot
from hqgan.quantum import QuantumLayer
from hqgan.training.signals import stop_signals

GRID_COLUMNS = 8
PER_CLASS = 8  # where no number is asked for
FEW, SMALL = 256, 8  # images, qubits
CARD = "README.md"


@dataclass(frozen=True)
class Sampled:
    """What was written; the keys of `hqgan sample --json`.

    `origin` is the packaged generator that made the images, or that it was fine-tuned from.
    """

    files: int
    per_class: dict[str, int]
    out: str
    grid: str
    origin: Origin | None


def sample(
    run: Path,
    out: Path,
    *,
    per_class: int | None = None,
    n: int | None = None,
    like: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Sampled:
    """Write OUT/<class>/<number>.png, grid.png and README.md with the newest snapshot of `run`.

    Image i of a class depends on the seed and i alone: a larger order repeats the images of a
    smaller one, up to a grey level, for sums are rounded otherwise in another batch, and by the
    circuit kernel, which orders of at most `FEW` images do without. The same order gives the same
    files.

    Args:
        run: a run folder or a snapshot.
        out: a folder that is absent or empty.
        per_class: images of every class; `PER_CLASS` where no number is given.
        n: images in all, in the class mix of the training data or of `like`; excludes `per_class`.
        like: data whose class mix is taken (all its splits), as `--data`.
        seed: of the latents.

    Raises:
        UsageError: both numbers given, not positive, or more than the disk can hold.
        RunError: no snapshot, or `out` holds something.
        Interrupted: Ctrl-C or SIGTERM; what was written until then is whole.
    """
    if per_class is not None and n is not None:
        raise UsageError("say how many images: either --per-class N or --n N")
    if per_class is None and n is None:
        per_class = PER_CLASS
    if (per_class or n or 0) < 1:
        raise UsageError(
            f"the number of images is {per_class if n is None else n}, but must be at least 1"
        )
    if like is not None and n is None:
        raise UsageError(
            "--like sets the class mix of --n N; with --per-class every class gets the same number"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty; nothing is overwritten, so choose another --out")
    generator, about = load_snapshot(run)
    counts = [per_class] * len(about.classes) if per_class else class_mix(about, n or 0, like)
    require_space(out, sum(counts), generator.size)
    labels = [y for y, count in enumerate(counts) for _ in range(count)]
    spare_compilation(generator, len(labels))
    folders = class_folders(about.classes)
    rows: dict[int, list[np.ndarray]] = {}
    done = 0
    written = [0] * len(about.classes)
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = sample_card(about, len(labels), generator.size, seed)
        (out / CARD).write_bytes(text.encode("utf-8", "replace"))
        with stop_signals() as stopped:
            for batch in generate(generator, labels, seed):
                for image in to_uint8(batch):
                    y = labels[done]
                    save_png(image, out / folders[y] / f"{written[y]:05d}.png")
                    if written[y] < GRID_COLUMNS:
                        rows.setdefault(y, []).append(image)
                    written[y] += 1
                    done += 1
                if progress is not None:
                    progress(done, len(labels))
                if stopped() and done < len(labels):
                    break
        grid = save_grid(np.stack(rectangle(list(rows.values()))), out / "grid.png", GRID_COLUMNS)
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
    if done < len(labels):
        raise Interrupted(
            f"stopped: {done:,} of {len(labels):,} images are in {out}, all of them whole; the "
            "same command with another --out makes them all, these among them"
        )
    named = dict(zip(about.classes, counts, strict=True))
    return Sampled(len(labels), named, str(out), str(grid), about.origin)


def sample_card(about: About, images: int, size: int, seed: int) -> str:
    """README.md beside the images: what they are, and whose licence extends to them."""
    licence = (
        in_markdown(about.origin.terms("these images"))
        + "\n\nSo does that of any other data it was fine-tuned on: look that up before you share "
        "them."
        if about.origin
        else "The licence of the training data extends to these images. It is not known here: look "
        "it up and name it before you share them."
    )
    return f"""# Synthetic skin-lesion images

{images:,} images of {size} pixels in a folder a class, made by
[hqgan](https://arxiv.org/abs/2506.21015). **Every one is synthetic, for research, not for
diagnosis.**

- Generator: `{about.generator}`, preset {in_code(about.preset)}, {about.images_seen:,} images \
seen, training seed {about.seed}.
- Seed of these images: {seed}
- Training data (sha256 of the train split): {in_code(about.data_checksum)}

## Licence
{licence}
"""


def class_mix(about: About, n: int, like: str | None) -> list[int]:
    """`n` images in the proportions of the training data, or of data with the same class names."""
    if like is None:
        labels = np.repeat(np.arange(len(about.classes)), about.class_counts)
    else:
        source = open_source(like)
        unknown = sorted(set(source.classes) - set(about.classes))
        if unknown:
            raise UsageError(
                f"{like} has the class {unknown[0]!r}, which the run does not know "
                f"({', '.join(about.classes)})"
            )
        labels = np.array([about.classes.index(source.classes[r.label]) for r in source.records])
    return [int(count) for count in reference_class_mix(labels, len(about.classes), n)]


def spare_compilation(generator: Generator, images: int) -> None:
    """Let few images do without the circuit kernel, whose first use takes 20 s of compiling.

    Without gradients plain torch is as fast where circuits are small.
    """
    for module in generator.modules():
        if isinstance(module, QuantumLayer) and module.circuit.qubits <= SMALL and images <= FEW:
            module.without_kernel()


def rectangle(rows: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Rows of a grid, the shorter ones filled up with white."""
    blank = np.full_like(rows[0][0], 255)
    return [image for row in rows for image in row + [blank] * (GRID_COLUMNS - len(row))]


def require_space(out: Path, images: int, size: int) -> None:
    """Refuse more images than the disk can hold, each half of its 3 size² bytes as a PNG."""
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    needed, free = images * 3 * size**2 // 2, shutil.disk_usage(existing).free
    if needed > free:
        raise UsageError(
            f"{images:,} images of {size} pixels need about {needed / 1e9:,.1f} GB, but {existing} "
            f"has {free / 1e9:,.1f} GB left; ask for fewer, or choose another --out"
        )
