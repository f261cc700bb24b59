"""From an order to images: class, count, seed, truncation and backend; walks; zips.

Pure functions of a model; nothing here knows the page.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqgan.app.limits import MOST_IMAGES, MOST_SHOTS, SEEDS, SHOTS, STEPS, real, whole
from hqgan.app.model import Model
from hqgan.data import to_uint8
from hqgan.errors import UsageError
from hqgan.models import latents, truncated, walk
from hqgan.models.walking import LEAST_TRUNCATION, NO_TRUNCATION
from hqgan.quantum import Circuit
from hqgan.quantum.backends import Backend, open_backend
from hqgan.workflows.hardware.capture import with_values

EXACT = "exact"
KINDS = ("exact", "shots", "noise")  # of backends, that answer at once


@dataclass(frozen=True)
class Order:
    """What a visitor asked for.

    Attributes:
        class_name: None is every class.
        count: images of each class.
        seed: of the latents, and of simulated shots.
        truncation: standard deviations; 4 is none.
        backend: "exact", "shots:N" or "noise:fake_NAME".
    """

    class_name: str | None
    count: int
    seed: int
    truncation: float = NO_TRUNCATION
    backend: str = EXACT


@dataclass(frozen=True, eq=False)
class Made:
    """What came of an order.

    Attributes:
        images: uint8 (n, S, S, 3).
        labels: class of each.
        numbers: the how-manieth of its class each is.
        z: (n, z_dim), truncated.
        values: (C, R, V) that the backend measured; None for exact values, which can be had again.
    """

    order: Order
    images: np.ndarray
    labels: tuple[int, ...]
    numbers: tuple[int, ...]
    z: Tensor
    values: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def y(self) -> Tensor:
        """Classes (n,)."""
        return torch.tensor(self.labels)


def checked(model: Model, order: Order) -> Order:
    """The order with every number as it has to be; UsageError says what is wrong with it."""
    classes = model.about.classes
    if order.class_name is not None and order.class_name not in classes:
        raise UsageError(f"There is no class {order.class_name!r}; choose one of the list.")
    count = whole("The number of images", order.count, (1, MOST_IMAGES))
    each = 1 if order.class_name is not None else len(classes)
    if count * each > MOST_IMAGES:
        raise UsageError(
            f"{count} images of each of {each} classes are {count * each}, but {MOST_IMAGES} are "
            f"made at once; ask for at most {MOST_IMAGES // each} of each."
        )
    backend = known_backend(model, order.backend)
    kind, _, shots = backend.partition(":")
    if kind == "shots" and count * each * int(shots) > MOST_SHOTS:
        raise UsageError(
            f"{count * each} images with {int(shots):,} shots are {count * each * int(shots):,}, "
            f"but {MOST_SHOTS:,} are made at once; ask for fewer of either."
        )
    return Order(
        order.class_name,
        count,
        whole("The seed", order.seed, SEEDS),
        real("Truncation", order.truncation, (LEAST_TRUNCATION, NO_TRUNCATION)),
        backend,
    )


def known_backend(model: Model, spec: str) -> str:
    """A backend that answers at once and that the model can be run on; UsageError otherwise.

    Jobs for real devices, and anything that names code to run, are not to be had here.
    """
    if spec == EXACT:
        return spec
    kind, _, rest = spec.partition(":")
    if kind not in KINDS or not rest:
        raise UsageError("This page runs circuits exactly, with shots or with a device's noise.")
    if model.without_circuits:
        raise UsageError(model.without_circuits)
    if kind == "noise" and model.without_noise:
        raise UsageError(model.without_noise)
    return f"shots:{whole('The number of shots', rest, SHOTS)}" if kind == "shots" else spec


def make(model: Model, order: Order) -> Made:
    """Images of an order; with exact values and no truncation those of `hqgan sample`, bit by bit.

    Raises:
        UsageError: an order out of bounds, or a backend that does not fit.
        MissingExtra: Qiskit is not installed, for noise.
    """
    order = checked(model, order)
    chosen = (
        range(len(model.about.classes))
        if order.class_name is None
        else [model.about.classes.index(order.class_name)]
    )
    labels = [y for y in chosen for _ in range(order.count)]
    ((z, y),) = latents(model.generator, labels, order.seed, batch=MOST_IMAGES)
    z = truncated(model.generator, z, order.truncation)
    seen: list[Tensor] = []
    with running(model, order, seen), torch.inference_mode():
        images = to_uint8(model.generator(z, y).float())
    numbers = tuple(i for _ in chosen for i in range(order.count))
    values = torch.cat(seen, 1).clone() if seen else None
    return Made(order, images, tuple(labels), numbers, z, values)


@contextmanager
def running(model: Model, order: Order, seen: list[Tensor] | None = None) -> Iterator[None]:
    """Inside, the model is this thread's alone and its circuits run on the order's backend.

    Values (C, R, V) that are not exact are appended to `seen`. The same order draws the same shots.
    """
    with model.lock:
        if order.backend == EXACT:
            yield
            return
        backend = open_backend(order.backend, seed=order.seed)
        assert isinstance(backend, Backend)  # all that `known_backend` lets through

        def run(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
            values = backend(circuit, inputs, weights)
            if seen is not None:
                seen.append(values)
            return values

        with with_values(model.generator, run):
            yield


def way(
    model: Model,
    class_name: str | None,
    seeds: tuple[int, int],
    steps: int,
    truncation: float = NO_TRUNCATION,
    backend: str = EXACT,
) -> np.ndarray:
    """Images uint8 (steps, S, S, 3) on the way from one seed's first image to another's.

    Raises:
        UsageError: a number out of bounds, or no class.
    """
    if class_name is None:
        raise UsageError("A walk stays within one class; choose one above.")
    steps = whole("The number of steps", steps, STEPS)
    ends = (whole("The first seed", seeds[0], SEEDS), whole("The second seed", seeds[1], SEEDS))
    order = checked(model, Order(class_name, steps, ends[0], truncation, backend))
    y = model.about.classes.index(class_name)
    z = truncated(model.generator, walk(model.generator, y, ends, steps), order.truncation)
    with running(model, order), torch.inference_mode():
        return to_uint8(model.generator(z, torch.full((steps,), y)).float())
