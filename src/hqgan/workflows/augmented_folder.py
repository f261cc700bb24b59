"""The folder that `hqgan augment` writes: OUT, the data set, and OUT-run, what leads to it.

    OUT/<class>/*.png       real-<number>.png and synthetic-<number>.png
    OUT/manifest.csv        one line an image: `COLUMNS`
    OUT/README.md           the data-set card
    OUT/augment.json        the job: its settings and, at the end, its result

    OUT-run/generator/      the run, if one was trained for it
    OUT-run/judge/          the classifier of the filter
    OUT-run/classes/        the manifest's lines of finished classes
    OUT-run/grid.png        two rows a class, real and synthetic

Any tool that reads a folder per class reads OUT. A class is written image by image and then
recorded; what is recorded is not made again.
"""

import csv
import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hqgan.data import Dataset, class_folders, save_grid, save_png
from hqgan.errors import RunError, UsageError
from hqgan.foreign import from_csv, in_csv
from hqgan.reading import read_json
from hqgan.training.runs import LOCK, write_atomically
from hqgan.workflows.sample import GRID_COLUMNS, rectangle
from hqgan.workflows.synthesis import ClassReport, Synthetic

JOB, MANIFEST, CARD = "augment.json", "manifest.csv", "README.md"
GENERATOR, JUDGE, CLASSES, GRID = "generator", "judge", "classes", "grid.png"
COLUMNS = (
    *("file", "class", "split", "synthetic", "seed", "snapshot"),
    *("nearest", "distance", "confidence", "id", "lesion"),
)

Row = list[str]


