"""The commands that compare models: `hqgan compare`, `reproduce` and `probe`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hqgan import completion
from hqgan.cli_data import (
    DataPath,
    Device,
    ExecutorName,
    Json,
    Label,
    Seed,
    Workers,
    name_built_in,
)
from hqgan.console import (
    NOTHING_WRITTEN,
    emit,
    going_to,
    interruptible,
    say,
    stages,
    training_progress,
)

if TYPE_CHECKING:
    from hqgan.evaluation import Extractor
    from hqgan.workflows.compare import Plan

Weights = Annotated[
    str | None,
    typer.Option(
        help="Inception weights file, or 'download' to fetch FID's once "
        "(default: HQGAN_INCEPTION; without it, fd_tiny)"
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="print the cells and their hours, and stop")
]
Split = Annotated[
    str | None,
    typer.Option(
        help="val, or test, which --final implies (default: val)",
        autocompletion=completion.among("val", "test"),
    ),
]
Final = Annotated[
    bool,
    typer.Option("--final", help="open the test split, after all is measured on val; recorded"),
]


def compare(
    models: Annotated[
        str,
        typer.Option(
            help="presets or run folders, by commas; 'all' for every preset",
            autocompletion=completion.models,
        ),
    ],
    data: DataPath = None,
    out: Annotated[Path, typer.Option(help="where results go")] = Path("runs/compare"),
    kimg: Annotated[
        float | None, typer.Option(help="thousands of real images that each model sees")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="instead: seconds that each model may train")
    ] = None,
    seeds: Annotated[int, typer.Option(help="runs of each preset")] = 1,
    size: Annotated[
        int,
        typer.Option(
            help="edge of the images: 32, 64 or 128",
            autocompletion=completion.among("32", "64", "128"),
        ),
    ] = 64,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[MODEL:]KEY=VALUE",
            help="e.g. ddpm:generator.width=32",
            autocompletion=completion.settings,
        ),
    ] = None,
    split: Split = None,
    final: Final = False,
    n: Annotated[
        int | None, typer.Option("--n", help="generated images (default: as many as the split has)")
    ] = None,
    curve_n: Annotated[
        int | None, typer.Option(help="generated images at each point of a curve (default: 500)")
    ] = None,
    executor: ExecutorName = "local",
    workers: Workers = None,
    inception_weights: Weights = None,
    device: Device = None,
    label: Label = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train models alike, measure them alike: one table. The same command continues."""
    import os

    from hqgan.config import preset_names
    from hqgan.workflows.compare import compare as run_comparison
    from hqgan.workflows.compare import plan
    from hqgan.workflows.executor import Executor

    path = data or os.environ.get("HQGAN_DATA") or "embedded"
    place = Executor(executor, workers)
    names = preset_names() if models == "all" else [m.strip() for m in models.split(",") if m]
    name_built_in(path, data)
    if not dry_run:
        going_to(out)
    with kept_in(out), stages() as progress:
        chosen_extractor(inception_weights, progress)  # which may have to be fetched first
        chosen = plan(
            out,
            names,
            data=path,
            kimg=kimg,
            budget=budget,
            seeds=seeds,
            size=size,
            label=label,
            split=split,
            final=final,
            n=n,
            curve_n=curve_n,
            weights=None if inception_weights == "download" else inception_weights,
            device=device,
            assignments=assignments or (),
            progress=partial(progress, "decoding"),
        )
    if dry_run:
        show_estimates(chosen, as_json)
        return
    from hqgan.report import comparison_page

    with kept_in(out), training_progress() as callbacks:
        table = run_comparison(chosen, place, callbacks)
        pages = comparison_page(table, chosen, out)
    for line in table.lines():
        say(line)
    for page in pages:
        say(f"written: {page}")
    if as_json:
        emit(asdict(table))


