"""A balanced training set of real and synthetic images: what `hqgan augment` does."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgan.data import Dataset, load_dataset, open_source, require_trainable
from hqgan.data.leaks import missing_classes, require_separate
from hqgan.errors import DataError, Interrupted, RunError, UsageError
from hqgan.evaluation.run import data_of
from hqgan.models import About, find_snapshot, load_snapshot
from hqgan.pretrained import is_packaged, locate
from hqgan.schema import Config
from hqgan.training import Callbacks, train
from hqgan.training.classification import ClassifierRecipe
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import resolved
from hqgan.training.runs import LOCK, acquire, require_continuable
from hqgan.workflows.augmented_folder import GENERATOR, GRID, JUDGE, AugmentedFolder, beside, digest
from hqgan.workflows.dataset_card import Facts, dataset_card
from hqgan.workflows.judge import Judge, doubtful, judge_recipe, kept_judge
from hqgan.workflows.origin import require_unseen
from hqgan.workflows.sample import require_space
from hqgan.workflows.settings import require_outside
from hqgan.workflows.synthesis import ClassReport, CopyFilter, balanced_counts, synthesise

MOST = 1_000_000_000  # images of a class; what the disk holds is asked later


@dataclass(frozen=True)
class Augmented:
    """What was written; the keys of `hqgan augment --json`.

    Attributes:
        files: images in all, and
        per_class: of each class, of which
        synthetic: are synthetic.
        out: the data set.
        reports: what became of each class's synthetic images, see `ClassReport`.
        recall: of the judge, share of each class's val images that it recognises; None without one.
        balanced_accuracy: mean of these.
        snapshot: of the generator.
        grid: a picture, two rows a class, real and synthetic.
        warnings: sentences for the user.
        origin: the packaged generator that made the images, or that it was fine-tuned from.
    """

    files: int
    per_class: dict[str, int]
    synthetic: dict[str, int]
    out: str
    reports: list[dict[str, Any]]
    recall: dict[str, float] | None
    balanced_accuracy: float | None
    snapshot: str
    grid: str
    warnings: list[str]
    origin: dict[str, str] | None = None  # absent from results of hqgan before it was kept

    def lines(self) -> list[str]:
        """An aligned table for people; shares are of the images made, recall is of real ones."""
        lines = [
            f"  {'class':16} {'real':>6} {'asked':>6} {'added':>6} {'made':>7} "
            f"{'near-copies':>12} {'unrecognised':>13} {'recall on val':>14}"
        ]
        for fields in self.reports:
            one = ClassReport(**fields)
            real = self.per_class[one.name] - self.synthetic[one.name]
            made = [f"{n / one.made:.1%}" for n in (one.near_copies, one.unrecognised) if one.made]
            copies, unknown = made or ("", "")
            unknown = unknown if self.recall else ""  # nobody judged
            known = (self.recall or {}).get(one.name)
            lines.append(
                f"  {one.name:16} {real:6} {one.asked:6} {one.kept:6} {one.made:7} "
                f"{copies:>12} {unknown:>13} {'' if known is None else f'{known:.1%}':>14}"
            )
        return lines


def augment(
    source: Config | Path,
    out: Path,
    *,
    data: str | None = None,
    label: str | None = None,
    per_class: int | None = None,
    balance: str | None = None,
    seed: int = 0,
    copy_filter: bool = True,
    class_filter: bool = True,
    judge_steps: int | None = None,
    device: str = "auto",
    callbacks: Callbacks | None = None,
) -> Augmented:
    """Write all real training images, and as many synthetic ones as the balance asks for.

    Val and test are read, to set the filters and to find leaks, and never written. The same command
    continues what was interrupted; the result depends on settings and data alone (on one kind of
    device, at a fixed number of threads). What is written where: `AugmentedFolder`.

    Args:
        source: the run or snapshot of a generator, or the configuration of one to be trained.
        out: a folder that is absent, empty, or of this job.
        data: what to augment, its column `label` the class; None takes what `source` names.
        per_class: fill every class up to so many images; or
        balance: "max" (default) or "median", up to the largest or median class.
        seed: of latents and judge.
        copy_filter: leave out images nearer to a training image than hardly any val lesion is.
        class_filter: leave out images that a classifier of real images takes for another class.
        judge_steps: of that classifier; None is 20 epochs.
        device: of judge and synthesis; the training has its own.

    Raises:
        UsageError: settings that contradict each other or the begun job's, nothing to add, or more
            images than the disk holds.
        DataError: splits that share lesions or images, a generator of other classes, or one that
            has seen val or test images.
        RunError: `out` or OUT-run holds something else, or cannot be written.
        HqganError: as `hqgan.training.train` does, `Interrupted` after Ctrl-C among them.
    """
    tell = callbacks or Callbacks()
    rule = balance_rule(per_class, balance)
    if judge_steps is not None and judge_steps < 1:
        raise UsageError(f"the judge's steps are {judge_steps}, but must be at least 1")
    out = out.absolute()
    settings: dict[str, Any]
    size: int
    if isinstance(source, Config):
        run, size, origin = beside(out) / GENERATOR, source.size, source.init and source.init.run
        data, label = source.data.path, source.data.label
        settings = {"preset": source.preset, "kimg": source.kimg, "size": size}
    else:
        generator, about = load_snapshot(source)
        run, size, origin = source, generator.size, str(source)
        if data is None:
            data, column = data_of(source)
            label = label or column
        settings = {"snapshot": digest(find_snapshot(run) / "model.safetensors")}
    require_outside(data, out)
    real, held_out = splits(data, label, size, tell, val_needed=copy_filter or class_filter)
    if not isinstance(source, Config):
        require_classes(run, about, real)
    counts = wanted(real, rule)
    warnings = [*real.warnings, *missing_classes(*held_out)]
    warnings += require_unseen(locate(origin), real, held_out) if origin else []
    for warning in warnings:
        tell.message(f"warning: {warning}")
    recipe = judge_recipe(real, judge_steps) if class_filter else None
    settings |= {
        "seed": seed,
        "counts": counts,
        "copy_filter": copy_filter,
        "class_filter": recipe and asdict(recipe),
        "data": [dataset.checksum for dataset in (real, *held_out)],
    }
    folder = AugmentedFolder(out, settings)
    if isinstance(source, Config):
        require_continuable(run, resolved(source, make_fabric(source.device, source.precision)))
    result = folder.result()
    if result is not None:
        tell.message(f"{out} is complete already")
        here = {"out": str(folder.out), "grid": str(folder.work / GRID)}
        return Augmented(**(result | here))
    require_space(out, len(real) + sum(counts), size)
    place = make_fabric(device, "float32").device.type
    try:
        folder.work.mkdir(parents=True, exist_ok=True)
        with acquire(folder.work / LOCK):
            if isinstance(source, Config):
                train(source, run, real, tell)
            return fill(folder, run, real, held_out, counts, recipe, place, warnings, tell)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; finished classes stand in {out}, and the same command continues"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot write to {out} or {folder.work}: {error.strerror}; mend that, and the same "
            "command continues"
        ) from error


def fill(
    folder: AugmentedFolder,
    run: Path,
    real: Dataset,
    held_out: Sequence[Dataset],
    counts: list[int],
    recipe: ClassifierRecipe | None,
    device: str,
    warnings: list[str],
    tell: Callbacks,
) -> Augmented:
    """Everything after the generator's training: judge, synthesis, the data set."""
    generator, about = load_snapshot(run)
    generator.to(device)
    snapshot = find_snapshot(run)
    folder.begin({"snapshot": digest(snapshot / "model.safetensors")})
    seed = folder.settings["seed"]
    judge: Judge | None = None
    if recipe:
        tell.message("a classifier of the real images judges the synthetic ones")
        judge = kept_judge(
            folder.work / JUDGE,
            recipe,
            real,
            held_out[0],
            seed,
            device=device,
            progress=lambda done, total: tell.stage("judge", done, total),
        )
        accuracy, chance = judge.balanced_accuracy, 1 / len(real.classes)
        tell.message(f"its balanced accuracy on val is {accuracy:.3f} (by chance {chance:.3f})")
        doubt = doubtful("The judge", accuracy, chance)
        if doubt:
            warnings.append(doubt)
            tell.message(f"warning: {warnings[-1]}")
    filtered = folder.settings["copy_filter"]
    copies = CopyFilter.fit(real, held_out[0]) if filtered else CopyFilter(real)
    rows, reports = [], []
    for y, name in enumerate(real.classes):
        found = folder.recorded(y, real.classes)
        if found is None:
            synthetic = synthesise(
                generator,
                [count if k == y else 0 for k, count in enumerate(counts)],
                real,
                seed=seed,
                copies=copies,
                judge=judge.classifier if judge else None,
                progress=partial(tell.stage, name),
            )
            found = folder.write_class(y, real, synthetic)
        rows += found[0]
        reports.append(found[1])
    for one in reports:
        if one.kept < one.asked:
            warnings.append(
                f"{one.name} got {one.kept:,} of {one.asked:,} synthetic images: of {one.made:,} "
                f"made, {one.near_copies:,} were near-copies and {one.unrecognised:,} not "
                "recognised."
            )
            tell.message(f"warning: {warnings[-1]}")
    synthetic_counts = {one.name: one.kept for one in reports}
    per_class = {
        name: int(count) + synthetic_counts[name]
        for name, count in zip(real.classes, real.counts, strict=True)
    }
    result = Augmented(
        files=len(rows),
        per_class=per_class,
        synthetic=synthetic_counts,
        out=str(folder.out),
        reports=[asdict(one) for one in reports],
        recall=judge.recall if judge else None,
        balanced_accuracy=judge.balanced_accuracy if judge else None,
        snapshot=str(snapshot),
        grid=str(folder.draw(rows)),
        warnings=warnings,
        origin=asdict(about.origin) if about.origin else None,
    )
    facts = Facts(
        about, folder.settings, real, reports, copies if filtered else None, judge, warnings
    )
    folder.finish(rows, dataset_card(facts), asdict(result))
    return result


