"""Would the tests notice? Changes one thing of the sources at a time, and runs the tests.

Usage: python .ci/mutate.py [--mutants N] [--seed S] [--workers W] [--copies DIR] [--only 3,17]
(what `make mutants` runs)

Mutants are drawn by lot from all that cosmic-ray's operators can do to `quantum/` and
`evaluation/metrics.py`: first a place, each with the same chance, then one of its changes. Else the
eleven ways to spoil one product, most of which no interpreter bears, would make up the figure.

Left out is what cannot matter: annotations, and changes that are no Python any more. A mutant that
no test notices is printed as a difference. `equivalent.yaml` names those that were looked at and do
the same as the original, each with the reason: they count as not noticed all the same, and the
figure without them is given beside it.

`mutant_tests.py` runs the tests. --copies keeps the copies of the sources, and what is compiled of
them, for the next time; --only tries some of the drawn ones, such as 3,17,20-40; --all those of
`equivalent.yaml` too, which are not run otherwise.
"""

import argparse
import ast
import difflib
import multiprocessing
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from mutant_tests import ROOT, Copy, Outcome, load_what_is_heavy

QUANTUM = "src/hqgan/quantum"
METRICS = "src/hqgan/evaluation/metrics.py"
NOT_RUN = Outcome("not run", "", 0.0)
SAME = Path(__file__).with_name("equivalent.yaml")
Position = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where something can be changed, and cosmic-ray's (operator, occurrence) that do it."""

    file: str
    span: tuple[Position, Position]
    changes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str
    line: int
    operator: str
    code: str

    @property
    def difference(self) -> str:
        before, after = source(self.file).splitlines(), self.code.splitlines()
        return "\n".join(difflib.unified_diff(before, after, self.file, "mutant", "", "", 2, ""))

    @property
    def lines(self) -> tuple[str, str]:
        """What was changed, before and after, without the white space."""
        marked = list(difflib.ndiff(source(self.file).splitlines(), self.code.splitlines()))
        parts = (" ".join(" ".join(m[2:] for m in marked if m[0] == s).split()) for s in "-+")
        return next(parts), next(parts)

    @property
    def same(self) -> str:
        """Why it does the same as the original; empty for most."""
        return known().get((self.file, *self.lines), "")


@lru_cache
def source(file: str) -> str:
    return (ROOT / file).read_text()


def files() -> list[str]:
    found = [str(f.relative_to(ROOT)) for f in sorted((ROOT / QUANTUM).rglob("*.py"))]
    return [*found, METRICS]


