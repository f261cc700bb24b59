"""Fine-tuning: a new run that starts from the generator and critic of another one, on other classes if need be."""

from pathlib import Path

import torch
from torch import Tensor, nn

from hqgan.config import Init
from hqgan.errors import RunError, UsageError
from hqgan.models import load_snapshot
from hqgan.training.runs import load_state
from hqgan.training.trainer import Trainer


def start_from(run: Path, trainer: Trainer, init: Init) -> str:
    """Load weights of `run` into `trainer`; returns a sentence on what was taken.

    The generator starts from the newest snapshot (the average), the critic from the run's state where there is one.
    Tables with one row a class are filled class by class: from the class named in `label_map`, else from the class of the
    same name, else from the mean over the old classes. With `freeze_critic` the first convolutions of the critic stay.

    Raises:
        RunError: the run has no snapshot, or its model is another one.
        UsageError: `label_map` names a class that does not exist.
    """
    source, about = load_snapshot(run)
    if about.generator != trainer.config.generator.name or source.size != trainer.generator.size:
        raise RunError(
            f"{run} holds a {about.generator} of {source.size} px, but this run trains a "
            f"{trainer.config.generator.name} of {trainer.generator.size} px; use the same preset and --size"
        )
    new_classes = trainer.dataset.classes
    origin = class_origins(new_classes, about.classes, init)
    _load(trainer.generator, source.state_dict(), origin, len(about.classes), run)
    trainer.average.load_state_dict(trainer.generator.state_dict())
    state = load_state(run)
    critic = "a new critic"
    if state is not None:
        _load(trainer.critic, state["trainer"]["critic"], origin, len(about.classes), run)
        critic = "its critic"
    if init.freeze_critic:
        convolutions = [m for m in trainer.critic.modules() if isinstance(m, nn.Conv2d)]
        if init.freeze_critic > len(convolutions):
            raise UsageError(
                f"init.freeze_critic is {init.freeze_critic}, but the critic has {len(convolutions)} convolutions"
            )
        for module in convolutions[: init.freeze_critic]:
            module.requires_grad_(False)
        trainer.build_optimisers()
    known = sum(o is not None for o in origin)
    return f"starting from {run} ({about.images_seen:,} images) with {critic}; {known} of {len(new_classes)} classes are known there"


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


def _load(
    module: nn.Module,
    weights: dict[str, Tensor],
    origin: list[int | None],
    old_classes: int,
    run: Path,
) -> None:
    target = module.state_dict()
    if target.keys() != weights.keys():
        raise RunError(
            f"the {type(module).__name__} of {run} has other layers than this run's; use the same preset and options"
        )
    tables = {f"{name}.weight" for name, m in module.named_modules() if isinstance(m, nn.Embedding)}
    for key, old in weights.items():
        if key in tables and len(old) == old_classes and len(target[key]) == len(origin):
            rows = [old.mean(0) if o is None else old[o] for o in origin]
            target[key] = torch.stack(rows)
        elif old.shape == target[key].shape:
            target[key] = old
        else:
            raise RunError(
                f"{key} is {tuple(old.shape)} in {run} but {tuple(target[key].shape)} here; use the same preset and options"
            )
    module.load_state_dict(target)
