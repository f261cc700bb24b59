"""The embedded default data: synthetic, dermoscopy-like lesions, drawn from a seed.

They are no medical images and carry no diagnosis; they let everything run without a download.
Each class mimics the look its name suggests, and overlaps with the others as real lesions do:

    keratosis       light, sharply bounded, rough, with bright cysts and dark pits
    melanoma-like   large, irregular, several colours, blue-grey veil, dark blotches
    naevus          regular, brown, with a pigment network or globules
    vascular        small, round, crimson to purple, made of lobules
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator

CLASSES = ("keratosis", "melanoma-like", "naevus", "vascular")
COUNTS = {"train": (150, 300, 600, 60), "val": (30, 60, 120, 12), "test": (30, 60, 120, 12)}
DEFAULT_SEED = 20180814  # the day HAM10000 was published

SPLIT_STREAMS = {"train": 0, "val": 1, "test": 2}

# Linear-ish display colours in [0, 1], measured by eye on dermoscopy: R, G, B.
SKIN = np.array(
    [[0.90, 0.62, 0.60], [0.86, 0.72, 0.68], [0.80, 0.66, 0.74], [0.93, 0.78, 0.66]], np.float32
)
BROWN = np.array([[0.62, 0.36, 0.26], [0.48, 0.28, 0.20], [0.36, 0.20, 0.16]], np.float32)
DARK = np.array([[0.24, 0.14, 0.13], [0.15, 0.11, 0.12]], np.float32)
VEIL = np.array([[0.42, 0.43, 0.55], [0.33, 0.36, 0.46]], np.float32)
RED = np.array([[0.80, 0.18, 0.28], [0.68, 0.12, 0.36], [0.50, 0.10, 0.30]], np.float32)
PURPLE = np.array([[0.38, 0.12, 0.38], [0.26, 0.14, 0.36]], np.float32)
TAN = np.array([[0.76, 0.55, 0.40], [0.66, 0.46, 0.36], [0.72, 0.58, 0.46]], np.float32)
CYST = np.array([0.97, 0.92, 0.84], np.float32)
FLUSH = np.array([0.78, 0.42, 0.44], np.float32)
PINK_BROWN = np.array([0.82, 0.58, 0.55], np.float32)  # relative to skin
HAIR = np.array([0.18, 0.11, 0.09], np.float32)


@dataclass(frozen=True)
class Look:
    """The ranges (low, high) a class draws its shape from; lengths in half image widths."""

    radius: tuple[float, float]
    irregularity: tuple[float, float]  # relative amplitude of the border's Fourier terms
    raggedness: tuple[float, float]  # how far noise displaces the border
    softness: tuple[float, float]  # width of the transition to skin
    elongation: tuple[float, float]


LOOKS = (
    Look((0.38, 0.68), (0.03, 0.10), (0.05, 0.13), (0.03, 0.08), (1.0, 1.5)),
    Look((0.45, 0.80), (0.10, 0.24), (0.10, 0.26), (0.05, 0.14), (1.0, 1.5)),
    Look((0.28, 0.66), (0.02, 0.08), (0.03, 0.09), (0.05, 0.16), (1.0, 1.35)),
    Look((0.18, 0.48), (0.03, 0.10), (0.02, 0.08), (0.03, 0.08), (1.0, 1.4)),
)


def seed_of(split: str, label: int, row: int, seed: int = DEFAULT_SEED) -> tuple[int, ...]:
    """The seed of one image, different for each split, class and row."""
    return (seed, SPLIT_STREAMS[split], label, row)


def generate(
    counts: Sequence[int], size: int, *, split: str = "train", seed: int = DEFAULT_SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Draw counts[k] synthetic lesions of each class: uint8 (N, size, size, 3), int64 labels (N,).

    Costs about 5 ms per 64-pixel image. Image i of a class does not depend on the counts.
    """
    if len(counts) != len(CLASSES) or min(counts) < 0:
        raise ValueError(f"expected {len(CLASSES)} counts of at least 0, got {tuple(counts)}")
    labels = np.repeat(np.arange(len(CLASSES)), counts)
    images = np.empty((len(labels), size, size, 3), np.uint8)
    rows = np.concatenate([np.arange(count) for count in counts])
    for index, (label, row) in enumerate(zip(labels.tolist(), rows.tolist(), strict=True)):
        images[index] = draw(label, size, seed_of(split, label, row, seed))
    return images, labels


