"""Would the tests notice? Changes one thing in a file at a time, and runs the tests of that file.

Usage: python .ci/mutate.py [--mutants N] [--seed S] [--workers W]   (what `make mutants` runs)

Mutants are drawn by lot from all that cosmic-ray's operators can do to the files of `TESTS_OF`;
each lives in a copy of the sources. A mutant that no test notices is printed as a difference, to be
looked at: it may be equivalent to the original, or show a test that is missing.
"""

import argparse
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
QUANTUM, TESTS = "src/hqgan/quantum", "tests/quantum"
# The quickest tests that ought to notice a change of a file.
TESTS_OF = {
    f"{QUANTUM}/ansatz.py": ["test_ansatz", "test_statevector"],
    f"{QUANTUM}/channels.py": ["test_noise"],
    f"{QUANTUM}/circuit.py": ["test_circuit", "test_statevector", "test_interop"],
    f"{QUANTUM}/gradients.py": ["test_gradients"],
    f"{QUANTUM}/layer.py": ["test_layer", "test_gradients", "test_shots"],
    f"{QUANTUM}/lowering.py": ["test_noise", "test_jobs"],
    f"{QUANTUM}/noise.py": ["test_noise"],
    f"{QUANTUM}/pauli_transfer.py": ["test_noise"],
    f"{QUANTUM}/schedule.py": ["test_noise"],
    f"{QUANTUM}/shots.py": ["test_shots"],
    f"{QUANTUM}/statevector.py": ["test_statevector", "test_layer", "test_gradients"],
    f"{QUANTUM}/trajectories.py": ["test_trajectories"],
    f"{QUANTUM}/unravelling.py": ["test_trajectories"],
    f"{QUANTUM}/kernel/plan.py": ["test_kernel"],
    f"{QUANTUM}/kernel/phases.py": ["test_kernel"],
    f"{QUANTUM}/kernel/tables.py": ["test_kernel"],
    f"{QUANTUM}/interop/order.py": ["test_interop"],
    f"{QUANTUM}/interop/openqasm.py": ["test_interop", "test_interop_qiskit"],
    f"{QUANTUM}/interop/trained.py": ["test_interop"],
    f"{QUANTUM}/jobs/readings.py": ["test_jobs", "test_mitigation"],
    f"{QUANTUM}/jobs/packing.py": ["test_jobs", "test_layout"],
    f"{QUANTUM}/jobs/bill.py": ["test_jobs", "test_ibm"],
    "src/hqgan/evaluation/metrics.py": ["../evaluation/test_metrics"],
}
# Left out: annotations (X | Y), decorators, and what has to be configured.
HARMLESS = ("BitOr", "Decorator", "Variable")
PATIENCE = 300  # seconds; a mutant that never ends is noticed


@dataclass(frozen=True)
class Mutant:
    """One change: the operator's `occurrence`-th application to a file."""

    file: str
    operator: str
    occurrence: int
    code: str

    @property
    def difference(self) -> str:
        before = (ROOT / self.file).read_text().splitlines(keepends=True)
        after = self.code.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, self.file, self.operator, n=1))


def possible(file: str) -> Iterator[tuple[str, int]]:
    """Every operator that applies to a file, as often as it does."""
    tree = get_ast((ROOT / file).read_text())
    for name in operator_names():
        if any(word in name for word in HARMLESS):
            continue
        operator = get_operator(name)()
        places = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))
        yield from ((name, occurrence) for occurrence in range(places))


def drawn(count: int, seed: int) -> list[Mutant]:
    """Mutants by lot, files with equal chances by the number of their changes."""
    rng = random.Random(seed)
    everything = [(file, *change) for file in TESTS_OF for change in possible(file)]
    found: list[Mutant] = []
    for file, name, occurrence in rng.sample(everything, len(everything)):
        code = mutate_code((ROOT / file).read_text(), get_operator(name)(), occurrence)
        if code is not None and code != (ROOT / file).read_text():
            found.append(Mutant(file, name, occurrence, code))
        if len(found) == count:
            break
    return found


def noticed(mutant: Mutant, copy: Path) -> bool:
    """Whether a test fails in a copy of the sources with the mutant in it."""
    target = copy / mutant.file
    original = target.read_text()
    target.write_text(mutant.code)
    tests = [str(ROOT / TESTS / f"{name}.py") for name in TESTS_OF[mutant.file]]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    environment = os.environ | {
        "PYTHONPATH": str(copy / "src"),
        "OMP_NUM_THREADS": "1",
        "NUMBA_CACHE_DIR": str(copy / "numba"),
        "CI": "true",  # hypothesis draws the same each time
    }
    try:
        done = subprocess.run(
            [*command, *tests], cwd=ROOT, env=environment, capture_output=True, timeout=PATIENCE
        )
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(original)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    mutants = drawn(chosen.mutants, chosen.seed)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(chosen.workers) as pool:
        copies: Queue[Path] = Queue()
        for number in range(chosen.workers):
            copy = Path(folder) / str(number)
            shutil.copytree(ROOT / "src", copy / "src")
            copies.put(copy)

        def look(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                return noticed(mutant, copy)
            finally:
                copies.put(copy)

        killed = 0
        for number, (mutant, seen) in enumerate(zip(mutants, pool.map(look, mutants), strict=True)):
            killed += seen
            if not seen:
                print(f"\nnot noticed:\n{mutant.difference}")
            print(f"{number + 1} of {len(mutants)}: {killed} noticed", flush=True)
    print(f"{killed} of {len(mutants)} mutants noticed: {100 * killed / len(mutants):.0f} %")


if __name__ == "__main__":
    main()
