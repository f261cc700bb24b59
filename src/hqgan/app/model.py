"""A generator that the page shows, and which of its parts it has."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hqgan.app.limits import MOST_IMAGES
from hqgan.errors import HqganError
from hqgan.evaluation.probes.streams import quantum_block
from hqgan.models import About, Generator, find_snapshot, latents, load_snapshot
from hqgan.models.walking import has_normal_latents
from hqgan.workflows.hardware.capture import circuit_call, quantum_layer, require_simulable
from hqgan.workflows.sample import spare_compilation


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded snapshot; one thread at a time may use it, for hooks and runs are put into it.

    Attributes:
        name: what people call it.
        snapshot: the folder it was loaded from.
        without_circuits: why no circuit can be drawn, and no backend chosen; empty where they can.
        without_stream: why the quantum stream cannot be switched off; empty where it can.
        without_noise: why no noise can be simulated.
    """

    name: str
    generator: Generator
    about: About
    snapshot: Path
    without_circuits: str
    without_stream: str
    without_noise: str
    lock: threading.RLock

    @property
    def can_truncate(self) -> bool:
        """Whether truncation means anything to its latents."""
        return has_normal_latents(self.generator)

    @property
    def source(self) -> str:
        """Whom to cite for the training data, as far as that is known."""
        origin = self.about.origin
        return origin.source.replace("*", "") if origin else ""  # kept in Markdown

    def credit(self) -> str:
        """Whose licence its pictures carry, as far as that is known."""
        origin = self.about.origin
        if origin is None:
            return "The licence of the images it was trained on extends to them."
        return f"Learned from {origin.data} ({origin.licence}), whose licence extends to them."


def open_model(path: Path, name: str) -> Model:
    """Load the newest snapshot of a run; RunError where there is none."""
    generator, about = load_snapshot(path)
    spare_compilation(generator, MOST_IMAGES)
    z, y = next(latents(generator, [0], seed=0))
    without_circuits = _reason(lambda: circuit_call(generator, z, y))
    return Model(
        name=name,
        generator=generator,
        about=about,
        snapshot=find_snapshot(path),
        without_circuits=without_circuits,
        without_stream=_reason(lambda: quantum_block(generator)),
        without_noise=without_circuits
        or _reason(lambda: require_simulable(quantum_layer(generator))),
        lock=threading.RLock(),
    )


def _reason(attempt: Callable[[], object]) -> str:
    """What hqgan says against it, or nothing; its advice is for the command line."""
    try:
        attempt()
    except HqganError as error:
        return str(error).partition(";")[0] + "."
    return ""
