"""The commands that ask whether synthetic images help: `hqgan augment` and `hqgan study`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hqgan import completion
from hqgan.cli_compare import kept_in
from hqgan.cli_data import (
    Assignments,
    DataPath,
    Device,
    ExecutorName,
    Init,
    Json,
    Label,
    Pretrained,
    Seed,
    Size,
    Workers,
    name_built_in,
)
from hqgan.console import command, counter, emit, going_to, propose, say, training_progress
from hqgan.errors import UsageError


def augment(
    data: DataPath = None,
    out: Annotated[Path, typer.Option(help="an absent or empty folder")] = Path("data/augmented"),
    run: Annotated[
        Path | None, typer.Option(help="a trained run or snapshot, instead of training one")
    ] = None,
    pretrained: Pretrained = None,
    per_class: Annotated[
        int | None, typer.Option(help="fill every class up to so many images")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="fill every class up to the largest (max, default) or median one",
            autocompletion=completion.among("max", "median"),
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="of the generator, default hybridq", autocompletion=completion.presets),
    ] = None,
    assignments: Assignments = None,
    size: Size = None,
    kimg: Annotated[
        float | None, typer.Option(help="thousands of real images the generator is trained on")
    ] = None,
    init: Init = None,
    no_copy_filter: Annotated[
        bool, typer.Option("--no-copy-filter", help="keep near-copies of training images")
    ] = False,
    no_class_filter: Annotated[
        bool, typer.Option("--no-class-filter", help="keep images not recognised as their class")
    ] = False,
    judge_steps: Annotated[
        int | None, typer.Option(help="training steps of the classifier that recognises them")
    ] = None,
    device: Device = None,
    label: Label = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a balanced training set of real and synthetic images. The same command continues."""
    from hqgan.config import load_config
    from hqgan.models import Origin
    from hqgan.pretrained import chosen
    from hqgan.workflows.augment import augment as run_augmentation

    training = {"--preset": preset, "--set": assignments, "--size": size, "--kimg": kimg}
    named = [
        name
        for name, value in (training | {"--init": init}).items()
        if value is not None and value != []
    ]
    given = chosen(run, pretrained) if run or pretrained else None
    if given and named:
        raise UsageError(
            f"--{'run' if run else 'pretrained'} takes a generator as it is, and {named[0]} would "
            "train one; leave one out"
        )
    overrides = {
        "data.path": data,
        "data.label": label,
        "size": size,
        "kimg": kimg,
        "seed": seed,
        "device": device,
        "init.run": init,
    }
    source = given or load_config(preset, None, overrides, assignments or ())
    if not isinstance(source, Path):
        name_built_in(source.data.path, data)
    going_to(out)
    with kept_in(out), training_progress() as callbacks:
        result = run_augmentation(
            source,
            out,
            data=data,
            label=label,
            per_class=per_class,
            balance=balance,
            seed=seed,
            copy_filter=not no_copy_filter,
            class_filter=not no_class_filter,
            judge_steps=judge_steps,
            device=device or "auto",
            callbacks=callbacks,
        )
    for line in result.lines():
        say(line)
    say(f"{result.files:,} images in {result.out}, train split only; overview in {result.grid}")
    if result.origin:
        origin = Origin(**result.origin)
        credit = f"{origin.name}: {origin.credit()}"
        say(f"{credit}, not for diagnosis; terms in {Path(result.out) / 'README.md'}")
    propose(
        command("data", "inspect", result.out),
        f"{command('study', '--example')} > study.yaml   # does such a set help a classifier?",
    )
    if as_json:
        emit(asdict(result))


def study(
    protocol: Annotated[
        Path | None, typer.Argument(help="YAML that says what is compared (see --example)")
    ] = None,
    data: DataPath = None,
    out: Annotated[
        Path | None, typer.Option(help="the study's folder (default: runs/NAME-OF-THE-FILE)")
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="open the test split, once, at the end; recorded")
    ] = False,
    executor: ExecutorName = "local",
    workers: Workers = None,
    inception_weights: Annotated[
        str | None, typer.Option(help="Inception weights file (default: HQGAN_INCEPTION)")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="print a protocol to start from, and stop")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the cells and their hours, and stop")
    ] = False,
    as_json: Json = False,
) -> None:
    """Test whether synthetic images help a classifier. The same command continues."""
    from hqgan.protocol import read_protocol
    from hqgan.workflows.executor import Executor
    from hqgan.workflows.study import EXAMPLE, plan
    from hqgan.workflows.study import study as run_study

    if example:
        print(EXAMPLE.read_text(encoding="utf-8"), end="")
        return
    if protocol is None:
        raise UsageError("name a protocol; `hqgan study --example > study.yaml` writes one")
    how = Executor(executor, workers)
    place = out or Path("runs") / protocol.stem
    if not dry_run:
        going_to(place)
    with kept_in(place), counter("decoding") as progress:
        chosen = plan(
            read_protocol(protocol, data),
            place,
            weights=inception_weights,
            executor=how,
            progress=progress,
        )
    for line in chosen.lines():
        say(line)
    if dry_run:
        from hqgan.workflows.study.estimate import estimates

        cells = []
        for one in estimates(chosen):
            cells.append(asdict(one))
            say(f"{one.cell:64} {one.state:5} {one.hours:8.3f} h")
        hours = sum(one["hours"] for one in cells)
        say(f"{len(cells)} cells, about {hours:.2g} hours here, one after the other")
        if as_json:
            emit({"cells": cells, "hours": hours})
        return
    from hqgan.report import study_page

    with kept_in(place), training_progress() as callbacks:
        result = run_study(chosen, final=final, executor=how, callbacks=callbacks)
        pages = study_page(result, place)
    for line in result.lines():
        say(line)
    for page in pages:
        say(f"written: {page}")
    if as_json:
        emit(result.as_json())
