"""Installs the locked packages and this project into the environment whose Python runs this.

Usage: .venv/bin/python .ci/install.py BUILD [INDEX]   (what `make LOCKED=cpu ...` runs)

BUILD is cpu or cuda; INDEX is one more place to look for torch. Packages come by their sha256 or
not at all, and only as wheels. torch does too where the index offers the build of the lock. Where
it offers another build of the same version, that is taken by its version alone, which is said in
the file `unlocked` of the environment; .ci/run repeats it at its end.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / ".ci" / "lock"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
BY_HASH = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
UNLOCKED = Path(sys.prefix) / "unlocked"


def install(*arguments: str | Path) -> None:
    """One call of pip.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run([*PIP, *arguments], check=True, cwd=ROOT)


def locked_version(file: Path) -> str:
    """The requirement of torch in a lock file, without the name of its build: torch==2.13.0."""
    (line,) = (one for one in file.read_text().splitlines() if one.startswith("torch=="))
    return line.split()[0].split("+")[0]


def install_torch(build: str, index: list[str]) -> None:
    """By hash, else by version and loudly."""
    file = LOCK / f"torch-{build}.txt"
    try:
        install(*index, *BY_HASH, "-r", file)
    except subprocess.CalledProcessError:
        version = locked_version(file)
        install(*index, "--only-binary=:all:", "-c", ROOT / "constraints.txt", version)
        warning = (
            f"WARNING: {version} was installed by its version alone: the index offers another "
            f"build than {file.relative_to(ROOT)}. All other packages were installed by hash."
        )
        UNLOCKED.write_text(warning + "\n")
        print(warning, file=sys.stderr, flush=True)


def main() -> None:
    build, *index = sys.argv[1:]
    if build not in (builds := sorted(f.stem[6:] for f in LOCK.glob("torch-*.txt"))):
        raise SystemExit(f"LOCKED is {build!r}; there are locks for {' and '.join(builds)}")
    UNLOCKED.unlink(missing_ok=True)
    try:
        install(*BY_HASH, "-r", LOCK / "packages.txt")
        install_torch(build, [f"--extra-index-url={one}" for one in index])
        # Hashes do not go with a project in place; what builds it, hatchling, is in the lock.
        install("--no-deps", "--no-build-isolation", "-e", ".")
        check = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
        subprocess.run(check, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit("the locked packages were not installed; pip said why above") from error


if __name__ == "__main__":
    main()
