"""`hqgan report` of what the jobs leave: their own page, again, from the folder alone."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hqgan import cli
from hqgan.errors import RunError
from hqgan.report import comparison_page, hardware_page, hardware_study_page, report
from hqgan.training import train
from hqgan.workflows.compare import compare, plan
from hqgan.workflows.hardware import Settings, sample, study
from hqgan.workflows.hardware import plan as order
from hqgan.workflows.hardware.judging import Reference
from html_pages import check
from small_runs import SIZE, tiny_config, write_folders

# Without circuits, whose first use takes a minute to compile.
SMALL = ("batch=8", "hybridq:generator.twin=zeros", "hybridq:critic.width=8")
NOBODY = Reference(None, "nobody measured it")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison."""
    data = write_folders(tmp_path_factory.mktemp("folders") / "some data", train=12, held_out=8)
    out = tmp_path_factory.mktemp("folders") / "compared"
    same = {"kimg": 0.064, "size": SIZE, "extractor": "tiny", "device": "cpu"}
    chosen = plan(out, ("hybridq", "dcgan"), data=str(data), assignments=SMALL, **same)
    comparison_page(compare(chosen), chosen, out)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "run"
    train(tiny_config(0.008, "generator.z_dim=8"), folder)
    return folder


@pytest.fixture(scope="module")
def ordered(run: Path) -> Path:
    """The folder of an order that was simulated."""
    found = sample(order(run, Settings("shots:64", n=2)), NOBODY)
    assert found is not None
    return hardware_page(found).parent


def same_page(folder: Path, name: str, kind: str) -> str:
    """The page of the report, which is that of the job, byte for byte."""
    made = report(folder)
    assert (made.kind, made.file) == (kind, folder / "report.html")
    assert made.file.read_bytes() == (folder / name).read_bytes()
    html = made.file.read_text()
    check(html)
    return html


def test_a_comparison_has_the_page_that_the_job_left(compared: Path) -> None:
    html = same_page(compared, "comparison.html", "comparison")
    assert "36 training images of 3 classes" in html
    assert html.count("data:image/png;base64,") == 1  # samples.png
    assert json.loads((compared / "dcgan-seed0" / "env.json").read_text())["torch"] in html


def test_the_command_of_a_comparison_finds_everything_done(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)
    text = report(compared).file.read_text().split('aria-label="The table; ')[1]
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


def test_a_comparison_without_its_picture_says_so(compared: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(compared, tmp_path / "copy"))
    (folder / "samples.png").unlink()
    html = report(folder).file.read_text()
    check(html)
    assert "samples.png is not there" in html


def test_an_order_has_the_page_that_the_job_left(ordered: Path, run: Path) -> None:
    html = same_page(ordered, "hardware.html", "hardware")
    assert "nobody measured it" in html
    assert f"hqgan hardware sample {run}/" in html.replace(" \\\n  ", " ")
    assert "2 generated images" in html


def test_an_order_without_its_arrays_says_so(ordered: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ordered, tmp_path / "copy"))
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
    ("job", "name"), [("compared", "comparison.json"), ("ordered", "hardware.json")]
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


def test_results_that_are_not_there_yet_are_said(ordered: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ordered, tmp_path / "copy"))
    (folder / "hardware.json").unlink()
    with pytest.raises(RunError, match="an order whose results are not there yet"):
        report(folder)
