"""The training image nearest to a generated one, where the training images are at hand."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqgan.app.model import Model
from hqgan.data import Dataset, load_dataset, open_source
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.evaluation.nearest import nearest_pixels
from hqgan.evaluation.run import data_of


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A real image; `distance` is the root mean square over 16 x 16 averages, grey levels of 255.

    `trained_on` is whether the model saw exactly these images.
    """

    image: np.ndarray
    class_name: str
    distance: float
    trained_on: bool


class TrainingImages:
    """The training images of one model; read once, when first asked for.

    Args:
        model: whose.
        run: the run folder or snapshot.
        data: where they are; None asks the run and HQGAN_DATA.
        label: the column used as class.
        cache: where decoded images are kept; None is the user's cache.
        hidden: why they are not shown; empty where they may be.
    """

    def __init__(
        self,
        model: Model,
        run: Path,
        data: str | None = None,
        label: str | None = None,
        cache: Path | None = None,
        hidden: str = "",
    ):
        self.model, self.run, self.data, self.label = model, run, data, label
        self.cache, self.hidden = cache, hidden
        self._lock = threading.Lock()
        self._loaded: Dataset | None = None
        self._problem: HqganError | None = None
        self._closed = threading.Event()

    def load(self) -> Dataset:
        """The images; HqganError says why they are not to be had, each time without trying again.

        Decoding thousands of photographs takes a minute the first time, then they are cached.
        """
        if self.hidden:
            raise UsageError(self.hidden)
        with self._lock:
            if self._problem is not None:
                raise self._problem
            if self._loaded is None:
                try:
                    path, label = (self.data, self.label) if self.data else data_of(self.run)
                    size = self.model.generator.size
                    self._loaded = load_dataset(
                        path,
                        "train",
                        size,
                        label=self.label or label,
                        cache_dir=self.cache,
                        progress=self._unless_closed,
                    )
                except HqganError as error:
                    self._problem = error
                    raise
            return self._loaded

    def require_source(self) -> None:
        """Find data that were named, without decoding them; DataError or UsageError says why not.

        Takes a second for ten thousand images. Data that nobody named may be missing.
        """
        if self.data and not self.hidden:
            open_source(self.data, label=self.label)

    def load_in_background(self, message: Callable[[str], None]) -> None:
        """Begin to read them before somebody asks; what is wrong with named ones is a message."""

        def quietly() -> None:
            try:
                self.load()
            except HqganError as error:  # said on the page to whoever asks
                if self.data and not self.hidden and not self._closed.is_set():
                    message(f"warning: no training images are shown: {error}")

        threading.Thread(target=quietly, name="training images", daemon=True).start()

    def close(self) -> None:
        """Read no further."""
        self._closed.set()

    def _unless_closed(self, done: int, total: int) -> None:
        if self._closed.is_set():
            raise RunError("the page is being closed")

    def nearest(self, image: np.ndarray) -> Neighbour:
        """The nearest training image of uint8 (S, S, 3), turned and mirrored as need be."""
        dataset = self.load()
        found = nearest_pixels(image[None], dataset.images)
        index = int(found.index[0, 0])
        return Neighbour(
            dataset.images[index],
            dataset.classes[dataset.labels[index]],
            float(found.distance[0, 0]),
            dataset.checksum == self.model.about.data_checksum,
        )