def draw(label: int, size: int, seed: Sequence[int]) -> np.ndarray:
    """Draw one synthetic lesion of class `label`: uint8 (size, size, 3), a function of the seed.

    Another size shows the same lesion at another resolution.
    """
    random = np.random.default_rng(seed)
    x, y = _coordinates(size)
    image = _skin(random, size)
    look = LOOKS[label]
    depth, angle, centre = _shape(random, size, look)
    softness = random.uniform(*look.softness)
    mask = 0.5 + 0.5 * np.tanh(depth / softness)
    body, strength = _BODIES[label](random, size, depth, angle, image)
    image += (strength * mask)[..., None] * (body - image)
    if label == 2 and random.random() < 0.3:  # an erythematous halo, common around naevi
        halo = 0.25 * np.exp(-np.square(depth / 0.2)) * (1 - mask)
        image += halo[..., None] * (RED[0] - image)
    if random.random() < 0.35:
        _draw_hairs(random, size, image)
    if random.random() < 0.25:
        _draw_glints(random, size, image, centre)
    vignette = random.uniform(0.0, 0.22) * (x * x + y * y)
    image *= (1.0 - vignette)[..., None]
    image = (image - 0.5) * random.uniform(0.92, 1.1) + 0.5 + random.normal(0, 0.015)
    grain = _noise(random, size, (64,))[..., None] * 0.010
    return np.rint(np.clip(image + grain, 0.0, 1.0) * 255).astype(np.uint8)


def _skin(random: Generator, size: int) -> np.ndarray:
    """Float (S, S, 3): a mix of skin tones under uneven light, with faint blotches and pores."""
    tone = random.dirichlet(np.full(len(SKIN), 0.6)) @ SKIN
    tone = (tone * random.uniform(0.88, 1.04)).astype(np.float32)
    light = 0.035 * _noise(random, size, (2, 3))
    blotches = 0.030 * _noise(random, size, (6, 12))
    pores = 0.018 * _noise(random, size, (24, 40))
    redness = np.array([0.25, 1.0, 0.9], np.float32)  # blood darkens green and blue
    return tone + light[..., None] + (blotches + pores)[..., None] * redness


