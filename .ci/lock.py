"""Rewrites .ci/lock: every package that the tests need, with the sha256 of its wheels.

Usage: python .ci/lock.py EXTRAS ORACLES   (what `make lock` runs; installs nothing)

    packages.txt     all but torch, the wheels of all platforms
    torch-cpu.txt    the CPU build of torch that pip finds here, which PyPI does not have
    torch-cuda.txt   PyPI's torch for Linux, and all that it brings
    oracles.txt      what `make oracles` adds, without what these say they depend on

Wheels alone: to build a source release, pip would fetch tools that no lock names.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".ci" / "lock"
INDEX = "https://pypi.org/simple"
NOWHERE_ELSE = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_INDEX_URL": INDEX}
HEADER = """\
# {what}
# Installed by .ci/install.py, which `make LOCKED=cpu ...` runs.
# Written by `make lock` with Python {python}; do not edit by hand.
"""


def requirements(extras: list[str]) -> list[str]:
    """The project's own, and those of extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(one for extra in extras for one in optional[extra])]


def wanted(requirements: list[str], *flags: str, **environment: str) -> list[dict[str, Any]]:
    """What pip would install, as its report says it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        limits = ["--only-binary=:all:", "--report", report, "-c", ROOT / "constraints.txt"]
        command = [*pip, *limits, *flags, *requirements]
        subprocess.run(command, check=True, env=os.environ | environment)
        return json.loads(report.read_text())["install"]


def hashes(name: str, version: str) -> set[str]:
    """The sha256 of every wheel of a release that the index has and that was not withdrawn."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    request = urllib.request.Request(f"{INDEX}/{name}/", headers=accept)
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    stem = name.replace("-", "_").lower()
    return {
        file["hashes"]["sha256"]
        for file in files
        if not file.get("yanked")
        and file["filename"].lower().replace("-", "_").startswith(f"{stem}_{version}")
        and belongs(file["filename"], version)
    }


def belongs(file: str, version: str) -> bool:
    """Whether a wheel is of this version, and not of one that begins alike: 1.2 and 1.2.1."""
    return file.partition(f"-{version}")[2].startswith("-") and file.endswith(".whl")


def line(install: dict[str, Any], everywhere: bool = True) -> str:
    """A requirement with its hashes, one a line: of all platforms' wheels, or of the one found.

    What this machine's pip found, perhaps in an index of its own, must be among PyPI's.
    """
    name, version = install["metadata"]["name"], install["metadata"]["version"]
    found = {install["download_info"]["archive_info"]["hashes"]["sha256"]}
    if everywhere:
        published = hashes(name, version)
        if not found <= published:
            url = install["download_info"]["url"]
            raise SystemExit(f"{url} is not what PyPI has of {name} {version}: nothing is locked")
        found = published
    return " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{x}" for x in sorted(found))])


def write(file: str, what: str, lines: list[str]) -> None:
    """One of the files."""
    python = ".".join(map(str, sys.version_info[:2]))
    text = HEADER.format(what=what, python=python) + "".join(
        f"{one}\n" for one in sorted(lines, key=str.lower)
    )
    (FOLDER / file).write_text(text)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    extras = sys.argv[1].split(",")
    installs = {one["metadata"]["name"]: one for one in wanted(requirements(extras))}
    torch = installs.pop("torch")
    oracles = wanted(sys.argv[2].split(), "--no-deps")
    with ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(line, installs.values()))
        beside = list(pool.map(line, oracles))
    write("oracles.txt", "What `make oracles` adds, without its dependencies.", beside)
    write("packages.txt", f"Everything but torch; extras {', '.join(extras)}.", lines)
    build = torch["metadata"]["version"]
    write("torch-cpu.txt", "The CPU build of torch.", [line(torch, everywhere=False)])
    public = wanted([f"torch=={build.split('+')[0]}"], **NOWHERE_ELSE)
    brought = [one for one in public if one["metadata"]["name"] not in installs]
    cuda = [line(one, everywhere=False) for one in brought]
    write("torch-cuda.txt", "PyPI's torch, and what of CUDA it brings.", cuda)


if __name__ == "__main__":
    main()
