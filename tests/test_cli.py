"""The commands: exit codes, one JSON object on stdout, and words instead of tracebacks."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from hqgan import cli, console
from hqgan.data import CATALOGUE, RemoteDataset, RemoteFile
from hqgan.tables import Table
from small_images import write_npz, write_picture
from small_runs import CLASSES, fingerprint, write_folders

# One narrow model for all commands below; 32 images are four steps.
SETTINGS = [
    *("critic.width=8", "generator.qubits=2", "generator.circuit_layers=1"),
    *("precision=float32", "device=cpu", "save_every_kimg=0.016"),
]
TRAIN = ["train", "--size=32", "--batch=8", "--kimg=0.032", *(f"--set={s}" for s in SETTINGS)]
PATIENCE = 60  # seconds for a subprocess to get where it is waited for


class Said(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The only thing on standard output."""
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def hqgan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the entry point in this process."""
    for name in ("HQGAN_DATA", "HQGAN_INCEPTION"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["hqgan", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return Said(stop.value.code or 0, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A trained run, made by the command itself."""
    out = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hqgan", *TRAIN, f"--data={data}", f"--out={out}"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return out


def refused(said: Said, code: int, *words: str) -> None:
    """One paragraph that holds the words, nothing on stdout, no traceback."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    (message,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in message


def test_train_says_what_it_made_and_continues(hqgan: Command, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = hqgan(*TRAIN, f"--data={data}", f"--out={out}", "--json")
    assert first.code == 0
    assert set(first.json) == {
        *("images_seen", "images_per_second", "generator_parameters"),
        *("critic_parameters", "snapshot"),
    }
    assert first.json["images_seen"] == 32
    assert Path(first.json["snapshot"]).is_dir()
    assert f"hqgan evaluate {out}" in first.err
    assert f"hqgan report {out}" in first.err
    assert "no --data" not in first.err
    more = hqgan(*TRAIN, f"--data={data}", f"--out={out}", "--kimg=0.048")
    assert (more.code, more.out) == (0, "")
    assert "continuing" in more.err
    assert "48 images seen" in more.err


def test_resuming_with_another_key_changes_nothing(hqgan: Command, data: Path, run: Path) -> None:
    before = fingerprint(run)
    refused(hqgan(*TRAIN, f"--data={data}", f"--out={run}", "--seed=1"), 2, "seed: 0 -> 1")
    assert fingerprint(run) == before


def test_a_dry_run_shows_the_configuration_and_trains_nothing(
    hqgan: Command, data: Path, tmp_path: Path
) -> None:
    order = [*TRAIN, f"--data={data}", f"--out={tmp_path / 'run'}", "--dry-run"]
    text = hqgan(*order)
    assert (text.code, text.out) == (0, "")
    values = hqgan(*order, "--json").json
    assert yaml.safe_load(text.err) == values
    assert values["data"]["path"] == str(data)
    assert list(tmp_path.iterdir()) == []


def test_sample_writes_folders_and_a_grid(hqgan: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = hqgan("sample", run, "--per-class=2", f"--out={out}", "--json")
    assert said.json["per_class"] == dict.fromkeys(CLASSES, 2)
    assert set(said.json) >= {"files", "per_class", "out"}
    assert len(list(out.rglob("*.png"))) == 7
    refused(hqgan("sample", run, "--n=3", f"--out={out}"), 1, "is not empty")
    both = hqgan("sample", run, "--n=3", "--per-class=2", f"--out={tmp_path / 'new'}")
    refused(both, 2, "--per-class N or --n N")
    assert hqgan("sample", run, f"--out={tmp_path / 'new'}", "--json").json["files"] == 24
    refused(hqgan("sample", tmp_path / "typo", "--n=3"), 1, "typo does not exist")


def test_evaluate_gives_recipes(hqgan: Command, run: Path) -> None:
    said = hqgan("evaluate", run, "--json")
    assert Path(said.json["picture"]).is_file()
    assert said.code == 0, said.err
    assert set(said.json) == {"recipes", "picture"}
    assert set(said.json["recipes"][0]) >= {
        *("recipe", "class", "value", "interval", "floor", "n_real", "n_fake", "split"),
        *("extractor", "seed"),
    }
    assert said.json["recipes"][0]["n_real"] == 12
    curve = hqgan("evaluate", run, "--curve", "--json").json
    assert [p["images_seen"] for p in curve["curve"]] == [32]


def test_evaluate_looks_for_copies_where_asked(hqgan: Command, run: Path) -> None:
    said = hqgan("evaluate", run, "--privacy", "--n", 70, "--json")
    assert said.code == 0
    assert said.json["privacy"]["n_fake"] == 70
    assert said.json["privacy"]["sentence"] in said.err
    (file,) = run.glob("privacy/snapshot-*-val/privacy.json")
    assert json.loads(file.read_text()) == said.json["privacy"]


def test_probe_writes_a_page_and_gives_its_numbers(
    hqgan: Command, run: Path, tmp_path: Path
) -> None:
    said = hqgan("probe", run, "--n=8", f"--out={tmp_path}", "--json")
    assert said.code == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        "examples.png",
        *(f"probe.{e}" for e in ("html", "json", "png")),
    }
    assert said.json == json.loads((tmp_path / "probe.json").read_text())
    assert "variance explained by quantum" in said.err
    assert f"page: {tmp_path / 'probe.html'}" in said.err
    refused(hqgan("probe", run, "--n=1"), 2, "n is 1, but a probe looks at")


COMPARE = [
    *("compare", "--models=hybridq, dcgan", "--size=32", "--kimg=0.032", "--set=batch=8"),
    *(f"--set=hybridq:{setting}" for setting in SETTINGS[:3]),
    *("--set=precision=float32", "--device=cpu"),
]


def test_compare_writes_a_table_a_page_and_pictures_and_then_uses_them(
    hqgan: Command, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table"
    planned = hqgan(*COMPARE, "--data", data, "--out", out, "--dry-run", "--json")
    assert planned.code == 0
    assert [cell["cell"] for cell in planned.json["cells"]] == ["hybridq-seed0", "dcgan-seed0"]
    assert planned.json["hours"] > 0
    assert not out.exists()
    said = hqgan(*COMPARE, "--data", data, "--out", out, "--json")
    assert said.code == 0
    rows = said.json["models"]
    assert [row["model"] for row in rows] == ["hybridq", "dcgan"]
    promised = "generator_parameters critic_parameters macs_per_image circuits_per_image"
    for row in rows:
        assert {*promised.split(), "images_per_second", "recipes"} <= row.keys()
    assert json.loads((out / "comparison.json").read_text()) == said.json
    page = (out / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert page.count("<svg") == 1
    assert "dcgan" in page
    for name in ("curves.png", "samples.png", "comparison.csv"):
        assert (out / name).stat().st_size > 100
    again = hqgan(*COMPARE, "--data", data, "--out", out)
    assert again.code == 0
    assert "px on" not in again.err  # nothing is trained anew


def test_compare_opens_test_in_the_folder_of_val(
    hqgan: Command, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table"
    dcgan = ["compare", "--models=dcgan", *COMPARE[2:4], "--set=precision=float32", "--device=cpu"]
    command = [*dcgan, "--set=batch=8", "--data", data, "--out", out]
    assert hqgan(*command).code == 0
    before = fingerprint(out)
    refused(hqgan(*command, "--split=test"), 2, "repeat with --final")
    final = hqgan(*command, "--final", "--json")
    assert final.code == 0
    assert final.json["settings"]["split"] == "test"
    assert json.loads((out / "comparison-final.json").read_text()) == final.json
    assert (out / "test-opened.json").is_file()
    assert {name: fingerprint(out)[name] for name in before} == before


def test_reproduce_lists_its_tables_and_runs_one(
    hqgan: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = hqgan("reproduce", "--json")
    known = {table["name"]: table for table in listed.json["tables"]}
    assert known["ham10000-64"]["rows"][0]["model"] == "hybridq"
    assert "ham10000-32-twins" in listed.err
    refused(hqgan("reproduce", "ham10000-6"), 2, "Did you mean 'ham10000-64'?")
    refused(hqgan("reproduce", "ham10000-64"), 2, "is of HAM10000: say with --data")
    row = {"model": "dcgan", "set": ["batch=8", "precision=float32"]}
    small = known["ham10000-32-twins"] | {"name": "small", "kimg": 0.032, "rows": [row]}
    small |= {"extractor": "tiny", "curve_n": None}
    monkeypatch.setattr("hqgan.tables.read_table", lambda _: Table(**(small | {"seeds": 1})))
    out = tmp_path / "table"
    command = ["reproduce", "small", "--data", data, "--out", out, "--device=cpu", "--json"]
    planned = hqgan(*command, "--dry-run")
    assert [cell["cell"] for cell in planned.json["cells"]] == ["dcgan-seed0"]
    assert not out.exists()
    said = hqgan(*command, "--row=dcgan")
    assert said.code == 0
    (model,) = said.json["models"]
    assert model["commands"][0] == "hqgan reproduce small --row dcgan --data DATA --out DIR"
    for line in model["commands"]:
        assert line in said.err
        assert line in (out / "small.md").read_text()
    assert said.json["settings"]["table"]["warning"] in said.err


def test_compare_refuses_what_it_does_not_know(hqgan: Command, data: Path, tmp_path: Path) -> None:
    said = hqgan("compare", "--models=hybridqq", "--kimg=1", "--data", data, "--out", tmp_path)
    refused(said, 2, "unknown model 'hybridqq'", "Did you mean 'hybridq'?")


def test_evaluate_opens_test_only_with_final(hqgan: Command, run: Path) -> None:
    refused(hqgan("evaluate", run, "--split=test"), 2, "--final")
    refused(hqgan("evaluate", run, "--split=val", "--final"), 2, "leave --split val or --final")
    said = hqgan("evaluate", run, "--final", "--json")
    assert f"hqgan report {run}" in said.err
    assert "measured in the features of a small fixed net (tiny" in said.err
    assert said.json["recipes"][0]["split"] == "test"
    last = (run / "evaluation.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["final"] is True


def test_evaluate_names_what_is_missing(hqgan: Command, run: Path, tmp_path: Path) -> None:
    refused(hqgan("evaluate", tmp_path / "typo"), 1, "typo does not exist")
    refused(hqgan("evaluate", run, "--data=embedded"), 1, "has the classes")
    refused(hqgan("evaluate", run, f"--inception-weights={tmp_path / 'no.pth'}"), 1, "no.pth")


def test_the_demo_ends_with_paths(hqgan: Command, tmp_path: Path) -> None:
    said = hqgan("demo", "--kimg=0.2", f"--out={tmp_path / 'demo'}", "--json")
    assert said.code == 0, said.err
    for path in (said.json["picture"], said.json["metrics"], said.json["run"]):
        assert Path(path).exists()
        assert path in said.err
    assert "hqgan train --data PATH" in said.err
    assert f"hqgan report {said.json['run']}" in said.err


def test_doctor_says_what_is_there_and_leaves_with_its_verdict(
    hqgan: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HQGAN_INCEPTION", str(tmp_path / "absent.safetensors"))
    said = hqgan("doctor", "--json")
    assert said.code == 1
    findings = {f["name"]: f for f in said.json["findings"]}
    assert not findings["Inception weights"]["ok"]
    assert "absent.safetensors" in said.err


def test_data_inspect(hqgan: Command, data: Path) -> None:
    said = hqgan("data", "inspect", data, "--json")
    assert said.code == 0, said.err
    assert said.json
    for name in CLASSES:
        assert name in said.err
    assert f"hqgan train --data {data} --size 64 --kimg 250 --out runs/mine" in said.err
    refused(hqgan("data", "inspect", data / "typo"), 1, "typo")


def test_who_names_no_data_is_told_what_is_trained_on(hqgan: Command, tmp_path: Path) -> None:
    said = hqgan(*TRAIN, f"--out={tmp_path / 'run'}")
    assert said.code == 0, said.err
    assert "no --data: the images are the built-in synthetic lesions" in said.err
    chosen = hqgan(*TRAIN, "--data=embedded", f"--out={tmp_path / 'run'}")
    assert "no --data" not in chosen.err


def test_data_prepare(hqgan: Command, data: Path, tmp_path: Path) -> None:
    said = hqgan("data", "prepare", data, f"--out={tmp_path / 'out'}", "--size=16", "--json")
    assert said.code == 0, said.err
    assert said.json["images"] == {"train": 24, "val": 12, "test": 12}
    assert len(list((tmp_path / "out").rglob("*.png"))) == 48


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine with a data set that the catalogue knows."""
    folder = tmp_path / "served"
    folder.mkdir()
    content = write_npz(folder / "tiny.npz").read_bytes()
    file = RemoteFile("tiny.npz", "https://invalid.example/", hashlib.md5(content).hexdigest(), 1)
    monkeypatch.setitem(CATALOGUE, "tiny", RemoteDataset("Tiny", "CC BY-NC 4.0", "us", (file,)))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_asks_and_then_fetches(
    hqgan: Command, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "fetched"
    order = ["data", "download", "tiny", f"--out={out}", f"--mirror={mirror}"]
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        said = hqgan(*order)
    refused(said, 1, "terms of tiny were not accepted")
    assert "CC BY-NC 4.0" in said.err
    assert not out.exists()
    said = hqgan(*order, "--yes", "--json")
    assert said.code == 0, said.err
    assert Path(said.json["path"]).exists()
    refused(hqgan("data", "download", "cifar"), 2, "'cifar'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset=hybird"], ["'hybird'", "Did you mean 'hybridq'"]),
        (["--set=critic.widht=3"], ["critic.widht", "Did you mean 'critic.width'"]),
        (["--size=48"], ["size is 48"]),
        (["--kimg=none"], ["kimg"]),
        (["--kimgs=3"], ["--kimgs"]),
        (["--device=abacus"], ["'abacus'", "cpu"]),
        (["surplus"], ["surplus"]),
    ],
)
def test_wrong_usage_leaves_with_two(
    hqgan: Command, data: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    settings = [f"--set={s}" for s in SETTINGS if not s.startswith("device")]
    order = ["train", *settings, f"--data={data}", f"--out={tmp_path / 'run'}"]
    refused(hqgan(*order, *arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_a_sentence(hqgan: Command) -> None:
    refused(hqgan("report", "a" * 5000), 1, "File name too long", "mend that")


def test_a_wrong_configuration_file_is_named(hqgan: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("seed: [")
    refused(
        hqgan("train", f"--config={tmp_path / 'bad.yaml'}"),
        2,
        *(
            "bad.yaml is not valid YAML",
            "line 1",
        ),  # YAML speaks in several lines, the command in one
    )


def test_an_unknown_command_and_none_at_all(hqgan: Command) -> None:
    refused(hqgan("trian"), 2, "trian")
    nothing = hqgan()
    assert nothing.code in (0, 2)
    assert "train" in nothing.out + nothing.err
    assert hqgan("--help").code == 0


def empty_class(folder: Path) -> None:
    (folder / "train" / "scc").mkdir()


def lone_truncated(folder: Path) -> None:
    for file in (folder / "train" / "mel").iterdir():
        file.write_bytes(file.read_bytes()[:60])


def one_class(folder: Path) -> None:
    for split in ("train", "val", "test"):
        for name in CLASSES[1:]:
            for file in (folder / split / name).iterdir():
                file.unlink()
            (folder / split / name).rmdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [(empty_class, ["scc"]), (lone_truncated, ["'mel'", "0.png"]), (one_class, ["one class"])],
)
def test_unusable_data_leave_with_one_and_name_what_to_mend(
    hqgan: Command, tmp_path: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    folder = write_folders(tmp_path / "data")
    damage(folder)
    out = tmp_path / "run"
    refused(hqgan(*TRAIN, f"--data={folder}", f"--out={out}"), 1, *words)
    assert not out.exists()


def test_too_few_images_and_no_images(hqgan: Command, data: Path, tmp_path: Path) -> None:
    few = [*TRAIN, f"--data={data}", f"--out={tmp_path / 'run'}", "--batch=500"]
    refused(hqgan(*few), 1, "24 images", "500")
    refused(hqgan(*TRAIN, f"--data={tmp_path / 'typo'}"), 1, "typo")


def test_a_truncated_image_among_good_ones_is_left_out(hqgan: Command, tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data")
    file = folder / "train" / "mel" / "0.png"
    file.write_bytes(file.read_bytes()[:60])
    said = hqgan(*TRAIN, f"--data={folder}", f"--out={tmp_path / 'run'}", "--json")
    assert said.code == 0, said.err
    assert said.json["images_seen"] == 32


def test_fine_tuning_starts_from_another_run(hqgan: Command, run: Path, tmp_path: Path) -> None:
    for name in ("mel", "scc"):
        for number in range(8):
            write_picture(tmp_path / "data" / "train" / name / f"{number}.png", number)
            write_picture(tmp_path / "data" / "val" / name / f"{number}.png", 50 + number)
    order = [*TRAIN, f"--data={tmp_path / 'data'}", f"--out={tmp_path / 'run'}", f"--init={run}"]
    said = hqgan(*order)
    assert said.code == 0, said.err
    assert "1 of 2 classes are known there" in said.err


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hqgan.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def test_ctrl_c_saves_and_leaves_with_130(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(*TRAIN, f"--data={data}", f"--out={run}", "--kimg=100") as process:
        deadline = time.monotonic() + PATIENCE
        while not (run / "state.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert "Traceback" not in errors


def test_ctrl_c_elsewhere_is_no_traceback(
    hqgan: Command, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hqgan.workflows.sample", interrupted)
    said = hqgan("sample", run, "--n=3", f"--out={tmp_path / 'out'}")
    refused(said, 130, "interrupted")


def test_memory_that_is_used_up_is_a_line_of_its_own(
    hqgan: Command, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where Python had no memory left for the end of the line that it was writing."""

    def exhausted(*arguments: object, **named: object) -> None:
        sys.stderr.write("Exception ignored on building sys.unraisablehook arguments")
        raise MemoryError

    monkeypatch.setattr("hqgan.workflows.sample", exhausted)
    said = hqgan("sample", run, "--n=3", f"--out={tmp_path / 'out'}")
    assert said.code == 1
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("error: the memory of this machine is used up")


def test_of_several_processes_the_first_speaks(
    hqgan: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "IS_FIRST_PROCESS", False)
    assert hqgan("doctor", "--json")[1:] == ("", "")
