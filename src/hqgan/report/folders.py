"""`hqgan report`: what a folder holds, and its page, written whole or not at all."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from hqgan.errors import RunError, UsageError
from hqgan.models import snapshots
from hqgan.models.about import ABOUT
from hqgan.pretrained import is_packaged
from hqgan.report.comparison import comparison_html
from hqgan.report.hardware import hardware_html
from hqgan.report.hardware_study import hardware_study_html
from hqgan.report.page import MADE_BY
from hqgan.report.probe import probe_html
from hqgan.report.run import Stage, run_html
from hqgan.report.stored import (
    COMPARISONS,
    HARDWARE,
    NOISE_STUDY,
    PROBE,
    STUDIES,
    read_comparison,
    read_study,
    readable,
)
from hqgan.report.study import study_html
from hqgan.training.runs import CONFIG, write_atomically
from hqgan.workflows.hardware.order_files import ORDER
from hqgan.workflows.settings import SETTINGS
from hqgan.workflows.study.plan import PROTOCOL
from hqgan.writing import make_writable, writing

NAME = "report.html"
END = 200  # bytes of a page, that hold who made it


@dataclass(frozen=True)
class Report:
    """A page: its kind ("run", "comparison", "study", "hardware", "noise study", "probe"), and
    where it was written."""

    kind: str
    file: Path


def report(
    path: Path,
    out: Path | None = None,
    *,
    data: str | None = None,
    label: str | None = None,
    seed: int = 0,
    progress: Stage | None = None,
) -> Report:
    """Write the page of a folder of results.

    Nothing that was measured is measured again: pages are made of what lies in the folder. A run's
    page shows images that are generated for it.

    Args:
        path: a run, a snapshot, or what compare, study, probe or hardware left.
        out: the file; None is PATH/report.html, for a packaged generator ./NAME-report.html.
        data: of a run: the images it was trained on; None takes what the run says.
        label: of a run: the column used as class.
        seed: of a run: of latents, and of which real images are shown.
        progress: called as progress(stage, done, total).

    Raises:
        RunError: nothing of ours is there, it is damaged or not finished, or the page cannot be
            written.
        UsageError: a damaged configuration.
        DataError: `data` cannot be read, or are not those of the run.
    """
    kind = kind_of(path)
    file = destination(path, out)
    page = (
        run_html(path, data=data, label=label, seed=seed, progress=progress)
        if kind == "run"
        else PAGES[kind](path)
    )
    with explained(file):  # a class's folder may be named in bytes that no text has
        write_atomically(file, page.encode("utf-8", "replace"))
    return Report(kind, file)


def destination(path: Path, out: Path | None) -> Path:
    """The page's file, in a folder that is there and can be written to.

    Raises:
        UsageError: `out` is a folder, or a file that is no page of ours.
        RunError: the folder cannot be made, or not be written to.
    """
    file = out or (Path(f"{path.name}-{NAME}") if is_packaged(path) else path / NAME)
    with explained(file):
        is_folder = file.is_dir()
    if is_folder:
        raise UsageError(f"{file} is a folder; --out names the page, such as {file / NAME}")
    if os.path.lexists(file) and not is_page(file):
        raise UsageError(
            f"{file} is there and no page of hqgan; nothing is overwritten, so choose another --out"
        )
    with explained(file):
        make_writable(file.parent)
    return file


def is_page(file: Path) -> bool:
    """Whether a page was written there before, which a newer one may replace."""
    try:
        return file.is_file() and MADE_BY.encode() in file.read_bytes()[-END:]
    except OSError:
        return False


def explained(file: Path) -> AbstractContextManager[None]:
    """Inside, what cannot be written is a RunError."""
    return writing(file, "name another place with --out FILE")


def kind_of(path: Path) -> str:
    """What a folder holds.

    Raises:
        RunError: nothing that has a page; the message says what it is instead.
    """
    if not path.is_dir():
        seen = "is a file" if path.exists() else "does not exist"
        raise RunError(f"{path} {seen}; expected {EXPECTED}")
    for kind, names in KINDS.items():
        if any((path / name).is_file() for name in names):
            return kind
    if snapshots(path):
        return "run"
    for name, what in UNFINISHED.items():
        if (path / name).is_file():
            raise RunError(f"{path} holds {what}")
    known = [name for names in KINDS.values() for name in names]
    inside = sorted(file.parent for name in known for file in path.glob(f"*/{name}"))
    if inside:
        raise RunError(
            f"{path} is no folder of results, but {inside[0]} in it is; name that one: "
            f"hqgan report {inside[0]}"
        )
    seen = "holds something else" if any(path.iterdir()) else "is empty"
    raise RunError(f"{path} {seen}; expected {EXPECTED}")


def comparison_of(folder: Path) -> str:
    """The page of a comparison's folder."""
    table = read_comparison(folder)
    with readable(folder / f"{table.stem}.json"):
        return comparison_html(table, folder)


def study_of(folder: Path) -> str:
    """The page of a study's folder."""
    study = read_study(folder)
    with readable(folder / f"study{'-final' * study.final}.json"):
        return study_html(study, folder)


def hardware_of(folder: Path) -> str:
    """The page of an order's folder."""
    with readable(folder / HARDWARE):
        return hardware_html(folder)


def noise_study_of(folder: Path) -> str:
    """The page of a study of noise."""
    with readable(folder / NOISE_STUDY):
        return hardware_study_html(folder)


def probe_of(folder: Path) -> str:
    """The page of a probe's folder."""
    with readable(folder / PROBE):
        return probe_html(folder)


EXPECTED = (
    "a run folder, a snapshot, or a folder that hqgan compare, study, probe or hardware wrote "
    "(--pretrained NAME for a generator of the package)"
)
# By kind the files of which one is enough; a run comes last but for what else lies in its folder.
KINDS: dict[str, tuple[str, ...]] = {
    "run": (CONFIG, ABOUT),
    "comparison": COMPARISONS,
    "study": STUDIES,
    "hardware": (HARDWARE,),
    "noise study": (NOISE_STUDY,),
    "probe": (PROBE,),
}
PAGES: dict[str, Callable[[Path], str]] = {
    "comparison": comparison_of,
    "study": study_of,
    "hardware": hardware_of,
    "noise study": noise_study_of,
    "probe": probe_of,
}
UNFINISHED = {
    PROTOCOL: "a study that is not finished; the command that began it continues",
    SETTINGS: "a comparison that is not finished; the command that began it continues",
    ORDER: "an order whose results are not there yet; `hqgan hardware collect` fetches them",
}
