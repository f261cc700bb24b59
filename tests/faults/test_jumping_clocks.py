"""The clock of the wall goes back and forth by hours at every look at it, in every library."""

import re
import shutil
from collections import Counter

import pytest

from faults.amounts import EVERY
from faults.canonical import contents
from faults.commands import Command, Place, augmentation, comparison, study, training
from faults.crashing import Server
from faults.kept_runtime import arrived
from faults.paid import hardware_order

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

JUMP = "import ctypes\nctypes.CDLL(None).jump_from_now()"
PATIENCE = 300  # seconds; who waited for the wall would wait for hours


@pytest.mark.parametrize(
    "command", [training, augmentation, comparison, study], ids=lambda one: one.__name__
)
def test_no_result_and_no_time_depends_on_the_clock_of_the_wall(
    command: Command, place: Place, preloaded: Server, figures: Counter[str]
) -> None:
    folder = place.folder / f"clock-{command.__name__}"
    arguments = command(place, folder / "out")
    preloaded.finish(arguments, folder)
    expected = contents(folder)
    shutil.rmtree(folder)
    answer = preloaded.finish(arguments, folder, before=[JUMP])
    assert contents(folder) == expected
    assert " h left" not in answer.log
    # Times below nothing; names such as hybridq-seed0 stand in the same lines.
    assert not [line for line in answer.log.splitlines() if re.search(r" -\d.* left", line)]
    figures["jumping clocks: the same result"] += 1


def test_a_paid_job_is_sent_once_whatever_the_clock_says(
    place: Place, preloaded: Server, figures: Counter[str]
) -> None:
    """A sender is killed before it knows of its job; by the next one's clock that is hours ago."""
    pytest.importorskip("qiskit_ibm_runtime")
    folder = place.folder / "clock-hardware"
    service, out = folder / "service", folder / "out"
    order, more = hardware_order(place, service, out)
    jumping = {**more, "before": [*more["before"], JUMP]}
    answer = preloaded.finish(order, out, **more)
    expected = contents(out)
    killed = 0
    for operation in range(1, answer.operations + 1, EVERY):
        shutil.rmtree(folder)
        died = preloaded.run(order, out, **jumping, operation=operation)
        killed += died.status < 0
        again = preloaded.finish(order, out, **jumping, seconds=PATIENCE)
        assert contents(out) == expected
        assert len(arrived(service)) == 1, again.log
    assert killed
    figures["jumping clocks while a paid job is sent: one job, the same result"] += killed