def _shape(
    random: Generator, size: int, look: Look
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Depth below the border (positive inside), angle about the centre, and the centre.

    The border is a rotated ellipse whose radius is modulated by a random Fourier series in the
    angle and displaced by noise.
    """
    x, y = _coordinates(size)
    centre = (random.normal(0, 0.10), random.normal(0, 0.10))
    tilt = random.uniform(0, np.pi)
    stretch = np.sqrt(random.uniform(*look.elongation))
    u = (np.cos(tilt) * (x - centre[0]) + np.sin(tilt) * (y - centre[1])) / stretch
    v = (np.cos(tilt) * (y - centre[1]) - np.sin(tilt) * (x - centre[0])) * stretch
    angle = np.arctan2(v, u)
    amplitude = random.uniform(*look.irregularity)
    border = np.ones_like(angle)
    for order in range(2, 8):
        weight = amplitude * random.normal() / (order - 1) ** 0.7
        border += weight * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    radius = random.uniform(*look.radius)
    ragged = random.uniform(*look.raggedness) * _noise(random, size, (5, 10, 20))
    depth = radius * border - np.hypot(u, v) + 0.6 * ragged
    return depth.astype(np.float32), angle.astype(np.float32), centre


def _keratosis(
    random: Generator, size: int, depth: np.ndarray, angle: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tan and waxy; ridges of warped stripes, pale cysts and dark pits."""
    base = _blend(random, TAN, 0.8) * random.uniform(0.72, 1.04)
    if random.random() < 0.35:
        base = 0.5 * base + 0.5 * BROWN[random.integers(len(BROWN))]
    ridges = _stripes(random, size, random.uniform(4, 9)) * random.uniform(0.0, 0.05)
    rough = _noise(random, size, (8, 18, 36)) * random.uniform(0.04, 0.09)
    body = base + (ridges + rough)[..., None]
    rim = np.exp(-np.square((depth - 0.04) / 0.05))
    body -= (0.10 * random.random() * rim)[..., None]
    cysts = _dots(random, size, random.integers(2, 12), (0.015, 0.04), depth)
    body += (0.8 * cysts)[..., None] * (CYST - body)
    pits = _dots(random, size, random.integers(0, 10), (0.02, 0.045), depth)
    body += (0.7 * pits)[..., None] * (BROWN[2] - body)
    return body, _opacity(random, size, 0.65, 0.95, patchiness=0.22)


def _melanoma_like(
    random: Generator, size: int, depth: np.ndarray, angle: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Several browns in asymmetric areas, dark blotches, often a veil, sometimes a reddish part."""
    x, y = _coordinates(size)
    first, second = BROWN[random.permutation(len(BROWN))[:2]]
    areas = _step(_noise(random, size, (3, 7, 16)), random.normal(0, 0.4), 1.0)
    body = first + areas[..., None] * (second - first)
    direction = random.uniform(0, 2 * np.pi)
    side = _step(np.cos(direction) * x + np.sin(direction) * y, random.normal(0, 0.15), 0.25)
    blotch = _step(_noise(random, size, (4, 8, 18)) + 1.2 * side, random.uniform(0.5, 1.3), 0.7)
    body += (random.uniform(0.6, 1.0) * blotch)[..., None] * (_blend(random, DARK, 1.0) - body)
    if random.random() < 0.55:
        veil = _step(_noise(random, size, (3, 6, 14)) - side, random.uniform(-0.4, 0.7), 0.9)
        veil *= _step(depth, 0.08, 0.08) * random.uniform(0.4, 0.85)
        body += veil[..., None] * (_blend(random, VEIL, 1.0) - body)
    if random.random() < 0.35:
        flush = _step(_noise(random, size, (3, 6)), 0.6, 0.4) * 0.5
        body += flush[..., None] * (FLUSH - body)
    body += (_network(random, size) * random.uniform(0.0, 0.12))[..., None]
    body += (0.05 * _noise(random, size, (16, 32)))[..., None]
    return body, _opacity(random, size, 0.75, 1.0, patchiness=0.30)


def _naevus(
    random: Generator, size: int, depth: np.ndarray, angle: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One brown, darker or lighter inwards, with a network or globules."""
    base = _blend(random, BROWN, 0.7) * random.uniform(0.8, 1.12)
    reddish = random.random() * 0.5  # many naevi are pink-brown: keep some of the skin's own hue
    base = (1 - reddish) * base + reddish * skin.mean((0, 1)) * PINK_BROWN
    body = np.broadcast_to(base, skin.shape).copy()
    core = _step(depth, random.uniform(0.1, 0.3), 0.15) * random.uniform(-0.10, 0.05)
    body += core[..., None]
    if random.random() < 0.6:
        body += (_network(random, size) * random.uniform(0.04, 0.12))[..., None]
    else:
        globules = _dots(random, size, random.integers(8, 30), (0.025, 0.055), depth)
        body += (0.5 * globules)[..., None] * (0.55 * base - body)
    body += (0.05 * _noise(random, size, (6, 14, 30)))[..., None]
    return body, _opacity(random, size, 0.6, 0.98, patchiness=0.12)


def _vascular(
    random: Generator, size: int, depth: np.ndarray, angle: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Red or purple lobules, brighter in the middle of each, parted by paler septa."""
    palette = RED if random.random() < 0.75 else PURPLE
    base = _blend(random, palette, 0.7) * random.uniform(0.85, 1.1)
    edge, middle = _cells(random, size, random.uniform(0.10, 0.22))
    septa = np.exp(-np.square(edge / 0.035)) * random.uniform(0.15, 0.5)
    body = base * (1.0 + 0.22 * (0.5 - middle))[..., None]
    body += septa[..., None] * (0.6 * skin + 0.3 - body) * 0.7
    if random.random() < 0.3:
        clot = _step(_noise(random, size, (4, 8)), 0.7, 0.3) * 0.8
        body += clot[..., None] * (DARK[1] - body)
    body += (0.035 * _noise(random, size, (12, 30)))[..., None]
    return body, _opacity(random, size, 0.75, 1.0, patchiness=0.12)


_BODIES = (_keratosis, _melanoma_like, _naevus, _vascular)


def _network(random: Generator, size: int) -> np.ndarray:
    """Pigment network, in [-1, 0.6]: a dark mesh around lighter holes, fading out somewhere."""
    edge, _ = _cells(random, size, random.uniform(0.085, 0.13))
    fade = _step(_noise(random, size, (3, 5)), random.uniform(-0.6, 0.4), 0.5)
    return (0.6 - 1.6 * np.exp(-np.square(edge / 0.022))) * fade


def _cells(random: Generator, size: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """A random cellular pattern: distance to the nearest wall, and to the cell's middle / spacing.

    Sites are a jittered grid, so that only the 3 x 3 cells around a pixel can be nearest.
    """
    x, y = _coordinates(size)
    count = int(np.ceil(2.0 / spacing)) + 4
    jitter = random.uniform(0.12, 0.88, (2, count, count)).astype(np.float32)
    column, row = (x + 1) / spacing + 1, (y + 1) / spacing + 1
    i, j = column.astype(np.intp), row.astype(np.intp)
    sites = [(j + b, i + a) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    distances = np.stack(
        [np.hypot(p + jitter[0, q, p] - column, q + jitter[1, q, p] - row) for q, p in sites]
    )
    nearest, second = np.partition(distances, 1, axis=0)[:2]
    return spacing * (second - nearest) / 2, nearest


def _stripes(random: Generator, size: int, cycles: float) -> np.ndarray:
    """Winding ridges in [-1, 1] that come and go: a sine wave, its phase displaced by noise."""
    x, y = _coordinates(size)
    direction = random.uniform(0, np.pi)
    along = np.cos(direction) * x + np.sin(direction) * y + 0.3 * _noise(random, size, (3, 6, 12))
    return np.sin(np.pi * cycles * along) * _step(_noise(random, size, (4, 8)), -0.2, 1.2)


def _dots(
    random: Generator, size: int, count: np.integer, radius: tuple[float, float], depth: np.ndarray
) -> np.ndarray:
    """Soft discs in [0, 1] thrown over the lesion (where depth is positive)."""
    x, y = _coordinates(size)
    spread = random.normal(0, 0.28, (int(count), 2))
    widths = random.uniform(*radius, int(count))
    dots = np.zeros_like(depth)
    for (a, b), width in zip(spread, widths, strict=True):
        np.maximum(dots, np.exp(-(np.square(x - a) + np.square(y - b)) / width**2), out=dots)
    return dots * (depth > 0.03)


def _draw_hairs(random: Generator, size: int, image: np.ndarray) -> None:
    """Thin dark arcs across the image, in place."""
    x, y = _coordinates(size)
    shade = HAIR * random.uniform(0.6, 2.2)
    for _ in range(random.integers(1, 8)):
        direction = random.uniform(0, np.pi)
        along = np.cos(direction) * x + np.sin(direction) * y
        across = np.cos(direction) * y - np.sin(direction) * x
        bend = random.normal(0, 0.25)
        off = across - random.uniform(-0.9, 0.9) - bend * np.square(along - random.normal(0, 0.4))
        width = random.uniform(0.008, 0.018)
        start, end = np.sort(random.uniform(-1.3, 1.3, 2)) + np.array([-0.3, 0.3])
        ink = np.exp(-np.square(off / max(width, 1.3 / size)))
        ink *= min(1.0, width * size / 1.3) * ((along > start) & (along < end))
        image += (0.85 * ink)[..., None] * (shade - image)


def _draw_glints(
    random: Generator, size: int, image: np.ndarray, centre: tuple[float, float]
) -> None:
    """Small white reflections of the lamp in the contact fluid, in place."""
    x, y = _coordinates(size)
    for _ in range(random.integers(1, 6)):
        a, b = np.array(centre) + random.normal(0, 0.35, 2)
        width = random.uniform(0.012, 0.03)
        glint = np.exp(-(np.square(x - a) + np.square(y - b)) / max(width, 1.0 / size) ** 2)
        image += (0.8 * glint)[..., None] * (1.0 - image)


def _opacity(
    random: Generator, size: int, low: float, high: float, patchiness: float
) -> np.ndarray:
    """How much of the skin the lesion covers, in [0, 1], uneven by `patchiness`."""
    level = random.uniform(low, high) + patchiness * 0.5 * _noise(random, size, (4, 8, 16))
    return np.clip(level, 0.0, 1.0)


def _blend(random: Generator, palette: np.ndarray, concentration: float) -> np.ndarray:
    """A random mixture of the colours of a palette, float32 (3,)."""
    weights = random.dirichlet(np.full(len(palette), concentration))
    return (weights @ palette).astype(np.float32)


def _step(values: np.ndarray, threshold: float, width: float) -> np.ndarray:
    """Smooth step from 0 to 1 about `threshold`."""
    t = np.clip((values - threshold) / width + 0.5, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _noise(random: Generator, size: int, cells: Sequence[int]) -> np.ndarray:
    """Smooth noise of about unit variance, float32 (S, S); one octave per entry, halving in height.

    An octave of c cells is a (c + 3)² grid of normal values, interpolated by cubic B-splines.
    """
    total = np.zeros((size, size), np.float32)
    power = 0.0
    for octave, count in enumerate(cells):
        weights = _spline(size, count)
        grid = random.standard_normal((count + 3, count + 3), dtype=np.float32)
        total += 0.5**octave * (weights @ grid @ weights.T)
        power += 0.25**octave
    return total * np.float32(2.1 / np.sqrt(power))  # 2.1: the spline's own damping, undone


@lru_cache(maxsize=64)
def _spline(size: int, cells: int) -> np.ndarray:
    """Uniform cubic B-spline weights from cells + 3 control values to `size` pixel centres."""
    position = (np.arange(size) + 0.5) / size * cells
    cell = np.minimum(position.astype(int), cells - 1)
    t = position - cell
    taps = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
    weights = np.zeros((size, cells + 3), np.float32)
    for offset, tap in enumerate(taps / 6):
        weights[np.arange(size), cell + offset] = tap
    return weights


@lru_cache(maxsize=8)
def _coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres x (rightwards) and y (downwards) in (-1, 1), float32 (S, S) each."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return x, y
