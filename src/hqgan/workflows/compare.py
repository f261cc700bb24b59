"""Every model in one harness: what `hqgan compare` does.

A comparison is a folder with one subfolder for each model and seed (see `hqgan.workflows.cell`),
`settings.json`, which says what must be equal for numbers to share a table, and the table itself,
which `hqgan.workflows.table` makes of the cells. With `final` the runs are measured on test as
well, in the same folder (see `hqgan.workflows.final`).
"""

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import torch

from hqgan.config import (
    did_you_mean,
    load_config,
    own_settings,
    preset_names,
    read_config,
)
from hqgan.data import EMBEDDED, Dataset, load_dataset, require_trainable
from hqgan.errors import DataError, UsageError
from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import CURVE_FAKES, MOST_FAKES, chosen_split
from hqgan.models import find_snapshot, load_snapshot
from hqgan.schema import absolute_path
from hqgan.training import Callbacks
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import require_room, resolved
from hqgan.training.runs import CONFIG, require_continuable
from hqgan.training.trainer import build_models
from hqgan.workflows.cell import Cell, Recipe, run_cell
from hqgan.workflows.executor import LOCAL, Executor, run_all, still
from hqgan.workflows.final import FinalCell, final_cells, open_test, require_same_test, run_final
from hqgan.workflows.settings import begin, locked, require_own_settings, require_same
from hqgan.workflows.table import Comparison, tabulate

AnyCell = TypeVar("AnyCell", bound=Cell)

UNBOUNDED_KIMG = 99_999  # of a comparison by time


@dataclass(frozen=True)
class Row:
    """A model of a table.

    Attributes:
        model: a preset (`hqgan.config.preset_names`), or the folder of a trained run.
        kimg, seeds: None takes those of the table.
        settings: of its own, "a.b=c", over those of the table.
    """

    model: str
    kimg: float | None = None
    seeds: int | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The cells of a comparison, and what they are measured against.

    `before` is the plan on val that comes before one on test.
    """

    out: Path
    cells: tuple[Cell, ...]
    dataset: Dataset
    reference: Dataset
    settings: dict[str, Any]
    before: Self | None = None

    def only(self, models: Collection[str]) -> Self:
        """The same table, in which nothing is computed but what these models need."""
        cells = tuple(c for c in self.cells if c.model in models or c.done() is not None)
        return replace(self, cells=cells, before=self.before and self.before.only(models))


def plan(
    out: Path,
    models: Sequence[str | Row],
    *,
    data: str,
    kimg: float | None = None,
    budget: float | None = None,
    seeds: int = 1,
    size: int = 64,
    label: str | None = None,
    split: str | None = None,
    final: bool = False,
    n: int | None = None,
    curve_n: int | None = None,
    weights: str | None = None,
    extractor: str | None = None,
    device: str | None = None,
    assignments: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Decide everything, and refuse what cannot be, before any training.

    Args:
        out: the comparison's folder; cells found there are used.
        models: presets (`hqgan.config.preset_names`), folders of trained runs, or rows.
        data: what all are trained on; its val split is what they are measured against.
        kimg: thousand images that each model sees; or
        budget: seconds that each may train.
        seeds: runs of each preset, seeded 0, 1, 2 ...
        size: edge of the images, pixels.
        label: csv column used as class.
        split: "val", or "test" together with `final`; None is the one that `final` says.
        final: opens the test split, after all is trained and measured on val.
        n: fakes of the final measurement; None takes as many as the split has images.
        curve_n: fakes of each point of a curve, n at most; None takes 500.
        weights: Inception weights (see `load_extractor`).
        extractor: its name; None is the widest that the weights allow.
        device: of the trainings.
        assignments: further settings "a.b=c" for every preset, or "NAME:a.b=c" for NAME and
            NAME+kit.
        progress: called as progress(done, total) while images are decoded.

    Raises:
        UsageError: an unknown model, a size that one cannot do, both or neither of kimg and budget,
            or settings that differ from those the folder was begun with.
        DataError: too few images, a run trained on other data, or no test split to be opened.
    """
    if (kimg is None) == (budget is None):
        raise UsageError(
            "say how long each model is trained: --kimg N for equal images, or "
            "--budget SECONDS for equal time"
        )
    if budget is not None and budget <= 0:
        raise UsageError(f"budget is {budget:g}, but must be seconds above 0")
    chosen_split(split, final)
    rows = {row.model: row for row in (Row(m) if isinstance(m, str) else m for m in models)}
    fewest = min([seeds, *(row.seeds for row in rows.values() if row.seeds is not None)])
    if fewest < 1:
        raise UsageError(f"seeds is {fewest}, but a comparison needs at least 1")
    found = list(rows)
    if not found:
        raise UsageError("name the models to compare, such as --models hybridq,twin-classical")
    known = preset_names()
    unknown = [m for m in found if m not in known and not (Path(m) / CONFIG).is_file()]
    if unknown:
        raise UsageError(
            f"unknown model {unknown[0]!r}: it is neither a preset nor the folder of a run. "
            f"Presets are {', '.join(known)}.{did_you_mean(unknown[0], known)}"
        )
    require_own_settings(assignments, found)
    for row in rows.values():
        require_own_settings(row.settings, found)
    data = data if data == EMBEDDED else absolute_path(data)
    out = out.absolute()  # a cluster's workers are in other folders
    weights = weights or os.environ.get("HQGAN_INCEPTION") or None
    weights = weights and absolute_path(weights)
    chosen = load_extractor(weights, extractor)
    load = partial(load_dataset, data, size=size, label=label, progress=progress)
    dataset, reference = load("train"), load("val")
    test = load("test") if final else None
    n_test, n = n, len(reference) if n is None else n
    curve_n = min(CURVE_FAKES if curve_n is None else curve_n, n)
    if curve_n < 2 or n > MOST_FAKES:
        raise UsageError(
            f"n is {n} and the curve's {curve_n}, but both are at least 2, and at most {MOST_FAKES}"
        )
    recipe = Recipe(split="val", n=n, curve_n=curve_n, extractor=chosen.name, seed=0)
    cell = partial(Cell, data=data, label=label, recipe=recipe, weights=weights, budget=budget)
    shared = {"data.path": data, "data.label": label, "size": size, "device": device}
    cells: list[Cell] = []
    for model in found:
        if model not in known:
            run = Path(model).absolute()
            cells.append(
                cell(model=run.name, config=read_config(run / CONFIG), run=run, out=out / run.name)
            )
            continue
        row = rows[model]
        own = [*own_settings(assignments, model), *row.settings]
        length = UNBOUNDED_KIMG if kimg is None else kimg if row.kimg is None else row.kimg
        for seed in range(seeds if row.seeds is None else row.seeds):
            config = load_config(model, None, {**shared, "kimg": length, "seed": seed}, own)
            config = resolved(config, make_fabric(config.device, config.precision))
            folder = out / f"{model}-seed{seed}"
            cells.append(cell(model=model, config=config, run=folder, out=folder))
    names = [one.name for one in cells] + [m for m in found if m in known]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(
            f"two rows would be called {twice[0]!r}; rename the folder of one run, or leave one out"
        )
    for one in cells:
        check(one, dataset)
    settings = {
        "data_checksum": dataset.checksum,
        "reference_checksum": reference.checksum,
        "size": size,
        **asdict(recipe),
        "extractor": str(chosen),
        "by": "images" if budget is None else "time",
    }
    require_same(out, settings, "comparison")
    on_val = Plan(out, tuple(cells), dataset, reference, settings)
    return on_val if test is None else plan_final(on_val, test, n_test)


