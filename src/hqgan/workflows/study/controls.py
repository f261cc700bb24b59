"""What a study must know of its synthetic images before it believes in them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from hqgan.evaluation.statistics import SeedMean, mean_over_seeds
from hqgan.workflows.judge import doubtful
from hqgan.workflows.study.cells import GeneratorCell, JudgeCell, PoolCell
from hqgan.workflows.study.plan import Plan

Filters = tuple[bool, bool]  # class, copy


def generators(plan: Plan) -> list[dict[str, Any]]:
    """A row for each generator and fraction, and in it one for each kind of filtering."""
    cells = [cell for cell in plan.cells if isinstance(cell, GeneratorCell)]
    pools = [cell for cell in plan.cells if isinstance(cell, PoolCell)]
    rows = []
    for preset, fraction in dict.fromkeys((c.preset, c.fraction) for c in cells):
        same = [c for c in cells if (c.preset, c.fraction) == (preset, fraction)]
        mine = [p for p in pools if (p.generator.preset, p.fraction) == (preset, fraction)]
        records = [cell.done() or {} for cell in same]
        reasons = [r["failed"] or r["stopped"] for r in records]
        rows.append(
            {
                "preset": preset,
                "fraction": fraction,
                "seeds": len(records),
                "stopped": [reason for reason in reasons if reason],
                "filters": [filtered(mine, kind) for kind in dict.fromkeys(map(filters, mine))],
            }
        )
    return rows


def filters(pool: PoolCell) -> Filters:
    """Which of the two a pool went through."""
    return pool.judge is not None, pool.copy_filter


def filtered(pools: Sequence[PoolCell], kind: Filters) -> dict[str, Any]:
    """Detectability, mean over seeds; images asked for, made, kept and dropped, summed."""
    records = [pool.done() or {} for pool in pools if filters(pool) == kind]
    records = [record for record in records if not record["failed"]]
    told = [r["detectability"] for r in records if r["detectability"] is not None]
    sums: dict[str, dict[str, int]] = {}
    for record in records:
        for one in record["per_class"]:
            into = sums.setdefault(one["name"], {})
            for key, value in one.items():
                if key != "name":
                    into[key] = into.get(key, 0) + value
    return {
        "class_filter": kind[0],
        "copy_filter": kind[1],
        "detectability": asdict(area_over_seeds(told)),
        "extractor": records[0]["extractor"] if records else None,
        "per_class": [{"class": name, **counts} for name, counts in sums.items()],
    }


def area_over_seeds(values: Sequence[float]) -> SeedMean:
    """Mean of areas under curves, whose interval ends where areas do."""
    found = mean_over_seeds(values)
    if found.interval is None:
        return found
    low, high = found.interval
    return replace(found, interval=(max(low, 0.0), min(high, 1.0)))


def warnings(plan: Plan, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Sentences about what makes an arm less than it says."""
    for row in rows:
        where = f"{row['preset']} at {row['fraction']:.0%} of the lesions"
        for reason in row["stopped"]:
            yield f"{where}: a generator did not finish: {reason}"
        for kind in row["filters"]:
            short = [one for one in kind["per_class"] if one["kept"] < one["asked"]]
            if short:
                lost = ", ".join(f"{o['class']} ({o['kept']:,} of {o['asked']:,})" for o in short)
                yield (
                    f"{where}: too few images passed the filters, so its arms have fewer than "
                    f"their ratio says, and not the same share in every class: {lost}."
                )
    chance = 1 / len(plan.val.classes)
    for cell in plan.cells:
        if isinstance(cell, JudgeCell):
            accuracy = (cell.done() or {}).get("balanced_accuracy")
            doubt = None if accuracy is None else doubtful(cell.name, accuracy, chance)
            if doubt:
                yield doubt
