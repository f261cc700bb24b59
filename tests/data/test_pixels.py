"""uint8 to [-1, 1] and back is the identity, for every value, once and for all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hqgan.data import save_grid, save_png, to_float, to_uint8


def every_level() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)


def test_round_trip_is_the_identity_for_all_levels() -> None:
    assert np.array_equal(to_uint8(to_float(every_level())), every_level())


def test_black_is_minus_one_and_white_is_one() -> None:
    floats = to_float(every_level())
    assert floats.min() == -1.0
    assert floats.max() == 1.0


def test_layout_is_channels_last() -> None:
    assert to_float(every_level()).is_contiguous(memory_format=torch.channels_last)


def test_a_batch_is_never_rescaled() -> None:
    dull = torch.full((2, 3, 4, 4), 0.1)
    assert (to_uint8(dull) == round(1.1 * 127.5)).all()


def test_values_outside_are_clamped_and_bfloat16_is_understood() -> None:
    wild = torch.tensor([-7.0, 7.0, 0.0]).view(1, 3, 1, 1).to(torch.bfloat16)
    assert to_uint8(wild).ravel().tolist() == [0, 255, 128]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_no_pixel_can_show_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        to_uint8(torch.full((1, 3, 2, 2), value))


def test_wrong_shapes_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        to_float(np.zeros((1, 2, 2, 3), np.float32))
    with pytest.raises(ValueError, match="int64"):
        to_uint8(torch.zeros(1, 3, 2, 2, dtype=torch.int64))


def test_a_grid_holds_its_images_in_reading_order(tmp_path: Path) -> None:
    images = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)])
    sheet = np.array(Image.open(save_grid(images, tmp_path / "deep" / "grid.png", columns=2)))
    assert sheet.shape == (10, 10, 3)
    assert [sheet[0, 0, 0], sheet[0, 9, 0], sheet[9, 0, 0], sheet[9, 9, 0]] == [10, 20, 30, 255]


def test_png_is_lossless(tmp_path: Path) -> None:
    image = every_level()[0]
    assert np.array_equal(np.array(Image.open(save_png(image, tmp_path / "x.png"))), image)
