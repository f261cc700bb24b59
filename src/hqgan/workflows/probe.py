"""Ask a trained generator whether its quantum part matters: what `hqgan probe` does."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from hqgan.data import load_dataset
from hqgan.errors import DataError, UsageError
from hqgan.evaluation import Extractor, reference_class_mix
from hqgan.evaluation.metrics import MIN_GROUPS
from hqgan.evaluation.probes import Judge, Probe, Probed, probe_generator, quantum_block
from hqgan.evaluation.run import MOST_FAKES, decoding
from hqgan.models import latents, load_snapshot

FAKES = 500


def probe(
    run: Path,
    data: str,
    extractor: Extractor,
    *,
    against: Sequence[Path] = (),
    n: int = FAKES,
    seed: int = 0,
    label: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Probe:
    """Probe the newest snapshot of a run, and of those it is held against, on the val split.

    The fakes have the split's class mix, and the latents of `hqgan evaluate` with the same n and
    seed.

    Args:
        run: a run folder or a snapshot of a model with a quantum stream.
        data: what the runs were trained on.
        extractor: see `load_extractor`.
        against: further runs, such as twins, of the same image size and classes.
        n: generated images behind each number.
        seed: of latents, interventions, random circuits and bootstrap.
        label: the column used as class, for data with several.
        progress: called as progress(stage, done, total).

    Raises:
        UsageError: a model without a quantum part, another image size, or an impossible n.
        RunError, DataError: no snapshot, or data of other classes.
    """
    if not MIN_GROUPS <= n <= MOST_FAKES:
        raise UsageError(f"n is {n}, but a probe looks at {MIN_GROUPS} to {MOST_FAKES:,} images")
    loaded = [(str(path), *load_snapshot(path)) for path in (run, *against)]
    for path, generator, _ in loaded:
        try:
            quantum_block(generator)
        except UsageError as refusal:
            raise UsageError(f"{path}: {refusal}") from refusal
    size = loaded[0][1].size
    reference = load_dataset(data, "val", size, label=label, progress=decoding(progress))
    for path, generator, about in loaded:
        if generator.size != size:
            raise UsageError(
                f"{path} makes images of {generator.size} pixels, {run} of {size}; only runs of "
                "one size can be held against each other"
            )
        if about.classes != reference.classes:
            raise DataError(
                f"{data} has the classes {', '.join(reference.classes)}, but {path} was trained "
                f"on {', '.join(about.classes)}; name the data of the run with --data"
            )
    judge = Judge(reference, extractor, seed, progress=progress)
    mix = reference_class_mix(reference.labels, len(reference.classes), n)
    labels = np.repeat(np.arange(len(mix)), mix).tolist()
    probed: list[Probed] = []
    for path, generator, about in loaded:
        z, y = (torch.cat(parts) for parts in zip(*latents(generator, labels, seed), strict=True))
        before = probed[0].features if probed else None
        probed.append(probe_generator(path, about, generator, z, y, judge, before, progress))
    return Probe(
        recipe=judge.recipe,
        extractor=str(judge.extractor),
        split=reference.split,
        n_real=len(reference),
        n_fake=n,
        seed=seed,
        generators=[one.probe for one in probed],
        examples=probed[0].examples,
    )
