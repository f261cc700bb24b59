"""Features depend on pixels and weights alone: not on batches, files, caches or order."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hqgan.errors import HqganError, UsageError
from hqgan.evaluation import features as features_module
from hqgan.evaluation.features import load_extractor
from random_inception import random_state

TOLERANCE = 1e-4  # float32, other blocking


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)


def images(count: int, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


# ---- what features are ----


def test_an_image_has_the_same_features_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = load_extractor(name="tiny", cache=False)
    batch = images(7)
    together = extractor(batch)
    monkeypatch.setattr(features_module, "BATCH", 2)
    np.testing.assert_allclose(extractor(batch), together, rtol=TOLERANCE, atol=TOLERANCE)
    alone = np.concatenate([extractor(image[None]) for image in batch])
    np.testing.assert_allclose(alone, together, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(extractor(batch[::-1]), together[::-1], rtol=TOLERANCE)


def test_an_image_that_went_through_a_png_file_has_the_same_features() -> None:
    """PNG is lossless: evaluating arrays and evaluating the files made of them is one thing."""
    batch = images(3, side=32)
    decoded = []
    for image in batch:
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="PNG")
        decoded.append(np.asarray(Image.open(file).convert("RGB")))
    np.testing.assert_array_equal(np.stack(decoded), batch)
    extractor = load_extractor(name="tiny", cache=False)
    np.testing.assert_array_equal(extractor(np.stack(decoded)), extractor(batch))


def test_the_map_to_the_network_is_fixed_and_never_by_batch() -> None:
    """A dim image stays dim beside a bright one: black is -1, white is 1, grey in between."""
    extractor = load_extractor(name="tiny", cache=False)
    levels = np.array([0, 51, 255], dtype=np.uint8)
    flat = torch.from_numpy(np.tile(levels[:, None, None, None], (1, 8, 8, 3)))
    prepared = extractor._prepare(flat)
    assert prepared.shape == (3, 3, 32, 32)
    expected = torch.tensor([-1.0, -0.6, 1.0])[:, None, None, None].expand_as(prepared)
    torch.testing.assert_close(prepared, expected)


def test_tiny_tells_colour_and_texture_apart_and_is_the_same_everywhere() -> None:
    extractor = load_extractor(name="tiny", cache=False)
    assert (extractor.name, extractor.dim) == ("tiny", 64)
    assert extractor.sha256 == load_extractor(name="tiny").sha256
    grey = np.full((1, 32, 32, 3), 128, dtype=np.uint8)
    red, checked = grey.copy(), grey.copy()
    red[..., 0] = 160
    checked[:, ::2, ::2] = 96
    base = extractor(grey)
    assert np.abs(extractor(red) - base).max() > 0.05
    assert np.abs(extractor(checked) - base).max() > 0.05


def test_progress_ends_at_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "BATCH", 4)
    seen: list[tuple[int, int]] = []
    load_extractor(name="tiny", cache=False)(images(10), lambda *step: seen.append(step))
    assert seen == [(4, 10), (8, 10), (10, 10)]


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 3, 8, 8), np.uint8)]
)
def test_anything_but_uint8_colour_images_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(N, H, W, 3\)"):
        load_extractor(name="tiny", cache=False)(wrong)


def test_no_images_have_no_features() -> None:
    assert load_extractor(name="tiny")(images(0)).shape == (0, 64)


# ---- the cache ----


def test_the_second_call_reads_the_file_of_the_first(tmp_path: Path) -> None:
    extractor = load_extractor(name="tiny", cache_dir=tmp_path)
    first = extractor(images(5))
    (file,) = (tmp_path / "features").iterdir()
    np.save(file, first + 1)  # a mark that only a reader of the file can see
    np.testing.assert_array_equal(extractor(images(5)), first + 1)
    np.testing.assert_array_equal(
        load_extractor(name="tiny", cache_dir=tmp_path, cache=False)(images(5)), first
    )


def test_one_changed_pixel_is_another_entry(tmp_path: Path) -> None:
    extractor = load_extractor(name="tiny", cache_dir=tmp_path)
    changed = images(5)
    extractor(changed)
    changed[2, 0, 0, 0] ^= 128
    extractor(changed)
    assert len(list((tmp_path / "features").iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"something else"])
def test_a_damaged_entry_is_computed_again(tmp_path: Path, damage: bytes) -> None:
    extractor = load_extractor(name="tiny", cache_dir=tmp_path)
    first = extractor(images(5))
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(damage)
    np.testing.assert_array_equal(extractor(images(5)), first)
    np.testing.assert_array_equal(np.load(file), first)


def test_a_cache_that_cannot_be_written_costs_speed_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "features").write_text("a file where the folder should be")
    extractor = load_extractor(name="tiny", cache_dir=tmp_path)
    with caplog.at_level(logging.WARNING):
        assert extractor(images(5)).shape == (5, 64)
    assert "not cached" in caplog.text


# ---- which extractor ----


def test_without_weights_it_is_tiny() -> None:
    assert load_extractor().name == "tiny"


def test_the_environment_names_the_weights_and_they_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(random_state("Mixed_7a"), tmp_path / "net.safetensors")
    monkeypatch.setenv("HQGAN_INCEPTION", str(tmp_path / "net.safetensors"))
    extractor = load_extractor(cache=False)
    assert (extractor.name, extractor.dim) == ("inception768", 768)
    assert str(extractor) == f"inception768 float32 sha256:{extractor.sha256[:16]}"
    assert load_extractor(name="tiny").name == "tiny"
    with pytest.raises(HqganError, match="allows inception768, expected inception2048"):
        load_extractor(name="inception2048")


def test_the_full_weights_give_2048_features_and_leave_the_768_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(random_state(), tmp_path / "net.pth")
    wide = load_extractor(tmp_path / "net.pth", cache_dir=tmp_path)
    assert (wide.name, wide.dim) == ("inception2048", 2048)
    assert wide(images(1)).shape == (1, 2048)
    narrow = load_extractor(tmp_path / "net.pth", "inception768", cache_dir=tmp_path)
    cached = narrow(images(1))
    assert len(list((tmp_path / "features").iterdir())) == 2
    fresh = load_extractor(tmp_path / "net.pth", "inception768", cache=False)(images(1))
    np.testing.assert_allclose(cached, fresh, rtol=TOLERANCE, atol=TOLERANCE)


def test_bfloat16_is_close_and_never_mistaken_for_float32(tmp_path: Path) -> None:
    save_file(random_state("Mixed_6e"), tmp_path / "net.safetensors")
    exact = load_extractor(tmp_path / "net.safetensors", cache_dir=tmp_path)
    quick = load_extractor(tmp_path / "net.safetensors", cache_dir=tmp_path, dtype=torch.bfloat16)
    ours, theirs = exact(images(1)), quick(images(1))
    assert np.abs(ours - theirs).max() > 0  # not read from the other's cache
    assert np.corrcoef(ours[0], theirs[0])[0, 1] > 0.99
    assert "bfloat16" in str(quick)


def test_wrong_names_and_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown extractor 'fid'; expected one of tiny, "):
        load_extractor(name="fid")
    with pytest.raises(HqganError, match="inception768 needs Inception weights"):
        load_extractor(name="inception768")
    with pytest.raises(HqganError, match="no Inception weights at"):
        load_extractor(tmp_path / "missing.pth")
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(HqganError, match="allows no extractor"):
        load_extractor(tmp_path / "other.safetensors")
    state = random_state("Mixed_6e")
    del state["Mixed_5b.branch1x1.conv.weight"]
    save_file(state, tmp_path / "holey.safetensors")
    with pytest.raises(HqganError, match=r"no 'Mixed_5b\.branch1x1\.conv\.weight'"):
        load_extractor(tmp_path / "holey.safetensors")
