"""No file that hqgan reads can run code: by what its source never calls, and by files that try."""

import ast
import io
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faults.tampering import Canary
from hqgan.data import load_dataset
from hqgan.errors import HqganError
from hqgan.evaluation.features import load_extractor
from hqgan.evaluation.weights import read_weights
from hqgan.models.classifier import build_classifier
from hqgan.quantum.jobs.device import _from_qpy
from hqgan.training import train
from hqgan.training.classification import load_classifier
from hqgan.training.runs import load_state
from hqgan.workflows.hardware.arrays import load_arrays
from hqgan.workflows.hardware.order_files import read_order
from small_runs import tiny_config, tiny_dataset

SOURCE = Path(__file__).parents[2] / "src" / "hqgan"
# Calls that read code, or files that may hold it; and the keyword without which each does.
NEVER = {
    "eval", "exec", "compile", "__import__", "marshal.loads", "marshal.load", "shelve.open",
    "pickle.load", "pickle.Unpickler", "dill.load", "dill.loads", "joblib.load", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "os.system", "os.popen", "tempfile.mktemp", "pd.read_pickle",
    "pandas.read_pickle", "torch.hub.load", "torch.jit.load", "ssl._create_unverified_context",
    "shutil.unpack_archive", "numpy.lib.format.read_array", "importlib.import_module",
}  # fmt: skip
NEEDS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
# Where a name of the list is no such call, and why.
REASONS = {
    ("workflows/processes.py", "pickle.loads"): "tasks and errors of a worker that was started "
    "here, by a pipe that nobody else holds",
    ("__init__.py", "importlib.import_module"): "public names, of a list there",
    ("doctor.py", "importlib.import_module"): "torchvision, to see whether it works",
    ("workflows/exporting/onnx_files.py", "__import__"): "packages of a list there",
    ("quantum/jobs/primitives.py", "importlib.import_module"): "python:PKG.MODULE:FACTORY, which "
    "the user has named; see test_hostile_services",
}
SECURE = {"pickle.loads", "yaml.load", *NEEDS}


@cache
def nodes() -> tuple[tuple[str, ast.Call | ast.Constant], ...]:
    """Every call and every constant in the source, with its file."""
    return tuple(
        (file.relative_to(SOURCE).as_posix(), node)
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call | ast.Constant)
    )


@cache
def calls() -> tuple[tuple[str, str, ast.Call], ...]:
    """Every call: file, dotted name, node."""
    found = ((file, node) for file, node in nodes() if isinstance(node, ast.Call))
    return tuple((file, ast.unparse(node.func), node) for file, node in found)


def test_no_source_calls_what_runs_what_it_reads() -> None:
    found = {(file, name) for file, name, _ in calls() if name in NEVER | {"pickle.loads"}}
    assert found == set(REASONS)


@pytest.mark.parametrize("name", NEEDS)
def test_every_reader_of_arrays_refuses_pickles_in_so_many_words(name: str) -> None:
    keyword, value = NEEDS[name]
    found = [(file, node) for file, called, node in calls() if called == name]
    assert found, f"{name} is called nowhere: the test looks for the wrong name"
    for file, node in found:
        said = {k.arg: k.value for k in node.keywords}
        given = said.get(keyword)
        assert isinstance(given, ast.Constant), f"{file}:{node.lineno}"
        assert given.value is value, f"{file}:{node.lineno}"


def test_yaml_is_read_by_safe_loaders_alone() -> None:
    for file, name, node in calls():
        if name == "yaml.load":
            assert ast.unparse(node.args[1]) == "UniqueKeys", f"{file}:{node.lineno}"
    from hqgan.config import UniqueKeys, yaml

    assert issubclass(UniqueKeys, yaml.SafeLoader)


def test_no_shell_is_started_and_no_certificate_ignored() -> None:
    for file, name, node in calls():
        for keyword in node.keywords:
            where = f"{file}:{node.lineno} {name}"
            is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            assert not (keyword.arg == "shell" and is_true), where
            is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            assert not (keyword.arg in ("verify", "weights_only") and is_false), where
            assert not (keyword.arg == "allow_pickle" and is_true), where
            assert not (keyword.arg == "trust_remote_code" and is_true), where


