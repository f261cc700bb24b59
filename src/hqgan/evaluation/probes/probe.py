"""Does the quantum part matter? The measurements on one generator, and what they add up to.

Everything is measured on fakes of the same latents, in the class mix of the reference split: as
they are, and with the circuits' values replaced.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqgan.data import Dataset, to_uint8
from hqgan.evaluation.features import Extractor, Features
from hqgan.evaluation.metrics import (
    Interval,
    TooFewImages,
    frechet_distance,
    kid,
    kid_bootstrap,
)
from hqgan.evaluation.probes.circuits import CircuitProbe, probe_circuits
from hqgan.evaluation.probes.estimates import Estimate, bootstrap, percentile_interval
from hqgan.evaluation.probes.ranks import Spectrum, jacobian_spectrum, stream_spectra
from hqgan.evaluation.probes.streams import (
    INTERVENTIONS,
    VarianceShares,
    gate,
    images,
    intervened,
    outputs,
    quantum_block,
    variance_shares,
)
from hqgan.models import About, Generator, parameter_count
from hqgan.quantum import QuantumLayer

EXAMPLES = 8  # latents whose images are shown
JACOBIANS = 8  # latents at which the Jacobian is taken
Stage = Callable[[str, int, int], None]


class Judge:
    """Distance of fakes from a reference split, and how it changes from one set to another.

    Inception gives kid768 (of the whole network its first part), with intervals by bootstrap: real
    images resampled by lesion, fakes singly. The tiny network gives fd_tiny, which has none.
    """

    def __init__(
        self,
        reference: Dataset,
        extractor: Extractor,
        seed: int,
        repeats: int = 1000,
        progress: Stage | None = None,
    ) -> None:
        self.extractor = extractor.narrower() or extractor
        self.recipe = "fd_tiny" if self.extractor.name == "tiny" else "kid768"
        self.seed, self.repeats = seed, repeats
        self._groups = reference.groups
        self._real = self.extractor(
            reference.images, partial(progress, "real") if progress else None
        )

    def features(self, fakes: Tensor) -> Features:
        """Features (n, d) of images (n, 3, S, S), rounded as a PNG rounds them."""
        return self.extractor(to_uint8(fakes))

    def distance(self, fakes: Features) -> Estimate:
        """The recipe's value of one set of fakes."""
        return self._estimate(lambda: self._value(fakes), lambda: self._resamples(fakes), fakes)

    def change(self, before: Features, after: Features) -> Estimate:
        """Value of `after` less that of `before`, equally many, row by row of the same latents.

        The interval is paired: each resample draws the same lesions and the same rows for both.
        """
        return self._estimate(
            lambda: self._value(after) - self._value(before),
            lambda: self._resamples(after) - self._resamples(before),
            before,
        )

    def _estimate(
        self, value: Callable[[], float], resamples: Callable[[], Any], fakes: Features
    ) -> Estimate:
        found: float | None = None
        interval: Interval | None = None
        reason = None
        try:
            found = value()
            if self.recipe == "fd_tiny":
                reason = "resampling biases a Fréchet distance, so it has no interval"
            else:
                interval = percentile_interval(resamples())
        except TooFewImages as refusal:
            reason = str(refusal)
        return Estimate(found, interval, len(fakes), reason)

    def _value(self, fakes: Features) -> float:
        return (frechet_distance if self.recipe == "fd_tiny" else kid)(self._real, fakes)

    def _resamples(self, fakes: Features) -> Any:
        return kid_bootstrap(self._real, fakes, self._groups, self.seed, self.repeats)


@dataclass(frozen=True)
class GeneratorProbe:
    """One generator. Intervals are 95 %; every estimate carries its own number of draws.

    Attributes:
        run: what it was called.
        generator, preset: its name, and the preset it was trained by, which names the twin.
        quantum_parameters, parameters: of the block alone, and of the whole generator.
        images_seen: how long it was trained.
        distance: from the reference split, of the fakes as they are.
        moved: by intervention, how far replacing the block's values moves a pixel: mean absolute
            difference of an image to itself, in grey levels of 255. Zero if they are ignored.
        changes: by intervention, how that changes the distance.
        against_first: distance of this generator less that of the first; None for the first.
        shares: of the variance of the pixels, by stream; None where images do not vary.
        gate: of each quantum channel, in [0, 1]; None without a gate.
        features: spectra of the streams.
        jacobian: spectrum of d image / d latent.
        circuits: None where a twin without circuits stands in their place.
    """

    run: str
    generator: str
    preset: str
    quantum_parameters: int
    parameters: int
    images_seen: int
    distance: Estimate
    moved: dict[str, Estimate]
    changes: dict[str, Estimate]
    against_first: Estimate | None
    shares: VarianceShares | None
    gate: list[float] | None
    features: dict[str, Spectrum]
    jacobian: Spectrum
    circuits: CircuitProbe | None


