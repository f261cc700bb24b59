"""How fast a model learns: when a curve of a distance over images seen gets where.

A curve is a sequence of (images seen, value), lower is better, in any order; points whose value is
None or NaN were not measured and are left out. Between its points a value is interpolated
linearly in the logarithm of images, for curves are measured at log-spaced points.
"""

import math
from collections.abc import Sequence

import numpy as np

Curve = Sequence[tuple[float, float | None]]

NEAR = 1.05  # "arrived": within 5 % of the best value
FLAT = 0.05  # "flattened": the last doubling of images gained less than this share


def images_to_reach(curve: Curve, target: float) -> float | None:
    """Images seen when the curve is first at `target` or below; None if it never gets there.

    If its first point is already there, that point's images: at most so many were needed.
    Raises ValueError for points at no images, or two at the same number.
    """
    points = _points(curve)
    if not points or min(value for _, value in points) > target:
        return None
    place = next(i for i, (_, value) in enumerate(points) if value <= target)
    if place == 0:
        return points[0][0]
    (before, high), (after, low) = points[place - 1 : place + 1]
    return float(before * (after / before) ** ((high - target) / (high - low)))


def mean_curve(curves: Sequence[Curve]) -> list[tuple[float, float]]:
    """Mean of several seeds' curves, at every point of any of them that all have reached.

    Between its points a curve is interpolated as above. Empty curves, of seeds without a
    measurement, are left out.
    """
    several = [points for points in map(_points, curves) if points]
    if not several:
        return []
    start = max(points[0][0] for points in several)
    end = min(points[-1][0] for points in several)
    grid = sorted({n for points in several for n, _ in points if start <= n <= end})
    means = np.zeros(len(grid))
    for points in several:
        images, values = np.array(points).T
        means += np.interp(np.log(grid), np.log(images), values) / len(several)
    return list(zip(grid, means.tolist(), strict=True))


def within(curve: Curve, factor: float = NEAR) -> float | None:
    """Images seen when the curve first comes within `factor` (>= 1) of its own best value.

    That is at best + (factor - 1) |best|, for a kernel distance may be negative. None for a curve
    without points. Compare it between models only if their curves have flattened.
    """
    if factor < 1:
        raise ValueError(f"factor is {factor}, expected 1 or more")
    points = _points(curve)
    if not points:
        return None
    best = min(value for _, value in points)
    return images_to_reach(curve, best + (factor - 1) * abs(best))


def flattened(curve: Curve) -> bool | None:
    """Whether the last doubling of images gained less than 5 %; if not, a model is undertrained.

    With n the images of the last point: the best value up to n/2 (the value at n/2 itself is
    interpolated) less the best value of all is below 5 % of the magnitude of the former. A curve
    that rises at the end is flat in this sense. None, unknown, if the curve begins after n/2.
    """
    points = _points(curve)
    if not points or points[0][0] > points[-1][0] / 2:
        return None
    images, values = np.array(points).T
    half = images[-1] / 2
    at_half = float(np.interp(math.log(half), np.log(images), values))
    best_at_half = min(at_half, float(values[images <= half].min()))
    gain = best_at_half - float(values.min())
    return gain == 0 or gain < FLAT * abs(best_at_half)


def _points(curve: Curve) -> list[tuple[float, float]]:
    points = sorted((n, v) for n, v in curve if v is not None and not math.isnan(v))
    images = [n for n, _ in points]
    if len(set(images)) < len(images) or min(images, default=1) <= 0:
        raise ValueError(f"images seen are {images}, expected different numbers above 0")
    return points
