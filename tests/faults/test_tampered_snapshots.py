"""A snapshot from anybody: it loads to a model that works, or a sentence names it. Nothing runs."""

import inspect
import json
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

import hqgan
from faults.tampering import ABOUT, CARD, CONFIG, Case, cases
from hqgan.errors import HqganError
from hqgan.models import About, Generator, build_generator, generate, load_snapshot, save_snapshot
from hqgan.models.declared import LARGEST, LARGEST_FLOAT
from hqgan.models.registry import GENERATORS

pytestmark = pytest.mark.timeout(900)

SECONDS = 5.0  # for one file
MEBIBYTES = 400  # above what was used before, by all cases together
SAMPLE = 6  # of so many cases the check of every commit does one
NAMES = ("mel", "nv")
# Of each generator what keeps it small; the rest are defaults.
NARROW = {
    "hybridq": {"qubits": 2, "circuit_layers": 1},
    "fastgan": {"width_cap": 8},
    "stylegan2": {"channel_cap": 8, "z_dim": 8, "w_dim": 8},
    "ddpm": {"width": 8, "sampling_steps": 2},
    "qpatch": {"layers": 1},
    "pqwgan": {"layers": 1},
    "mosaiq": {"components": 5, "depth": 1},
    "latentqgan": {"circuits": 1, "qubits": 2, "layers": 1},
}


def saved(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    generator = build_generator(name, len(NAMES), 32, **NARROW.get(name, {})).eval()
    save_snapshot(generator, folder, About(name, NAMES, (11, 67), 1000, 0, name, "c0ffee"))
    return folder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("hybridq", tmp_path_factory.mktemp("whole") / "snapshot-000001")


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert grown < MEBIBYTES, f"{grown} MiB more than before"


def pictures(generator: Generator) -> torch.Tensor:
    return torch.cat(list(generate(generator, [0, 1], seed=3)))


def tried(case: Case, whole: Path, folder: Path, figures: Counter[str]) -> None:
    """Tamper a copy, load it, and hold what comes of it against the promise."""
    shutil.copytree(whole, folder)
    case.tamper(folder)
    began = time.monotonic()
    try:
        loaded = hqgan.load(folder)
        images = pictures(loaded)
    except HqganError as refusal:
        figures["tampered snapshots: refused in a sentence"] += 1
        said = str(refusal)
        assert folder.name in said or "NaN" in said, (case.name, said)
        assert len(said) < 2000, (case.name, said)
        assert "Traceback" not in said, (case.name, said)
        assert said.isprintable(), (case.name, said)
    else:
        figures["tampered snapshots: loaded, and the model works"] += 1
        assert images.isfinite().all()
        assert images.shape == (2, 3, 32, 32)
        assert images.abs().max() <= 1
    took = time.monotonic() - began
    assert took < SECONDS, (case.name, took)
    shutil.rmtree(folder)


def all_tried(
    chosen: Iterable[Case], whole: Path, tmp_path: Path, canary: Path, figures: Counter[str]
) -> None:
    for number, case in enumerate(chosen):
        tried(case, whole, tmp_path / f"{number}" / "snapshot-000001", figures)
        assert not canary.exists(), f"{case.name}: something was run"


def test_of_every_sixth_way_to_tamper_a_snapshot_a_model_or_a_sentence_comes(
    snapshot: Path, tmp_path: Path, figures: Counter[str], bounded_memory: None
) -> None:
    canary = tmp_path / "owned"
    some = islice(cases(snapshot, canary), 0, None, SAMPLE)
    all_tried(some, snapshot, tmp_path, canary, figures)


@pytest.mark.faults
def test_of_every_way_to_tamper_a_snapshot_a_model_or_a_sentence_comes(
    snapshot: Path, tmp_path: Path, figures: Counter[str], bounded_memory: None
) -> None:
    canary = tmp_path / "owned"
    all_tried(cases(snapshot, canary), snapshot, tmp_path, canary, figures)


@pytest.mark.parametrize("name", GENERATORS)
def test_no_number_of_a_configuration_makes_a_model_larger_than_its_weights(
    name: str, tmp_path: Path, figures: Counter[str], bounded_memory: None
) -> None:
    """Built with such a number it would take minutes, or all memory; it is not built."""
    whole = saved(name, tmp_path / "whole" / "snapshot-000001")
    arguments = json.loads((whole / CONFIG).read_text())
    for key, value in arguments.items():
        if type(value) is not int:
            continue
        most = LARGEST.get(key, LARGEST_FLOAT)
        for huge in sorted({most, most + 1, 10**6, 10**9, 2**63} - {value}):
            (whole / CONFIG).write_text(json.dumps(arguments | {key: huge}))
            began, said = time.monotonic(), ""
            try:
                load_snapshot(whole)
            except HqganError as refusal:
                said = str(refusal)
            assert whole.name in said or huge <= most  # and shapes no weights
            assert time.monotonic() - began < SECONDS, (key, huge)
            figures["numbers of a configuration that are too large: refused"] += 1
    (whole / CONFIG).write_text(json.dumps(arguments))
    assert load_snapshot(whole)[1].generator == name


def test_every_number_that_a_generator_is_built_from_has_a_bound() -> None:
    for kind in GENERATORS.values():
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.annotation is int:
                assert name in LARGEST, f"{kind.__name__}: {name}"


def test_a_key_of_a_later_version_says_so(snapshot: Path, tmp_path: Path) -> None:
    for file in (CONFIG, ABOUT):
        folder = tmp_path / file / "snapshot-000001"
        shutil.copytree(snapshot, folder)
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | {"of_a_later_version": 1}))
        with pytest.raises(HqganError, match=f"{file} has the key .*update hqgan"):
            hqgan.load(folder)


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a/" * 3000, "\0", "~nobody/x", "", " ", "..", "a\nb"]
)
def test_a_name_that_is_none_is_a_sentence(name: str) -> None:
    with pytest.raises(HqganError) as refusal:
        hqgan.load(name, local_files_only=True)
    assert len(str(refusal.value)) < 1000


def test_links_to_weights_as_the_hub_s_cache_has_them_are_followed(
    snapshot: Path, tmp_path: Path
) -> None:
    shutil.copytree(snapshot, tmp_path / "blobs")
    folder = tmp_path / "snapshot-000001"
    folder.mkdir()
    for file in (CONFIG, ABOUT, CARD, "model.safetensors"):
        (folder / file).symlink_to(tmp_path / "blobs" / file)
    assert torch.equal(pictures(hqgan.load(folder)), pictures(hqgan.load(snapshot)))