@dataclass(frozen=True)
class Probe:
    """What `hqgan probe` found: the run, then the runs it is held against.

    `examples` are uint8 images (1 + interventions, 8, S, S, 3) of the first run: as they are, then
    after each intervention, a column a latent; they are not part of the JSON.
    """

    recipe: str
    extractor: str
    split: str
    n_real: int
    n_fake: int
    seed: int
    generators: list[GeneratorProbe]
    examples: np.ndarray = field(repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """All but the examples, as plain numbers, strings, lists and dictionaries."""
        content = asdict(self)
        del content["examples"]
        return content

    def lines(self) -> Iterator[str]:
        """For people: a few lines a generator."""
        for one in self.generators:
            yield f"{one.run} ({one.preset}): {self.recipe} {one.distance}"
            for kind, change in one.changes.items():
                yield f"  circuits' values {kind:9} move a pixel by {one.moved[kind]} of 255 levels"
                yield f"    and change {self.recipe} by {change}: {verdict(change)}"
            if one.shares is not None:
                for stream, share in one.shares.first.items():
                    yield f"  variance explained by {stream:10} {share}"
            yield f"  effective rank of the Jacobian  {one.jacobian.rank}"
            if one.against_first is not None:
                yield f"  {self.recipe} less that of the first run: {one.against_first}"


def verdict(change: Estimate) -> str:
    """What the interval of a change allows to say."""
    if change.interval is None:
        return "no interval, so no verdict"
    if not change.excludes_zero:
        return "the interval holds 0: no effect is shown"
    if change.interval[0] > 0:
        return "further from the real images than as they were"
    return "nearer to the real images than as they were"


@dataclass(frozen=True)
class Probed:
    """A probe, the features of the fakes it was taken on, and `Probe.examples`."""

    probe: GeneratorProbe
    features: Features
    examples: np.ndarray


def probe_generator(
    run: str,
    about: About,
    generator: Generator,
    z: Tensor,
    y: Tensor,
    judge: Judge,
    before: Features | None = None,
    progress: Stage | None = None,
) -> Probed:
    """Probe one generator with latents z (n, z_dim) of classes y (n,), sorted by class.

    `before` are the features of the first generator's fakes, if this is another one. UsageError
    without a quantum block.
    Cost: 4 passes of n images through the extractor, about 15 through the generator.
    """
    block = quantum_block(generator)
    steps = iter(range(1, len(INTERVENTIONS) + 5))

    def tick() -> None:
        if progress is not None:
            progress(f"probing {run}", next(steps), len(INTERVENTIONS) + 4)

    rng = torch.Generator().manual_seed(judge.seed)
    (values,) = outputs(generator, [block], z, y)
    shown = torch.linspace(0, len(z) - 1, min(EXAMPLES, len(z))).long()
    fakes = images(generator, z, y)
    features = judge.features(fakes)
    examples = [to_uint8(fakes[shown])]
    tick()
    moved, changes = {}, {}
    for kind in INTERVENTIONS:
        others = images(generator, z, y, intervened(values, kind, rng))
        levels = (others - fakes).abs().flatten(1).mean(1, keepdim=True) * 127.5
        moved[kind] = bootstrap(
            levels.double().numpy(),
            lambda means: means[:, 0],
            np.random.default_rng([judge.seed, 6]),
            judge.repeats,
        )
        changes[kind] = judge.change(features, judge.features(others))
        examples.append(to_uint8(others[shown]))
        tick()
    shares = variance_shares(generator, y, judge.seed, judge.repeats)
    tick()
    spectra = stream_spectra(generator, z, y)
    some = torch.randperm(len(z), generator=rng)[:JACOBIANS]
    jacobian = jacobian_spectrum(generator, z[some], y[some], judge.seed, judge.repeats)
    tick()
    circuits = probe_circuits(block, judge.seed) if isinstance(block, QuantumLayer) else None
    tick()
    found = GeneratorProbe(
        run=run,
        generator=about.generator,
        preset=about.preset,
        quantum_parameters=parameter_count(block),
        parameters=parameter_count(generator),
        images_seen=about.images_seen,
        distance=judge.distance(features),
        moved=moved,
        changes=changes,
        against_first=None if before is None else judge.change(before, features),
        shares=shares,
        gate=gate(generator),
        features=spectra,
        jacobian=jacobian,
        circuits=circuits,
    )
    return Probed(found, features, np.stack(examples))
