"""A snapshot gives the generator back, says where it comes from, and fails in words."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hqgan.errors import RunError, UsageError
from hqgan.models import (
    About,
    HybridQGenerator,
    Origin,
    build_critic,
    build_generator,
    find_snapshot,
    generate,
    load_snapshot,
    save_snapshot,
    snapshots,
)

ABOUT = About("hybridq", ("mel", "nv"), (11, 67), 1000, 0, "hybridq", "c0ffee")
BATCH_TOLERANCE = 1e-5  # float32 sums may run in another order in another batch


@pytest.fixture(scope="module")
def generator() -> HybridQGenerator:
    torch.manual_seed(0)
    return HybridQGenerator(2, 32, qubits=2, circuit_layers=1).eval()


@pytest.fixture
def saved(generator: HybridQGenerator, tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot-000001"
    save_snapshot(generator, folder, ABOUT)
    return folder


def images(generator: HybridQGenerator, labels: list[int], seed: int, batch: int = 64):
    return torch.cat(list(generate(generator, labels, seed, batch)))


def test_a_snapshot_gives_back_the_same_images_and_origin(
    generator: HybridQGenerator, saved: Path
) -> None:
    loaded, about = load_snapshot(saved)
    assert about == ABOUT
    assert not loaded.training
    assert torch.equal(images(loaded, [0, 1], 3), images(generator, [0, 1], 3))


def test_the_licence_of_a_packaged_generator_goes_with_what_was_fine_tuned_from_it(
    generator: HybridQGenerator, saved: Path, tmp_path: Path
) -> None:
    assert "packaged" not in (saved / "README.md").read_text()
    origin = Origin("lesions-64", "Lesions", "CC BY-NC 4.0", "A. Author, 2020.")
    save_snapshot(generator, tmp_path / "tuned", replace(ABOUT, origin=origin))
    assert load_snapshot(tmp_path / "tuned")[1].origin == origin
    card = (tmp_path / "tuned" / "README.md").read_text()
    assert "lesions-64 learned from Lesions, whose licence (CC BY-NC 4.0) extends to these" in card
    assert "A. Author, 2020." in card
    about = tmp_path / "tuned" / "hqgan.json"
    fields = json.loads(about.read_text())
    about.write_text(json.dumps(fields | {"origin": {**fields["origin"], "licence": 4}}))
    with pytest.raises(RunError, match="expected words"):
        load_snapshot(tmp_path / "tuned")
    del fields["origin"]  # as hqgan wrote it before
    about.write_text(json.dumps(fields))
    assert load_snapshot(tmp_path / "tuned")[1] == ABOUT


def test_it_has_the_format_of_the_hub(saved: Path) -> None:
    assert {f.name for f in saved.iterdir()} == {
        *("model.safetensors", "config.json", "hqgan.json", "README.md"),
    }
    assert json.loads((saved / "config.json").read_text())["qubits"] == 2
    card = (saved / "README.md").read_text()
    assert "| mel | 11 |" in card
    assert "synthetic, for research, not for diagnosis" in card
    assert torch.equal(
        HybridQGenerator.from_pretrained(saved).decoder.to_rgb.weight,
        load_snapshot(saved)[0].decoder.to_rgb.weight,
    )


def test_a_run_is_represented_by_its_newest_snapshot(
    generator: HybridQGenerator, tmp_path: Path
) -> None:
    for kimg in (10, 2, 0.5):
        save_snapshot(generator, tmp_path / f"snapshot-{kimg:06g}", replace(ABOUT, seed=1))
    (tmp_path / "snapshot-best").mkdir()
    (tmp_path / "snapshot-best" / "hqgan.json").write_text("{}")
    names = ["snapshot-0000.5", "snapshot-000002", "snapshot-000010"]
    assert [s.name for s in snapshots(tmp_path)] == names
    assert find_snapshot(tmp_path).name == names[-1]
    assert find_snapshot(tmp_path / names[0]) == tmp_path / names[0]


def test_the_ith_image_of_a_class_depends_on_seed_class_and_i_alone(
    generator: HybridQGenerator,
) -> None:
    few, many = images(generator, [0, 1], 5), images(generator, [1, 0, 0, 1, 1], 5, batch=2)
    torch.testing.assert_close(many[[1, 0]], few, atol=BATCH_TOLERANCE, rtol=0)
    assert not torch.allclose(many[1], many[2], atol=1e-3)
    assert not torch.allclose(images(generator, [0, 1], 6), few, atol=1e-3)


@pytest.mark.parametrize("damaged", ["model.safetensors", "config.json", "hqgan.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff" * 99, b"[" * 99_999])
def test_damage_is_named(saved: Path, damaged: str, content: bytes) -> None:
    (saved / damaged).write_bytes(content)
    with pytest.raises(RunError, match=r"snapshot-000001 cannot be loaded"):
        load_snapshot(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["mel", "nv", "bcc"], "class_counts": [1, 2, 3]},
        {"classes": [1, 2]},
        {"class_counts": [11]},
        {"class_counts": [0, 0]},
        {"class_counts": ["x", "y"]},
        {"images_seen": "many"},
        {"images_seen": -1},
        {"class_counts": [10**400, 1]},
        {"generator": ["hybridq"]},
        {"data_checksum": 5},
    ],
)
def test_an_edited_origin_that_fits_no_model_is_refused(saved: Path, change: dict) -> None:
    fields = json.loads((saved / "hqgan.json").read_text())
    (saved / "hqgan.json").write_text(json.dumps(fields | change))
    with pytest.raises(RunError, match=r"cannot be loaded .*(class|images_seen|generator)"):
        load_snapshot(saved)


def test_weights_that_are_not_finite_are_refused(generator: HybridQGenerator, saved: Path) -> None:
    weights = {
        name: w * torch.nan if w.is_floating_point() else w
        for name, w in generator.state_dict().items()
    }
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(RunError, match=r"is NaN or infinite"):
        load_snapshot(saved)


def test_weights_of_another_model_are_refused(saved: Path) -> None:
    arguments = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(arguments | {"qubits": 3}))
    with pytest.raises(RunError, match="cannot be loaded"):
        load_snapshot(saved)


def test_where_there_is_none_the_reason_is_given(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no snapshot"):
        load_snapshot(tmp_path)
    with pytest.raises(RunError, match="does not exist"):
        load_snapshot(tmp_path / "typo")


def test_a_folder_of_runs_names_them(generator: HybridQGenerator, tmp_path: Path) -> None:
    for number in range(9):
        save_snapshot(generator, tmp_path / f"run{number}" / "snapshot-000001", ABOUT)
    (tmp_path / "notes").mkdir()
    with pytest.raises(RunError, match=r"holds no snapshot.*; runs in it: run0, .*run7 and 1 more"):
        load_snapshot(tmp_path)


def test_unknown_models_are_named() -> None:
    with pytest.raises(UsageError, match=r"unknown generator 'patch'; known are hybridq"):
        build_generator("patch", 2, 32)
    with pytest.raises(UsageError, match=r"unknown critic 'patch'; known are projection"):
        build_critic("patch", 2, 32)


def test_a_folder_whose_number_is_none_is_no_snapshot(saved: Path) -> None:
    shutil.copytree(saved, saved.with_name("snapshot-1.2.3"))
    assert snapshots(saved.parent) == [saved]


@pytest.mark.parametrize("seed", [-1, 10**30, "1", 0.5])
def test_a_seed_that_no_generator_of_numbers_takes_is_refused(
    generator: HybridQGenerator, seed: Any
) -> None:
    with pytest.raises(UsageError, match="whole number from 0"):
        images(generator, [0], seed)
