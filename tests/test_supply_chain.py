"""What the project is installed from, and what is built of it: locks, the audit, archives."""

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
LOCK = ROOT / ".ci" / "lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / ".ci" / f"{name}.py"))


def normal(distribution: str) -> str:
    """A distribution's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package of a lock."""
    text = (LOCK / name).read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    found = {normal(one.split("==")[0]): (one.split("==")[1], rest) for one, *rest in lines}
    assert len(found) == len(lines), f"{name} names a package twice"
    return found


LOCKS = sorted(file.name for file in LOCK.glob("*.txt"))
CONSTRAINTS = {
    normal(line.split("==")[0]): line.split("==")[1]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_held_by_hashes_at_the_tested_version(name: str) -> None:
    packages = locked(name)
    assert packages
    for package, (version, hashes) in packages.items():
        assert hashes, package
        for one in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one), package
        # torchvision, and what a CUDA build of torch brings, are theirs to choose.
        if package in CONSTRAINTS:
            assert version.split("+")[0] == CONSTRAINTS[package], f"{package}: run `make lock`"
        else:
            assert name in {"oracles.txt", "torch-cuda.txt"}, package


def test_the_lock_holds_all_that_the_environments_of_the_check_ask_for() -> None:
    """Also what builds this project in place; `pip check` of .ci/install.py sees the rest."""
    variable = re.search(r"^LOCKED_EXTRAS := \$\(TESTED\),(.*)$", MAKEFILE, re.MULTILINE)
    tested = re.search(r"^TESTED := (.*)$", MAKEFILE, re.MULTILINE)
    assert variable
    assert tested
    asked = [*PROJECT["dependencies"], "hatchling", "editables"]
    for extra in f"{tested[1]},{variable[1]}".split(","):
        asked += PROJECT["optional-dependencies"][extra]
    names = {normal(re.split(r"[\[<>=]", one)[0]) for one in asked}
    assert names <= {*locked("packages.txt"), "torch"}, "run `make lock`"
    assert {"torch"} == set(locked("torch-cpu.txt"))
    assert "torch" in locked("torch-cuda.txt")
    beside = re.search(r"^FIDELITY := (.*)$", MAKEFILE, re.MULTILINE)
    assert beside
    assert {normal(one.split("==")[0]) for one in beside[1].split()} == set(locked("oracles.txt"))


def test_a_lock_takes_the_wheels_of_one_version_alone() -> None:
    belongs = script("lock")["belongs"]
    assert belongs("pillow-12.3.0-cp311-cp311-manylinux_2_28_x86_64.whl", "12.3.0")
    assert not belongs("pillow-12.3.0.tar.gz", "12.3.0")
    assert not belongs("pillow-12.3.0.1-cp311-cp311-manylinux_2_28_x86_64.whl", "12.3.0")


def test_what_another_index_offers_under_the_same_name_is_not_locked() -> None:
    line = script("lock")["line"]
    ours, theirs = "a" * 64, "b" * 64
    line.__globals__["hashes"] = lambda name, version: {ours}
    install = {
        "metadata": {"name": "rich", "version": "15.0.0"},
        "download_info": {"url": "here", "archive_info": {"hashes": {"sha256": ours}}},
    }
    assert line(install) == f"rich==15.0.0 \\\n    --hash=sha256:{ours}"
    install["download_info"]["archive_info"]["hashes"]["sha256"] = theirs
    with pytest.raises(SystemExit, match="not what PyPI has of rich"):
        line(install)


