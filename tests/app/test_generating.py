"""The pictures of the page: those of `hqgan sample`, by any backend, with their circuits."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hqgan.app.bundle import zip_images
from hqgan.app.explaining import sites, switched
from hqgan.app.generating import Made, Order, make, way
from hqgan.app.model import Model, open_model
from hqgan.data import to_uint8
from hqgan.errors import HqganError, UsageError
from hqgan.evaluation.probes.streams import quantum_block, replaced
from hqgan.models import About, build_generator, save_snapshot
from hqgan.pretrained import find_pretrained
from hqgan.workflows import sample
from hqgan.workflows.hardware.capture import decoded
from small_runs import CLASSES

NAME = "ham10000-64"
ROUNDING = 1  # grey level: another batch, or values in float64


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(find_pretrained(NAME), NAME)


@pytest.fixture(scope="module")
def made(model: Model) -> Made:
    return make(model, Order("mel", 3, 5))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model without circuits, never trained."""
    torch.manual_seed(0)
    generator = build_generator("dcgan", classes=3, size=32)
    folder = tmp_path_factory.mktemp("plain") / "snapshot-000001"
    save_snapshot(generator, folder, About("dcgan", CLASSES, (3, 2, 1), 1000, 0, "dcgan", "none"))
    return open_model(folder, "plain")


