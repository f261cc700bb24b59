"""What a comparison cost, and the command that makes it again, from the folders of its runs."""

import json
from pathlib import Path
from typing import Any

from hqgan.config import preset_names
from hqgan.durations import duration
from hqgan.evaluation.run import CURVE_FAKES
from hqgan.report.provenance import compare_settings, config_of, provenance, shell, versions_of
from hqgan.schema import Config
from hqgan.workflows.table import Comparison

CELL = "cell.json"


def comparison_provenance(table: Comparison, folder: Path) -> str:
    """The last sections of a comparison's page."""
    runs = sorted(file.parent for file in folder.glob(f"*/{CELL}"))
    records = [record(run) for run in runs]
    seconds = [one["training_seconds"] for one in records if one.get("training_seconds")]
    seen = sum(one.get("images_seen") or 0 for one in records)
    cost = [
        ("runs", f"{len(records)}"),
        ("training, all runs", duration(sum(seconds)) if seconds else "not known"),
        ("images seen, all runs", f"{seen:,.0f}"),
    ]
    cost = cost if records else [("runs", "their folders are not here any more")]
    s = table.settings
    sums = [("train, sha256", s["data_checksum"])] if "data_checksum" in s else []
    sums += (
        [(f"{s['split']}, sha256", s["reference_checksum"])] if "reference_checksum" in s else []
    )
    commands = [("The table; what is done is not done again:", again(table, folder))]
    rows = [line for model in table.models for line in model.get("commands", [])[:1]]
    commands += [("A row by itself:", "\n".join(rows))] if rows else []
    return provenance(cost, commands, versions_of(runs), sums)


def again(table: Comparison, folder: Path) -> str:
    """`hqgan compare`, or `hqgan reproduce` for a named table, as it was asked for.

    A run made elsewhere is called by its folder's name, for its place is not kept.
    """
    s = table.settings
    configs: dict[str, Config] = {}
    for model in table.models:
        found = config_of(folder / f"{model['model']}-seed{next(iter(model['seeds']), 0)}")
        if found is not None and model["model"] in preset_names():
            configs[model["model"]] = found
    first = next(iter(configs.values()), None)
    final = "--final" if s.get("split") == "test" else None
    shared: list[Any] = [
        ("--data", first and first.data.path),
        ("--label", first and first.data.label),
    ]
    if "table" in s:
        return shell("hqgan", "reproduce", s["table"]["name"], *shared, ("--out", folder), final)
    budget = next((record(folder / f"{m}-seed0").get("budget") for m in configs), None)
    reference, n = s.get("reference_images"), s.get("n")
    curve = s.get("curve_n")
    seeds = max((len(model["seeds"]) for model in table.models), default=1)
    return shell(
        *("hqgan", "compare", "--models", ",".join(model["model"] for model in table.models)),
        *shared,
        ("--kimg", None if budget or first is None else f"{first.kimg:g}"),
        ("--budget", budget and f"{budget:g}"),
        ("--seeds", seeds if seeds > 1 else None),
        ("--size", s.get("size")),
        ("--n", None if n == reference else n),
        ("--curve-n", None if n is not None and curve == min(CURVE_FAKES, n) else curve),
        ("--device", first and first.device),
        *(("--set", one) for one in compare_settings(configs)),
        ("--out", folder),
        final,
    )


def record(run: Path) -> dict[str, Any]:
    """The cell.json of a run; nothing where it is not there or damaged."""
    try:
        return dict(json.loads((run / CELL).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
