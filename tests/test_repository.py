"""The repository around the code: what the wheel holds, and that its files agree."""

import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

import hqgan

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# A home folder, or the root of somebody's workspace, with something after it.
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:home/\w+|Users/\w+|root|wor[k])/")


def test_the_version_is_said_once() -> None:
    assert hqgan.__version__ == PROJECT["version"]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "title", "message", "authors"} <= set(citation)
    identifiers = [i["value"] for r in citation["references"] for i in r["identifiers"]]
    assert "arXiv:2506.21015" in identifiers


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Presets, the split of HAM10000 and the typing marker are read where hqgan is installed."""
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("hqgan/")}
    source = {
        str(file.relative_to(ROOT / "src"))
        for file in (ROOT / "src" / "hqgan").rglob("*")
        if file.is_file() and not {"__pycache__", ".mypy_cache"} & set(file.parts)
    }
    assert packed == source
    for name in ("py.typed", "data/ham10000_split.csv", "presets/hybridq.yaml"):
        assert f"hqgan/{name}" in packed


def test_the_readme_names_the_two_commands_of_the_makefile() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert "make demo" in readme
    assert "make test" in readme


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
