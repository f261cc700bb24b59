"""Makes of a run a generator that comes with the package: src/hqgan/pretrained/NAME.

Usage, in a checkout: python -m hqgan.workflows.packaging RUN --name ham10000-64 --critic \\
                          --data-name HAM10000 --data-licence "CC BY-NC 4.0"

Weights are stored in half precision, and how far that moves an image is measured. RUN must have
been measured by `hqgan evaluate RUN`; what `hqgan evaluate RUN --privacy` said is quoted if it was
asked. The training data must be there: their fingerprints are kept, by which `hqgan augment` knows
them among held-out images.
"""

import argparse
import copy
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hqgan.config import differences, load_config, read_config
from hqgan.data import load_dataset, to_uint8
from hqgan.data.leaks import fingerprints
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.models import (
    Generator,
    Origin,
    find_snapshot,
    generate,
    load_snapshot,
    parameter_count,
    save_snapshot,
)
from hqgan.pretrained import CRITIC, FOLDER, LARGEST, METRICS, SEEN
from hqgan.training.runs import CONFIG, STATE, load_state
from hqgan.workflows.model_card import copies, measurements
from hqgan.workflows.packaged_card import Packaged, packaged_card

COMPARED = 16  # images of each class, stored in half precision and not
MOST_GREY_LEVELS = 2  # that half precision may move a pixel

SOURCES = {
    "HAM10000": "P. Tschandl, C. Rosendahl and H. Kittler, The HAM10000 dataset, a large "
    "collection of multi-source dermatoscopic images of common pigmented skin lesions, Scientific "
    "Data 5, 180161 (2018), doi:10.1038/sdata.2018.161.",
}


def package(
    run: Path,
    name: str,
    *,
    data_name: str,
    data_licence: str,
    snapshot: Path | None = None,
    critic: bool = False,
    out: Path = FOLDER,
) -> Path:
    """Write OUT/NAME and return it.

    Args:
        run: a run folder.
        name: what users will say.
        data_name: of the training data.
        data_licence: theirs, which extends to the weights.
        snapshot: of the run; None takes the newest.
        critic: keep the run's critic too, as it was at the end of the run.
        out: where packaged generators lie.

    Raises:
        UsageError: a name that is taken, or a snapshot of another run.
        RunError: no run, not measured, fine-tuned, or too large.
        DataError: the training data are gone or others.
    """
    folder = out / name
    if not name or name != Path(name).name or folder.exists():
        raise UsageError(f"{folder} is there already or no folder's name; choose another --name")
    chosen = find_snapshot(snapshot or run)
    if chosen.resolve().parent != run.resolve():
        raise UsageError(f"{chosen} is no snapshot of the run {run}")
    generator, about = load_snapshot(chosen)
    config = read_config(run / CONFIG)
    if config.init is not None:
        raise RunError(
            f"{run} was fine-tuned from {config.init.run}, whose training images cannot be told "
            "from this run; package a generator that was trained from scratch"
        )
    seen = load_dataset(config.data.path, "train", generator.size, label=config.data.label)
    if seen.checksum != about.data_checksum:
        raise RunError(f"{config.data.path} holds other images than {run} was trained on")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / name
        origin = Origin(name, data_name, data_licence, SOURCES.get(data_name, ""))
        save_snapshot(copy.deepcopy(generator).half(), made, replace(about, origin=origin))
        if critic:
            save_file(half_critic(run), made / CRITIC)
        (made / SEEN).write_bytes(b"".join(sorted(set(fingerprints(seen.images)))))
        metrics = {
            "name": name,
            "training_data": {"name": data_name, "licence": data_licence},
            "preset": about.preset,
            "images_seen": about.images_seen,
            "generator_parameters": parameter_count(generator),
            "grey_levels_moved_by_half_precision": moved(generator, load_snapshot(made)[0]),
            "recipes": measured(run, chosen),
            "privacy": copies(run, chosen),
        }
        (made / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        changed = differences(
            load_config(about.preset, overrides={"precision": config.precision}), config
        )
        told = Packaged(origin, about, config, changed, COMPARED, metrics, critic)
        (made / "README.md").write_text(packaged_card(told), encoding="utf-8")
        size = sum(file.stat().st_size for file in made.iterdir())
        if size > LARGEST:
            raise RunError(
                f"{name} is {size / 1e6:.2f} MB, but at most {LARGEST / 1e6:g} MB go into the "
                "package; leave out --critic, or take a smaller generator"
            )
        for file in made.iterdir():
            file.chmod(0o644)
        shutil.copytree(made, folder)
    return folder


def half_critic(run: Path) -> dict[str, torch.Tensor]:
    """The critic in the run's state, in half precision; RunError where that does not hold it."""
    state = load_state(run)
    if state is None or "critic" not in state["trainer"]:
        raise RunError(f"{run} has no {STATE} with a critic; leave out --critic")
    weights: dict[str, torch.Tensor] = state["trainer"]["critic"]
    halves = {
        name: (w.half() if w.is_floating_point() else w).contiguous() for name, w in weights.items()
    }
    beyond = [name for name, w in halves.items() if not w.isfinite().all()]
    if beyond:
        raise RunError(
            f"the critic's {beyond[0]} holds values that half precision does not (more than "
            f"{torch.finfo(torch.half).max:g}, or none); leave out --critic"
        )
    return halves


def moved(exact: Generator, stored: Generator) -> int:
    """Grey levels of 255 that storing it in half precision moves a pixel by, at most."""
    labels = [y for y in range(exact.classes) for _ in range(COMPARED)]
    one, other = (
        np.concatenate([to_uint8(batch) for batch in generate(model, labels, seed=0)]).astype(int)
        for model in (exact, stored)
    )
    most = int(np.abs(one - other).max())
    if most > MOST_GREY_LEVELS:
        raise RunError(
            f"half precision moves pixels by up to {most} grey levels, more than "
            f"{MOST_GREY_LEVELS}: the measured images would not be those that users get"
        )
    return most


def measured(run: Path, snapshot: Path) -> list[dict[str, Any]]:
    """`measurements`; RunError where there are none."""
    found = measurements(run, snapshot)
    if not found:
        raise RunError(f"{snapshot} was not measured; run `hqgan evaluate {run}` first")
    return found


def main() -> int:
    """Read the command line, write the folder, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--name", required=True, help="what users will say, e.g. ham10000-64")
    parser.add_argument("--data-name", required=True, help="of the training data, e.g. HAM10000")
    parser.add_argument("--data-licence", required=True, help='e.g. "CC BY-NC 4.0"')
    parser.add_argument("--snapshot", type=Path, help="of the run (default: the newest)")
    parser.add_argument("--critic", action="store_true", help="keep the critic, for fine-tuning")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    try:
        folder = package(**vars(parser.parse_args()))
    except HqganError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:10,}  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
