"""Lets the environment whose Python runs this see the packages of another, behind its own.

Usage: .venv-oracle/bin/python .ci/beside.py .venv   (what `make oracles` runs)
"""

import os
import sys
import sysconfig
from pathlib import Path


def main() -> None:
    other = Path(sys.argv[1]).resolve()
    ours = Path(sysconfig.get_path("purelib"))
    theirs = other / ours.relative_to(sys.prefix)
    if not theirs.is_dir():
        raise SystemExit(f"{other} is no environment of Python {sys.version.split()[0]}")
    # Relative, and with the other's own .pth files, among which is this project.
    step = os.path.relpath(theirs, ours)
    line = f"import os, site; site.addsitedir(os.path.normpath(os.path.join(sitedir, {step!r})))\n"
    (ours / "beside.pth").write_text(line)


if __name__ == "__main__":
    main()
