"""How much of state space random circuits reach: expressibility and entangling capability.

Legend: n states (n, N) with N = 2^Q amplitudes, real or complex. Random angles are uniform in
[0, 2 pi), inputs and weights alike.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from hqgan.evaluation.probes.estimates import Array, Estimate, bootstrap
from hqgan.evaluation.probes.families import chunks
from hqgan.quantum import Circuit, state

BINS = 75  # of the fidelity histogram, as in the source
FLOOR_DRAWS = 20


@dataclass(frozen=True)
class Expressibility:
    """How the fidelities of pairs of random states differ from those of Haar-random states.

    Attributes:
        angles: "uniform", or "trained": the run's weights, uniform inputs, pairs within one
            circuit.
        divergence: the KL divergence from Haar's distribution, nats; 0 for Haar-random states.
        floor: the same of as many truly Haar-random pairs (mean of 20 draws): a finite number of
            pairs cannot come out lower.
        real_divergence: the same against random real states; None for circuits with complex gates.
            With RY and CZ alone no amplitude is complex, so `divergence` cannot reach its floor.
        histogram: share of pairs in each of 75 equal bins of the fidelity from 0 to 1.
        haar: the shares expected for Haar-random states.
        pairs: number of pairs.
    """

    angles: str
    divergence: float
    floor: float
    real_divergence: float | None
    histogram: tuple[float, ...]
    haar: tuple[float, ...]
    pairs: int


@dataclass(frozen=True)
class Entangling:
    """Meyer-Wallach's Q averaged over random circuits: 0 for products, 1 at most.

    `haar` is the mean over random states, complex or real as the circuit's are.
    """

    angles: str
    capability: Estimate
    haar: float


def expressibility(states: Tensor, partners: Tensor, angles: str, seed: int) -> Expressibility:
    """Expressibility from pairs of random states, row i of each (n, N).

    Source: Sim et al. 2019, arXiv 1905.10876, eq. 8; Haar's fidelities have the density
    (N - 1) (1 - F)^(N - 2), real ones Beta(1/2, (N - 1)/2).
    """
    n, dimension = states.shape
    overlaps = (states.conj() * partners).sum(-1)
    fidelities = overlaps.abs().square().clamp(0, 1).numpy()
    counts = _histogram(fidelities)
    haar = haar_log_shares(dimension, real=False)
    rng = np.random.default_rng([seed, 3])
    draws = rng.beta(1, dimension - 1, (FLOOR_DRAWS, n))
    real = None if states.is_complex() else _divergence(counts, haar_log_shares(dimension, True))
    return Expressibility(
        angles=angles,
        divergence=_divergence(counts, haar),
        floor=float(np.mean([_divergence(_histogram(draw), haar) for draw in draws])),
        real_divergence=real,
        histogram=tuple((counts / n).tolist()),
        haar=tuple(np.exp(haar).tolist()),
        pairs=n,
    )


def haar_log_shares(dimension: int, real: bool) -> Array:
    """Logarithm of the probability of each bin of the fidelity of random states: (75,).

    From the tail P(F > f) = I_(1-f)(b, a) of Beta(a, b), in logarithms because the last bins of
    many qubits hold less than the smallest float: I_x(b, a) = x^b (1-x)^a 2F1(a+b, 1; b+1; x) /
    (b B(a, b)), DLMF 8.17.8.
    """
    a = 0.5 if real else 1.0
    b = a * (dimension - 1)
    edges = np.arange(1, BINS) / BINS
    x = 1.0 - edges
    tails = b * np.log(x) + a * np.log(edges) - np.log(b) - special.betaln(a, b)
    tails += np.log(special.hyp2f1(a + b, 1.0, b + 1.0, x))
    upper = np.concatenate(([0.0], tails))
    lower = np.concatenate((tails, [-np.inf]))
    return upper + np.log1p(-np.exp(lower - upper))


def entangling(states: Tensor, angles: str, seed: int, repeats: int = 1000) -> Entangling:
    """Entangling capability: the mean of `meyer_wallach` over states (n, 2^Q) (Sim et al., eq. 9).

    The interval is a bootstrap over states.
    """
    rng = np.random.default_rng([seed, 4])
    values = meyer_wallach(states).double().numpy()[:, None]
    half = states.shape[1] // 2
    # Lubkin 1978 for complex states; the same integral over the orthogonal group for real ones.
    extra = 0 if states.is_complex() else 1
    purity = (2 + half + extra) / (2 * half + 1 + extra)
    mean = bootstrap(values, lambda means: means[:, 0], rng, repeats)
    return Entangling(angles, mean, 2.0 * (1.0 - purity))


def meyer_wallach(states: Tensor) -> Tensor:
    """Q = 2 (1 - mean purity of the single qubits) of states (n, 2^Q): (n,), in [0, 1].

    Source: Meyer & Wallach 2002, quant-ph/0108104, in the form of Brennen 2003, quant-ph/0305094.
    """
    qubits = states.shape[-1].bit_length() - 1
    purities = []
    for wire in range(qubits):
        halves = states.unflatten(-1, (2**wire, 2, -1)).movedim(-2, 1).flatten(2)  # (n, 2, N / 2)
        density = halves @ halves.mH
        purities.append(density.abs().square().sum((-2, -1)))
    return 2.0 * (1.0 - torch.stack(purities).mean(0))


def random_states(
    circuit: Circuit, n: int, seed: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Two sets of states (n, 2^Q); row i of both is from the same circuit if `weights` are given.

    Uniform angles; with `weights` (G, P) row i has those of circuit i modulo G. float32.
    """
    rng = np.random.default_rng([seed, 5])

    def uniform(*shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(0, 2 * math.pi, shape)).float()

    drawn = []
    for _ in range(2):
        parts, start = [], 0
        for count in chunks(n, circuit.qubits):
            inputs = uniform(count, 1, circuit.inputs)
            if weights is None:
                chosen = uniform(count, circuit.weights)
            else:
                chosen = weights.detach().float()[torch.arange(start, start + count) % len(weights)]
            parts.append(state(circuit, inputs, chosen)[:, 0])
            start += count
        drawn.append(torch.cat(parts))
    return drawn[0], drawn[1]


def _histogram(fidelities: Array) -> NDArray[np.integer]:
    return np.histogram(fidelities, BINS, (0.0, 1.0))[0]


def _divergence(counts: NDArray[np.integer], log_shares: Array) -> float:
    """KL divergence of a histogram from expected shares, nats."""
    seen = counts > 0
    shares = counts[seen] / counts.sum()
    return float((shares * (np.log(shares) - log_shares[seen])).sum())
