"""What the kernel chooses by the size of its work: lanes, threads, and memory that is kept."""

import pytest

from hqgan.quantum.kernel import op
from hqgan.quantum.kernel.plan import NARROW, NARROWEST, WIDE


@pytest.mark.parametrize(
    ("samples", "qubits", "lanes"),
    [
        (8, 12, NARROW),
        (9, 12, WIDE),
        (16, 13, NARROW),
        (17, 13, WIDE),
        (4, 16, NARROW),
        (4, 17, NARROWEST),
        (5, 17, NARROW),
    ],
)
def test_few_samples_take_few_lanes_and_the_fewer_the_more_qubits(
    samples: int, qubits: int, lanes: int
) -> None:
    """Where the measured times cross: lanes without a sample in them are work for nothing."""
    assert op.lanes_for(samples, qubits) == lanes
