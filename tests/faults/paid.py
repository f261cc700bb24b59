"""The order of a paid job at a service whose jobs outlive whoever sent them."""

from pathlib import Path
from typing import Any

from faults.commands import Place
from faults.kept_runtime import FOLDER

SERVICE = "python:faults.kept_runtime:service"
IMPATIENT = (
    "import hqgan.workflows.hardware.jobs as jobs\n"
    "jobs.GRACE = jobs.PATIENCE = jobs.FIRST_PAUSE = jobs.LONGEST_PAUSE = 0.02"
)


def hardware_order(place: Place, service: Path, out: Path) -> tuple[list[str], dict[str, Any]]:
    """Arguments of `hqgan hardware sample`, and what `Server.run` needs for them."""
    more = {"environment": {FOLDER: str(service)}, "before": [IMPATIENT]}
    numbers = ["--n=2", "--shots=100", "--noise-model=noise:fake_manila", "--yes"]
    where = [f"--backend={SERVICE}", f"--out={out}"]
    return ["hardware", "sample", str(place.run), *where, *numbers], more
