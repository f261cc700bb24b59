"""A folder of results from anybody: every file of it tampered, and read by the commands.

Each either works, or says in a sentence what is wrong; nothing in a file is run.
"""

import io
import json
import pickle
import random
import shutil
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from faults.amounts import EVERY
from faults.tampering import VALUES, Canary
from hqgan import cli
from hqgan.training import train
from small_reports import compared, measured, ordered
from small_runs import tiny_config, write_folders

pytestmark = pytest.mark.timeout(3600)

SECONDS = 60.0  # for one command; a page of a run takes 2, on a busy machine 15
EACH = 12  # changes of each file
READ = {".json", ".jsonl", ".yaml", ".pt", ".npz"}  # what commands read of a folder
PICTURES = {"examples.png", "images.png", "worst.png"}
Change = tuple[str, Callable[[], bytes]]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run that was trained and nothing else, and an order that was simulated."""
    place = tmp_path_factory.mktemp("results")
    data = write_folders(place / "data", train=24, held_out=24)
    zeros = ("generator.twin=zeros", "generator.z_dim=4", "save_every_kimg=0.5")
    train(tiny_config(0.5, *zeros, data=data, batch=16), place / "run")
    train(tiny_config(0.008, "generator.z_dim=4"), place / "circuits")
    return {"run": place / "run", "hardware": ordered(place / "circuits")}


@pytest.fixture(scope="module")
def folders(few: dict[str, Path]) -> dict[str, Path]:
    """One of each kind of folder that commands leave and take."""
    place = few["run"].parent
    measured(few["run"], place / "data")
    return {**few, "comparison": compared(place / "more")}


def contents(file: Path, canary: Path) -> Iterator[Change]:
    """What may stand in the place of a file: junk of every kind, then its own content, tampered."""
    bomb = pickle.dumps(Canary(canary))
    archive = {"archive/data.pkl": bomb, "archive/version": b"3"}
    yield "empty", lambda: b""
    yield "zeros", lambda: bytes(10_000)
    yield "no text", lambda: b"\xff\xfe\x00" * 999
    yield "a pickle", lambda: bomb
    yield "a pickle in torch's zip", partial(as_archive, archive)
    yield "a pickle by torch.save", partial(saved, Canary(canary))
    yield "an array of objects", partial(objects, canary)
    yield "HTML", lambda: b"<script>alert(1)</script>"
    yield "cut", lambda: file.read_bytes()[: file.stat().st_size // 2]
    yield "a picture of 10 gigapixels", partial(picture_of, 100_000)
    if file.suffix in (".json", ".yaml", ".jsonl"):
        for name, value in VALUES.items():
            yield f"all of it is {name}", partial(encoded, value)
    if file.suffix == ".json":
        yield from values(json.loads(file.read_text()), json.dumps)
    elif file.suffix == ".yaml":
        yield from values(yaml.safe_load(file.read_text()), yaml.safe_dump)
    elif file.suffix == ".jsonl":
        first, *rest = file.read_text().splitlines()
        lines = "".join(f"\n{line}" for line in rest)
        for name, make in values(json.loads(first), json.dumps):
            yield name, lambda make=make: make() + lines.encode()
    elif file.suffix == ".pt":
        yield from states(file)
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            held = dict(arrays)
        for key, array in held.items():
            for name, other in arrays_like(array).items():
                yield f"{key} {name}", partial(as_npz, held | {key: other})


def picture_of(edge: int) -> bytes:
    """The head of a PNG that claims to be so large, and a byte of it."""
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def values(content: Any, written: Callable[[Any], str]) -> Iterator[Change]:
    """Every key without its value, and with every other value."""
    for path in leaves(content):
        for name, value in VALUES.items():
            # JSON that no Python writes stands in quotes first.
            if written is json.dumps:
                yield f"{path} is {name}", partial(quoted, content, path, value)
            elif name not in ("nested", "nested objects", "5000 digits"):
                yield f"{path} is {name}", partial(put, content, path, value, written)
        yield f"without {path}", partial(put, content, path, None, written)


def quoted(content: Any, path: tuple[Any, ...], value: str) -> bytes:
    return put(content, path, '"@@"', json.dumps).replace(b'"@@"', encoded(value))


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of a nested value, those of lists only of the first two."""
    if isinstance(content, dict):
        inside = list(content.items())
    else:
        inside = list(enumerate(content))[:2] if isinstance(content, list) else []
    for key, value in inside:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def put(
    content: Any, path: tuple[Any, ...], value: str | None, written: Callable[[Any], str]
) -> bytes:
    """The content with another value, given as JSON, at a place; or without it."""
    changed = json.loads(json.dumps(content))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = json.loads(value)
    return encoded(written(changed))


