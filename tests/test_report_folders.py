"""`hqgan report` of what the jobs leave: their own page, again, from the folder alone."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hqgan import cli
from hqgan.errors import RunError
from hqgan.report import hardware_study_page, report
from hqgan.training import train
from hqgan.workflows.hardware import study
from html_pages import check
from small_reports import NOBODY, compared, ordered
from small_runs import tiny_config


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison."""
    return compared(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "run"
    train(tiny_config(0.008, "generator.z_dim=8"), folder)
    return folder


@pytest.fixture(scope="module")
def hardware(run: Path) -> Path:
    """The folder of an order that was simulated."""
    return ordered(run)


def same_page(folder: Path, name: str, kind: str) -> str:
    """The page of the report, which is that of the job, byte for byte."""
    made = report(folder)
    assert (made.kind, made.file) == (kind, folder / "report.html")
    assert made.file.read_bytes() == (folder / name).read_bytes()
    html = made.file.read_text()
    check(html)
    return html


def test_a_comparison_has_the_page_that_the_job_left(comparison: Path) -> None:
    html = same_page(comparison, "comparison.html", "comparison")
    assert "36 training images of 3 classes" in html
    assert html.count("data:image/png;base64,") == 1  # samples.png
    assert json.loads((comparison / "dcgan-seed0" / "env.json").read_text())["torch"] in html


def test_the_command_of_a_comparison_finds_everything_done(
    comparison: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)
    text = report(comparison).file.read_text().split('aria-label="The table; ')[1]
    written = text.partition("<code>")[2].partition("</code>")[0].replace("&#x27;", "'")
    words = shlex.split(written.replace("\\\n", "").replace("&quot;", '"'))
    assert words[:2] == ["hqgan", "compare"]
    monkeypatch.setattr("sys.argv", [*words, "--dry-run", "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [(one["cell"], one["state"]) for one in cells] == [
        ("hybridq-seed0", "done"),
        ("dcgan-seed0", "done"),
    ]


def test_a_comparison_without_its_picture_says_so(comparison: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(comparison, tmp_path / "copy"))
    (folder / "samples.png").unlink()
    html = report(folder).file.read_text()
    check(html)
    assert "samples.png is not there" in html


def test_an_order_has_the_page_that_the_job_left(hardware: Path, run: Path) -> None:
    html = same_page(hardware, "hardware.html", "hardware")
    assert "nobody measured it" in html
    assert f"hqgan hardware sample {run}/" in html.replace(" \\\n  ", " ")
    assert "2 generated images" in html


def test_an_order_without_its_arrays_says_so(hardware: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hardware, tmp_path / "copy"))
    (folder / "values.npz").unlink()
    (folder / "images.png").unlink()
    html = report(folder).file.read_text()
    check(html)
    assert "values.npz is not there" in html
    assert "images.png is not there any more" in html


def test_a_study_of_noise_has_the_page_that_the_job_left(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    found = study(run, NOBODY, backend="noise:fake_manila", n=1, against=[run])
    hardware_study_page(found, tmp_path)
    html = same_page(tmp_path, "noise-study.html", "noise study")
    assert html.count("<svg") == 6


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "empty": lambda text: "",
    "other keys": lambda text: '{"a": 1}',
    "other types": lambda text: json.dumps(dict.fromkeys(json.loads(text), 3)),
    "half of the keys": lambda text: json.dumps(dict(list(json.loads(text).items())[::2])),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    ("job", "name"), [("comparison", "comparison.json"), ("hardware", "hardware.json")]
)
def test_damaged_results_are_named_in_a_sentence(
    job: str, name: str, damage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(job), tmp_path / "copy"))
    (folder / "report.html").unlink(missing_ok=True)
    file = folder / name
    file.write_text(DAMAGE[damage](file.read_text()))
    with pytest.raises(RunError, match=rf"{name} is damaged, or of another version"):
        report(folder)
    assert not (folder / "report.html").exists()


def test_results_that_are_not_there_yet_are_said(hardware: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hardware, tmp_path / "copy"))
    (folder / "hardware.json").unlink()
    with pytest.raises(RunError, match="an order whose results are not there yet"):
        report(folder)