def wheel(folder: Path, name: str, version: str, content: str = "") -> str:
    """A wheel with one module; its sha256."""
    info = f"{name}-{version}.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Place:
    """A project with locks, an index that is a folder, and an empty environment."""

    def __init__(self, folder: Path):
        self.root, self.index = folder / "project", folder / "index"
        self.index.mkdir()
        self.lock = self.root / ".ci" / "lock"
        self.lock.mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "install.py", self.root / ".ci")
        (self.root / "constraints.txt").write_text("torch==2.13.0\n")
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (self.root / "backend.py").write_text(
            "import shutil\n"
            "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
            "    return shutil.copy('ours-1-py3-none-any.whl', folder).rpartition('/')[2]\n"
        )
        wheel(self.root, "ours", "1")
        venv.create(folder / "environment", with_pip=True, symlinks=True)
        self.environment = folder / "environment"
        self.hold("packages.txt", "tiny==1", wheel(self.index, "tiny", "1"))

    def hold(self, file: str, requirement: str, sha256: str) -> None:
        (self.lock / file).write_text(f"# by hand\n{requirement} \\\n    --hash=sha256:{sha256}\n")

    def install(self) -> subprocess.CompletedProcess[str]:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)}
        alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PYTHONPATH": ""}
        command = [self.environment / "bin" / "python", self.root / ".ci" / "install.py", "cpu"]
        environment = {**os.environ, **pip, **alone}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def versions(self) -> dict[str, str]:
        command = [self.environment / "bin" / "python", "-m", "pip", "list", "--format=json"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = {one["name"]: one["version"] for one in json.loads(listing)}
        return {name: found[name] for name in found.keys() - {"pip", "setuptools"}}


@pytest.mark.timeout(300)  # builds an environment, and calls pip a dozen times
@pytest.mark.skipif(sys.platform == "win32", reason="the Makefile's environments are POSIX ones")
def test_locked_packages_come_by_hash_and_another_build_of_torch_is_said_aloud(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    right = wheel(place.index, "torch", "2.13.0+cpu")
    place.hold("torch-cpu.txt", "torch==2.13.0+cpu", right)
    ended = place.install()
    assert ended.returncode == 0, ended.stderr
    assert place.versions() == {"tiny": "1", "ours": "1", "torch": "2.13.0+cpu"}
    assert not (place.environment / "unlocked").exists()

    wheel(place.index, "torch", "2.13.0+cpu", "other = 1")
    uninstall = [place.environment / "bin" / "python", "-m", "pip", "uninstall", "-qy"]
    subprocess.run([*uninstall, "torch"], check=True)
    ended = place.install()
    assert ended.returncode == 0, ended.stderr
    assert place.versions()["torch"] == "2.13.0+cpu"
    warning = "WARNING: torch==2.13.0 was installed by its version alone"
    assert warning in ended.stderr
    assert (place.environment / "unlocked").read_text().startswith(warning)

    wheel(place.index, "tiny", "1", "other = 1")
    subprocess.run([*uninstall, "tiny"], check=True)
    ended = place.install()
    assert ended.returncode != 0
    assert "were not installed" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "tiny" not in place.versions()


def answer(name: str, *known: str, fixed: tuple[str, ...] = ()) -> dict[str, Any]:
    """What pip-audit's JSON says of one package."""
    vulns = [{"id": one, "fix_versions": list(fixed), "aliases": []} for one in known]
    return {"name": name, "version": "1.0", "vulns": vulns}


UNASKED = {"name": "lost", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ([answer("a"), answer("b")], 0, "2 packages audited, 0 known"),
        ([answer("a", "CVE-1", fixed=("1.1",))], 1, "a 1.0: CVE-1 (mended in 1.1)"),
        ([answer("a", "CVE-1"), UNASKED], 1, "no version yet"),
        ([answer("a"), UNASKED], 2, "Not audited, unknown to the database: lost."),
        ([UNASKED], 2, "Nothing was audited"),
        ([], 2, "Nothing was audited"),
    ],
)
def test_an_audit_passes_only_where_every_package_was_asked_about(
    answers: list[dict[str, Any]], code: int, said: str
) -> None:
    ended, lines = script("audit")["verdict"](answers)
    assert ended == code
    assert said in "\n".join(lines)


def test_an_audit_without_an_answer_is_one_sentence() -> None:
    command = [sys.executable, ROOT / ".ci" / "audit.py", shutil.which("false") or "/bin/false"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout.startswith("Nothing was audited")
    assert ended.stderr == ""


def test_the_lowest_versions_are_those_of_the_project() -> None:
    lowest = script("lowest")["lowest"]
    assert lowest("torch>=2.6,<3") == "torch==2.6"
    assert lowest("mkdocstrings[python]>=0.29") == "mkdocstrings[python]==0.29"
    with pytest.raises(SystemExit, match="no lower bound"):
        lowest("torch<3")
    extras = PROJECT["optional-dependencies"].values()
    for one in [*PROJECT["dependencies"], *(each for extra in extras for each in extra)]:
        lowest(one)


def tracked() -> list[str]:
    """The files of the next commit."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listing.split("\0") if (ROOT / name).is_file()]


def test_the_same_files_in_another_place_and_time_give_the_same_archives(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in tracked():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
        os.utime(target, (1_000_000_000, 1_000_000_000))
    built: dict[str, list[bytes]] = {}
    for number, root in enumerate((ROOT, copy)):
        for builder in (WheelBuilder, SdistBuilder):
            folder = tmp_path / str(number)
            file = Path(next(builder(str(root)).build(directory=str(folder))))
            built.setdefault(file.name, []).append(file.read_bytes())
    assert len(built) == 2
    for name, (here, there) in built.items():
        assert here == there, name
    (archive,) = (tmp_path / "0").glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {one.partition("/")[2] for one in files.getnames()}
    assert names - {"PKG-INFO"} <= set(tracked())
    assert {"pyproject.toml", "src/hqgan/cli.py", "tests/conftest.py", "Makefile"} <= names
