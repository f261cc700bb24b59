"""Generators of the package: made of a run, found by name, sampled, fine-tuned, and kept honest."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import package_weights
import pytest
import torch
import yaml
from package_weights import package
from PIL import Image
from safetensors.torch import load_file

from hqgan import cli, pretrained
from hqgan.config import load_config, read_config
from hqgan.data import to_uint8
from hqgan.errors import DataError, RunError, UsageError
from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import RECORDS, evaluate_run
from hqgan.models import generate, load_snapshot
from hqgan.training import Callbacks, load_state, train
from hqgan.workflows.augment import augment
from hqgan.workflows.demo import draw_finished
from small_runs import CLASSES, SIZE, fingerprint, tiny_config, tiny_dataset, write_folders

NO_CIRCUITS = "generator.twin=zeros"  # no kernel is compiled
TINY = {"data_name": "Smooth pictures", "data_licence": "CC BY-NC 4.0"}
OFF = {"copy_filter": False, "class_filter": False}  # they reject what is hardly trained
HALF = 1e-3  # relative error of a weight in half precision
SHIPPED = pretrained.FOLDER  # before any test puts another in its place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("pretrained") / "data")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Trained and measured."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    train(tiny_config(0.016, NO_CIRCUITS, data=data), folder)
    evaluate_run(folder, str(data), load_extractor(name="tiny"))
    return folder


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, run: Path) -> Path:
    """A place with one packaged generator."""
    folder = tmp_path_factory.mktemp("pretrained") / "shelf"
    package(run, "tiny-32", critic=True, out=folder, **TINY)
    return folder


@pytest.fixture
def packaged(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where hqgan looks for it."""
    monkeypatch.setattr(pretrained, "FOLDER", shelf)
    return shelf / "tiny-32"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hqgan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The command, in this process: exit code and standard error."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hqgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, capsys.readouterr().err

    return call


def pixels(folder: Path) -> np.ndarray:
    generator, _ = load_snapshot(folder)
    return np.concatenate([to_uint8(b) for b in generate(generator, [0, 1, 2] * 4, 0)]).astype(int)


def shipped_and_tiny(shelf: Path) -> Iterator[Path]:
    for place in (SHIPPED, shelf):
        yield from (file.parent for file in place.glob("*/metrics.json"))


def test_a_packaged_generator_is_not_measured_where_it_lies(packaged: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="copy it into a folder"):
        evaluate_run(packaged, str(data), load_extractor(name="tiny"))
    assert not (packaged.parent / RECORDS).exists()


def test_what_is_packaged_is_small_whole_and_labelled(shelf: Path) -> None:
    for folder in shipped_and_tiny(shelf):
        files = {file.name: file.stat().st_size for file in folder.iterdir()}
        assert sum(files.values()) <= pretrained.LARGEST, folder
        assert {"model.safetensors", "config.json", "hqgan.json", "metrics.json"} <= files.keys()
        _, about = load_snapshot(folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["name"], metrics["images_seen"]) == (folder.name, about.images_seen)
        assert metrics["recipes"]
        card = (folder / "README.md").read_text()
        front = yaml.safe_load(card.split("---")[1])
        assert front["license"] == "cc-by-nc-4.0"
        assert "for research, not\nfor diagnosis" in card
        assert f"--pretrained {folder.name}" in card
        seen = pretrained.seen_images(folder)
        assert seen is not None
        assert 0 < len(seen) <= sum(about.class_counts)
        if folder.parent == SHIPPED:
            assert "Tschandl" in card


def test_half_precision_hardly_moves_its_images(run: Path, shelf: Path) -> None:
    moved = np.abs(pixels(run) - pixels(shelf / "tiny-32")).max()
    assert moved <= package_weights.MOST_GREY_LEVELS
    stored = load_file(shelf / "tiny-32" / "model.safetensors")
    assert {w.dtype for w in stored.values() if w.is_floating_point()} == {torch.float16}
    assert load_snapshot(shelf / "tiny-32")[0].decoder.to_rgb.weight.dtype == torch.float32


def test_the_card_holds_the_last_full_measurement(run: Path, shelf: Path) -> None:
    lines = (run / "evaluation.jsonl").read_text().splitlines()
    full = [r for r in map(json.loads, lines) if r["floor"] is not None]
    kept = json.loads((shelf / "tiny-32" / "metrics.json").read_text())["recipes"]
    assert kept == full
    card = (shelf / "tiny-32" / "README.md").read_text()
    assert f"| val | {full[0]['recipe']} | all | {full[0]['value']:.4g} |" in card
    assert "`generator.twin: None -> 'zeros'`" in card
    (command,) = re.findall(r"hqgan (train --init (?:.*\\\n)*.*)", card)
    values = shlex.split(command.replace("PATH", "embedded"))
    settings = [value for flag, value in pairwise(values) if flag == "--set"]
    told = load_config(overrides={"size": SIZE}, assignments=settings)
    trained = read_config(run / "config.yaml")
    assert told.generator == trained.generator
    assert told.critic == trained.critic


