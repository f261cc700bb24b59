"""A snapshot is what is shared: generator weights, config.json and a model card, the Hub's format.

Training writes it, sampling and evaluation read it; nothing in it can run code when loaded.
"""

import re
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor

from hqgan.errors import HqganError, RunError, UsageError, raise_if_of_the_machine
from hqgan.models.about import ABOUT, About, damaged, read_about
from hqgan.models.card import read_card
from hqgan.models.declared import require_arguments, require_weights
from hqgan.models.generator import Generator
from hqgan.models.registry import GENERATORS
from hqgan.reading import SMALL, read_json

MOST_SEED = 2**40  # times a million it is still a whole number of 64 bits
MOST_NAMED = 8  # runs in a folder that is none itself
NO_NUMBERS = "its weights were edited, or its training went astray: take another snapshot"

Built = TypeVar("Built", bound=Generator)


def save_snapshot(generator: Generator, folder: Path, about: About) -> None:
    """Write weights, constructor arguments, origin and model card into a new folder.

    Written under a temporary name and renamed, so that a folder of this name is always whole.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    temporary.mkdir(parents=True, exist_ok=True)
    generator.about, generator.card = about, None
    generator.save_pretrained(temporary)
    temporary.rename(folder)


def load_snapshot(path: Path) -> tuple[Generator, About]:
    """The generator in eval mode, and its origin, from a snapshot or the newest one of a run.

    Raises:
        RunError: where there is no snapshot, or it is damaged.
    """
    folder = find_snapshot(path)
    about = read_about(folder)
    generator = load_weights(folder, GENERATORS.get(about.generator))
    if generator.classes != len(about.classes):
        names = f"{ABOUT} names {len(about.classes)} classes of {generator.classes}"
        raise damaged(folder, ValueError(names))
    generator.about = about
    return generator, about


def load_weights(folder: Path, kind: type[Built] | None) -> Built:
    """A generator in eval mode from config.json and model.safetensors, which suffice for that.

    Raises:
        RunError: they are damaged or of another generator, or there is no such `kind`.
    """
    try:
        if kind is None:
            raise ValueError(f"{ABOUT} names a generator that this version does not know")
        file = folder / "model.safetensors"
        arguments = require_arguments(kind, read_json(folder / "config.json", SMALL))
        require_weights(kind, arguments, file)
        generator = kind(**arguments)
        load_model(generator, file)
        broken = [name for name, w in generator.state_dict().items() if not w.isfinite().all()]
        if broken:
            raise ValueError(f"{broken[0]} is NaN or infinite")
        generator.card = read_card(folder)
    except HqganError as error:  # of a constructor: a size that it does not offer
        raise damaged(folder, error) from error
    except (
        *(OSError, ValueError, TypeError, KeyError, RuntimeError),
        *(ZeroDivisionError, AssertionError, SafetensorError),  # of torch's layers, of none
    ) as error:
        raise_if_of_the_machine(error, folder)
        raise damaged(folder, error) from error
    return generator.eval()


def find_snapshot(path: Path) -> Path:
    """`path` itself if it is a snapshot, else the snapshot in it that has seen most images."""
    if (path / ABOUT).is_file():
        return path
    found = snapshots(path)
    if not found:
        seen = "is no folder" if path.exists() else "does not exist"
        seen = "holds no snapshot" if path.is_dir() else seen
        message = f"{path} {seen}; expected a run folder or a snapshot made by `hqgan train`"
        runs = sorted({file.parents[1].name for file in path.glob(f"*/*/{ABOUT}")})
        if runs:
            more = f" and {len(runs) - MOST_NAMED} more" * (len(runs) > MOST_NAMED)
            message += f"; runs in it: {', '.join(runs[:MOST_NAMED])}{more}"
        raise RunError(message)
    return found[-1]


def snapshot_in(run: Path, name: Any) -> Path:
    """The snapshot of a run that a file of it names; RunError for a name that leads elsewhere."""
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise RunError(f"{run} names the snapshot {name!r:.60}, which is none in it")
    return run / name


def snapshots(run: Path) -> list[Path]:
    """The snapshots of a run folder, by the images they have seen."""
    named = re.compile(r"snapshot-(\d+(?:\.\d+)?)")
    found = ((named.fullmatch(file.parent.name), file.parent) for file in run.glob(f"*/{ABOUT}"))
    return [folder for _, folder in sorted((float(m[1]), folder) for m, folder in found if m)]


def generate(
    generator: Generator, labels: Sequence[int], seed: int, batch: int = 64
) -> Iterator[Tensor]:
    """Yield images (b, 3, S, S) in [-1, 1] of the classes `labels`, in order, on G's device.

    The i-th image of a class depends on seed, class and i alone, not on what else is asked for.

    Raises:
        UsageError: `seed` is none.
        RunError: an image is NaN somewhere.
    """
    device = next(generator.parameters()).device
    with torch.inference_mode():
        for z, y in latents(generator, labels, seed, batch):
            try:
                images = generator(z.to(device), y.to(device)).float()
            except ValueError as error:  # the circuits' own word for angles that are NaN
                raise RunError(f"{error}; {NO_NUMBERS}") from error
            if not images.isfinite().all():
                raise RunError(f"the generator makes images with NaN in them; {NO_NUMBERS}")
            yield images


def require_seed(seed: Any) -> None:
    """UsageError for one that no generator of random numbers takes."""
    if not (isinstance(seed, Integral) and 0 <= int(seed) < MOST_SEED):
        raise UsageError(f"seed is {seed!r}, but must be a whole number from 0 to {MOST_SEED - 1}")


def latents(
    generator: Generator, labels: Sequence[int], seed: int, batch: int = 64
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `generate` feeds to the generator: z (b, z_dim) and y (b,), on the CPU."""
    require_seed(seed)
    streams = {y: torch.Generator().manual_seed(seed * 1_000_003 + y) for y in set(labels)}
    for start in range(0, len(labels), batch):
        chunk = labels[start : start + batch]
        z = torch.cat([generator.sample_z(1, streams[y]) for y in chunk])
        yield z, torch.tensor(chunk)
