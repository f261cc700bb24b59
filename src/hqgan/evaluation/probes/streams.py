"""The streams of a generator: what runs through them, and what happens if it is replaced.

A generator has a quantum stream if it has `quantum.circuits`: circuits or a twin, whose outputs
keep the rows of one image together. If it also has a module `classical`, that is the classical
stream. Both are read and replaced by forward hooks, so no model knows of this file. Everything
needs eval mode, where the images of a batch do not depend on each other.

Legend: n latents z (n, z_dim) with classes y (n,); the values of a stream are (n, F), one row an
image.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.evaluation.probes.estimates import Array, Estimate, bootstrap
from hqgan.models import Generator

BATCH = 64
QUANTUM, CLASSICAL, REST = "quantum", "classical", "rest"
INTERVENTIONS = ("shuffled", "zeros", "mean")


def quantum_block(generator: Generator) -> nn.Module:
    """The circuits of a generator, or the twin in their place; UsageError if there are none."""
    block = getattr(getattr(generator, "quantum", None), "circuits", None)
    if not isinstance(block, nn.Module):
        raise UsageError(
            f"{type(generator).__name__} has no quantum part to probe: no stream of circuits "
            "beside a classical one; name a run of hybridq, its twins, hybridq-v1 or mediq-v2"
        )
    return block


def stream_modules(generator: Generator) -> dict[str, nn.Module]:
    """The module at the end of each stream: "quantum", and "classical" where there is one."""
    modules = {QUANTUM: quantum_block(generator)}
    classical = getattr(generator, "classical", None)
    return modules | ({CLASSICAL: classical} if isinstance(classical, nn.Module) else {})


@contextmanager
def replaced(values: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Inside, each module puts out its given values (B, F), whatever it is fed, for one batch B."""

    def give(given: Tensor, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        del module, inputs
        return given.reshape(output.shape).to(output)

    hooks = [module.register_forward_hook(partial(give, given)) for module, given in values.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def outputs(generator: Generator, modules: list[nn.Module], z: Tensor, y: Tensor) -> list[Tensor]:
    """What modules put out while the generator makes n images: (n, F) for each."""
    seen: dict[nn.Module, list[Tensor]] = {module: [] for module in modules}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        del inputs
        seen[module].append(output)

    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        for rows, classes in zip(z.split(BATCH), y.split(BATCH), strict=True):
            generator(rows, classes)
            for parts in seen.values():
                parts[-1] = parts[-1].reshape(len(rows), -1).float()
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(parts) for parts in seen.values()]


@torch.no_grad()
def images(generator: Generator, z: Tensor, y: Tensor, circuits: Tensor | None = None) -> Tensor:
    """Images (n, 3, S, S) in [-1, 1]; `circuits` (n, F) replaces what the quantum block says."""
    block = quantum_block(generator)
    made = []
    for rows in torch.arange(len(z)).split(BATCH):
        with replaced({} if circuits is None else {block: circuits[rows]}):
            made.append(generator(z[rows], y[rows]).float())
    return torch.cat(made)


def intervened(values: Tensor, kind: str, rng: torch.Generator) -> Tensor:
    """Values (n, F) of the block after one of `INTERVENTIONS`.

    "shuffled": every image has those of another one, in a random cycle through all n, classes
    mixed: the marginal distribution stays, the relation to latent and class is cut. "zeros".
    "mean": the mean over all n, so that only the variation is removed.
    """
    if kind == "shuffled":
        order = torch.randperm(len(values), generator=rng)
        donors = torch.empty_like(order)
        donors[order] = order.roll(1)
        return values[donors]
    if kind == "zeros":
        return torch.zeros_like(values)
    if kind == "mean":
        return values.mean(0, keepdim=True).expand_as(values)
    raise ValueError(f"unknown intervention {kind!r}; known are {', '.join(INTERVENTIONS)}")


@dataclass(frozen=True)
class VarianceShares:
    """How much of the variance of the pixels each stream explains, classes held fixed.

    Attributes:
        variance: of a pixel, in squared units of [-1, 1], within a class; mean over pixels.
        first: by stream, the share that it explains alone; they sum to 1 less `interaction`.
        total: by stream, the share that is left if all other streams are held fixed.
        interaction: the share that no stream explains alone.
        n: pairs of latents behind each number.
        seed: of latents and bootstrap.
    """

    variance: float
    first: dict[str, Estimate]
    total: dict[str, Estimate]
    interaction: Estimate
    n: int
    seed: int


@torch.no_grad()
def variance_shares(
    generator: Generator, y: Tensor, seed: int, repeats: int = 1000
) -> VarianceShares | None:
    """First-order and total Sobol' indices of the streams, by pick-freeze.

    The image is a function f of independent streams: the quantum block's values, those of the
    classical stream, and the rest (what else depends on z: in hybridq the decoder's style and
    texture), each driven by a latent of its own. For each class in `y` (n,) draw two sets a and b
    of such latents, and let x_s take stream s from a and all others from b. With
    D(u, v) = E|f(u) - f(v)|² / 2, over pixels and draws,

        variance V = D(a, b),   first-order share = 1 - D(a, x_s) / V,   total = D(b, x_s) / V.

    Source: Sobol' 1993 (Math. Model. Comput. Exp. 1, 407); the estimators are Jansen's, formulas
    (c) and (f) in table 2 of Saltelli et al. 2010 (Comput. Phys. Commun. 181, 259); variances are
    summed over the pixels as in Gamboa et al. 2014 (arXiv 1311.1797). Intervals: bootstrap over the
    n draws; a first-order share may come out slightly negative.

    What it is not: streams that share one latent, as in use, are dependent, and their images may
    differ in variance from those measured here. A model without a module `classical` (hybridq-v1)
    has its classical stream in the rest, which is then called so.
    None where all images of a class are equal. Cost: about 9 images for each of n.
    """
    modules = stream_modules(generator)
    names = [*modules, REST if CLASSICAL in modules else CLASSICAL]
    latents = torch.Generator().manual_seed(seed)
    rows = []
    for classes in y.split(BATCH):
        a, b = (_Draw.of(generator, modules, names, classes, latents) for _ in range(2))
        image_a, image_b = a.image(generator), b.image(generator)
        halves = [_half_squares(image_a, image_b)]
        for name in names:
            mixed = b.with_stream_of(a, name).image(generator)
            halves += [_half_squares(image_a, mixed), _half_squares(image_b, mixed)]
        rows.append(torch.stack(halves, 1))
    squares = torch.cat(rows).double().numpy()  # (n, 1 + 2 streams)
    if not squares[:, 0].any():
        return None

    def estimate(statistic: Any) -> Estimate:
        return bootstrap(squares, statistic, np.random.default_rng([seed, 1]), repeats)

    def first(column: int, means: Array) -> Array:
        return 1.0 - means[:, column] / means[:, 0]

    def total(column: int, means: Array) -> Array:
        return means[:, column] / means[:, 0]

    firsts = {name: partial(first, 1 + 2 * i) for i, name in enumerate(names)}
    totals = {name: partial(total, 2 + 2 * i) for i, name in enumerate(names)}
    return VarianceShares(
        variance=float(squares[:, 0].mean()),
        first={name: estimate(share) for name, share in firsts.items()},
        total={name: estimate(share) for name, share in totals.items()},
        interaction=estimate(lambda means: 1.0 - sum(s(means) for s in firsts.values())),
        n=len(y),
        seed=seed,
    )


@dataclass(frozen=True)
class _Draw:
    """One batch of independent inputs: values of each stream's module, and z for the rest."""

    values: dict[nn.Module, Tensor]
    z: Tensor
    y: Tensor
    modules: dict[str, nn.Module]

    @classmethod
    def of(
        cls,
        generator: Generator,
        modules: dict[str, nn.Module],
        names: list[str],
        y: Tensor,
        rng: torch.Generator,
    ) -> "_Draw":
        z = {name: generator.sample_z(len(y), rng) for name in names}
        values = {
            module: outputs(generator, [module], z[name], y)[0] for name, module in modules.items()
        }
        return cls(values, z[names[-1]], y, modules)

    def with_stream_of(self, other: "_Draw", name: str) -> "_Draw":
        if name not in self.modules:
            return _Draw(self.values, other.z, self.y, self.modules)
        module = self.modules[name]
        return _Draw(self.values | {module: other.values[module]}, self.z, self.y, self.modules)

    def image(self, generator: Generator) -> Tensor:
        with replaced(self.values):
            return generator(self.z, self.y).float()


def _half_squares(one: Tensor, other: Tensor) -> Tensor:
    """Half the mean squared difference of each pair of images: (B,)."""
    return (one - other).square().flatten(1).mean(1) / 2


def gate(generator: Generator) -> list[float] | None:
    """What a gated fusion lets through of each quantum channel, in [0, 1]; None without a gate."""
    raw = getattr(getattr(generator, "fusion", None), "gate", None)
    return None if raw is None else torch.sigmoid(raw.detach()).flatten().tolist()