def test_what_cannot_be_packaged_is_refused(
    run: Path, data: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="is there already"):
        package(run, "tiny-32", out=shelf, **TINY)
    other = shutil.copytree(run, tmp_path / "other")
    with pytest.raises(UsageError, match="is no snapshot of the run"):
        package(run, "mine", snapshot=other / "snapshot-00.016", out=tmp_path, **TINY)
    (other / "evaluation.jsonl").unlink()
    with pytest.raises(RunError, match="was not measured; run `hqgan evaluate"):
        package(other, "mine", out=tmp_path, **TINY)
    tuned = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump(tuned | {"init": {"run": str(run)}}))
    with pytest.raises(RunError, match=r"was fine-tuned from .*run"):
        package(other, "mine", out=tmp_path, **TINY)
    tuned["data"]["path"] = str(write_folders(tmp_path / "data", train=2))
    (other / "config.yaml").write_text(yaml.safe_dump(tuned))
    with pytest.raises(RunError, match="holds other images"):
        package(other, "mine", out=tmp_path, **TINY)
    monkeypatch.setattr(package_weights, "LARGEST", 1000)
    with pytest.raises(RunError, match=r"at most 0\.001 MB go into the package"):
        package(run, "mine", out=tmp_path, **TINY)
    assert not (tmp_path / "mine").exists()


def test_a_generator_is_found_by_its_name(packaged: Path) -> None:
    assert pretrained.pretrained_names() == ["tiny-32"]
    assert pretrained.find_pretrained("tiny-32") == packaged
    with pytest.raises(UsageError, match=r"'tiny-23'; known are tiny-32. Did you mean 'tiny-32'"):
        pretrained.find_pretrained("tiny-23")


def test_a_package_without_any_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(UsageError, match="this version of hqgan has none"):
        pretrained.find_pretrained("ham10000-64")


def test_sample_draws_from_a_name(packaged: Path, elsewhere: Path, hqgan: Callable) -> None:
    code, said = hqgan("sample", "--pretrained", "tiny-32", "--n", 6, "--out", "out")
    assert code == 0, said
    assert "synthetic images, learned from Smooth pictures (CC BY-NC 4.0)" in said
    assert len(list((elsewhere / "out").glob("*/*.png"))) == 6
    assert (elsewhere / "out" / "grid.png").is_file()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([], "say which generator"),
        (["runs/mine", "--pretrained=tiny-32"], "are two generators"),
        (["tiny-32"], "say --pretrained tiny-32"),
        (["--pretrained=tiny-3"], "Did you mean 'tiny-32'?"),
    ],
)
def test_sample_needs_exactly_one_generator(
    packaged: Path, elsewhere: Path, hqgan: Callable, order: list[str], words: str
) -> None:
    code, said = hqgan("sample", *order, "--n", 6)
    assert code == 2
    assert words in said
    assert not list(elsewhere.iterdir())


def test_the_demo_shows_what_is_finished(packaged: Path, tmp_path: Path) -> None:
    finished = draw_finished("tiny-32", tmp_path)
    with Image.open(tmp_path / "tiny-32.png") as picture:
        assert picture.size == (8 * (SIZE + 2) - 2, 3 * (SIZE + 2) - 2)
    assert finished.line() == (
        f"{tmp_path / 'tiny-32.png'}  (tiny-32: synthetic images, learned from Smooth pictures "
        "(CC BY-NC 4.0); one row each: bkl, mel, nv)"
    )


def test_a_name_stays_a_name_and_a_folder_of_that_name_wins(
    packaged: Path, elsewhere: Path
) -> None:
    config = load_config(overrides={"init.run": "tiny-32"})
    assert config.init is not None
    assert config.init.run == "pretrained:tiny-32"
    assert pretrained.locate(config.init.run) == packaged
    (elsewhere / "tiny-32").mkdir()
    local = load_config(overrides={"init.run": "tiny-32"}).init
    assert local is not None
    assert local.run == str(elsewhere / "tiny-32")
    marked = load_config(overrides={"init.run": "pretrained:tiny-32"}).init
    assert marked == config.init


def test_a_start_that_is_nowhere_is_explained(packaged: Path, elsewhere: Path) -> None:
    for wrong in ("tiny-23", "pretrained:tiny-23"):
        config = tiny_config(0.016, f"init.run={wrong}", NO_CIRCUITS)
        with pytest.raises((RunError, UsageError), match=r"called 'tiny-23'.*mean 'tiny-32'\?"):
            train(config, elsewhere / "run", tiny_dataset())


