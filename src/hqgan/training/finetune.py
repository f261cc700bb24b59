"""Fine-tuning: a run that starts from the models of another one, on other classes if need be."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hqgan.errors import RunError, UsageError
from hqgan.models import load_snapshot
from hqgan.pretrained import CRITIC
from hqgan.schema import Init
from hqgan.training.runs import STATE, explained, load_state
from hqgan.training.trainer import Trainer, build_models


def start_from(run: Path, trainer: Trainer, init: Init) -> str:
    """Load weights of `run` into `trainer`; returns a sentence on what was taken.

    The generator starts from the newest snapshot (the average), the critic from the run's state or
    from the package, where there is one. Tables with one row a class are filled class by class:
    from the class named in `label_map`, else from the class of the same name, else from the mean
    over the old classes.

    Raises:
        RunError: the run has no snapshot, or its model is another one.
        UsageError: `label_map` names a class that does not exist.
    """
    source, about = load_snapshot(run)
    config = trainer.config
    if about.generator != config.generator.name or source.size != config.size:
        raise RunError(
            f"{run} holds a {about.generator} of {source.size} px, but this run trains a "
            f"{config.generator.name} of {config.size} px; use the same preset and --size"
        )
    origin = class_origins(trainer.dataset.classes, about.classes, init)
    # What grows with the number of classes is a table; on the meta device a model costs nothing.
    with torch.device("meta"):
        wider_generator, wider_critic = build_models(config, len(origin) + 1)
    load(trainer.generator, source.state_dict(), wider_generator, origin, run)
    trainer.average.load_state_dict(trainer.generator.state_dict())
    known = sum(o is not None for o in origin)
    took = f"starting from {init.run} ({about.images_seen:,} images)"
    classes = f"{known} of {len(origin)} classes are known there"
    if trainer.critic is None or wider_critic is None:
        return f"{took}; {classes}"
    weights = critic_weights(run)
    if weights is None:
        return f"{took} with a new critic; {classes}"
    load(trainer.critic, weights, wider_critic, origin, run)
    return f"{took} with its critic; {classes}"


def critic_weights(run: Path) -> dict[str, Tensor] | None:
    """The critic in a run's state, or beside a packaged generator; None where there is neither."""
    state = load_state(run)
    if state is not None:
        with explained(run / STATE):
            return state["trainer"]["critic"]
    file = run / CRITIC
    if not file.is_file():
        return None
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{file} cannot be loaded ({error}); install hqgan again") from error
    broken = [name for name, w in stored.items() if not w.isfinite().all()]
    if broken:
        raise RunError(f"{file} is damaged: {broken[0]} is NaN or infinite; install hqgan again")
    # Kept in half precision; means over classes are taken in float32.
    return {name: w.float() if w.is_floating_point() else w for name, w in stored.items()}


def class_origins(new: tuple[str, ...], old: tuple[str, ...], init: Init) -> list[int | None]:
    """For each new class the old one it starts from, or None for the mean of all."""
    for mine, theirs in init.label_map.items():
        if mine not in new:
            raise UsageError(
                f"init.label_map maps {mine!r}, but the data has the classes {', '.join(new)}"
            )
        if theirs not in old:
            raise UsageError(
                f"init.label_map maps {mine!r} to {theirs!r}, but the run knows {', '.join(old)}"
            )
    names = [init.label_map.get(name, name) for name in new]
    return [old.index(name) if name in old else None for name in names]


def load(
    module: nn.Module,
    weights: dict[str, Tensor],
    wider: nn.Module,
    origin: list[int | None],
    run: Path,
) -> None:
    """Load `weights`, tables by `origin`; `wider` is `module` made for one class more."""
    target, more = module.state_dict(), wider.state_dict()
    if target.keys() != weights.keys():
        raise RunError(
            f"the {type(module).__name__} of {run} has other layers than this run's; "
            "use the same preset and options"
        )
    for key, old in weights.items():
        new = target[key]
        table = more[key].shape != new.shape
        if old.shape[table:] != new.shape[table:]:
            raise RunError(
                f"{key} is {tuple(old.shape)} in {run} but {tuple(new.shape)} here; "
                "use the same preset and options"
            )
        if table:
            old = torch.stack([old.mean(0) if o is None else old[o] for o in origin])
        target[key] = old
    module.load_state_dict(target)
