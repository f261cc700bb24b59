"""Trained generators that come with the package, one folder a name; small enough to install.

A folder is a snapshot (see `hqgan.models.snapshot`) with these files beside it:

    metrics.json            what was measured, and which data under which licence it learned from
    critic.safetensors      optional: the critic it was trained with, for fine-tuning
    training-images.sha256  optional: 32 bytes for each training image, see `hqgan.data.leaks`

`studies/package_weights.py` makes them of a run. Whatever hqgan finds in FOLDER has a name.
"""

import json
from pathlib import Path

from hqgan.errors import RunError, UsageError, did_you_mean

FOLDER = Path(__file__).parent
METRICS, CRITIC, SEEN = "metrics.json", "critic.safetensors", "training-images.sha256"
MARK = "pretrained:"  # before a name, in a configuration
LARGEST = 5_000_000  # bytes of one folder: pip fetches it with every installation
DIGEST = 32  # bytes of a sha256


def pretrained_names() -> list[str]:
    """The names of all generators in the package."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{METRICS}"))


def is_packaged(folder: Path) -> bool:
    """Whether a folder belongs to the package, where nothing is to be written."""
    return FOLDER in folder.absolute().parents


def find_pretrained(name: str) -> Path:
    """The folder of a name; UsageError, which lists the names, where there is none."""
    known = pretrained_names()
    if name not in known:
        raise UsageError(
            f"no pretrained generator is called {name!r}; {listed(known)}."
            f"{did_you_mean(name, known)}"
        )
    return FOLDER / name


def chosen(run: Path | None, name: str | None) -> Path:
    """The generator that a command's RUN or its --pretrained names, whichever is given.

    Raises:
        UsageError: both or none, an unknown name, or a name in the place of a run.
    """
    if run is not None and name is not None:
        raise UsageError(f"{run} and --pretrained {name} are two generators; leave one out")
    if name is not None:
        return find_pretrained(name)
    if run is None:
        raise UsageError(
            "say which generator: a run folder or snapshot, or --pretrained NAME; "
            f"{listed(pretrained_names())}"
        )
    if not run.exists() and str(run) in pretrained_names():
        raise UsageError(
            f"{run} is no folder here; to take it from the package, say --pretrained {run}"
        )
    return run


def marked(run: str) -> str | None:
    """`run` as "pretrained:NAME" where it means a packaged generator; a path of that name wins."""
    if run.startswith(MARK):
        return run
    return f"{MARK}{run}" if run in pretrained_names() and not Path(run).exists() else None


def locate(run: str) -> Path:
    """The folder that the key init.run means.

    Raises:
        UsageError: a packaged generator that this installation lacks.
        RunError: a path where nothing is.
    """
    if run.startswith(MARK):
        return find_pretrained(run.removeprefix(MARK))
    path, known = Path(run), pretrained_names()
    if not path.exists():
        raise RunError(
            f"{run} does not exist, and no pretrained generator is called {path.name!r}; expected "
            f"a run folder or a snapshot made by `hqgan train`, or a name: {listed(known)}."
            f"{did_you_mean(path.name, known)}"
        )
    return path


def credit(folder: Path) -> str:
    """What its images are and whose they come from, to stand beside every picture of it."""
    data = json.loads((folder / METRICS).read_text(encoding="utf-8"))["training_data"]
    return f"synthetic images, learned from {data['name']} ({data['licence']})"


def seen_images(folder: Path) -> frozenset[bytes] | None:
    """Fingerprints of the training images of a packaged generator; None where they are not kept."""
    file = folder / SEEN
    if not file.is_file():
        return None
    content = file.read_bytes()
    return frozenset(content[at : at + DIGEST] for at in range(0, len(content), DIGEST))


def listed(names: list[str]) -> str:
    """A clause that says what there is."""
    return f"known are {', '.join(names)}" if names else "this version of hqgan has none"
