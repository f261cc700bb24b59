"""Two processes on one folder: one works, the other is refused in a sentence, at any moment."""

import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.canonical import contents
from faults.commands import Command, Place, augmentation, comparison, study, training
from faults.crashing import Answer, Server
from faults.kept_runtime import arrived
from faults.paid import hardware_order

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

REFUSALS = 3  # that are wanted of each command
ATTEMPTS = 30  # in which they must have come
REFUSED = "another process is"


@pytest.fixture(scope="module")
def rival(place: Place) -> Iterator[Server]:
    running = Server(place.folder, {"HQGAN_INCEPTION": ""})
    yield running
    running.close()


def at_once(
    servers: tuple[Server, Server], arguments: list[str], out: Path, later: float, **more: object
) -> list[Answer]:
    """What becomes of two equal commands, of which the second begins `later` seconds."""
    answers: list[Answer] = []

    def first() -> None:
        answers.append(servers[0].run(arguments, out, **more))

    thread = threading.Thread(target=first)
    thread.start()
    thread.join(later)
    answers.append(servers[1].run(arguments, out, **more))
    thread.join()
    return answers


def refusals(answers: list[Answer]) -> int:
    """How many were refused; AssertionError unless all others succeeded, one at least."""
    refused = [answer for answer in answers if answer.status]
    for answer in refused:
        assert answer.status == 1, answer.log
        assert "Traceback" not in answer.log, answer.log
        assert REFUSED in answer.log, answer.log
    assert len(refused) < len(answers), answers
    return len(refused)


@pytest.mark.parametrize(
    "command", [training, augmentation, comparison, study], ids=lambda one: one.__name__
)
def test_of_two_equal_commands_one_works_and_the_other_is_told_so(
    command: Command, place: Place, server: Server, rival: Server, figures: Counter[str]
) -> None:
    folder = place.folder / f"twice-{command.__name__}"
    arguments = command(place, folder / "out")
    server.finish(arguments, folder)
    shutil.rmtree(folder)
    alone = server.finish(arguments, folder)
    expected = contents(folder)
    rng, refused = random.Random(command.__name__), 0
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder)
        later = rng.uniform(0, alone.seconds)
        refused += refusals(at_once((server, rival), arguments, folder, later))
        assert contents(folder) == expected
        if refused >= REFUSALS:
            break
    assert refused >= REFUSALS
    figures["two processes on one folder: one is refused, the other's result is whole"] += refused


def test_of_two_senders_of_a_paid_job_one_sends_it(
    place: Place, server: Server, rival: Server, figures: Counter[str]
) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    folder = place.folder / "twice-hardware"
    service, out = folder / "service", folder / "out"
    order, more = hardware_order(place, service, out)
    server.finish(order, out, **more)
    expected = contents(out)
    shutil.rmtree(folder)
    alone = server.finish(order, out, **more)
    rng, refused = random.Random(0), 0
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder)
        later = rng.uniform(0, alone.seconds)
        refused += refusals(at_once((server, rival), order, out, later, **more))
        assert contents(out) == expected
        assert len(arrived(service)) == 1
        if refused >= REFUSALS:
            break
    assert refused >= REFUSALS
    figures["two senders of one paid job: sent once, the other is refused"] += refused
