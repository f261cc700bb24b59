"""Prints the project's requirements, and those of extras, each at the lowest version it allows.

Usage: python .ci/lowest.py EXTRAS   (what `make lowest` runs)
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"([\w.-]+(?:\[[\w,]+\])?)>=([\w.]+)")


def lowest(requirement: str) -> str:
    """name>=1.2,<3 as name==1.2.

    Raises:
        SystemExit: it has no lower bound.
    """
    found = REQUIREMENT.match(requirement)
    if not found:
        raise SystemExit(f"{requirement!r} in pyproject.toml has no lower bound")
    return f"{found[1]}=={found[2]}"


def main() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = [project["optional-dependencies"][one] for one in sys.argv[1].split(",")]
    requirements = [*project["dependencies"], *(one for extra in extras for one in extra)]
    print("\n".join(sorted({lowest(one) for one in requirements})))


if __name__ == "__main__":
    main()
