"""Rewrites constraints.txt: one pip resolution over the core and every extra, torch held fixed.

Usage: python .ci/constraints.py TORCH_VERSION   (what `make constraints` runs; installs nothing)
"""

import itertools
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

# torchvision must fit the torch at hand, CPU or CUDA, so pinning it here would break one of them;
# what a CUDA build of torch brings is its own to choose.
LEFT_TO_TORCH = re.compile(r"torchvision|triton|(nvidia|cuda)[-_].*")

HEADER = """\
# Tested versions, resolved over the core and all extras together.
# Use: pip install -c constraints.txt -e '.[dev]'
# Written by `make constraints` with Python {python} and torch=={torch}; do not edit by hand.
# torchvision is left out on purpose: it must fit the installed torch build.
"""


def resolve(torch_version: str) -> dict[str, str]:
    """Returns name -> version of all that pip would install, local labels (+cpu) removed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        (pin := Path(folder) / "torch.txt").write_text(f"torch=={torch_version}\n")
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*pip, "--report", report, "-c", pin, *requirements], check=True)
        installs = json.loads(report.read_text())["install"]
    found = {i["metadata"]["name"]: i["metadata"]["version"].split("+")[0] for i in installs}
    return {name: v for name, v in found.items() if not LEFT_TO_TORCH.fullmatch(name.lower())}


def main() -> None:
    versions = resolve(torch_version := sys.argv[1])
    header = HEADER.format(python=".".join(map(str, sys.version_info[:2])), torch=torch_version)
    lines = [f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower)]
    (ROOT / "constraints.txt").write_text(header + "".join(lines))


if __name__ == "__main__":
    main()
