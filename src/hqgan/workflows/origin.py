"""What a generator was trained on, and whether that includes images it is to be judged by."""

from collections.abc import Sequence
from pathlib import Path

from hqgan.config import read_config
from hqgan.data import Dataset, load_dataset
from hqgan.data.leaks import fingerprints, overlap
from hqgan.errors import DataError, HqganError
from hqgan.evaluation.run import data_of
from hqgan.models import find_snapshot, read_about
from hqgan.pretrained import MARK, locate, seen_images
from hqgan.training.runs import CONFIG


def require_unseen(run: Path, train: Dataset, held_out: Sequence[Dataset]) -> list[str]:
    """Refuse a generator that has seen an image of `held_out`; returns what cannot be known.

    A run on the images of `train` has not. Of any other run the training images are looked for
    where it found them and compared pixel by pixel; so are those of the run it was fine-tuned from,
    and so on. Packaged generators come with fingerprints of their training images.

    Raises:
        DataError: it has seen such images.
        RunError: it has no snapshot.
    """
    notes: list[str] = []
    seen: list[Path] = []
    while run.resolve() not in seen:
        seen.append(run.resolve())
        notes += _of_one(run, train, held_out)
        before = _before(run)
        if before is None:
            break
        try:
            run = locate(before)
        except HqganError:
            notes.append(
                f"{before}, which the generator was fine-tuned from, is not there any more: "
                "whether it had seen val or test images is not known."
            )
            break
    return notes


def _before(run: Path) -> str | None:
    """What `run` was fine-tuned from, as the key init.run says it."""
    folder = run if (run / CONFIG).is_file() else run.parent
    if (folder / CONFIG).is_file():
        init = read_config(folder / CONFIG).init
        return init.run if init else None
    snapshot = find_snapshot(run)  # by itself, as it is shared
    origin = read_about(snapshot).origin
    packaged = seen_images(snapshot) is not None
    return None if packaged or origin is None else f"{MARK}{origin.name}"


def _of_one(run: Path, train: Dataset, held_out: Sequence[Dataset]) -> list[str]:
    """`require_unseen` without the runs before."""
    folder = find_snapshot(run)
    about = read_about(folder)
    if about.data_checksum == train.checksum:
        return []
    seen = seen_images(folder)
    own_data = f"images of {about.origin.data}" if seen and about.origin else "other images"
    if seen is None:
        try:
            path, label = data_of(run)
            own = load_dataset(path, "train", train.images.shape[1], label=label)
        except HqganError:
            own = None
        if own is not None and own.checksum == about.data_checksum:
            seen = frozenset(fingerprints(own.images))
    if seen is None:
        return [
            f"{run} was trained on other images than this train split, and they are not to be had "
            "any more: whether val or test images were among them is not known, and copies of them "
            "cannot be found."
        ]
    for dataset in held_out:
        found = overlap(seen, dataset)
        if found:
            raise DataError(
                f"{run} was trained on {len(found)} {dataset.split} images of these data, the "
                f"first is {found[0]}: what it makes would carry them into the training set, and "
                f"scores on {dataset.split} would be too good. Train a generator on this train "
                "split (leave out --run and --pretrained, or choose another --init)."
            )
    where = " or ".join(dataset.split for dataset in held_out) or "what is held out"
    return [
        f"{run} was trained on {own_data}, not on this train split. None of them is in {where} "
        "pixel for pixel, but one that was resized or encoded anew is not recognised, and copies "
        "of them are not looked for."
    ]
