"""The picture to look at before any number: real images beside generated ones, class by class."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hqgan.data import Dataset, load_dataset, to_uint8
from hqgan.foreign import in_figure
from hqgan.models import About, Generator, find_snapshot, generate, load_snapshot
from hqgan.report.page import DPI, STYLE, as_png, lay_out, writing_to
from hqgan.report.pieces import side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8  # images on either side
FINE = 64  # pixels; smaller images are enlarged
GAP = 4  # pixels between real and generated, and between classes


def sample_sheet(
    run: Path,
    data: str,
    *,
    split: str = "val",
    label: str | None = None,
    out: Path | None = None,
    seed: int = 0,
) -> Path:
    """Write OUT/real-and-generated-SNAPSHOT-SPLIT.png, which holds real images; returns its path.

    Args:
        run: a run folder, whose newest snapshot is drawn, or a snapshot.
        data: what the run was trained on; its `split` is shown.
        split: "train", "val" or "test".
        label: the column used as class.
        out: a folder; None is the one that the snapshot lies in.
        seed: of the latents, and of which real images are shown.

    Raises:
        RunError: no snapshot, or a folder that cannot be written.
    """
    snapshot = find_snapshot(run)
    generator, about = load_snapshot(snapshot)
    reference = load_dataset(data, split, generator.size, label=label)
    out = out or snapshot.parent
    file = out / f"real-and-generated-{snapshot.name.removeprefix('snapshot-')}-{split}.png"
    with writing_to(out):
        file.write_bytes(as_png(sheet_figure(generator, about, reference, seed)))
    return file


def sheet_figure(generator: Generator, about: About, reference: Dataset, seed: int) -> "Figure":
    """A row a class: COLUMNS real images, then as many generated ones, none of them chosen."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size, classes = generator.size, len(about.classes)
    step, half = size + GAP, COLUMNS * size
    sheet = np.full((classes * step - GAP, 2 * half + 2 * GAP, 3), 255, np.uint8)
    for y in range(classes):
        rows = slice(y * step, y * step + size)
        real = some_of(reference, y, seed)
        sheet[rows, : len(real) * size] = side_by_side(real)
        images = [to_uint8(batch) for batch in generate(generator, [y] * COLUMNS, seed)]
        sheet[rows, -half:] = side_by_side(np.concatenate(images))
    height, width = sheet.shape[:2]
    inches = max(1, FINE // size) / DPI  # of a pixel
    with rc_context(STYLE):
        figure = Figure(figsize=(inches * width + 0.9, inches * height + 0.4))
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        axis.imshow(sheet, interpolation="nearest")
        axis.set_yticks(
            [y * step + size / 2 for y in range(classes)], list(map(in_figure, about.classes))
        )
        axis.set_xticks(
            [half / 2, width - half / 2],
            [f"real ({reference.split})", f"generated after {about.images_seen:,} images"],
        )
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        lay_out(figure)
    return figure


def some_of(reference: Dataset, y: int, seed: int) -> np.ndarray:
    """At most COLUMNS images of a class, drawn by the seed: uint8 (n, S, S, 3)."""
    found = np.flatnonzero(reference.labels == y)
    return reference.images[np.random.default_rng([seed, y]).permutation(found)[:COLUMNS]]
