"""Ctrl-C in every long command, sent to the real process: what is kept is whole, and said so."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from hqgan.training import train
from hqgan.workflows.study import EXAMPLE
from small_runs import fingerprint, tiny_config, write_folders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE = 120  # seconds for a process to get where it is waited for
PRESSED, AGAIN = 4, 20  # how often, and after how many seconds without an end
CONTINUES = "the same command continues"
NOTHING = "nothing was written; the same command starts again"
NARROW = [
    *("--set=critic.width=8", "--set=generator.qubits=2", "--set=generator.circuit_layers=1"),
    "--set=precision=float32",
]


class Process:
    """A command whose standard error is read while it runs."""

    def __init__(self, *arguments: object):
        command = [sys.executable, "-m", "hqgan.cli", *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop("HQGAN_INCEPTION", None)
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_for(self, what: str | Callable[[], bool]) -> None:
        """Until a line matches, or a question is answered with yes."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if what() if callable(what) else re.search(what, self.said):
                return
            time.sleep(0.02)
        self.process.kill()
        self.end()
        raise AssertionError(f"it never got to {what!r}, but said:\n{self.said}")

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def interrupted(what: str | Callable[[], bool], *arguments: object) -> str:
    """Start a command, send Ctrl-C once it is at `what`; returns the one sentence it ends with."""
    process = Process(*arguments)
    process.wait_for(what)
    # Compiled code that calls Python back, such as a compiler, may swallow it: people press again.
    for _ in range(PRESSED):
        process.process.send_signal(signal.SIGINT)
        try:
            process.process.wait(AGAIN)
            break
        except subprocess.TimeoutExpired:
            continue
    code = process.end()
    # Python dies of the signal itself where compiled code was evaluating Python; a shell calls
    # either 130.
    assert code in (130, -signal.SIGINT), process.said
    assert "Traceback" not in process.said
    *_, last = process.said.splitlines()
    assert last.startswith("error: ")
    return last


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("interrupts") / "data", held_out=12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("interrupts") / "run"
    train(tiny_config(0.032, "generator.z_dim=8", data=data), folder)
    return folder


