"""What a generator was trained on, and whether that includes images it is to be judged by."""

import json
from collections.abc import Sequence
from pathlib import Path

from hqgan.config import read_config
from hqgan.data import Dataset, load_dataset
from hqgan.data.leaks import fingerprints, overlap
from hqgan.errors import DataError, HqganError
from hqgan.evaluation.run import data_of
from hqgan.models import find_snapshot
from hqgan.models.snapshot import ABOUT
from hqgan.pretrained import locate, seen_images
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
        folder = run if (run / CONFIG).is_file() else run.parent
        init = read_config(folder / CONFIG).init if (folder / CONFIG).is_file() else None
        if init is None:
            break
        try:
            run = locate(init.run)
        except HqganError:
            notes.append(
                f"{init.run}, which the generator was fine-tuned from, is not there any more: "
                "whether it had seen val or test images is not known."
            )
            break
    return notes


def _of_one(run: Path, train: Dataset, held_out: Sequence[Dataset]) -> list[str]:
    """`require_unseen` without the runs before."""
    folder = find_snapshot(run)
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if about["data_checksum"] == train.checksum:
        return []
    seen = seen_images(folder)
    if seen is None:
        try:
            path, label = data_of(run)
            own = load_dataset(path, "train", train.images.shape[1], label=label)
        except HqganError:
            own = None
        if own is not None and own.checksum == about["data_checksum"]:
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
    return [
        f"{run} was trained on other images than this train split. None of them is in "
        f"{' or '.join(dataset.split for dataset in held_out)}, but copies of them are not looked "
        "for."
    ]
