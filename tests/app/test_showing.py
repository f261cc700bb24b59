"""What the first tab shows of any model, and an upload's way to a training."""

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hqgan.app.generate_tab import backend_choices, backend_note, fulfil, order_of
from hqgan.app.generating import Order
from hqgan.app.limits import UploadLimits
from hqgan.app.model import open_model
from hqgan.app.neighbours import TrainingImages
from hqgan.app.sessions import Session
from hqgan.app.showing import (
    circuit_html,
    class_choices,
    head_html,
    nearest_html,
    notice_html,
    selected_html,
    site_choices,
)
from hqgan.app.training_tab import receive
from hqgan.data import load_dataset
from hqgan.errors import DataError, RunError, UsageError
from hqgan.models import About, build_generator, save_snapshot
from hqgan.models.registry import GENERATORS
from small_images import write_picture
from small_runs import write_folders

AWKWARD = ("<i>mel</i>", "n$v", "核")  # markup, mathematics, another script
NARROW: dict[str, dict[str, Any]] = {
    "fastgan": {"width_cap": 16},
    "stylegan2": {"channel_cap": 16},
    "ddpm": {"width": 16, "sampling_steps": 4},
    "mosaiq": {"components": 5},
    "mediq-v2": {"variant": "style2", "prototypes": True, "depth": 1},
}
SLOW = {"mediq-v2"}  # the kernel of its 16 qubits is compiled
MODELS = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in GENERATORS
]
WITH_STREAMS = {"hybridq", "hybridq-v1", "mediq-v2"}


def session_of(name: str, folder: Path, data: Path | None = None) -> Session:
    torch.manual_seed(0)
    try:
        generator = build_generator(name, classes=3, size=32, **NARROW.get(name, {}))
    except UsageError:  # of 64 pixels alone
        generator = build_generator(name, classes=3, size=64, **NARROW.get(name, {}))
    snapshot = folder / "snapshot-000001"
    save_snapshot(generator, snapshot, About(name, AWKWARD, (3, 2, 1), 1000, 0, name, "none"))
    model = open_model(snapshot, f"a run of {name}")
    images = TrainingImages(model, snapshot, data=None if data is None else str(data))
    return Session(folder / "session", model, images)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_shown_with_what_it_has_and_a_sentence_for_what_it_lacks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers") if name == "ddpm" else None
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    session = session_of(name, tmp_path)
    assert fulfil(session, Order("n$v", 1, 0))[0].startswith("1 image of n$v")
    words, pictures, file = fulfil(session, Order("n$v", 2, 0))
    assert words.startswith("2 images of n$v, seed 0, exact values")
    assert [caption for _, caption in pictures] == ["image 0", "image 1"]
    assert Path(file).name == "hqgan-n-v-seed0.zip"
    assert session.folder in Path(file).parents
    streams = selected_html(session, 1)
    assert ("quantum stream off" in streams) == (name in WITH_STREAMS)
    assert ("no quantum part" in streams) == (name not in WITH_STREAMS)
    choices = site_choices(session, 1)
    circuit = circuit_html(session, 1, 0)
    assert bool(choices) == ("<img" in circuit) == (not session.model.without_circuits)
    kinds = [kind for _, kind in backend_choices(session.model)]
    assert ("shots" in kinds) == bool(choices)
    if not choices:
        assert backend_note(session.model) == session.model.without_circuits
    for html in (head_html(session.model), notice_html(session.model), streams, circuit):
        assert "<i>mel" not in html
        assert str(tmp_path) not in html
    assert "There is no training image beside it. This generator is no run folder" in nearest_html(
        session, 0
    )


def test_classes_are_offered_with_their_numbers_of_images(tmp_path: Path) -> None:
    session = session_of("dcgan", tmp_path)
    assert class_choices(session.model)[0] == ("<i>mel</i> (3 training images)", "<i>mel</i>")
    assert class_choices(session.model)[-1] == ("every class", "")


def test_the_nearest_of_other_images_is_not_called_a_training_image(tmp_path: Path) -> None:
    data = write_folders(tmp_path / "data")
    session = session_of("dcgan", tmp_path, data)
    fulfil(session, Order("核", 1, 0))
    html = nearest_html(session, 0)
    assert "nearest of these data, real" in html
    assert "not exactly those that the generator was trained on" in html
    assert html.count("<img") == 2