class AugmentedFolder:
    """OUT and OUT-run of one job.

    Raises:
        UsageError: `out` holds a job of other settings; those of `settings` alone are compared.
        RunError: one of the two folders holds something that is not ours.
    """

    def __init__(self, out: Path, settings: dict[str, Any]):
        self.out, self.work = out, beside(out)
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        for folder, ours in (
            (out, (JOB,)),
            (self.work, (GENERATOR, JUDGE, f"{JUDGE}.json", CLASSES, GRID, LOCK)),
        ):
            try:
                if folder.exists() and not folder.is_dir():
                    raise RunError(f"{folder} is a file; --out must name a folder")
            except OSError as error:  # a name that is too long
                raise RunError(f"{folder} cannot be a folder: {error.strerror}") from error
            names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
            if names and not names & {*ours, *(f"{name}.part" for name in ours)}:
                raise RunError(
                    f"{folder} is not empty and not of an augmentation (it holds "
                    f"{min(names)!r}); nothing is overwritten, so choose another --out"
                )
        self._require_same()

    def _require_same(self) -> None:
        before = self._job().get("settings", {})
        if not isinstance(before, dict):
            raise RunError(f"{self.out / JOB} is damaged; choose another --out")
        differing = [
            f"{key}: {before[key]!r} -> {value!r}"
            for key, value in self.settings.items()
            if key in before and before[key] != value
        ]
        if differing:
            raise UsageError(
                f"{self.out} was begun otherwise ({'; '.join(differing)}); keep the old values, or "
                "choose another --out"
            )

    def _job(self) -> dict[str, Any]:
        file = self.out / JOB
        if not file.is_file():
            return {}
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise RunError(f"{file} is damaged: {error}; choose another --out") from error

    def result(self) -> dict[str, Any] | None:
        """What `finish` was given, where the job is done and its images are still there."""
        found: dict[str, Any] | None = self._job().get("result")
        try:
            with (self.out / MANIFEST).open(encoding="utf-8", errors="surrogateescape") as handle:
                listed = {from_csv(row["file"]) for row in csv.DictReader(handle)}
        except (OSError, KeyError):
            return None
        if not found or found.get("files") != len(listed) or not (self.out / CARD).is_file():
            return None
        there = {file.relative_to(self.out).as_posix() for file in self.out.glob("*/*.png")}
        strangers = sorted(there - listed)
        if strangers:
            raise RunError(
                f"{self.out} is complete, but holds images that its manifest does not name, the "
                f"first is {strangers[0]}; take them out, or choose another --out"
            )
        whole = listed <= there and all(is_image(self.out / file) for file in listed)
        return found if whole else None

    def begin(self, settings: dict[str, Any]) -> None:
        """Write the job down, with further settings; raises as the constructor does."""
        self.settings |= json.loads(json.dumps(settings))
        self._require_same()
        self.out.mkdir(parents=True, exist_ok=True)
        self._write_job(None)

    def recorded(self, y: int, classes: tuple[str, ...]) -> tuple[list[Row], ClassReport] | None:
        """Manifest lines and report of class y, if it is finished; else None."""
        try:
            folder = class_folders(classes)[y]
            record = read_json(self._record(folder))
            rows, report = record["rows"], ClassReport(**record["report"])
            ours = all(Path(row[0]).parent == Path(folder) for row in rows)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None
        whole = ours and all(is_image(self.out / row[0]) for row in rows)
        return (rows, report) if whole and record["settings"] == self.settings else None

    def write_class(
        self, y: int, real: Dataset, synthetic: Synthetic
    ) -> tuple[list[Row], ClassReport]:
        """Write the images of class y, real ones first, and record it; `synthetic` is of y alone.

        A synthetic image is numbered as `hqgan sample` numbers it, a real one by its place in the
        class.
        """
        name, folder = real.classes[y], class_folders(real.classes)[y]
        rows: list[Row] = []
        chosen = np.flatnonzero(real.labels == y)
        for number, index in enumerate(chosen):
            file = f"{folder}/real-{number:05d}.png"
            save_png(real.images[index], self.out / file)
            origin = [str(real.ids[index]), str(real.groups[index])]
            rows.append([file, name, "train", "false", *[""] * 5, *origin])
        seed, snapshot = str(self.settings["seed"]), str(self.settings["snapshot"])
        for number, index in enumerate(synthetic.numbers):
            file = f"{folder}/synthetic-{index:05d}.png"
            save_png(synthetic.images[number], self.out / file)
            sure = synthetic.confidence[number]
            facts = [
                str(synthetic.nearest[number]),
                f"{synthetic.distance[number]:.3f}",
                "" if np.isnan(sure) else f"{sure:.4f}",
            ]
            rows.append([file, name, "train", "true", seed, snapshot, *facts, "", ""])
        (report,) = (one for one in synthetic.per_class if one.name == name)
        record = {"settings": self.settings, "rows": rows, "report": asdict(report)}
        self._record(folder).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._record(folder), json.dumps(record).encode())
        return rows, report

    def finish(self, rows: list[Row], card: str, result: dict[str, Any]) -> None:
        """Write manifest and card and declare the job done."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *(map(in_csv, row) for row in rows)])
        # File names that are no text keep their bytes.
        manifest = text.getvalue().encode("utf-8", "surrogateescape")
        write_atomically(self.out / MANIFEST, manifest)
        write_atomically(self.out / CARD, card.encode("utf-8", "replace"))
        self._write_job(result)

    def draw(self, rows: list[Row]) -> Path:
        """OUT-run/grid.png: the first real and the first synthetic images of each class."""
        shown: dict[tuple[str, str], list[np.ndarray]] = {}
        for row in rows:
            for synthetic in ("false", "true"):  # an empty row is a row too
                shown.setdefault((row[1], synthetic), [])
            line = shown[row[1], row[3]]
            if len(line) < GRID_COLUMNS:
                with Image.open(self.out / row[0]) as image:
                    line.append(np.asarray(image))
        grid = np.stack(rectangle(list(shown.values())))
        return save_grid(grid, self.work / GRID, GRID_COLUMNS)

    def _record(self, folder: str) -> Path:
        return self.work / CLASSES / f"{folder}.json"

    def _write_job(self, result: dict[str, Any] | None) -> None:
        job = {"settings": self.settings, "result": result}
        write_atomically(self.out / JOB, (json.dumps(job, indent=1) + "\n").encode())


def beside(out: Path) -> Path:
    """OUT-run, where nothing can be taken for a class."""
    if not out.name:
        raise UsageError(f"{out} cannot hold a data set; choose another --out")
    return out.with_name(f"{out.name}-run")


def is_image(file: Path) -> bool:
    """Whether a file is a whole PNG."""
    try:
        with Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError):  # Pillow's word for a broken PNG
        return False
    return True


def digest(file: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
