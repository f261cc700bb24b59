"""The same latents by several sources: how far values and images of each are from exact ones."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hqgan.data import to_uint8
from hqgan.evaluation.features import Features
from hqgan.evaluation.probes import Estimate, Judge
from hqgan.evaluation.probes.estimates import bootstrap
from hqgan.models import Generator
from hqgan.workflows.hardware.capture import decoded

EXACT = "exact"
COLUMNS = 8  # latents whose images are shown
REPEATS = 1000


class Given(NamedTuple):
    """Values (C, R, V) of one source, what it is in words, and standard errors where it has any."""

    values: Tensor
    what: str
    errors: Tensor | None = None


@dataclass(frozen=True)
class Source:
    """One way to come by the circuits' values, against exact ones of the same latents.

    Attributes:
        name: "exact", "shots", "noise", "backend", "raw" or "mitigated", or one of a study.
        what: in words: the spec, with shots.
        mean_absolute_error: of a value, which lies in [-1, 1]; probabilities in [0, 1].
        largest_error: of all values.
        correlation: Pearson's, over all values; None where one side is constant.
        standard_error: root mean square over all values, as the shots let expect; None without.
        moved: mean absolute difference of a pixel to the exact image, grey levels of 255.
        distance: kid768 of its images; None where that is not measured.
        change: its distance less that of the exact images, paired by latent; None for those.
    """

    name: str
    what: str
    mean_absolute_error: float
    largest_error: float
    correlation: float | None
    standard_error: float | None
    moved: Estimate
    distance: Estimate | None
    change: Estimate | None

    @property
    def bound(self) -> float | None:
        """The most that kid768 may have changed, by the interval of the change."""
        if self.change is None or self.change.interval is None:
            return None
        return max(abs(end) for end in self.change.interval)

    def line(self) -> str:
        """For people."""
        correlation = "-" if self.correlation is None else f"{self.correlation:.4f}"
        change = "" if self.change is None else f", change of kid768 {self.change}"
        return (
            f"{self.name:11} {self.what:28} error {self.mean_absolute_error:.4f}, correlation "
            f"{correlation}, pixels {self.moved} of 255{change}"
        )


@dataclass(frozen=True)
class Compared:
    """All sources of one order. `examples` are uint8 (sources, columns, S, S, 3); not in the JSON.

    Attributes:
        sources: the exact one first.
        signal: mean absolute exact value, to hold the errors against.
        reason: why kid768 is not measured; None where it is.
        features: by source, of its images; empty without a judge.
    """

    sources: list[Source]
    signal: float
    reason: str | None
    examples: np.ndarray = field(repr=False, compare=False)
    features: dict[str, Features] = field(repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """All but examples and features, as plain numbers, strings, lists and dictionaries."""
        return {
            "sources": [asdict(one) | {"bound": one.bound} for one in self.sources],
            "signal": self.signal,
            "reason": self.reason,
        }

    def lines(self) -> Iterator[str]:
        """For people: a line a source."""
        for one in self.sources:
            yield one.line()
        if self.reason:
            yield f"kid768 is not measured: {self.reason}"


def compare(
    generator: Generator,
    z: Tensor,
    y: Tensor,
    given: Mapping[str, Given],
    judge: Judge | None,
    reason: str | None = None,
    seed: int = 0,
) -> Compared:
    """Decode the values of every source, and hold them and their images against exact ones.

    Args:
        generator, z, y: latents (n, z_dim) of classes (n,).
        given: values by source; "exact" among them.
        judge: measures kid768; None for nobody, and then `reason` says why.
        seed: of the bootstrap of pixel distances.

    Cost: a pass of n images through generator and, with a judge, extractor for each source.
    """
    exact = given[EXACT].values
    before = decoded(generator, z, y, exact)
    features = {} if judge is None else {EXACT: judge.features(before)}
    shown = torch.linspace(0, len(z) - 1, min(COLUMNS, len(z))).long()
    sources, examples = [], []
    for name, one in given.items():
        images = before if name == EXACT else decoded(generator, z, y, one.values)
        examples.append(to_uint8(images[shown]))
        distance = change = None
        if judge is not None:
            if name != EXACT:
                features[name] = judge.features(images)
                change = judge.change(features[EXACT], features[name])
            distance = judge.distance(features[name])
        levels = (images - before).abs().flatten(1).mean(1, keepdim=True) * 127.5
        error = (one.values - exact).abs()
        squares = None if one.errors is None else one.errors.square().mean().sqrt().item()
        sources.append(
            Source(
                name=name,
                what=one.what,
                mean_absolute_error=error.mean().item(),
                largest_error=error.max().item(),
                correlation=correlation(exact, one.values),
                standard_error=squares,
                moved=bootstrap(
                    levels.double().numpy(),
                    lambda means: means[:, 0],
                    np.random.default_rng([seed, 6]),
                    REPEATS,
                ),
                distance=distance,
                change=change,
            )
        )
    return Compared(
        sources=sources,
        signal=exact.abs().mean().item(),
        reason=reason,
        examples=np.stack(examples),
        features=features,
    )


def correlation(one: Tensor, other: Tensor) -> float | None:
    """Pearson's, over all numbers; None where one side is constant."""
    a, b = (side.flatten() - side.mean() for side in (one, other))
    scale = (a.norm() * b.norm()).item()
    return (a @ b).item() / scale if scale > 0 else None
