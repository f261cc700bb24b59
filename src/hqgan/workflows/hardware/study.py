"""Quality over noise strength, over shots, and under mitigation: what `hqgan hardware study` does.

All of it on our own model of a device's noise (`noise:fake_NAME`), on the same latents throughout,
for one run and those it is held against, such as one trained under noise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hqgan.errors import UsageError
from hqgan.evaluation import Extractor
from hqgan.evaluation.probes import Estimate
from hqgan.models import latents, load_snapshot
from hqgan.pretrained import is_packaged
from hqgan.quantum import simulate
from hqgan.quantum.devices import fake_device
from hqgan.quantum.statevector import Run
from hqgan.workflows.hardware.capture import circuit_call, require_simulable
from hqgan.workflows.hardware.judging import Reference
from hqgan.workflows.hardware.mitigated import Mitigated
from hqgan.workflows.hardware.results import EXACT, Compared, Given, Source, compare
from hqgan.workflows.hardware.sample import in_chunks
from hqgan.workflows.sample import class_mix, spare_compilation

STRENGTHS = (0.5, 1.0, 2.0, 4.0)  # times the device's own; 0 is exact
SHOTS = (256, 1024, 4096, 16384)
MITIGATIONS = ("none", "trex", "zne", "trex+zne")
MITIGATED_SHOTS = 4096
PREFIX = "noise:"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Studied:
    """One run: `compared.sources` are exact values and then a source for each condition."""

    run: str
    preset: str
    images_seen: int
    compared: Compared = field(repr=False)

    def at(self, name: str) -> Source:
        """The source of a condition."""
        return next(one for one in self.compared.sources if one.name == name)


@dataclass(frozen=True)
class NoiseStudy:
    """What was found.

    Attributes:
        device: whose noise.
        n, seed: latents behind each number.
        runs: the first is the one in question.
        differences: by further run and condition, its kid768 less that of the first run, paired by
            latent; empty without a judge.
    """

    device: str
    n: int
    seed: int
    runs: list[Studied]
    differences: dict[str, dict[str, Estimate]]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries."""
        return {
            "device": self.device,
            "n": self.n,
            "seed": self.seed,
            "runs": [
                {
                    "run": one.run,
                    "preset": one.preset,
                    "images_seen": one.images_seen,
                    **one.compared.as_json(),
                }
                for one in self.runs
            ],
            "differences": {
                run: {name: vars(change) for name, change in changes.items()}
                for run, changes in self.differences.items()
            },
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for one in self.runs:
            yield f"{one.run} ({one.preset}):"
            yield from (f"  {line}" for line in one.compared.lines())
        for run, changes in self.differences.items():
            for name in (EXACT, strength(1.0)):
                yield f"{run}, {name}: kid768 less that of the first run {changes[name]}"


def study(
    run: Path,
    reference: Reference,
    extractor: Extractor | None = None,
    *,
    backend: str = "noise:fake_marrakesh",
    against: Sequence[Path] = (),
    n: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> NoiseStudy:
    """Study a run's newest snapshot, and those of runs of the same classes and size.

    Args:
        run: a run folder or a snapshot of a model with circuits.
        reference: real images for kid768, or why there are none.
        extractor: see `load_extractor`; None measures no kid768.
        backend: `noise:fake_NAME`.
        against: further runs.
        n: images behind each number.
        seed: of latents, shots and bootstrap.
        progress: called as progress(stage, done, total).

    Raises:
        UsageError: another backend, an unknown device, or a run that cannot be compared.
        RunError: no snapshot.
    """
    if not backend.startswith(PREFIX):
        raise UsageError(
            f"a study makes the noise weaker and stronger, which {backend} cannot; name a device "
            f"as {PREFIX}fake_NAME"
        )
    if n < 1:
        raise UsageError(f"--n is {n}, but must be at least 1")
    device = backend.removeprefix(PREFIX)
    fake_device(device)
    loaded = [(called(path), *load_snapshot(path)) for path in (run, *against)]
    _, first, about = loaded[0]
    for path, generator, other in loaded[1:]:
        if (generator.size, other.classes) != (first.size, about.classes):
            raise UsageError(
                f"{path} makes images of {generator.size} pixels of {', '.join(other.classes)}, "
                f"{run} of {first.size} pixels of {', '.join(about.classes)}; only runs of the "
                "same can be held against each other"
            )
    counts = reference.mix(n) or class_mix(about, n, None)
    labels = [y for y, count in enumerate(counts) for _ in range(count)]
    judge, reason = reference.judge(extractor, seed, labels)
    studied = []
    for path, generator, other in loaded:
        spare_compilation(generator, n)
        z, y = (torch.cat(parts) for parts in zip(*latents(generator, labels, seed), strict=True))
        call = circuit_call(generator, z, y)
        require_simulable(call.layer)
        given = {
            name: Given(in_chunks(call, n, chosen, f"{path}, {name}", progress), name)
            for name, chosen in conditions(device, seed).items()
        }
        found = compare(generator, z, y, given, judge, reason, seed)
        studied.append(Studied(path, other.preset, other.images_seen, found))
    differences = {}
    if judge is not None:
        base = studied[0].compared.features
        for one in studied[1:]:
            features = one.compared.features
            differences[one.run] = {
                name: judge.change(base[name], features[name]) for name in features
            }
    return NoiseStudy(device, n, seed, studied, differences)


def called(run: Path) -> str:
    """A run's name in tables: its path, or the name of a packaged generator."""
    return run.name if is_packaged(run) else str(run)


def conditions(device: str, seed: int) -> dict[str, Run]:
    """What is varied: each by itself, the rest as the device has it."""
    rng = torch.Generator().manual_seed(seed)
    chosen: dict[str, Run] = {EXACT: simulate}
    for factor in STRENGTHS:
        chosen[strength(factor)] = Mitigated(device, strength=factor)
    for number in SHOTS:
        chosen[shots(number)] = Mitigated(device, shots=number, generator=rng)
    for methods in MITIGATIONS:
        if methods != "none":
            chosen[mitigation(methods)] = Mitigated(device, methods, MITIGATED_SHOTS, generator=rng)
    return chosen


def strength(factor: float) -> str:
    """The name of a condition: exact values of a machine with so many times the noise."""
    return EXACT if factor == 0 else f"noise x {factor:g}"


def shots(number: int) -> str:
    """The name of a condition: the device's noise, so many shots."""
    return f"{number} shots"


def mitigation(methods: str) -> str:
    """The name of a condition: the device's noise and shots, mitigated."""
    return shots(MITIGATED_SHOTS) if methods == "none" else f"{MITIGATED_SHOTS} shots, {methods}"
