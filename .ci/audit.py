"""Asks an advisory database about every locked package, and says what it did not answer.

Usage: python .ci/audit.py PIP_AUDIT [OPTION ...]   (what `make audit` runs)

PIP_AUDIT is the program; options go to it, such as --vulnerability-service osv. By itself
pip-audit counts a package that the database could not be asked about as passed. Ends with 0 where
all were asked about and nothing is known, 1 where something is, 2 where not all were asked about.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / ".ci" / "lock"
# PyPI's torch stands for both builds: no database knows the CPU one, of the same source.
FILES = ("packages.txt", "torch-cuda.txt", "oracles.txt")
QUIET = ["--progress-spinner=off", "--format=json"]
LONGEST = 160  # characters of what pip-audit says last, often an error within an error


def ask(program: str, options: list[str]) -> list[dict[str, Any]]:
    """pip-audit's answer for each locked package."""
    files = [part for name in FILES for part in ("--requirement", str(LOCK / name))]
    command = [program, "--require-hashes", "--disable-pip", *QUIET, *files, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"Nothing was audited: pip-audit got no answer ({last[:LONGEST]}).")
        raise SystemExit(2) from None
    return answers


def verdict(answers: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """How to end, and the lines that say why."""
    unasked = [one["name"] for one in answers if "skip_reason" in one]
    asked = len(answers) - len(unasked)
    if not asked:
        line = (
            f"Nothing was audited: the advisory database has no answer for any of {len(unasked)} "
            "packages, so it cannot be reached from here; run `make audit` where pypi.org answers "
            "(or choose another: make audit AUDIT='--vulnerability-service osv')."
        )
        return 2, [line]
    known = [(one, each) for one in answers for each in one.get("vulns", [])]
    lines = [
        f"{one['name']} {one['version']}: {each['id']} "
        f"(mended in {', '.join(each['fix_versions']) or 'no version yet'})"
        for one, each in known
    ]
    lines.append(f"{asked} packages audited, {len(known)} known vulnerabilities.")
    if unasked:
        lines.append(f"Not audited, unknown to the database: {', '.join(sorted(unasked))}.")
    return 1 if known else 2 if unasked else 0, lines


def main() -> None:
    program, *options = sys.argv[1:]
    code, lines = verdict(ask(program, options))
    print("\n".join(lines))
    raise SystemExit(code)


if __name__ == "__main__":
    main()