def test_nothing_is_downloaded_by_plain_http() -> None:
    for file, node in nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            plain = "http://" in text and "http://www.w3.org/" not in text
            # What `hqgan app` says of its own address.
            assert not plain or file == "app/serving.py", f"{file}:{node.lineno} {text!r:.80}"


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Canary(canary))


def by_torch(canary: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"images_seen": 1, "trainer": Canary(canary)}, buffer)
    return buffer.getvalue()


def by_old_torch(canary: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Canary(canary), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def in_npz(canary: Path) -> bytes:
    buffer = io.BytesIO()
    odd = np.array([Canary(canary)], dtype=object)
    names = [f"{s}_{what}" for s in ("train", "val", "test") for what in ("images", "labels")]
    np.savez(buffer, **dict.fromkeys([*names, "z", "y", "inputs", "weights"], odd))
    return buffer.getvalue()


def in_npy(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Canary(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


BOMBS = (pickled, by_torch, by_old_torch, in_npz, in_npy)


def state(file: Path) -> None:
    target = file.parent / "run"
    target.mkdir()
    shutil.copy(file, target / "state.pt")
    load_state(target)


def resume(file: Path) -> None:
    target = file.parent / "resumed"
    train(tiny_config(0.008, "generator.twin=zeros"), target, tiny_dataset())
    shutil.copy(file, target / "state.pt")
    train(tiny_config(0.016, "generator.twin=zeros"), target, tiny_dataset())


def inception(suffix: str) -> Callable[[Path], None]:
    def read(file: Path) -> None:
        target = file.with_suffix(suffix)
        shutil.copy(file, target)
        read_weights(target)

    read.__name__ = f"inception{suffix}"
    return read


def extractor(file: Path) -> None:
    load_extractor(str(file))


def npz_data(file: Path) -> None:
    target = file.with_suffix(".npz")
    shutil.copy(file, target)
    load_dataset(target, "train", 32)


def image(file: Path) -> None:
    for number in range(2):
        folder = file.parent / "images" / f"class{number}"
        folder.mkdir(parents=True)
        shutil.copy(file, folder / "x.png")
        if number:
            Image.new("RGB", (32, 32)).save(folder / "y.png")
    load_dataset(file.parent / "images", "train", 32)


def order(file: Path) -> None:
    (file.parent / "order.json").write_text("{}")
    shutil.copy(file, file.parent / "order.npz")
    read_order(file.parent)


def answer(file: Path) -> None:
    try:
        load_arrays(file)
    except Exception as error:  # its callers make a sentence of whatever numpy raises
        raise HqganError(str(error)) from error


def circuits(file: Path) -> None:
    try:
        _from_qpy(file.read_bytes())
    except ValueError as error:
        raise HqganError(str(error)) from error


def classifier(file: Path) -> None:
    target = file.parent / "classifier"
    target.mkdir()
    (target / "classifier.json").write_text('{"name": "resnet", "classes": 2, "size": 32}')
    shutil.copy(file, target / "model.safetensors")
    load_classifier(target)


def start_of_a_classifier(file: Path) -> None:
    target = file.with_suffix(".safetensors")
    shutil.copy(file, target)
    build_classifier("mobilenet-v2", 2, 32, weights=str(target))


READERS = (
    state, resume, inception(".pth"), inception(".safetensors"), extractor, npz_data, image, order,
    answer, circuits, classifier, start_of_a_classifier,
)  # fmt: skip


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_pickle_is_refused_and_not_opened(
    bomb: Callable[[Path], bytes],
    read: Callable[[Path], None],
    tmp_path: Path,
    figures: Counter[str],
) -> None:
    canary = tmp_path / "owned"
    file = tmp_path / "bomb"
    file.write_bytes(bomb(canary))
    with pytest.raises(HqganError):
        read(file)
    assert not canary.exists()
    figures["pickles in the place of a file: refused, not opened"] += 1


def test_the_pickles_of_these_tests_would_run(tmp_path: Path) -> None:
    canary = tmp_path / "owned"
    pickle.loads(pickled(canary))
    assert canary.read_text() == "owned\n"
