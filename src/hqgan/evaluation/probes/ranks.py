"""How many directions a map uses: effective ranks of stream features and of the Jacobian."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hqgan.evaluation.probes.estimates import Array, Estimate, bootstrap
from hqgan.evaluation.probes.streams import BATCH, CLASSICAL, outputs, quantum_block
from hqgan.models import Generator

CIRCUITS = "circuits"
QUANTUM_STREAM, CLASSICAL_STREAM = "quantum stream", "classical stream"


@dataclass(frozen=True)
class Spectrum:
    """Singular values, largest first, and the effective rank that follows from them.

    Attributes:
        rank: `effective_rank`. Of features it has no interval, for resampling repeats images and
            so lowers ranks; `half` shows instead whether n was enough.
        singular_values: of features, divided by sqrt(n - 1), which makes them standard deviations
            along the principal axes; of Jacobians, the mean over latents.
        features: columns of the matrix, the highest rank there could be.
        half: the effective rank from the first half of the images; None for Jacobians.
    """

    rank: Estimate
    singular_values: tuple[float, ...]
    features: int
    half: float | None = None


def effective_rank(singular_values: Array) -> float:
    """exp of the entropy of singular values (..., m) normalised to sum 1: from 1 to m.

    0 where all are 0. Source: Roy & Vetterli 2007, "The effective rank" (EUSIPCO), section 3.
    """
    values = np.asarray(singular_values, np.float64)
    if not values.any():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def feature_spectrum(features: Array) -> Spectrum:
    """Spectrum of features (n, F), centred over the n images; n >= 4. Cost: one SVD."""

    def deviations(rows: Array) -> Array:
        centred = rows - rows.mean(0)
        return np.linalg.svd(centred / np.sqrt(len(rows) - 1), compute_uv=False)

    n, width = features.shape
    if n < 4:
        raise ValueError(f"features of {n} images, expected 4 or more")
    # Rounding gives equal rows a spread of 1e-7, and noise has full rank.
    noise = np.finfo(np.float32).eps * max(float(np.abs(features).max()), 1e-30) * np.sqrt(n)
    values, half = (
        np.where(found > noise, found, 0.0)
        for found in (deviations(features), deviations(features[: n // 2]))
    )
    reason = "resampled images repeat, which lowers ranks"
    return Spectrum(
        Estimate(effective_rank(values), None, n, reason),
        tuple(values.tolist()),
        width,
        effective_rank(half),
    )


def stream_spectra(generator: Generator, z: Tensor, y: Tensor) -> dict[str, Spectrum]:
    """Spectra of "circuits" (their values), "quantum stream" and "classical stream" (at fusion).

    The classical stream is the output of a module `classical`; without one it is what enters the
    quantum stream, as in hybridq-v1.
    """
    stream = generator.get_submodule("quantum")
    modules = {CIRCUITS: quantum_block(generator), QUANTUM_STREAM: stream}
    classical = getattr(generator, CLASSICAL, None)
    if isinstance(classical, nn.Module):
        modules[CLASSICAL_STREAM] = classical
    found = dict(
        zip(modules, outputs(generator, list(modules.values()), z, y), strict=True),
    )
    if CLASSICAL_STREAM not in found:
        found[CLASSICAL_STREAM] = _inputs(generator, stream, z, y)
    return {name: feature_spectrum(values.double().numpy()) for name, values in found.items()}


def jacobian_spectrum(
    generator: Generator, z: Tensor, y: Tensor, seed: int, repeats: int = 1000
) -> Spectrum:
    """Singular values of d image / d z at each of n latents (n, z_dim); rank: their mean.

    Exact, in forward mode: copies of a latent, each with one direction as its tangent, make a batch
    (in eval mode images do not see each other). Circuits are differentiated by torch here,
    not by the kernel. Cost: about 3 batches of z_dim images a latent.
    """
    spectra, ranks = [], []
    for latent, label in zip(z, y, strict=True):
        directions = torch.eye(len(latent), dtype=latent.dtype)
        parts = [_derivatives(generator, latent, label, part) for part in directions.split(BATCH)]
        rows = torch.cat(parts)
        values = np.linalg.svd(rows.double().numpy(), compute_uv=False)
        spectra.append(values)
        ranks.append(effective_rank(values))
    rows_of_ranks = np.array(ranks)[:, None]
    rank = bootstrap(
        rows_of_ranks, lambda means: means[:, 0], np.random.default_rng([seed, 2]), repeats
    )
    mean = np.mean(spectra, axis=0)
    return Spectrum(rank, tuple(mean.tolist()), len(mean))


def _derivatives(generator: Generator, z: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Derivatives of one image along directions (D, z_dim) of its latent: (D, pixels)."""
    copies, classes = z.repeat(len(directions), 1), y.expand(len(directions))
    with torch.no_grad(), warnings.catch_warnings():
        # torch's forward mode still goes through torch.jit, which torch itself has deprecated.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        return torch.func.jvp(
            lambda inputs: generator(inputs, classes).flatten(1), (copies,), (directions,)
        )[1]


def _inputs(generator: Generator, module: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """What enters a module while n images are made: (n, F)."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.no_grad():
            generator(z, y)
    finally:
        hook.remove()
    return seen[0].reshape(len(z), -1).float()
