"""Nearest neighbours in pixels and features: what counts as near, and that none is missed."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hqgan.evaluation.nearest import (
    SIDE,
    nearest_features,
    nearest_pixels,
    symmetries,
    thumbnails,
)

FLOAT32 = 0.1  # grey levels: roots of the rounding of norms of a few thousand


def photographs(n: int, seed: int = 0, side: int = 32) -> np.ndarray:
    """Random smooth colour images: uint8 (n, side, side, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3))
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2).astype(np.uint8)


def test_an_image_is_its_own_nearest_at_distance_zero() -> None:
    images = photographs(20)
    found = nearest_pixels(images, images)
    assert found.index[:, 0].tolist() == list(range(20))
    assert found.distance.max() == 0


def test_a_turned_and_mirrored_copy_is_found_as_a_copy() -> None:
    images = photographs(12)
    turned = np.stack([np.flip(np.rot90(image, i % 4), axis=1) for i, image in enumerate(images)])
    found = nearest_pixels(turned, images)
    assert found.index[:, 0].tolist() == list(range(12))
    assert found.distance.max() < FLOAT32


def test_the_distance_is_the_root_mean_square_in_grey_levels() -> None:
    grey = np.full((1, 32, 32, 3), 100, np.uint8)
    assert nearest_pixels(grey + 7, grey).distance[0, 0] == pytest.approx(7, abs=FLOAT32)


def test_the_least_distance_over_all_symmetries_is_scipys() -> None:
    queries, references = photographs(15, 1), photographs(40, 2)
    flat = thumbnails(references).reshape(40, -1)
    views = symmetries(thumbnails(queries)).reshape(8, 15, -1)
    expected = np.min([cdist(view, flat) for view in views], axis=0) / np.sqrt(SIDE * SIDE * 3)
    found = nearest_pixels(queries, references, k=3)
    np.testing.assert_allclose(found.distance, np.sort(expected, axis=1)[:, :3], atol=FLOAT32)


def test_the_eight_symmetries_are_all_different() -> None:
    assert len({view.tobytes() for view in symmetries(thumbnails(photographs(1)))}) == 8


def test_neighbours_in_features_are_scipys_also_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    queries, references = rng.normal(1e4, 1, (1500, 5)), rng.normal(1e4, 1, (70, 5))
    found = nearest_features(queries, references, k=2)
    expected = cdist(queries, references)
    assert (found.index[:, 0] == expected.argmin(axis=1)).all()
    np.testing.assert_allclose(found.distance, np.sort(expected, axis=1)[:, :2], rtol=1e-6)


def test_more_neighbours_than_references_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 2"):
        nearest_features(np.zeros((3, 2)), np.zeros((1, 2)), k=2)
