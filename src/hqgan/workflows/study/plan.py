"""From a protocol to the cells of a study, and everything that is refused before any of them."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hqgan.config import differences
from hqgan.data import Dataset, require_trainable
from hqgan.data.fractions import lesion_fraction
from hqgan.data.leaks import missing_classes, require_separate
from hqgan.errors import RunError, UsageError
from hqgan.evaluation import load_extractor
from hqgan.evaluation.trials import POWER, minimum_detectable_effect, too_few_seeds
from hqgan.models.classifier import build_classifier
from hqgan.protocol import Arm, Protocol, read_protocol
from hqgan.schema import absolute_path
from hqgan.training.classification import trains_in_bf16
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import require_room
from hqgan.training.trainer import build_models
from hqgan.workflows.executor import LOCAL, Executor
from hqgan.workflows.settings import require_outside, require_own_settings, require_same
from hqgan.workflows.study.cell import Cell, Study
from hqgan.workflows.study.cells import (
    ClassifierCell,
    GeneratorCell,
    JudgeCell,
    PoolCell,
    synthetic_counts,
)

PROTOCOL, OPENED = "protocol.yaml", "test-opened.json"
THREADS_DECIDE = (
    "on a CPU with bfloat16 a classifier is trained in it by one thread, and in float32 by "
    "several: continue with the --executor, --workers and OMP_NUM_THREADS of the beginning"
)


@dataclass(frozen=True)
class Plan:
    """The cells of a study in the order in which they need each other, and what is fixed."""

    study: Study
    stages: tuple[tuple[Cell, ...], ...]
    val: Dataset
    warnings: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [cell for stage in self.stages for cell in stage]

    @property
    def classifiers(self) -> list[ClassifierCell]:
        """What is compared, in the order of the protocol's arms."""
        return [cell for cell in self.stages[-1] if isinstance(cell, ClassifierCell)]

    def lines(self) -> Iterator[str]:
        """What to know before the first cell: leaks, and what could be found at all."""
        yield from self.warnings
        protocol = self.study.protocol
        family = len(protocol.primary.comparisons)
        hopeless = too_few_seeds(protocol.seeds, family)
        if hopeless:
            yield hopeless
        effect = minimum_detectable_effect(1.0, protocol.seeds, family)
        if math.isfinite(effect):
            yield (
                f"With {protocol.seeds} seeds and {family} primary comparison"
                f"{'s' * (family > 1)} an effect of {effect:.1f} standard deviations of the "
                f"difference between two seeds is found with {POWER:.0%} chance."
            )


