"""Every kind of image file becomes an upright 8-bit RGB square, or is refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.data.dataset import Record, Source
from hqgan.data.decoding import Unreadable, reader, to_rgb, to_square
from small_images import picture

COLOUR_TOLERANCE = 1  # grey levels of 255: rounding of the colour transforms
BOX_TOLERANCE = 1  # grey levels of 255: rounding after rows and again after columns


def read(path: Path) -> Image.Image:
    record = Record("x", 0, "x", "train", path)
    source = Source(str(path), "folder", ("a",), (record,), (), "")
    return reader(source, [record])(record, 8)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb_of_the_same_picture(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(picture(3, 16, 16)).convert(mode)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    seen = read(path)
    assert seen.mode == "RGB"
    difference = np.asarray(seen).astype(int) - np.asarray(image.convert("RGB"))
    assert np.abs(difference).max() <= COLOUR_TOLERANCE


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path: Path) -> None:
    values = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert np.array_equal(np.asarray(read(tmp_path / "x.png"))[..., 1], values >> 8)


def test_transparency_shows_white_paper() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert np.asarray(to_rgb(clear)).min() == 255
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert np.asarray(to_rgb(half))[0, 0].tolist() == [127, 127, 127]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    pixels = picture(1, 12, 8)
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(np.asarray(read(tmp_path / "x.png")), np.rot90(pixels, -1))


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(read(tmp_path / "x.gif")).max() == 0


def test_a_wrong_suffix_does_no_harm(tmp_path: Path) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "x.jpg", format="PNG")
    assert np.array_equal(np.asarray(read(tmp_path / "x.jpg")), picture(5))


def test_reduction_is_the_plain_mean_of_the_central_square() -> None:
    pixels = picture(7, 40, 32)
    means = pixels[:, 4:36].reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(to_square(Image.fromarray(pixels), 8) - means).max() <= BOX_TOLERANCE


def test_a_square_of_the_right_size_is_left_alone() -> None:
    assert np.array_equal(to_square(Image.fromarray(picture(2, 16, 16)), 16), picture(2, 16, 16))


def test_one_pixel_is_an_image() -> None:
    assert (to_square(Image.new("RGB", (1, 1), (1, 2, 3)), 8) == [1, 2, 3]).all()


@pytest.mark.parametrize("keep", [0, 5, 60, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_files_are_refused_with_a_reason(
    suffix: str, keep: float, tmp_path: Path
) -> None:
    whole = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    whole.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(Unreadable, match=r"unreadable|not an image"):
        read(whole)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(Unreadable, match="floating-point"):
        read(tmp_path / "x.tif")


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(picture(1, 40, 40)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(Unreadable, match="decompression bomb"):
        read(tmp_path / "x.png")
