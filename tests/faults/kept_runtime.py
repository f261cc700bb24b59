"""A runtime service whose jobs outlive the process that sent them, as a real one's do.

`python:faults.kept_runtime:service` opens the one in the folder $HQGAN_TEST_SERVICE. A job has
arrived once its file has its name; a kill before that is a connection lost before the service
answered.
"""

import os
import pickle
from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime, Kept

FOLDER = "HQGAN_TEST_SERVICE"


class KeptRuntime(FakeRuntime):
    """`FakeRuntime` with its jobs in files."""

    def __init__(self, folder: Path):
        super().__init__(name="python:faults.kept_runtime:service")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.glob("job-*.pickle")):
            self.jobs[file.stem] = pickle.loads(file.read_bytes())

    def run(self, pubs: list[Any], **options: Any) -> str:
        id = super().run(pubs, **options)
        temporary = self.folder / "arriving"
        temporary.write_bytes(pickle.dumps(self.jobs[id]))
        temporary.replace(self.folder / f"{id}.pickle")
        return id


def service() -> KeptRuntime:
    """What the command opens."""
    return KeptRuntime(Path(os.environ[FOLDER]))


def arrived(folder: Path) -> dict[str, Kept]:
    """The jobs of the service in a folder."""
    return KeptRuntime(folder).jobs
