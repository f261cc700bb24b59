"""What the charts of a study show, in words, for whoever cannot see them."""

from collections.abc import Sequence

from hqgan.report.study_terms import (
    Record,
    at,
    baseline,
    change,
    level,
    primary_place,
    share,
    title_of,
)
from hqgan.workflows.study import StudyResult

MOST = 24  # rows that are told one by one


def comparisons_told(found: Sequence[Record]) -> str:
    """Each difference with its interval."""
    told = [f"{c['arm']} against {c['against']}: {change(c, c['measure'])}" for c in found]
    return "Differences with their 95 % intervals. " + joined(told)


def elsewhere_told(study: StudyResult) -> str:
    """The same with other classifiers and fractions."""
    told = [
        f"{c['arm']} against {c['against']}, {c['classifier']}, {share(c['fraction'])}: "
        f"{change(c, c['measure'])}"
        for c in study.comparisons
        if (c["classifier"], c["fraction"]) != primary_place(study)
    ]
    return "Exploratory differences. " + joined(told)


def arms_told(study: StudyResult, rows: Sequence[Record]) -> str:
    """The primary measure of arms."""
    measure = study.protocol["primary"]["measure"]
    told = [
        f"{row['arm']}, {row['classifier']}, {share(row['fraction'])}: "
        f"{level(row['measures'][measure], measure)}"
        for row in rows
    ]
    return f"{title_of(measure, '%')}. {joined(told)}"


def recall_told(study: StudyResult) -> str:
    """Where recall rose and fell most."""
    base = baseline(study)
    rows = {row["arm"]: row["per_class"] for row in at(study, primary_place(study))}
    changes = [
        (100 * (one["recall"] - before["recall"]), one["class"], arm)
        for arm, classes in rows.items()
        for one, before in zip(classes, rows[base], strict=True)
        if arm != base and None not in (one["recall"], before["recall"])
    ]
    if not changes:
        return f"Recall of each class against {base}: nothing is known."
    (least, *lowest), (most, *highest) = min(changes), max(changes)
    return (
        f"Change of the recall of each class against {base}, points: from {least:+.1f} "
        f"({lowest[0]}, {lowest[1]}) to {most:+.1f} ({highest[0]}, {highest[1]})."
    )


def confusions_told(study: StudyResult) -> str:
    """How much of each matrix lies on its diagonal."""
    told = []
    for row in at(study, primary_place(study)):
        counts = row["confusion"] or []
        total = sum(map(sum, counts))
        right = sum(line[y] for y, line in enumerate(counts))
        told.append(f"{row['arm']}: {share(right / total) if total else 'nothing'} recognised")
    return f"Confusion matrices of all arms. {joined(told)}"


def joined(told: Sequence[str]) -> str:
    """Phrases in one sentence, the first of many."""
    more = f"; and {len(told) - MOST} more in the table" if len(told) > MOST else ""
    return "; ".join(told[:MOST]) + more + "."