def states(file: Path) -> Iterator[Change]:
    """Saved states whose parts are of another kind."""
    whole = torch.load(file, weights_only=True)
    huge = torch.zeros(1).expand(1 << 40)  # four bytes that claim to be four terabytes
    odd = (None, 0, -1, 1e300, float("nan"), "x", [], {}, torch.zeros(()), torch.zeros(2, 3), huge)
    for path in leaves_of_state(whole):
        for value in odd:
            yield f"{path} is {str(value)[:20]}", partial(state_with, whole, path, value)
    for value in odd:
        yield f"all of it is {str(value)[:20]}", partial(saved, value)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        yield f"zip: {name} is empty", partial(as_archive, {**members, name: b""})
        yield f"zip: {name} is short", partial(as_archive, {**members, name: content[:-1]})
    largest = max(members, key=lambda name: len(members[name]))
    yield (
        f"zip: {largest} is a bomb",
        lambda: as_archive({**members, largest: bytes(1 << 28)}, zipfile.ZIP_DEFLATED),
    )


def state_with(whole: Any, path: tuple[Any, ...], value: Any) -> bytes:
    changed = copied(whole)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return saved(changed)


def leaves_of_state(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Some places of each level of a saved state."""
    if isinstance(state, dict):
        for key in list(state)[:12]:
            yield (*path, key)
            yield from leaves_of_state(state[key], (*path, key))


def copied(state: Any) -> Any:
    """Its dictionaries copied, its tensors not."""
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    return state


def arrays_like(array: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays that are none like it."""
    return {
        "is flat": array.reshape(-1), "is empty": array[:0], "is a number": np.float64(1),
        "is NaN": np.full(array.shape, np.nan), "is huge": np.full(array.shape, 1e300),
        "is text": np.full(array.shape, "x"), "is complex": array.astype(complex) * 1j,
        "has more axes": array[None], "is whole numbers": np.zeros(array.shape, np.int8),
    }  # fmt: skip


def as_npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def objects(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, z=np.array([Canary(canary)], dtype=object))
    return buffer.getvalue()


def as_archive(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def commands(kind: str, folder: Path, file: str, out: Path) -> Iterator[list[str]]:
    """The commands that read a folder of this kind; those that read this file alone."""
    if kind == "hardware":
        if file in ("hardware.json", "values.npz", "images.png", "order.json"):
            yield ["report", str(folder), "--out", str(out / "page.html")]
        if file in ("order.json", "order.npz", "jobs.jsonl", "hardware.json", "values.npz"):
            yield ["hardware", "collect", str(folder)]
        return
    yield ["report", str(folder), "--out", str(out / "page.html")]
    if kind == "run" and file in ("state.pt", "config.yaml", "metrics.jsonl"):
        same = folder / "config.yaml"
        yield ["train", "--config", str(same), "--kimg", "0.5", "--out", str(folder)]
        yield [
            *("train", "--config", str(out / "fresh.yaml"), "--init", str(folder)),
            *("--kimg", "0.016", "--out", str(out / "tuned")),
        ]  # fmt: skip


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["hqgan", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def cases(folders: dict[str, Path], canary: Path, count: int) -> Iterator[tuple[str, str, Change]]:
    """Kind of folder, file in it, and so many changes of each file, drawn from a fixed seed."""
    draw = random.Random(4)
    for kind, folder in folders.items():
        for file in sorted(folder.rglob("*")):
            if file.suffix in READ or file.name in PICTURES:
                known = list(contents(file, canary))
                for change in draw.sample(known, min(count, len(known))):
                    yield kind, file.relative_to(folder).as_posix(), change


@pytest.fixture
def tried(
    few: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figures: Counter[str],
) -> Callable[[str, str, Change], None]:
    """Tampers a copy of a folder and runs what reads the file."""
    monkeypatch.setenv("HQGAN_INCEPTION", "")
    canary = tmp_path / "owned"

    def one(whole: Path, kind: str, name: str, change: Change) -> None:
        folder, out = tmp_path / kind, tmp_path / "out"
        shutil.copytree(whole, folder)
        out.mkdir()
        shutil.copy(few["run"] / "config.yaml", out / "fresh.yaml")
        (folder / name).write_bytes(change[1]())
        for words in commands(kind, folder, name, out):
            began = time.monotonic()
            what = f"{kind}/{name}: {change[0]}; hqgan {words[0]}"
            try:
                code = run_command(words, monkeypatch)
            except BaseException as error:
                raise AssertionError(what) from error
            said = capsys.readouterr().err
            assert time.monotonic() - began < SECONDS, what
            assert code in (0, 1, 2), what
            assert code == 0 or "error: " in said, (what, said)
            assert "Traceback" not in said, (what, said)
            assert "\x1b" not in said, what
            assert not canary.exists(), f"{what}: something was run"
            for page in out.glob("*.html"):
                assert b"<script" not in page.read_bytes(), what
            figures[f"files tampered in results: {'a sentence' if code else 'a page'}"] += 1
        shutil.rmtree(folder)
        shutil.rmtree(out)

    return one


def test_of_some_files_tampered_in_results_a_page_or_a_sentence_comes(
    tried: Callable[..., None], few: dict[str, Path], tmp_path: Path
) -> None:
    for kind, *case in cases(few, tmp_path / "owned", 1):
        tried(few[kind], kind, *case)


@pytest.mark.faults
def test_of_files_tampered_in_results_a_page_or_a_sentence_comes(
    tried: Callable[..., None], folders: dict[str, Path], tmp_path: Path
) -> None:
    for kind, *case in cases(folders, tmp_path / "owned", EACH // EVERY):
        tried(folders[kind], kind, *case)
