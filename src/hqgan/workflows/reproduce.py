"""A named table, run or continued: what `hqgan reproduce` does.

It is a comparison whose rows, images and seeds a file in `hqgan.tables` says; its result also says
what the paper says of each row, and which command makes it.
"""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hqgan.config import did_you_mean
from hqgan.errors import UsageError
from hqgan.tables import Row as NamedRow
from hqgan.tables import Table
from hqgan.training import Callbacks
from hqgan.workflows.compare import Plan, Row, compare
from hqgan.workflows.compare import plan as plan_comparison
from hqgan.workflows.executor import LOCAL, Executor
from hqgan.workflows.table import Comparison


def plan(
    table: Table,
    out: Path,
    *,
    data: str | None = None,
    label: str | None = None,
    rows: Sequence[str] = (),
    final: bool = False,
    weights: str | None = None,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """The comparison that a table describes.

    Args:
        table: see `hqgan.tables.read_table`.
        out: its folder, new or begun.
        data: the images; None takes $HQGAN_DATA. Others than the table's own are noted, not
            refused.
        label: csv column used as class.
        rows: models to compute now; the others stay in the table if they are done. None are all.
        final: opens the test split, see `hqgan.workflows.compare.plan`.
        weights, device, progress: see there.

    Raises:
        UsageError: no data, a row that the table has not, or as `hqgan.workflows.compare.plan`.
        DataError: as there.
        HqganError: the table's extractor needs weights that are not at hand.
    """
    data = data or os.environ.get("HQGAN_DATA")
    if not data:
        raise UsageError(
            f"the table {table.name} is of {table.data}: say with --data where the images are "
            "(`hqgan data download` fetches public ones)"
        )
    known = [row.model for row in table.rows]
    for model in rows:
        if model not in known:
            raise UsageError(
                f"{model!r} is no row of {table.name}; rows are {', '.join(known)}."
                f"{did_you_mean(model, known)}"
            )
    chosen = plan_comparison(
        out,
        [Row(row.model, row.kimg, row.seeds, tuple(row.set)) for row in table.rows],
        data=data,
        kimg=table.kimg,
        seeds=table.seeds,
        size=table.size,
        label=label,
        final=final,
        n=table.n,
        curve_n=table.curve_n,
        weights=weights,
        extractor=table.extractor,
        device=device,
        progress=progress,
    )
    return chosen.only(rows) if rows else chosen


def reproduce(
    chosen: Plan, table: Table, executor: Executor = LOCAL, callbacks: Callbacks | None = None
) -> Comparison:
    """Run what is left of the plan, then make the table.

    To a comparison's keys it adds `settings.table` (name, title, the models and, of those there,
    the seeds that are missing, a warning where the data are others than the table's) and for each
    model `paper` and `commands`.

    Raises:
        HqganError: as `compare` does; what is done is kept.
    """
    result = compare(chosen, executor, callbacks)
    final = chosen.before is not None
    rows = {row.model: row for row in table.rows}
    models = [
        model
        | {
            "paper": claim.model_dump() if (claim := rows[model["model"]].paper) else None,
            "commands": commands(table, rows[model["model"]], final, chosen.cells[0].label),
        }
        for model in result.models
    ]
    there = {model["model"]: set(model["seeds"]) for model in models}
    seeds = {
        model: sorted(set(range(row.seeds or table.seeds)) - there.get(model, set()))
        for model, row in rows.items()
    }
    about = {
        "name": table.name,
        "title": table.title,
        "data": table.data,
        "missing": [model for model in rows if model not in there],
        "missing_seeds": {model: seeds[model] for model in there if seeds[model]},
        "warning": warning(table, chosen),
    }
    return replace(result, settings=result.settings | {"table": about}, models=models)


def warning(table: Table, chosen: Plan) -> str | None:
    """A sentence where the training images are not those that the table was made of."""
    if chosen.dataset.checksum == table.data_checksum:
        return None
    return (
        f"These are not the images of the table {table.name}: the train split has sha256 "
        f"{chosen.dataset.checksum[:16]}, and that of {table.data} which it was made of has "
        f"{table.data_checksum[:16]}; numbers of the two do not compare."
    )


def commands(table: Table, row: NamedRow, final: bool, label: str | None = None) -> list[str]:
    """The two commands that make a row, DATA and DIR being the user's own folders.

    The first makes it in the table, the second, by itself in a folder beside, the same run.
    """
    common = ["--label", label] if label else []
    common += [] if table.extractor == "tiny" else ["--inception-weights", "download"]
    common += ["--final"] if final else []
    named = ["hqgan", "reproduce", table.name, "--row", row.model, "--data", "DATA", "--out", "DIR"]
    plain = ["hqgan", "compare", "--models", row.model, "--data", "DATA"]
    plain += ["--out", f"DIR-{row.model}"]  # in DIR its table of one row would replace the whole
    plain += ["--size", str(table.size), "--kimg", f"{row.kimg or table.kimg:g}"]
    plain += ["--seeds", str(row.seeds or table.seeds)]
    plain += ["--n", str(table.n)] if table.n else []
    plain += ["--curve-n", str(table.curve_n)] if table.curve_n else []
    plain += [part for setting in row.set for part in ("--set", setting)]
    return [shlex.join(named + common), shlex.join(plain + common)]