def reproduce(
    table: Annotated[
        str | None,
        typer.Argument(
            help="name of a table; without one, those there are", autocompletion=completion.tables
        ),
    ] = None,
    data: DataPath = None,
    label: Label = None,
    out: Annotated[
        Path | None, typer.Option(help="the table's folder (default: runs/NAME-OF-THE-TABLE)")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(help="compute this model alone; those done before stay in the table"),
    ] = None,
    final: Final = False,
    executor: ExecutorName = "local",
    workers: Workers = None,
    inception_weights: Weights = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a table of README, or rows of it. The same command continues."""
    from hqgan.tables import read_table, table_names
    from hqgan.workflows.executor import Executor
    from hqgan.workflows.reproduce import commands, plan
    from hqgan.workflows.reproduce import reproduce as run_table

    if table is None:
        known = [read_table(name) for name in table_names()]
        for one in known:
            say(
                f"{one.name:20} {one.title}; rows: {len(one.rows)}, kimg: {one.kimg:g}, "
                f"seeds: {one.seeds}"
            )
        if as_json:
            emit({"tables": [one.model_dump() for one in known]})
        return
    named = read_table(table)
    place = Executor(executor, workers)
    folder = out or Path("runs") / table
    if not dry_run:
        going_to(folder)
    with kept_in(folder), stages() as progress:
        chosen_extractor(inception_weights, progress)  # which may have to be fetched first
        chosen = plan(
            named,
            folder,
            data=data,
            label=label,
            rows=row or (),
            final=final,
            weights=None if inception_weights == "download" else inception_weights,
            device=device,
            progress=partial(progress, "decoding"),
        )
    there = {cell.model for cell in chosen.cells}
    for each in named.rows:
        for line in commands(named, each, final, label) if each.model in there else ():
            say(line)
    if dry_run:
        show_estimates(chosen, as_json)
        return
    from hqgan.report import comparison_page
    from hqgan.report.statements import table_remarks

    with kept_in(folder), training_progress() as callbacks:
        result = run_table(chosen, named, place, callbacks)
        pages = comparison_page(result, chosen, folder)
    for line in result.lines():
        say(line)
    for said in table_remarks(result.settings["table"]):
        say(said)
    for page in pages:
        say(f"written: {page}")
    if as_json:
        emit(asdict(result))


def show_estimates(chosen: "Plan", as_json: bool) -> None:
    """What a dry run prints: the cells of a comparison and their hours."""
    from hqgan.workflows.estimate import estimates

    cells = []
    for one in estimates(chosen):
        cells.append(asdict(one))
        say(
            f"{one.cell:28} {one.state:6} {one.training_hours:8.3f} h training "
            f"{one.measuring_hours:8.3f} h measuring"
        )
    hours = sum(c["training_hours"] + c["measuring_hours"] for c in cells)
    say(f"{len(cells)} cells, about {hours:.2g} hours here, one after the other")
    if as_json:
        emit({"cells": cells, "hours": hours})


def probe(
    run: Annotated[Path, typer.Argument(help="run folder or snapshot")],
    against: Annotated[
        list[Path] | None, typer.Option(help="another run, such as a twin; may be repeated")
    ] = None,
    data: DataPath = None,
    n: Annotated[int, typer.Option("--n", help="generated images behind each number")] = 500,
    out: Annotated[Path | None, typer.Option(help="where results go (default: RUN/probe)")] = None,
    inception_weights: Weights = None,
    label: Label = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask whether the quantum part matters. Writes OUT/probe.html with figure and numbers."""
    from hqgan.evaluation.run import data_of
    from hqgan.report import probe_page
    from hqgan.workflows import probe as run_probe

    folder = out or run / "probe"
    going_to(folder)
    with interruptible(NOTHING_WRITTEN), stages() as progress:
        extractor = chosen_extractor(inception_weights, progress)
        path, column = (data, None) if data else data_of(run)
        found = run_probe(
            run,
            path,
            extractor,
            against=against or (),
            n=n,
            seed=seed,
            label=label or column,
            progress=progress,
        )
    for line in found.lines():
        say(line)
    say(f"page: {probe_page(found, folder)}")
    if as_json:
        emit(found.as_json())


def kept_in(folder: Path) -> AbstractContextManager[None]:
    """What Ctrl-C leaves of a job that notes each finished cell."""
    return interruptible(f"what is done is kept in {folder}, and the same command continues")


def chosen_extractor(weights: str | None, progress: Callable[..., None]) -> "Extractor":
    """What `--inception-weights` asks for."""
    from hqgan.evaluation import load_extractor

    download = weights == "download"
    return load_extractor(
        None if download else weights,
        download=download,
        progress=lambda *at: progress("weights", *at),
    )