def read(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_the_same_seed_gives_the_images_of_hqgan_sample_bit_for_bit(
    model: Model, tmp_path: Path
) -> None:
    sample(find_pretrained(NAME), tmp_path / "out", per_class=2, seed=7)
    made = make(model, Order(None, 2, 7))
    assert len(made) == 14
    for image, y, number in zip(made.images, made.labels, made.numbers, strict=True):
        file = tmp_path / "out" / model.about.classes[y] / f"{number:05d}.png"
        assert np.array_equal(image, read(file.read_bytes()))


def test_the_zip_has_a_folder_a_class_a_manifest_of_every_image_and_the_licence(
    model: Model,
) -> None:
    made = make(model, Order(None, 1, 3, truncation=1.5))
    content = zip_images(model, made)
    assert content == zip_images(model, make(model, made.order))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
        card = archive.read("README.md").decode()
        assert {row["file"] for row in rows} | {"manifest.csv", "README.md"} == set(
            archive.namelist()
        )
        for row, image in zip(rows, made.images, strict=True):
            assert np.array_equal(read(archive.read(row["file"])), image)
            assert row["file"] == f"{row['class']}/00000.png"
    told = [rows[0][key] for key in ("synthetic", "seed", "index", "truncation", "backend")]
    assert told == ["true", "3", "0", "1.5", "exact"]
    assert rows[0]["snapshot"] == f"{NAME}/{NAME}"
    assert "CC BY-NC 4.0" in card
    assert "not for\ndiagnosis" in card


def test_truncation_changes_images_and_its_largest_value_none(model: Model, made: Made) -> None:
    assert np.array_equal(make(model, replace(made.order, truncation=4.0)).images, made.images)
    assert not np.array_equal(make(model, replace(made.order, truncation=0.5)).images, made.images)


def test_more_images_begin_with_the_same_ones(model: Model, made: Made) -> None:
    more = make(model, replace(made.order, count=5)).images[:3].astype(int)
    assert np.abs(more - made.images).max() <= ROUNDING


@pytest.mark.parametrize("backend", ["exact", "shots:64"])
def test_an_image_is_what_its_circuits_say_it_is(model: Model, made: Made, backend: str) -> None:
    """The values shown are put in the circuits' place, and the picture comes out."""
    of = make(model, replace(made.order, backend=backend))
    shown = sites(model, of, 1)
    assert [s.name for s in shown[:5:4]] == ["Site 1: row 1, column 1", "Site 5: row 2, column 1"]
    values = torch.stack([site.values for site in shown]).unflatten(0, (4, 4))
    image = to_uint8(decoded(model.generator, of.z[1:2], of.y[1:2], values))[0]
    assert np.abs(image.astype(int) - of.images[1]).max() <= ROUNDING


def test_shots_of_one_seed_are_drawn_once_and_for_all(model: Model, made: Made) -> None:
    order = replace(made.order, backend="shots:16")
    one, other = make(model, order), make(model, order)
    assert np.array_equal(one.images, other.images)
    assert not np.array_equal(one.images, made.images)
    assert one.values is not None
    sixteenths = 16 * (one.values + 1) / 2  # of 16 outcomes so many were +1
    assert torch.allclose(sixteenths, sixteenths.round(), atol=1e-4)


def test_noise_of_a_device_pulls_values_towards_zero(model: Model, made: Made) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    noisy = make(model, replace(made.order, count=1, backend="noise:fake_marrakesh"))
    exact = torch.stack([site.values for site in sites(model, made, 0)])
    found = torch.stack([site.values for site in sites(model, noisy, 0)])
    assert 0.5 < (found.abs().mean() / exact.abs().mean()).item() < 1


def test_the_stream_is_switched_off_or_taken_from_another_image(model: Model, made: Made) -> None:
    zeros, shuffled = switched(model, made, 2)
    block = quantum_block(model.generator)
    with torch.no_grad(), replaced({block: torch.zeros(1, 16 * 12)}):
        without = to_uint8(model.generator(made.z[2:], made.y[2:]))[0]
    assert (zeros.kind, shuffled.kind) == ("zeros", "shuffled")
    assert np.abs(zeros.image.astype(int) - without).max() <= ROUNDING
    change = np.abs(zeros.image.astype(float) - made.images[2]).mean()
    assert zeros.change == pytest.approx(change)
    assert shuffled.change > 0
    assert [one.kind for one in switched(model, make(model, Order("nv", 1, 0)), 0)] == ["zeros"]


def test_a_walk_begins_and_ends_with_the_first_images_of_its_seeds(model: Model) -> None:
    images = way(model, "bcc", (1, 2), 4).astype(int)
    ends = [make(model, Order("bcc", 1, seed)).images[0] for seed in (1, 2)]
    assert len(images) == 4
    assert np.abs(images[[0, -1]] - np.stack(ends)).max() <= ROUNDING
    assert np.abs(images[1] - images[0]).mean() > ROUNDING


@pytest.mark.parametrize(
    "order",
    [
        Order("mel", 65, 0),
        Order(None, 10, 0),  # 70 in all
        Order("mel", 0, 0),
        Order("mel", 1.5, 0),  # type: ignore[arg-type]
        Order("mel", True, 0),
        Order("mel", 1, -1),
        Order("mel", 1, 2**31),
        Order("mel", 1, None),  # type: ignore[arg-type]
        Order("mel", 1, 0, truncation=float("nan")),
        Order("mel", 1, 0, truncation=9),
        Order("../mel", 1, 0),
        Order("mel", 1, 0, backend="shots:0"),
        Order("mel", 1, 0, backend="shots:1e9"),
        Order("mel", 64, 0, backend="shots:100000"),  # others would wait for half a minute
        Order(None, 9, 0, backend="shots:20000"),
        Order("mel", 1, 0, backend="noise:"),
        Order("mel", 1, 0, backend="noise:fake_nothing"),
        Order("mel", 1, 0, backend="python:os:getcwd"),
        Order("mel", 1, 0, backend="ibm:least_busy"),
        Order("mel", 1, 0, backend="fake:fake_marrakesh"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_words(model: Model, order: Order) -> None:
    with pytest.raises(HqganError) as refusal:
        make(model, order)
    assert "\n" not in str(refusal.value)


def test_a_walk_within_no_class_or_of_a_thousand_steps_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="one class"):
        way(model, None, (0, 1), 4)
    with pytest.raises(UsageError, match="3 to 16"):
        way(model, "mel", (0, 1), 1000)


def test_a_model_without_circuits_makes_images_and_says_what_it_lacks(plain: Model) -> None:
    made = make(plain, Order("nv", 2, 0))
    assert made.images.shape == (2, 32, 32, 3)
    assert "no circuits" in plain.without_circuits
    assert "no quantum part" in plain.without_stream
    for attempt in (lambda: sites(plain, made, 0), lambda: switched(plain, made, 0)):
        with pytest.raises(UsageError):
            attempt()
    with pytest.raises(UsageError, match="no circuits"):
        make(plain, Order("nv", 1, 0, backend="shots:10"))
