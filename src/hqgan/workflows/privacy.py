"""Does a trained generator give its training images away? What `hqgan evaluate --privacy` does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hqgan.config import read_config
from hqgan.data import load_dataset, save_grid, to_float
from hqgan.data.leaks import require_separate
from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation import Extractor
from hqgan.evaluation.copying import MIN_FAKES
from hqgan.evaluation.features import Images
from hqgan.evaluation.memorisation import Memorisation, Scorer, examine
from hqgan.evaluation.nearest import symmetries
from hqgan.evaluation.run import MOST_FAKES, chosen_split, class_mixed_fakes
from hqgan.models import Critic, find_snapshot, load_snapshot
from hqgan.training.runs import CONFIG, STATE, explained, load_state, write_atomically
from hqgan.training.trainer import build_models

FAKES = 2000  # what is found varies with lesions, hardly with fakes beyond this number
BATCH = 64  # images the critic scores at once
MARGIN = 4  # white pixels around a pair


@dataclass(frozen=True)
class Privacy:
    """What was found about one snapshot, and where it was written.

    `final` is whether the test split was opened; `warnings` say what the verdict takes on trust.
    """

    snapshot: Path
    images_seen: int
    final: bool
    found: Memorisation
    warnings: list[str]
    sheet: Path
    file: Path

    def as_json(self) -> dict[str, Any]:
        """What privacy.json holds."""
        return {
            "snapshot": self.snapshot.name,
            "images_seen": self.images_seen,
            "final": self.final,
            **self.found.as_json(),
            "warnings": self.warnings,
            "sheet": str(self.sheet),
        }

    def lines(self) -> list[str]:
        """For people."""
        warnings = [f"  warning: {warning}" for warning in self.warnings]
        return [*self.found.lines(), *warnings, f"  worst pairs: {self.sheet}"]


def privacy(
    run: Path,
    data: str,
    extractor: Extractor,
    *,
    split: str | None = None,
    final: bool = False,
    n: int | None = None,
    seed: int = 0,
    label: str | None = None,
    out: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Privacy:
    """Compare fakes of the newest snapshot with training and held-out images, find copies.

    Writes privacy.json and worst.png, the 20 worst pairs: a fake, turned as its nearest training
    image is, and that image to the right of it.

    Args:
        run: a run folder or a snapshot. The critic's attack needs the run's state.pt.
        data: what the run was trained on.
        extractor: see `load_extractor`.
        split: the hold-out: "val", or "test" together with `final`; None is the one that `final`
            says.
        final: opens the test split; recorded.
        n: generated images, in the class mix of the hold-out; None takes 2,000, or as many as
            the hold-out has where that is more.
        seed: of latents and of everything random in the test.
        label: the column used as class, for data with several.
        out: folder to write to; None for RUN/privacy/SNAPSHOT-SPLIT.
        progress: called as progress(stage, done, total).

    Raises:
        UsageError: test without final or final with val, or an impossible n.
        RunError, DataError: no snapshot, no held-out images, or data of other classes.
    """
    split = chosen_split(split, final)
    require_enough(n)
    snapshot = find_snapshot(run)
    generator, about = load_snapshot(snapshot)
    train = load_dataset(data, "train", generator.size, label=label)
    holdout = load_dataset(data, split, generator.size, label=label)
    if train.classes != about.classes:
        raise DataError(
            f"{data} has the classes {', '.join(train.classes)}, but {run} was trained on "
            f"{', '.join(about.classes)}; name the data of the run with --data"
        )
    warnings = []
    if train.checksum != about.data_checksum:
        warnings.append(
            f"{run} was trained on other images than the train split of {data}: who was a member "
            "is not known, so the verdict stands for this split only"
        )
    try:
        require_separate(train, holdout)
    except DataError as error:
        warnings.append(f"{error} What both have cannot show copying")
    images, labels = class_mixed_fakes(generator, holdout, n or max(FAKES, len(holdout)), seed)
    critic, why = critic_of(snapshot.parent, len(about.classes), seed)
    if why:
        warnings.append(why)
    found = examine(
        images, labels, train, holdout, extractor, seed=seed, critic=critic, progress=progress
    )
    folder = out or snapshot.parent / "privacy" / f"{snapshot.name}-{split}"
    sheet, file = folder / "worst.png", folder / "privacy.json"
    result = Privacy(snapshot, about.images_seen, final, found, warnings, sheet, file)
    try:
        save_grid(sheet_of(found, images, train.images), sheet, columns=5)
        write_atomically(file, (json.dumps(result.as_json(), indent=2) + "\n").encode())
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}. {next(iter(found.lines()))}"
        ) from error
    return result


def require_enough(n: int | None) -> None:
    """Raise UsageError for a number of fakes that is too small or too large."""
    if n is not None and not MIN_FAKES <= n <= MOST_FAKES:
        raise UsageError(
            f"n is {n}, but copies are looked for in {MIN_FAKES} to {MOST_FAKES:,} generated images"
        )


def critic_of(run: Path, classes: int, seed: int) -> tuple[Scorer | None, str | None]:
    """The critic of a run as an attack, or None and why there is none."""
    for needed in (STATE, CONFIG):
        if not (run / needed).is_file():
            return None, f"{run} has no {needed}, so its critic was not asked who was a member"
    config = read_config(run / CONFIG)
    if config.critic is None or config.critic.name == "dense":
        return None, "the model has no critic of images, so none was asked who was a member"
    _, critic = build_models(config, classes)
    assert critic is not None
    try:
        state = load_state(run)
        assert state is not None
        with explained(run / STATE):
            critic.load_state_dict(state["trainer"]["critic"])
    except RunError:
        return None, f"{run / STATE} is damaged, so the critic was not asked who was a member"
    return lambda images, labels: critic_scores(critic.eval(), images, labels, seed), None


@torch.inference_mode()
def critic_scores(
    critic: Critic, images: Images, labels: NDArray[np.int64], seed: int
) -> NDArray[np.float32]:
    """Mean logit of each image (N,). In batches at random, for a critic may look at its batch."""
    order = np.random.default_rng([seed, 17]).permutation(len(images))
    scores = np.empty(len(images), np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        logits = critic(to_float(images[rows]), torch.from_numpy(labels[rows]))
        scores[rows] = logits.float().reshape(len(rows), -1).mean(dim=1).numpy()
    return scores


def sheet_of(found: Memorisation, images: Images, train: Images) -> Images:
    """Each pair as one image (S + 2 margins, 2 S + 2 margins, 3), the fake on the left."""
    pairs = []
    for pair in found.pairs:
        turned = symmetries(images[pair.fake : pair.fake + 1])[pair.turn, 0]  # type: ignore[arg-type]
        pairs.append(np.concatenate([turned, train[pair.train]], axis=1))
    border = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    return np.pad(np.stack(pairs), border, constant_values=255)