def test_a_page_that_is_closed_reads_no_further_images(tmp_path: Path) -> None:
    model = session_of("dcgan", tmp_path).model
    data = write_folders(tmp_path / "data")
    images = TrainingImages(model, tmp_path, data=str(data), cache=tmp_path / "cache")
    images.close()
    with pytest.raises(RunError, match="is being closed"):
        images.load()


def test_a_wrong_path_of_data_is_told_without_it(tmp_path: Path) -> None:
    session = session_of("dcgan", tmp_path, tmp_path / "nowhere")
    fulfil(session, Order("核", 1, 0))
    html = nearest_html(session, 0)
    assert "There is no (a file of the server)" in html
    assert str(tmp_path) not in html


@pytest.mark.parametrize("i", [-1, 2, True, "0", None, 10**30])
def test_a_picture_that_is_not_there_cannot_be_chosen(tmp_path: Path, i: object) -> None:
    session = session_of("dcgan", tmp_path)
    with pytest.raises(UsageError, match="Make images first"):
        selected_html(session, i)
    fulfil(session, Order("核", 2, 0))
    with pytest.raises(UsageError, match="not among the latest"):
        selected_html(session, i)


def test_controls_stand_for_an_order() -> None:
    shots = order_of("mel", 2, 3, 1.5, "shots", 64, "fake_fez")
    assert shots == Order("mel", 2, 3, 1.5, "shots:64")
    assert order_of("", 2, 3, 4.0, "noise", 64, "fake_fez").backend == "noise:fake_fez"
    assert order_of("", 2, 3, 4.0, "exact", 64, "fake_fez") == Order(None, 2, 3)


def zipped(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for one in sorted(folder.rglob("*.png")):
            archive.write(one, one.relative_to(folder))
    return file


def images_in(folder: Path, classes: tuple[str, ...], count: int) -> Path:
    for y, name in enumerate(classes):
        for number in range(count):
            file = folder / name / f"{number}.png"
            write_picture(file, 100 * y + number, width=32, height=32)
    return folder


def test_an_upload_becomes_findings_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    nothing: Any = SimpleNamespace()
    session = Session(tmp_path / "session", nothing, nothing)
    first = zipped(images_in(tmp_path / "a", ("mel", "nv"), 10), tmp_path / "a.zip")
    looked = receive(session, first, UploadLimits())
    assert looked.trainable
    assert "Images of each class" in looked.html
    assert not first.exists()
    assert session.data is not None
    before = session.data
    assert 10 <= session.train_images <= 20
    second = zipped(images_in(tmp_path / "b", ("one",), 4), tmp_path / "b.zip")
    looked = receive(session, second, UploadLimits())
    assert not looked.trainable
    assert "at least two" in looked.html
    assert not before.exists()
    bad = tmp_path / "c.zip"
    bad.write_bytes(b"nothing")
    with pytest.raises(DataError):
        receive(session, bad, UploadLimits())
    assert not bad.exists()
    assert session.data is None


def test_damaged_images_of_an_upload_are_not_counted(tmp_path: Path) -> None:
    nothing: Any = SimpleNamespace()
    session = Session(tmp_path / "session", nothing, nothing)
    folder = images_in(tmp_path / "a", ("mel", "nv"), 10)
    for number in range(8):
        (folder / "nv" / f"damaged-{number}.png").write_bytes(b"no image")
    looked = receive(session, zipped(folder, tmp_path / "a.zip"), UploadLimits())
    assert looked.trainable
    assert session.data is not None
    assert session.train_images == len(load_dataset(session.data, "train", 32))


def test_images_without_class_folders_are_explained_in_words_of_the_visitor(
    tmp_path: Path,
) -> None:
    nothing: Any = SimpleNamespace()
    session = Session(tmp_path / "session", nothing, nothing)
    write_picture(tmp_path / "flat" / "0.png", 0)
    file = zipped(tmp_path / "flat", tmp_path / "flat.zip")
    with pytest.raises(DataError) as refusal:
        receive(session, file, UploadLimits())
    assert str(refusal.value).startswith("Your zip has no class folders.")
    assert str(tmp_path) not in str(refusal.value)