def plan(
    protocol: Protocol,
    out: Path,
    *,
    weights: str | None = None,
    executor: Executor = LOCAL,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Lay out a study in the folder `out`, new or begun with the same protocol.

    Args:
        protocol: see `hqgan.protocol`.
        out: the study's folder.
        weights: Inception weights (see `load_extractor`).
        executor: of the study. The threads that a task has there decide whether classifiers are
            trained in bfloat16; a study is finished in the precision that it was begun in.
        progress: called as progress(done, total) while images are decoded.

    Raises:
        UsageError: the folder holds another study, a classifier or a setting that cannot be.
        DataError: classes, lesions or images that make a study meaningless (see
            `require_separate`).
    """
    weights = weights or os.environ.get("HQGAN_INCEPTION") or None
    study = Study(out.absolute(), protocol, weights and absolute_path(weights))
    require_outside(protocol.data, study.out)
    arms = protocol.expanded().values()
    require_own_settings(protocol.generators.set, [arm.generator for arm in arms if arm.generator])
    train, val = study.load("train", progress), study.load("val", progress)
    splits, warnings, test = [val], left_out(train, val), None
    if study.has_test():
        test = study.load("test", progress)
        splits.append(test)
    else:
        warnings.append(f"{protocol.data} has no test split, so this study can only look, on val.")
    require_separate(train, *splits)
    warnings += missing_classes(*splits)
    for column in protocol.groups:
        if column not in val.metadata:
            known = ", ".join(val.metadata) or "none"
            raise UsageError(
                f"groups names the column {column!r}, which hqgan does not read from "
                f"{protocol.data} (it reads: {known})"
            )
    stages = lay_out(study, train)
    for cell in stages[0]:
        if isinstance(cell, GeneratorCell):
            check_generator(cell, train)
    place = make_fabric(protocol.device, "float32").device.type
    precision = {}
    for name in protocol.classifiers:
        weights_of_it = protocol.classifier.weights.get(name)
        classifier = build_classifier(name, len(train.classes), protocol.size, weights_of_it)
        half = trains_in_bf16(classifier, place, executor.threads)
        precision[name] = "bf16" if half else "float32"
    settings = {
        "protocol": protocol.checksum(),
        "train_checksum": train.checksum,
        "val_checksum": val.checksum,
        "test_checksum": test and test.checksum,
        "precision": precision,  # depends on the device, and on a CPU on the number of threads
        "extractor": str(load_extractor(study.weights, protocol.extractor)),
    }
    require_same_protocol(study.out, protocol)
    require_same(study.out, settings, "study", {"precision": THREADS_DECIDE})
    return Plan(study, stages, val, tuple(warnings), settings)


def lay_out(study: Study, train: Dataset) -> tuple[tuple[Cell, ...], ...]:
    """Generators and judges, then pools, then classifiers; each once."""
    protocol = study.protocol
    first: dict[Path, Cell] = {}
    pools: dict[Path, PoolCell] = {}
    last: list[Cell] = []
    for fraction in protocol.fractions:
        for seed in range(protocol.seeds):
            real = lesion_fraction(train, fraction, seed).counts
            for name, arm in protocol.expanded().items():
                pool = None
                if arm.generator is not None:
                    if isinstance(arm.ratio, float) and not synthetic_counts(arm, real).any():
                        raise UsageError(
                            f"the ratio {arm.ratio:g} of arm {name} is less than one synthetic "
                            f"image for {real.sum():,} real ones; raise it"
                        )
                    pool = pool_of(study, fraction, seed, arm, real)
                    known = pools.get(pool.folder, pool)
                    most = np.maximum(pool.counts, known.counts)
                    pools[pool.folder] = replace(pool, counts=tuple(most.tolist()))
                    for cell in (pool.generator, pool.judge):
                        if cell is not None:
                            first[cell.folder] = cell
                last += [
                    ClassifierCell(study, fraction, seed, name, arm, classifier, pool)
                    for classifier in protocol.classifiers
                ]
    return tuple(first.values()), tuple(pools.values()), tuple(last)


def pool_of(study: Study, fraction: float, seed: int, arm: Arm, real: np.ndarray) -> PoolCell:
    """The synthetic images that an arm takes its own from, given the real ones (K,) it has."""
    assert arm.generator is not None
    return PoolCell(
        study,
        fraction,
        seed,
        GeneratorCell(study, fraction, seed, arm.generator),
        JudgeCell(study, fraction, seed) if arm.class_filter else None,
        arm.copy_filter,
        tuple(synthetic_counts(arm, real).tolist()),
    )


def left_out(*datasets: Dataset) -> list[str]:
    """A sentence about files that cannot be used, if there are any."""
    skipped = {one.id: one.reason for dataset in datasets for one in dataset.skipped}
    if not skipped:
        return []
    first, reason = next(iter(skipped.items()))
    return [
        f"{len(skipped)} files or rows of train and val are left out, the first is {first}: "
        f"{reason}; `hqgan data inspect` lists them all."
    ]


def check_generator(cell: GeneratorCell, train: Dataset) -> None:
    """Refuse a generator that cannot be trained on this split."""
    config = cell.config()
    real = lesion_fraction(train, cell.fraction, cell.seed)
    require_trainable(real, config.batch)
    with torch.device("meta"):  # shapes without memory
        generator, _ = build_models(config, len(train.classes))
    require_room(generator, config, len(real))


def require_same_protocol(out: Path, protocol: Protocol) -> None:
    """A study that was looked at and then changed proves nothing, so it cannot be changed."""
    file = out / PROTOCOL
    if not file.is_file():
        return
    try:
        before = read_protocol(file)
    except UsageError as error:
        raise RunError(
            f"{file}, the study's own copy of its protocol, is damaged or of another version of "
            f"hqgan; choose another --out ({error})"
        ) from error
    if before.checksum() == protocol.checksum():  # files may have moved
        return
    changed = differences(before.model_copy(update={"data": protocol.data}), protocol)
    if changed:
        raise UsageError(
            f"{out} holds a study with another protocol ({'; '.join(changed)}). A protocol is "
            "fixed once its study has begun, the number of seeds included, or its tests would not "
            "hold: keep it, or choose another --out for a new study"
        )
