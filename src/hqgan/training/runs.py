"""The run folder: what a training leaves behind; a kill at any moment breaks nothing in it.

    config.yaml         the resolved configuration
    env.json            versions, device, threads, precision
    metrics.jsonl       one line every 1,000 images
    samples/*.png       the same latents through training, one row a class
    snapshot-<kimg>/    generator to share (see `hqgan.models.snapshot`)
    state.pt            what a continued run needs; replaced whole, never edited

Files are written under a temporary name, flushed to disk and renamed: a reader sees the old one or
the new one.
"""

import io
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch

import hqgan
from hqgan.config import differences, read_config, to_yaml
from hqgan.errors import RunError, UsageError, raise_if_of_the_machine
from hqgan.models import About, Generator, save_snapshot
from hqgan.models.about import MOST
from hqgan.schema import Config

CONFIG, ENVIRONMENT, METRICS = "config.yaml", "env.json", "metrics.jsonl"
STATE, LOCK = "state.pt", ".lock"
# Fields of metrics.jsonl, and what they are called where there is little room.
LOSSES = {"critic_loss": "critic", "generator_loss": "generator", "denoising_loss": "denoising"}
# The only fields of metrics.jsonl in which two equal runs differ.
TIMING_FIELDS = ("seconds", "images_per_second")


class RunFolder:
    """One run on disk, opened by `RunFolder.open`, which refuses what it must not touch."""

    def __init__(self, path: Path, config: Config, lock: TextIO, made: bool):
        self.path, self.config, self._lock, self._made = path, config, lock, made

    @classmethod
    def open(cls, path: Path, config: Config) -> "RunFolder":
        """Lock a new folder, or one of a run with the same configuration; change nothing in it yet.

        Keys in `config.FREE_TO_CHANGE` may differ.

        Raises:
            UsageError: a key differs from the run's.
            RunError: the folder holds something else, cannot be written, or is in use.
        """
        require_continuable(path, config)
        made = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = acquire(path / LOCK)
        except OSError as error:
            raise RunError(
                f"cannot write to the run folder {path}: {error.strerror}; choose another --out"
            ) from error
        return cls(path, config, lock, made)

    def close(self) -> None:
        """Let other processes train here; what was refused before `begin` leaves no trace."""
        with suppress(OSError):
            if [file.name for file in self.path.iterdir()] == [LOCK]:
                (self.path / LOCK).unlink()
                if self._made:
                    self.path.rmdir()
        self._lock.close()

    def begin(self, images_seen: int, **facts: Any) -> None:
        """Make the folder that of a run about to continue after `images_seen`.

        Until here nothing in it was touched. Writes config.yaml and env.json (versions, threads
        and `facts`), and drops what metrics.jsonl holds beyond `images_seen`, a last line cut in
        half by a kill included: the resumed run writes it again.
        """
        packages = ("torch", "numpy", "pillow", "lightning-fabric")
        environment = {
            "hqgan": hqgan.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            **{name: version(name) for name in packages},
            **facts,
        }
        write_atomically(self.path / CONFIG, to_yaml(self.config).encode())
        write_atomically(
            self.path / ENVIRONMENT, (json.dumps(environment, indent=2) + "\n").encode()
        )
        metrics = self.path / METRICS
        if metrics.is_file():
            lines = [line for line in read_records(metrics) if line["images_seen"] <= images_seen]
            write_atomically(metrics, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace state.pt; `state` holds tensors, numbers, strings and containers of them only."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.path / STATE, buffer.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """The saved state, tensors on the CPU, or None for a run that has not saved one yet."""
        return load_state(self.path)

    def grid(self, kimg: float) -> Path:
        """Where the sample grid of `kimg` belongs."""
        return self.path / "samples" / f"{kimg:06g}.png"

    def save_snapshot(self, generator: Generator, about: About, kimg: float) -> Path:
        """Write (or write again, after a resume) the snapshot named after `kimg`."""
        folder = self.path / f"snapshot-{kimg:06g}"
        for leftover in (folder, folder.with_name(f".{folder.name}.part")):
            shutil.rmtree(leftover, ignore_errors=True)
        save_snapshot(generator, folder, about)
        return folder

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def require_continuable(path: Path, config: Config) -> None:
    """Raise as `RunFolder.open` does unless `path` is free or holds a run of this configuration."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; --out must name a folder for the run")
    known = path / CONFIG
    contents = sorted(f.name for f in path.iterdir()) if path.is_dir() else []
    strangers = [name for name in contents if name != LOCK and not name.endswith(".part")]
    if strangers and not known.is_file():
        raise RunError(
            f"{path} is not empty and not a run of hqgan (it holds {strangers[0]!r}); "
            "choose another --out"
        )
    changed = differences(read_config(known), config) if known.is_file() else []
    if changed:
        raise UsageError(
            f"{path} was trained with another configuration ({'; '.join(changed)}). Only --kimg "
            "may grow when a run is continued: keep the old values, or choose another --out."
        )


def read_records(file: Path) -> Iterable[dict[str, Any]]:
    """The lines of a metrics.jsonl up to the first that is none."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            seen = record["images_seen"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if not (isinstance(seen, int | float) and 0 <= seen < MOST):
            return
        yield record


def load_state(run: Path) -> dict[str, Any] | None:
    """state.pt of a run folder, or None; only tensors and plain values are ever unpickled."""
    file = run / STATE
    if not file.is_file():
        return None
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes lead it to
        raise_if_of_the_machine(error, file)
        raise damaged(file) from error


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """A saved state that is read in this block and does not fit is called damaged."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise damaged(file) from error


def damaged(file: Path) -> RunError:
    """The error for a saved state that cannot be used; torch's own words help nobody here."""
    return RunError(
        f"{file} is damaged, or was not saved by this run; delete it to start the run again from "
        "its beginning"
    )


def write_atomically(file: Path, content: bytes | memoryview) -> None:
    """Replace `file` by `content`, or leave it as it was."""
    temporary = file.with_name(file.name + ".part")
    temporary.unlink(missing_ok=True)  # of a killed run, or somebody's link to another file
    with temporary.open("xb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)


def acquire(file: Path, doing: str = "training") -> TextIO:
    """Hold `file` locked until it is closed or this process dies, however it dies.

    RunError where another process does; `doing` says what.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no lock rather than no training
        return file.open("w")
    while True:
        handle = file.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed it since it was opened here.
            if os.path.samestat(os.fstat(handle.fileno()), file.stat()):
                return handle
        except BlockingIOError:
            handle.close()
            raise RunError(
                f"another process is {doing} in {file.parent}; wait for it, or choose another --out"
            ) from None
        except FileNotFoundError:
            pass
        except OSError:
            handle.close()
            raise
        handle.close()