def annotations(file: str) -> list[tuple[Position, Position]]:
    """Spans of all annotations, in characters as cosmic-ray counts them."""
    rows = source(file).splitlines()

    def position(line: int, byte: int) -> Position:
        return line, len(rows[line - 1].encode()[:byte].decode())

    found: list[Any] = []
    for node in ast.walk(ast.parse(source(file))):
        found += [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [
        (position(a.lineno, a.col_offset), position(a.end_lineno, a.end_col_offset))
        for a in found
        if a is not None
    ]


def places(file: str) -> tuple[list[Place], int]:
    """Where a file can be changed, and in how many places of annotations it is left alone."""
    nodes = list(ast_nodes(get_ast(source(file))))
    found: dict[tuple[Position, Position], list[tuple[str, int]]] = defaultdict(list)
    for name in sorted(operator_names()):
        if "Variable" in name:  # needs to be told of which variables
            continue
        operator = get_operator(name)()
        spans = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, span in enumerate(spans):
            found[span].append((name, occurrence))
    spared = annotations(file)
    kept = [
        Place(file, span, tuple(changes))
        for span, changes in sorted(found.items())
        if not any(first <= span[0] and span[1] <= last for first, last in spared)
    ]
    return kept, len(found) - len(kept)


def is_python(code: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(code, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def drawn(count: int, seed: int) -> list[Mutant]:
    """Mutants by lot, at different places."""
    rng = random.Random(seed)
    listed = [places(file) for file in files()]
    everything = [place for kept, _ in listed for place in kept]
    impossible = 0
    found: list[Mutant] = []
    for place in rng.sample(everything, len(everything)):
        if len(found) == count:
            break
        for name, occurrence in rng.sample(place.changes, len(place.changes)):
            code = mutate_code(source(place.file), get_operator(name)(), occurrence)
            if code is not None and code != source(place.file) and is_python(code):
                found.append(Mutant(place.file, place.span[0][0], name.split("/")[-1], code))
                break
            impossible += 1
    changes = sum(len(place.changes) for place in everything)
    print(f"{len(everything)} places in {len(files())} files, {changes} changes; seed {seed}")
    print(f"left out: {sum(n for _, n in listed)} places in annotations;", end=" ")
    print(f"while drawing, {impossible} changes that are no Python")
    return found


@lru_cache
def known() -> dict[tuple[str, str, str], str]:
    """Why a mutant does the same as the original, by file, line before, and line after."""
    entries = yaml.safe_load(SAME.read_text())
    return {(f"src/hqgan/{e['file']}", e["before"], e["after"]): e["why"] for e in entries}


def work(folder: Path, mutants: list[Mutant], jobs: Any, results: Any) -> None:
    """Try mutants by number until None comes, in one copy of the sources."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is cleared away
    try:
        copy = Copy(folder)
        results.put(("passes", copy.baseline()))
        for number in iter(jobs.get, None):
            results.put((number, copy.outcome(mutants[number].file, mutants[number].code)))
        results.put(("done", copy.control()))
    except BaseException:
        results.put(("broken", traceback.format_exc()))


def tried(
    mutants: list[Mutant], numbers: list[int], folder: Path, workers: int
) -> dict[int, Outcome]:
    """Outcomes by number, printed as they come."""
    fork = multiprocessing.get_context("fork")
    jobs, results = fork.SimpleQueue(), fork.SimpleQueue()
    for number in [*numbers, *[None] * workers]:
        jobs.put(number)
    helpers = [
        fork.Process(target=work, args=(folder / str(n), mutants, jobs, results))
        for n in range(workers)
    ]
    for helper in helpers:
        helper.start()
    outcomes: dict[int, Outcome] = {}
    flaky: set[str] = set()
    running = workers
    while running:
        number, told = results.get()
        if number == "broken":
            for helper in helpers:
                helper.terminate()
            raise SystemExit(told)
        if number == "passes":
            print(f"the original passes: {told}", flush=True)
        elif number == "done":
            running -= 1
            flaky |= set(told)
        else:
            outcomes[number] = told
            print(f"{len(outcomes)} of {len(numbers)}: ", end="")
            tell(number, mutants[number], told)
    for number, outcome in outcomes.items():
        if outcome.test in flaky:
            print(f"{number}: {outcome.test} fails without it, too: not noticed")
            outcomes[number] = replace(outcome, kind="passed")
    return outcomes


def tell(number: int, mutant: Mutant, outcome: Outcome) -> None:
    print(f"{number} {mutant.file}:{mutant.line} {mutant.operator}: {outcome}")
    if not outcome.noticed:
        print(mutant.difference)
    if mutant.same:
        print(f"the same, says {SAME.name}: {mutant.same}")
        if outcome.noticed:
            print("BUT IT WAS NOTICED: mend that list")
    sys.stdout.flush()


def report(mutants: list[Mutant], outcomes: dict[int, Outcome], seconds: float) -> None:
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    how: Counter[str] = Counter()
    for number, outcome in outcomes.items():
        mutant = mutants[number]
        kind = "noticed" if outcome.noticed else "equivalent" if mutant.same else "not noticed"
        by_file[mutant.file][kind] += 1
        total[kind] += 1
        how[outcome.kind] += 1
    print(
        "\n| file | mutants | noticed | equivalent | not noticed |\n| --- | --- | --- | --- | --- |"
    )
    for file, count in [*sorted(by_file.items()), ("all", total)]:
        columns = [count["noticed"], count["equivalent"], count["not noticed"]]
        name = file.removeprefix("src/hqgan/")
        print(f"| {name} | {sum(columns)} | {' | '.join(map(str, columns))} |")
    print(", ".join(f"{kind}: {n}" for kind, n in how.most_common()))
    noticed, everything = total["noticed"], len(outcomes)
    judged = everything - total["equivalent"]
    print(f"{noticed} of {everything} mutants noticed: {100 * noticed / everything:.1f} %")
    print(f"without the equivalent ones {noticed} of {judged}: {100 * noticed / judged:.1f} %")
    print(f"{seconds / 60:.0f} minutes; {seconds / everything:.0f} s a mutant")


def numbers_in(text: str) -> list[int]:
    """Of a list such as 3,17,20-40."""
    ends = [part.split("-") for part in text.split(",")]
    return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=Path)
    parser.add_argument("--only", type=numbers_in)
    parser.add_argument("--all", action="store_true")
    chosen = parser.parse_args()
    mutants = drawn(chosen.mutants, chosen.seed)
    numbers = chosen.only or list(range(len(mutants)))
    outcomes = {n: NOT_RUN for n in numbers if mutants[n].same and not chosen.all}
    load_what_is_heavy()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rest = [number for number in numbers if number not in outcomes]
        outcomes |= tried(mutants, rest, chosen.copies or Path(folder), chosen.workers)
    report(mutants, outcomes, time.monotonic() - started)


if __name__ == "__main__":
    main()
