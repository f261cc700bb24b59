"""Lines side by side: disjoint, coupled, on nothing broken, and more than the best first finds."""

from itertools import pairwise

import pytest

from hqgan.quantum.devices import calibration, fake_device, lines
from hqgan.quantum.jobs.layout import BROKEN, UNREADABLE, layout_of, packed

pytest.importorskip("qiskit_ibm_runtime")


@pytest.mark.parametrize("device", ["marrakesh", "torino", "lagos"])
@pytest.mark.parametrize("qubits", [1, 2, 5, 8])
def test_lines_are_disjoint_coupled_and_work(device: str, qubits: int) -> None:
    target = fake_device(device).target
    found = packed(target, qubits, 1000)
    taken = [qubit for line in found for qubit in line]
    assert len(taken) == len(set(taken))
    pairs, own = calibration(target)

    def works(line: tuple[int, ...]) -> bool:
        coupled = all(pairs[pair] < BROKEN for pair in pairwise(line))
        return coupled and all(own[qubit] < UNREADABLE for qubit in line)

    assert all(len(line) == qubits for line in found)
    assert all(works(line) for line in found)
    assert len(found) >= sum(works(line) for line in lines(target, qubits, 1000))


@pytest.mark.parametrize(("device", "least"), [("marrakesh", 14), ("fez", 15), ("boston", 15)])
def test_nearly_sixteen_circuits_of_eight_qubits_fit_on_156(device: str, least: int) -> None:
    assert len(packed(fake_device(device).target, 8, 16)) >= least


def test_without_packing_the_best_line_is_taken() -> None:
    backend = fake_device("marrakesh")
    assert list(layout_of(backend, 4, 100, pack=False)) == lines(backend.target, 4, 1)
