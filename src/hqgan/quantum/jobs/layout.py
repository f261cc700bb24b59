"""Where circuits go on a device: as many disjoint lines of coupled qubits as fit.

One circuit takes the best line (`hqgan.quantum.devices`). Many side by side are a packing, and the
best line first leaves holes that no other fits into. So of all lines the one is taken that stands
in the way of the fewest others, and so on; on a device of 156 qubits that finds 14 or 15 lines of
eight where the best first finds 12, and 16 would fit if no coupling were broken.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from hqgan.errors import UsageError
from hqgan.quantum.devices import calibration, cost, lines

BROKEN = 0.1
"""Error of a two-qubit gate from which on a coupling is not used; 1 is reported for dead ones."""

UNREADABLE = 0.3
"""The same of a qubit's read-out; 0.5 says nothing."""

MOST_LINES = 20_000
"""Lines that are looked at; where there are more, the best go first."""


def layout_of(backend: Any, qubits: int, items: int, *, pack: bool) -> tuple[tuple[int, ...], ...]:
    """Lines for `items` evaluations of a circuit, the best first.

    Without `pack` one line; with it no more than the number of rows needs: ten items take five
    lines and two rows where seven lines fit.

    Raises:
        UsageError: the device has no line that long.
    """
    most = min(items if pack else 1, backend.num_qubits // qubits)
    target = backend.target
    if target.build_coupling_map() is None:  # any two qubits
        found = [tuple(range(k * qubits, (k + 1) * qubits)) for k in range(most)]
    elif most > 1:
        found = packed(target, qubits, most)
    else:
        found = lines(target, qubits, most) if most else []
    if not found:
        raise UsageError(
            f"the circuit needs a line of {qubits} coupled qubits, and {backend.name}, of "
            f"{backend.num_qubits} qubits, has none; take a larger device"
        )
    rows = -(-items // len(found))
    return tuple(found[: -(-items // rows)])


def packed(target: Any, qubits: int, most: int) -> list[tuple[int, ...]]:
    """Up to `most` disjoint lines without broken couplings and unreadable qubits, best first.

    Greedy: each step takes the line whose qubits the fewest other lines want, and of equal ones
    that with the fewest errors.
    """
    pairs, own = calibration(target)
    readable = {qubit for qubit, error in own.items() if error < UNREADABLE}
    neighbours: dict[int, list[int]] = {qubit: [] for qubit in sorted(readable)}
    for (a, b), error in pairs.items():
        if error < BROKEN and {a, b} <= readable:
            neighbours[a].append(b)
    candidates = list(islice(_paths(neighbours, qubits), MOST_LINES))
    if len(candidates) in (0, MOST_LINES):
        return lines(target, qubits, most)
    holds = np.zeros((len(candidates), target.num_qubits), dtype=np.float32)
    for number, path in enumerate(candidates):
        holds[number, list(path)] = 1
    costs = np.array([cost(path, pairs, own) for path in candidates])
    free = np.ones(len(candidates), dtype=bool)
    taken: list[int] = []
    while free.any():
        wanted = np.log1p(holds[free].sum(0))
        score = np.where(free, holds @ wanted + costs, np.inf)
        best = int(score.argmin())
        taken.append(best)
        free &= holds[:, list(candidates[best])].sum(1) == 0
    return [candidates[number] for number in sorted(taken, key=lambda n: costs[n])[:most]]


def _paths(neighbours: dict[int, list[int]], qubits: int) -> Iterator[tuple[int, ...]]:
    """Every line of so many qubits, once."""
    for start in neighbours:
        open_ends: list[tuple[int, ...]] = [(start,)]
        while open_ends:
            path = open_ends.pop()
            if len(path) == qubits:
                if path[0] <= path[-1]:
                    yield path
                continue
            open_ends += [(*path, new) for new in neighbours[path[-1]] if new not in path]
