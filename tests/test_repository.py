"""The repository around the code: what the wheel holds, and that its files agree."""

import json
import re
import runpy
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

import hqgan
from hqgan.pretrained import FOLDER, METRICS, pretrained_names
from hqgan.report.readme import fill

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# A home folder, or the root of somebody's workspace, with something after it.
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:home/\w+|Users/\w+|root|wor[k])/")


def test_the_version_is_said_once() -> None:
    assert hqgan.__version__ == PROJECT["version"]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"].split(" AND ")
    assert {"cff-version", "title", "message", "authors"} <= set(citation)
    identifiers = [i["value"] for r in citation["references"] for i in r["identifiers"]]
    assert "arXiv:2506.21015" in identifiers


def test_the_licences_of_packaged_generators_are_declared_and_explained() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for licence in PROJECT["license"].split(" AND "):
        assert f"SPDX: {licence};" in notice
    for name in pretrained_names():
        metrics = json.loads((FOLDER / name / METRICS).read_text())
        licence = metrics["training_data"]["licence"].replace(" ", "-")
        assert licence in PROJECT["license"].split(" AND "), name
        assert metrics["training_data"]["name"] in notice, name


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Presets, the split of HAM10000 and the typing marker are read where hqgan is installed."""
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = zipfile.ZipFile(wheel).namelist()
    packed = {n for n in names if n.startswith("hqgan/")}
    licences = {n.rpartition("licenses/")[2] for n in names if "/licenses/" in n}
    assert licences == set(PROJECT["license-files"])
    source = {
        str(file.relative_to(ROOT / "src"))
        for file in (ROOT / "src" / "hqgan").rglob("*")
        if file.is_file() and not {"__pycache__", ".mypy_cache"} & set(file.parts)
    }
    assert packed == source
    kept = (
        "py.typed",
        "data/ham10000_split.csv",
        "presets/hybridq.yaml",
        "tables/ham10000-64.yaml",
    )
    for name in kept:
        assert f"hqgan/{name}" in packed


def test_the_readme_names_the_two_commands_of_the_makefile() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert "make demo" in readme
    assert "make test" in readme


def is_of(page: Path, results: Path) -> bool:
    """Whether a page's tables are what `make tables` makes of these results."""
    known = {file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}
    packaged = {n: json.loads((FOLDER / n / METRICS).read_text()) for n in pretrained_names()}
    text = page.read_text()
    return fill(text, known, packaged) == text


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_the_tables_of_a_page_are_those_of_the_committed_results(page: Path) -> None:
    assert is_of(page, ROOT / "docs" / "results"), "make tables"


def test_make_tables_writes_what_the_check_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runpy.run_path(str(ROOT / ".ci" / "tables.py"))
    docs = tmp_path / "docs"
    docs.mkdir()
    pages = [tmp_path / "README.md", docs / "results.md"]
    settings = {"size": 32, "data_checksum": "ab", "reference_checksum": "cd", "n": 8}
    settings |= {"split": "val", "extractor": "tiny", "by": "images"}
    (tmp_path / "comparison.json").write_text(
        json.dumps({"settings": settings, "models": [], "sentences": []})
    )
    for page, kind in zip(pages, ("short", "table"), strict=True):
        page.write_text(f"<!-- {kind}: mine -->\nby hand\n<!-- end -->\n")
    names = {"ROOT": tmp_path, "DOCS": docs, "RESULTS": docs / "results"}
    for name, value in names.items():
        monkeypatch.setitem(script["main"].__globals__, name, value)
    script["main"](["mine", str(tmp_path / "comparison.json")])
    for page in pages:
        assert is_of(page, docs / "results")
        page.write_text(page.read_text().replace("floor", "ceiling"))
        assert not is_of(page, docs / "results")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("{", "is not JSON"), ("[1]", "is neither")],
)
def test_a_wrong_file_for_a_table_is_said_to_be_in_a_sentence(
    content: str | None, message: str, tmp_path: Path
) -> None:
    script = runpy.run_path(str(ROOT / ".ci" / "tables.py"))
    file = tmp_path / "comparison.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit, match=message):
        script["main"](["mine", str(file)])


def test_constraints_name_every_dependency_once() -> None:
    """Every package that pyproject.toml asks for has a tested version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [normal(line.split("==")[0]) for line in lines if line and not line.startswith("#")]
    assert len(pinned) == len(set(pinned))
    extras = PROJECT["optional-dependencies"].values()
    asked = [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]
    missing = {normal(re.split(r"[\[<>=]", r)[0]) for r in asked} - set(pinned)
    assert not missing, f"run `make constraints`: {sorted(missing)}"


def normal(distribution: str) -> str:
    """A distribution's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_no_file_names_a_path_of_one_machine() -> None:
    # New files count too: they are the next commit.
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    for file in filter(Path.is_file, (ROOT / name for name in listing.split("\0"))):
        data = file.read_bytes()
        if b"\0" not in data and (found := MACHINE_PATH.search(data.decode(errors="replace"))):
            raise AssertionError(f"{file.relative_to(ROOT)} holds {found.group()}")
