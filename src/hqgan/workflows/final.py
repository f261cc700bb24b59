"""The end of a comparison: the runs that were measured on val are measured on test, on record.

Nothing is trained or chosen here. Of each run the snapshot that val has seen is measured, once, and
what depends on all snapshots (the curve, and what is read from it) stays that of val. Before any
number is made, test-opened.json notes when test was opened and for which weights; a run that is
trained further, or trained anew, and measured again adds an opening, which the table then shows.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from hqgan.data import Dataset, load_dataset
from hqgan.errors import RunError, UsageError, raise_if_of_the_machine
from hqgan.evaluation import load_extractor
from hqgan.models import load_snapshot, snapshot_in
from hqgan.training import Callbacks
from hqgan.training.runs import write_atomically
from hqgan.workflows.cell import DIGEST, Cell, Recipe, judged, save

OPENED = "test-opened.json"


@dataclass(frozen=True)
class FinalCell(Cell):
    """A cell of the final table: `recipe` is that of test.

    Attributes:
        on_val: the same cell as it is measured on val.
    """

    on_val: Cell = field(kw_only=True)

    RECORD: ClassVar[str] = "cell-final.json"
    FEATURES: ClassVar[str] = "fakes-final.npz"

    def done(self) -> dict[str, Any] | None:
        """What `run_final` wrote, if it is of the snapshot that val has seen; else None."""
        record, before = super().done(), self.on_val.done()
        if record is None or before is None:
            return None
        same = all(record.get(key) == before.get(key) for key in ("snapshot", DIGEST))
        return record if same else None


def final_cells(cells: Sequence[Cell], recipe: Recipe) -> tuple[FinalCell, ...]:
    """The same cells, to be measured by the recipe of test."""
    return tuple(FinalCell(**{**vars(cell), "recipe": recipe}, on_val=cell) for cell in cells)


def run_final(cell: FinalCell, callbacks: Callbacks | None = None) -> dict[str, Any]:
    """Measure on test the snapshot that was measured on val; returns cell-final.json.

    Raises:
        RunError: it was not measured on val.
    """
    finished = cell.done()
    if finished is not None:
        return finished
    before = cell.on_val.done()
    if before is None:
        raise RunError(f"{cell.name} was not measured on val, and is not measured on test before")
    tell = callbacks or Callbacks()
    tell.message(f"{cell.name}: measuring on test")
    (cell.out / cell.RECORD).unlink(missing_ok=True)  # the features below will be of now
    found: list[dict[str, Any]] = []
    if before["snapshot"] is not None:
        size = cell.config.size
        dataset = load_dataset(cell.data, "train", size, label=cell.label)
        reference = load_dataset(cell.data, cell.recipe.split, size, label=cell.label)
        generator, _ = load_snapshot(snapshot_in(cell.run, before["snapshot"]))
        extractor = load_extractor(cell.weights, cell.recipe.extractor)
        found, *_ = judged(cell, generator, dataset, reference, extractor)
    record = before | {"recipe": asdict(cell.recipe), "recipes": found}
    save(cell, record)
    return record


def require_same_test(out: Path, checksum: str, n: int) -> None:
    """Raise UsageError unless test is unopened in this folder, or was opened as it would be now."""
    record = read_openings(out)
    for what, before, now in (
        ("other test images (sha256", record.get("checksum", checksum), checksum),
        ("another number of generated images (n", record.get("n", n), n),
    ):
        if before != now:
            raise UsageError(
                f"test was opened in {out} with {what} {before}, now {now}); its numbers cannot "
                "share a table with these"
            )


def open_test(out: Path, cells: Sequence[FinalCell], reference: Dataset) -> list[dict[str, Any]]:
    """Note which snapshots are about to be measured on test; returns all openings.

    A snapshot that was noted before, by a command that was interrupted, is not noted again; it is
    known by the digest of its weights. The caller keeps other processes out of the folder: of two
    at once, the later would drop what the earlier noted.

    Raises:
        RunError: test was opened, and the record of it is gone or cannot be written.
    """
    try:
        return add_opening(out, cells, reference)
    except OSError as error:
        raise RunError(
            f"the test split is opened on record only, and {out / OPENED} cannot be written: "
            f"{error.strerror}"
        ) from error


def add_opening(out: Path, cells: Sequence[FinalCell], reference: Dataset) -> list[dict[str, Any]]:
    """As `open_test`."""
    record = read_openings(out)
    if not record and any((cell.out / cell.RECORD).exists() for cell in cells):
        raise RunError(
            f"test was opened in this comparison before, but {out / OPENED}, which says when, is "
            "gone; restore it"
        )
    openings = list(record.get("openings", []))
    known = {
        (name, snapshot, opening.get(DIGEST, {}).get(name))
        for opening in openings
        for name, snapshot in opening["snapshots"].items()
    }
    records = {cell.name: cell.on_val.done() or {} for cell in cells}
    latest = {(name, one.get("snapshot"), one.get(DIGEST)) for name, one in records.items()}
    new = sorted(latest - known)
    if not new:
        return openings
    openings.append(
        {
            "opened": datetime.now(UTC).isoformat(timespec="seconds"),
            "snapshots": {name: snapshot for name, snapshot, _ in new},
            DIGEST: {name: weights for name, _, weights in new},
        }
    )
    about = {"checksum": reference.checksum, "n": cells[0].recipe.n, "openings": openings}
    write_atomically(out / OPENED, (json.dumps(about, indent=1) + "\n").encode())
    return openings


def read_openings(out: Path) -> dict[str, Any]:
    """What test-opened.json holds, or nothing where test is unopened.

    Raises:
        RunError: it is damaged.
    """
    file = out / OPENED
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise_if_of_the_machine(error, file)
        raise RunError(f"{file} is damaged: {error}; restore it") from error