def plan_final(on_val: Plan, test: Dataset, n: int | None) -> Plan:
    """The same on test, with `n` fakes or as many as test has images, curves being those of val.

    Raises:
        UsageError: test was opened in this folder with other images, or another n.
    """
    n = len(test) if n is None else n
    if n > MOST_FAKES:
        raise UsageError(f"test has {n} images, but at most {MOST_FAKES} are compared: give --n")
    require_same_test(on_val.out, test.checksum, n)
    recipe = replace(on_val.cells[0].recipe, split="test", n=n)
    settings = on_val.settings | {
        "reference_checksum": test.checksum,
        **asdict(recipe),
        "extractor": on_val.settings["extractor"],
        "curve_split": on_val.settings["split"],
    }
    cells = final_cells(on_val.cells, recipe)
    return replace(on_val, cells=cells, reference=test, settings=settings, before=on_val)


def check(cell: Cell, dataset: Dataset) -> None:
    """Refuse a cell that cannot be trained, or whose run does not belong in this table."""
    config = cell.config
    if cell.trains:
        require_trainable(dataset, config.batch)
        with torch.device("meta"):  # shapes without memory
            generator, _ = build_models(config, len(dataset.classes))
        require_room(generator, config, len(dataset))
        require_continuable(cell.run, config)
        return
    generator, about = load_snapshot(find_snapshot(cell.run))
    if about.data_checksum != dataset.checksum:
        raise DataError(
            f"{cell.run} was trained on other images than the train split given with --data (or on "
            "the same at another size); numbers of different data cannot share a table"
        )
    if generator.size != dataset.images.shape[1]:
        raise DataError(
            f"{cell.run} makes images of {generator.size} pixels, this table compares those of "
            f"{dataset.images.shape[1]}"
        )


def compare(
    chosen: Plan, executor: Executor = LOCAL, callbacks: Callbacks | None = None
) -> Comparison:
    """Run the cells that are not done yet, then make the table.

    Raises:
        RunError: another process is at this comparison, or its folder cannot be written.
        HqganError: as `run_cell` and `run_all` do; what is done is kept.
    """
    on_val = chosen.before or chosen
    with locked(on_val.out):
        begin(on_val.out, on_val.settings)
        run_cells(run_cell, on_val.cells, executor, callbacks)
        settings = chosen.settings
        if chosen.before is not None:
            cells = [cell for cell in chosen.cells if isinstance(cell, FinalCell)]
            settings = settings | {"test_opened": open_test(chosen.out, cells, chosen.reference)}
            run_cells(run_final, cells, executor, callbacks)
        return tabulate(chosen.cells, chosen.dataset, chosen.reference, settings)


def run_cells(
    run: Callable[[AnyCell, Callbacks | None], dict[str, Any]],
    cells: Sequence[AnyCell],
    executor: Executor,
    callbacks: Callbacks | None,
) -> None:
    """Run those that are not done."""
    tell = callbacks or Callbacks()
    left = [cell for cell in cells if cell.done() is None]
    started = time.monotonic()
    with closing(run_all(run, left, executor, callbacks)) as answers:
        for count, (index, record) in enumerate(answers, 1):
            tell.message(
                f"{left[index].name} is done, {count} of {len(left)}{still(started, count, left)}"
                + (f" (stopped: {record['stopped']})" if record["stopped"] else "")
            )