def test_fine_tuning_by_name_takes_generator_and_critic_and_resumes_anywhere(
    packaged: Path, run: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tiny_dataset((5, 5, 5), ("mel", "naevus", "scc"))
    settings = ("init.run=tiny-32", "init.label_map={naevus: nv}", NO_CIRCUITS)
    said: list[str] = []
    tell = Callbacks(message=said.append)
    train(tiny_config(0.008, *settings), elsewhere / "run", new, tell)
    assert "from pretrained:tiny-32 (16 images) with its critic; 2 of 3 classes" in said[0]
    assert read_config(elsewhere / "run" / "config.yaml").init.run == "pretrained:tiny-32"
    away = elsewhere / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    train(tiny_config(0.016, *settings), elsewhere / "run", new, tell)
    assert any("continuing" in line for line in said)


def test_the_packaged_critic_is_that_of_the_run(packaged: Path, run: Path) -> None:
    kept = load_file(packaged / "critic.safetensors")
    for name, weight in load_state(run)["trainer"]["critic"].items():
        torch.testing.assert_close(kept[name].to(weight.dtype), weight, rtol=HALF, atol=1e-6)


def test_the_critic_may_be_absent_but_not_damaged(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(packaged, tmp_path / "shelf" / "tiny-32")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "shelf")
    critic = tmp_path / "shelf" / "tiny-32" / "critic.safetensors"
    config, said = tiny_config(0.008, "init.run=tiny-32", NO_CIRCUITS), []
    critic.write_bytes(b"no weights")
    with pytest.raises(RunError, match=r"critic.safetensors cannot be loaded .* install hqgan"):
        train(config, tmp_path / "run", tiny_dataset())
    critic.unlink()
    train(config, tmp_path / "run", tiny_dataset(), Callbacks(message=said.append))
    assert "with a new critic" in said[0]


def test_augment_takes_a_name_and_writes_nothing_into_the_package(
    packaged: Path, data: Path, elsewhere: Path, hqgan: Callable
) -> None:
    before = fingerprint(packaged)
    filters = ("--no-copy-filter", "--no-class-filter")
    order = ("augment", "--pretrained=tiny-32", "--data", data, "--per-class=9", *filters)
    code, said = hqgan(*order, "--out", "out")
    assert code == 0, said
    assert "learned from Smooth pictures (CC BY-NC 4.0)" in said
    assert "warning" not in said  # it is known to have seen this train split alone
    assert {
        f.name: len(list(f.iterdir())) for f in (elsewhere / "out").iterdir() if f.is_dir()
    } == (dict.fromkeys(CLASSES, 9))
    assert fingerprint(packaged) == before
    code, said = hqgan(*order, "--out", "other", "--preset=dcgan")
    assert code == 2
    assert "--pretrained takes a generator as it is, and --preset would train one" in said


def swapped(data: Path, folder: Path) -> Path:
    """The same data, one training image of which stands in test."""
    shutil.copytree(data, folder)
    train_image, test_image = (folder / split / "mel" / "0.png" for split in ("train", "test"))
    train_bytes = train_image.read_bytes()
    train_image.write_bytes(test_image.read_bytes())
    test_image.write_bytes(train_bytes)
    return folder


def test_held_out_images_that_it_was_trained_on_are_recognised(
    packaged: Path, data: Path, tmp_path: Path
) -> None:
    leaking = swapped(data, tmp_path / "swapped")
    message = r"was trained on 1 test images of these data, the first is .*mel/0"
    with pytest.raises(DataError, match=message):
        augment(packaged, tmp_path / "out", data=str(leaking), per_class=9, **OFF)
    # ... also by what was fine-tuned from it.
    config = tiny_config(0.008, "init.run=tiny-32", NO_CIRCUITS, data=leaking)
    with pytest.raises(DataError, match=message):
        augment(config, tmp_path / "out", per_class=9, **OFF)
    assert not (tmp_path / "out").exists()


def test_other_data_get_a_warning_and_other_classes_advice(packaged: Path, tmp_path: Path) -> None:
    fewer = write_folders(tmp_path / "fewer", train=3, held_out=2)
    for split in ("val", "test"):
        for file in (fewer / split).rglob("*.png"):
            with Image.open(file) as image:
                Image.fromarray(255 - np.asarray(image)).save(file)
    result = augment(packaged, tmp_path / "out", data=str(fewer), per_class=4, **OFF)
    assert any("None of them is in val or test" in warning for warning in result.warnings)
    other = write_folders(tmp_path / "other", ("mel", "scc"))
    with pytest.raises(DataError, match=r"makes bkl, mel, nv, but .* --init starts from other"):
        augment(packaged, tmp_path / "new", data=str(other), per_class=4, **OFF)
