"""`hqgan report` of a run: all that is there, a sentence for what is not, never a traceback."""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqgan import cli
from hqgan.config import load_config
from hqgan.errors import DataError, HqganError, RunError, UsageError
from hqgan.models import load_snapshot, save_snapshot
from hqgan.models.snapshot import ABOUT
from hqgan.pretrained import find_pretrained
from hqgan.report import report
from hqgan.report.provenance import train_command
from hqgan.training import train
from html_pages import check
from small_reports import measured, trained
from small_runs import CLASSES, fingerprint, tiny_config, write_folders

SECTIONS = (
    *("Samples", "Latent walks", "Training", "Measurements", "The circuit"),
    *("Does the quantum part matter?", "Memorisation", "Cost", "Make it again"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("report") / "data", train=24, held_out=24)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run that was trained and nothing else, long enough to log numbers."""
    return trained(tmp_path_factory.mktemp("report") / "bare", data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, bare: Path, data: Path) -> Path:
    """The same with everything that can be measured of it."""
    run = tmp_path_factory.mktemp("report") / "whole"
    return measured(Path(shutil.copytree(bare, run)), data)


@pytest.fixture(scope="module")
def html(whole: Path) -> str:
    """The page of the run of which all is known."""
    return report(whole, whole.parent / "whole.html").file.read_text()


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def page_of(run: Path, tmp_path: Path, **changes: Any) -> str:
    """The page, checked."""
    html = report(run, tmp_path / "page.html", **changes).file.read_text()
    check(html)
    return html


def part(html: str, title: str) -> str:
    """One section of a page."""
    return html.split(f">{title}</h2>")[1].split("</section>")[0]


def test_a_page_has_every_section_in_order_and_is_whole_and_accessible(html: str) -> None:
    found = check(html)
    assert [text for level, text in found.headings if level == 2] == list(SECTIONS)


def test_the_same_folder_gives_the_same_bytes_and_nothing_else_changes(
    whole: Path, html: str
) -> None:
    before = fingerprint(whole)
    made = report(whole)
    assert (made.kind, made.file) == ("run", whole / "report.html")
    assert made.file.read_text() == html
    made.file.unlink()
    assert fingerprint(whole) == before


def test_another_seed_shows_other_images(whole: Path, html: str, tmp_path: Path) -> None:
    other = page_of(whole, tmp_path, seed=1)
    for title in ("Samples", "Latent walks", "The circuit"):
        assert part(html, title) != part(other, title)
    assert part(html, "Measurements") == part(other, "Measurements")


def test_real_images_stand_beside_generated_ones_class_by_class(
    html: str,
) -> None:
    samples = part(html, "Samples")
    for name in CLASSES:
        assert f'alt="8 real (val) images of the class {name}"' in samples
        assert f'alt="8 generated images of the class {name}"' in samples


def test_numbers_are_those_of_the_files(whole: Path, html: str) -> None:
    lines = [json.loads(line) for line in (whole / "evaluation.jsonl").read_text().splitlines()]
    one = next(r for r in lines if r["recipe"] == "kid_tiny" or r["recipe"].startswith("fd"))
    assert f"{one['value']:.4g}" in part(html, "Measurements")
    assert f"{one['floor']:.4g}" in part(html, "Measurements")
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"critic loss: {last['critic_loss']:.3g} after" in part(html, "Training")
    found = json.loads(next(whole.glob("privacy/*/privacy.json")).read_text())
    assert found["sentence"] in part(html, "Memorisation")
    assert part(html, "Memorisation").count("grey levels apart") == len(found["worst"])
    about = json.loads((sorted(whole.glob("snapshot-*"))[-1] / ABOUT).read_text())
    assert about["data_checksum"] in part(html, "Make it again")
    assert json.loads((whole / "env.json").read_text())["torch"] in html


def test_the_circuit_shows_learned_angles_and_what_the_image_reads(whole: Path, html: str) -> None:
    circuit = part(html, "The circuit")
    generator, _ = load_snapshot(whole)
    learned = generator.quantum.circuits.weight[0].tolist()
    for angle in learned:
        assert f">{angle:.2f}<".replace("-", "−") in circuit
    assert "it reads &lt;Z0&gt; &lt;Z1&gt; &lt;X0&gt; &lt;X1&gt;: " in circuit


def test_what_is_missing_is_a_sentence_with_the_command(bare: Path, tmp_path: Path) -> None:
    html = page_of(bare, tmp_path)
    for title, command in (
        ("Measurements", f"hqgan evaluate {bare}"),
        ("Measurements", f"hqgan evaluate {bare} --curve"),
        ("Does the quantum part matter?", f"hqgan probe {bare}"),
        ("Memorisation", f"hqgan evaluate {bare} --privacy"),
    ):
        assert f"<code>{command}</code>" in part(html, title)


def test_a_run_without_snapshot_shows_what_is_there(copy: Path, tmp_path: Path) -> None:
    for folder in copy.glob("snapshot-*"):
        shutil.rmtree(folder)
    html = page_of(copy, tmp_path)
    assert "no snapshot to sample from yet" in part(html, "Samples")
    assert "<svg" in part(html, "Training")
    assert "The circuit</h2>" not in html


def test_a_snapshot_of_a_run_and_one_by_itself_have_pages(whole: Path, tmp_path: Path) -> None:
    first = sorted(whole.glob("snapshot-*"))[0]
    inside = page_of(first, tmp_path)
    assert f"Nothing was measured of {first.name} beside its floor yet" in inside
    assert "measured before" in inside
    alone = shutil.copytree(first, tmp_path / "alone")
    html = page_of(alone, tmp_path)
    assert "Real images are not shown" in html
    assert "hqgan sample" in part(html, "Make it again")


def test_without_data_generated_images_are_shown_and_why(
    copy: Path, tmp_path: Path, data: Path
) -> None:
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace(str(data), str(tmp_path / "moved")))
    html = page_of(copy, tmp_path)
    assert "Real images are not shown: " in html
    assert "8 generated images" in html
    assert "real (val)" not in html
    assert "real (val)" in page_of(copy, tmp_path, data=str(data))
    with pytest.raises(DataError):
        report(copy, data=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="name its data with --data"):
        report(copy, data="embedded")


def test_a_packaged_generator_has_a_page_with_credit_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    made = report(find_pretrained("ham10000-64"))
    assert made.file == Path("ham10000-64-report.html")
    html = made.file.read_text()
    check(html)
    assert "CC BY-NC" in html
    assert "kid768" in part(html, "Measurements")
    assert "hqgan sample --pretrained ham10000-64" in part(html, "Make it again")


def test_a_generator_without_circuits_says_so(tmp_path: Path, data: Path) -> None:
    config = tiny_config(0.016, "generator.twin=zeros", data=data)
    train(config, tmp_path / "run")
    html = page_of(tmp_path / "run", tmp_path)
    assert "no circuits" in part(html, "The circuit")


def test_classes_named_in_markup_or_any_script_are_text(copy: Path, tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "\u202eمرض & \"x\" 'y'", "痣 🩺 $x_1$"]
    rename(copy, names)
    html = page_of(copy, tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "مرض &amp; &quot;x&quot;" in html
    assert "痣 🩺" in html


def test_of_300_classes_the_largest_are_shown(whole: Path, tmp_path: Path) -> None:
    import torch

    generator, about = load_snapshot(whole)
    large = type(generator)(classes=300, size=32, qubits=2, circuit_layers=1)
    with torch.no_grad():
        for weight in large.parameters():
            weight.normal_(std=0.05)
    counts = tuple(range(1, 301))
    names = tuple(f"class {y}" for y in range(300))
    save_snapshot(
        large.eval(), tmp_path / "many", replace(about, classes=names, class_counts=counts)
    )
    html = page_of(tmp_path / "many", tmp_path)
    assert "24 classes with most training images are shown, 276 are not" in html
    assert "class 299 (300 training images)" in html
    assert "class 3 (" not in html
    assert len(html) < 5_000_000


def rename(run: Path, names: list[str]) -> None:
    """Give the classes of a run's snapshots other names."""
    for file in run.glob(f"*/{ABOUT}"):
        plain = json.loads(file.read_text())
        file.write_text(json.dumps(plain | {"classes": names}))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "probe/probe.json": lambda file: file.write_text("{"),
    "privacy/*/privacy.json": lambda file: file.write_text('{"sentence": 3}'),
    "privacy/*/worst.png": lambda file: file.write_bytes(b"no picture"),
    "snapshot-000001.1/model.safetensors": lambda file: file.write_bytes(b"no weights"),
    "snapshot-000001.1/hqgan.json": lambda file: file.write_text("[]"),
    "config.yaml": lambda file: file.write_text("size: [large"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_in_a_sentence(copy: Path, name: str) -> None:
    newest = sorted(copy.glob("snapshot-*"))[-1].name
    (file,) = copy.glob(name.replace("snapshot-000001.1", newest))
    DAMAGE[name](file)
    (copy / "report.html").unlink(missing_ok=True)
    with pytest.raises(HqganError) as refusal:
        report(copy)
    assert str(file.name) in str(refusal.value) or file.parent.name in str(refusal.value)
    assert not (copy / "report.html").exists()


def test_damaged_lines_are_left_out_and_counted(copy: Path, tmp_path: Path) -> None:
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"images_seen": 12')
    with (copy / "evaluation.jsonl").open("a") as file:
        file.write('{"recipe": "kid"}\n[1]\nnull\n\x00\n')
        known = json.loads((copy / "evaluation.jsonl").read_text().splitlines()[0])
        for change in ({"class": ["a"]}, {"recipe": 5}, {"interval": [1]}, {"value": 10**400}):
            file.write(json.dumps(known | change | {"curve": True}) + "\n")
        file.write("[" * 99_999 + "\n")
    html = page_of(copy, tmp_path)
    assert "metrics.jsonl is damaged" in part(html, "Training")
    assert "9 lines of evaluation.jsonl cannot be read" in part(html, "Measurements")
    (copy / "env.json").write_text("[" * 99_999)
    assert "They are not known" in page_of(copy, tmp_path)


def test_what_is_no_folder_of_results_is_refused_in_a_sentence(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "settings.json").write_text("{}")
    for path, words in (
        (tmp_path / "typo", "does not exist; expected a run folder"),
        (tmp_path / "other" / "notes.txt", "is a file; expected a run folder"),
        (tmp_path / "empty", "is empty; expected a run folder"),
        (tmp_path / "other", "holds something else; expected a run folder"),
        (tmp_path / "begun", "a comparison that is not finished"),
        (whole.parent, f"name that one: hqgan report {whole}"),
    ):
        with pytest.raises(RunError, match=words):
            report(path)


def test_a_page_that_cannot_be_written_names_out(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--out FILE"):
        report(whole, tmp_path / "file" / "page.html")
    with pytest.raises(UsageError, match="is a folder; --out names the page"):
        report(whole, tmp_path)


def test_only_a_page_is_overwritten(copy: Path, tmp_path: Path) -> None:
    settings = (copy / "config.yaml").read_bytes()
    (tmp_path / "nowhere.html").symlink_to(tmp_path / "nothing")
    for file in (copy / "config.yaml", tmp_path / "nowhere.html"):
        with pytest.raises(UsageError, match="no page of hqgan; nothing is overwritten"):
            report(copy, file)
    assert (copy / "config.yaml").read_bytes() == settings
    page = report(copy, tmp_path / "page.html").file
    assert report(copy, page).file == page


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("hybridq", ()),
        ("dcgan+kit", ("augmentation.strength=0.7", "batch=8")),
        ("hybridq", ("generator.twin=zeros", "loss.r1_gamma=0.5", "size=32", "data.balance=0")),
        ("hybridq", ("generator={name: dcgan}", "device=cpu", "precision=bf16", "seed=5")),
        ("ddpm", ("generator.width=32", "kimg=0.5")),
        ("hybridq", ("init.run=pretrained:ham10000-64", "init.freeze_critic=2")),
        ("hybridq", ("init.label_map={a: b}", "init.run=/some/run", "noise.device=fake_fez")),
        ("hybridq", ("noise={device: fake_fez, strength: 2.0}", "data.path=/a b/it's")),
    ],
)
def test_the_short_command_resolves_to_the_same_configuration(
    preset: str,
    settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    config = load_config(preset, None, {"data.path": "embedded"}, settings)
    words = shlex.split(train_command(config, Path("out")))
    assert words[:2] == ["hqgan", "train"]
    monkeypatch.setattr("sys.argv", [*words, "--dry-run", "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out) == config.model_dump(mode="json")


def test_the_command_says_where_the_page_is(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["hqgan", "report", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0), *capsys.readouterr()

    out = tmp_path / "page.html"
    code, stdout, stderr = run(whole, "--out", out, "--json")
    assert code == 0
    assert json.loads(stdout) == {"report": str(out), "kind": "run", "bytes": out.stat().st_size}
    assert f"page: {out}" in stderr
    code, stdout, stderr = run(tmp_path / "typo")
    assert (code, stdout) == (1, "")
    assert "does not exist" in stderr
    assert "Traceback" not in stderr
    assert run()[0] == 2
    assert run(whole, "--pretrained", "ham10000-64")[0] == 2