def balance_rule(per_class: int | None, balance: str | None) -> str | int:
    """The one rule that two options name, "max" where neither is given."""
    if per_class is not None and balance is not None:
        raise UsageError(
            f"--per-class {per_class} and --balance {balance} both say how many images a class "
            "gets; leave one out"
        )
    if per_class is not None and not 1 <= per_class <= MOST:
        raise UsageError(
            f"the number of images per class is {per_class}, but must be from 1 to {MOST:,}"
        )
    if balance not in (None, "max", "median"):
        raise UsageError(f"the balance is {balance!r}; expected max or median")
    return per_class or balance or "max"


def splits(
    data: str, label: str | None, size: int, tell: Callbacks, *, val_needed: bool
) -> tuple[Dataset, list[Dataset]]:
    """Train, and what there is of val and test, after looking for leaks between them."""
    source = open_source(data, label=label)
    present = [split for split in ("val", "test") if source.split(split)]
    if val_needed and "val" not in present:
        raise DataError(
            f"{data} has no val image, by which the filters are set. Give it a val split, or do "
            "without filters: --no-copy-filter --no-class-filter."
        )
    real, *held_out = (
        load_dataset(data, split, size, label=label, progress=tell.decoding)
        for split in ("train", *present)
    )
    skipped = {one.id: one.reason for split in (real, *held_out) for one in split.skipped}
    if skipped:
        first, reason = next(iter(skipped.items()))
        tell.message(
            f"warning: {len(skipped)} files or rows are left out, the first is {first}: {reason}"
        )
    require_trainable(real, 1)
    require_separate(real, *held_out)
    return real, held_out


def wanted(real: Dataset, rule: str | int) -> list[int]:
    """Synthetic images of each class; UsageError where there is nothing to add."""
    counts: NDArray[np.int64] = balanced_counts(real.counts, rule)
    if not counts.any():
        each = ", ".join(f"{n} {c}" for n, c in zip(real.classes, real.counts, strict=True))
        raise UsageError(f"there is nothing to add to {each}; ask for more with --per-class")
    return [int(count) for count in counts]


def require_classes(run: Path, about: About, real: Dataset) -> None:
    """Raise DataError unless the run makes these classes."""
    if about.classes != real.classes:
        name = run.name if is_packaged(run) else run
        raise DataError(
            f"{name} makes {', '.join(about.classes)}, but the data has the classes "
            f"{', '.join(real.classes)}; train on these data (leave out --run and "
            "--pretrained; --init starts from other classes too), or rename the class folders"
        )