def test_train_saves(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    order = ("train", "--data", data, "--out", out, "--size=32", "--batch=8", *NARROW)
    said = interrupted(
        (out / "state.pt").exists, *order, "--set=save_every_kimg=0.016", "--kimg=90"
    )
    assert CONTINUES in said
    assert str(out) in said


def test_train_before_its_first_step_says_so(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = interrupted(f"files go to {out}", "train", "--data=embedded", "--out", out, "--kimg=90")
    assert "the same command" in said


def test_demo_continues(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    said = interrupted(r"the first numbers come", "demo", "--out", out, "--kimg=90")
    assert CONTINUES in said


def test_sample_leaves_whole_images_and_a_grid(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = interrupted(
        lambda: len(list(out.rglob("*.png"))) > 3, "sample", run, "--n=60000", "--out", out
    )
    files = [file for file in out.rglob("*.png") if file.parent != out]
    assert f"stopped: {len(files):,} of 60,000 images are in {out}" in said
    for file in (*files, out / "grid.png"):
        with Image.open(file) as image:
            image.load()


def test_augment_continues(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "augmented"
    order = ("augment", "--run", run, "--data", data, "--out", out, "--no-class-filter")
    said = interrupted(r"bkl: [\d,]+ of", *order, "--no-copy-filter", "--per-class=20000")
    assert CONTINUES in said
    assert str(out) in said


@pytest.mark.parametrize(
    ("at", "command"),
    [
        (r"generating: [\d,]+ of", ("evaluate", "RUN", "--n=20000")),
        (r"files go to", ("probe", "RUN", "--n=5000")),
        (r"files go to", ("hardware", "study", "RUN", "--n=32")),
    ],
    ids=["evaluate", "probe", "hardware study"],
)
def test_what_saves_nothing_says_so(run: Path, at: str, command: tuple[str, ...]) -> None:
    if command[0] == "hardware":
        pytest.importorskip("qiskit_ibm_runtime")
    before = fingerprint(run)
    said = interrupted(at, *(run if word == "RUN" else word for word in command))
    assert NOTHING in said
    assert fingerprint(run) == before


def test_evaluate_says_what_it_measured(run: Path, data: Path, tmp_path: Path) -> None:
    file = run / "evaluation.jsonl"
    before = file.stat().st_size if file.is_file() else 0

    def measured() -> bool:
        return file.is_file() and file.stat().st_size > before

    said = interrupted(measured, "evaluate", run, "--privacy", "--n=3000")
    assert f"what was measured stands in {file}" in said
    assert "the same command starts again" in said


def test_compare_continues(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    order = ("compare", "--models=hybridq,dcgan", "--data", data, "--out", out, "--size=32")
    mine = [setting.replace("--set=", "--set=hybridq:") for setting in NARROW[:3]]
    said = interrupted("px on 24 images", *order, "--kimg=90", "--set=batch=8", *mine)
    assert CONTINUES in said
    assert str(out) in said


def test_compare_is_interrupted_between_trainings_too(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    order = ("compare", "--models=dcgan", "--data", data, "--out", out, "--size=32", "--kimg=90")
    said = interrupted(f"files go to {out}", *order, "--set=batch=8")
    assert f"what is done is kept in {out}, and {CONTINUES}" in said


def test_reproduce_continues(ham10000: Path, inception_weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    order = ("reproduce", "ham10000-32-twins", "--data", ham10000, "--out", out)
    weights = ("--inception-weights", inception_weights)
    said = interrupted(f"files go to {out}", *order, *weights)
    assert f"what is done is kept in {out}, and {CONTINUES}" in said


def test_study_continues(data: Path, tmp_path: Path) -> None:
    protocol = tmp_path / "mine.yaml"
    protocol.write_text(EXAMPLE.read_text())
    out = tmp_path / "study"
    said = interrupted(f"files go to {out}", "study", protocol, "--data=embedded", "--out", out)
    assert CONTINUES in said
    assert str(out) in said


def test_hardware_sample_continues(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    out = tmp_path / "hardware"
    order = ("hardware", "sample", run, "--backend=noise:fake_marrakesh", "--n=64", "--out", out)
    said = interrupted(f"files go to {out}", *order)
    assert f"is noted in {out}" in said
    assert CONTINUES in said


def test_data_prepare_says_what_to_delete(tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    order = ("data", "prepare", "embedded", "--out", out, "--size=64")
    said = interrupted(lambda: len(list(out.rglob("*.png"))) > 1, *order)
    assert f"{out} holds a part of the images; delete it" in said


def test_data_inspect_starts_again() -> None:
    process = Process("data", "inspect", "embedded")
    process.wait_for("looking: ")
    process.process.send_signal(signal.SIGINT)
    if process.end() == 130:  # it may have been done just then
        assert NOTHING in process.said


@pytest.fixture
def slow_mirror() -> Iterator[str]:
    """A server that sends the beginning of a file, and then nothing more."""
    done = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(20 << 20))
            self.end_headers()
            self.wfile.write(bytes(4 << 20))
            self.wfile.flush()
            done.wait(PATIENCE)

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        done.set()
        server.shutdown()
        thread.join()


def test_data_download_keeps_what_came(slow_mirror: str, tmp_path: Path) -> None:
    out = tmp_path / "fetched"
    part = out / "dermamnist.npz.part"
    order = ("data", "download", "dermamnist", "--out", out, "--mirror", slow_mirror, "--yes")
    said = interrupted(lambda: part.is_file() and part.stat().st_size >= 2 << 20, *order)
    assert f"what was fetched is kept in {out}, and {CONTINUES}" in said
    assert part.stat().st_size >= 2 << 20


def test_a_resumed_augment_is_whole_after_an_interrupt(
    run: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "augmented"
    order = ("augment", "--run", run, "--data", data, "--out", out, "--no-class-filter", "--json")
    more = ("--no-copy-filter", "--per-class=300")
    process = Process(*order, *more)
    process.wait_for(r"bkl: [\d,]+ of")
    process.process.send_signal(signal.SIGINT)
    process.end()
    again = subprocess.run(
        [sys.executable, "-m", "hqgan.cli", *map(str, (*order, *more))],
        capture_output=True,
        check=True,
    )
    assert json.loads(again.stdout)["per_class"] == {"bkl": 300, "mel": 300, "nv": 300}
