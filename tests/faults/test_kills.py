"""A command that was killed, however often and wherever, ends as one that never was.

`KILLS` in the environment says how many kills there are over all commands: 500 by `make faults`, a
few in the check of every commit.
"""

import random
import shutil
from collections import Counter

import pytest

from faults.amounts import KILLS
from faults.canonical import contents
from faults.commands import Command, Place, augmentation, comparison, study, training
from faults.crashing import DEATHS, Server, crashes, survive
from faults.kept_runtime import arrived
from faults.paid import SERVICE, hardware_order

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SHARES = {training: 0.3, augmentation: 0.15, comparison: 0.2, study: 0.2}  # of all kills


@pytest.mark.parametrize("command", SHARES, ids=lambda one: one.__name__)
def test_a_killed_command_ends_as_if_it_had_not_been(
    command: Command, place: Place, server: Server, figures: Counter[str]
) -> None:
    folder = place.folder / command.__name__  # always the same: some files say where they are
    arguments = command(place, folder / "out")
    server.finish(arguments, folder)
    shutil.rmtree(folder)
    answer = server.finish(arguments, folder)  # nothing to compile any more
    largest = max(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    expected = contents(folder)
    kinds = crashes(random.Random(command.__name__), answer.seconds, answer.operations, largest)
    kills = 0
    while kills < KILLS * SHARES[command]:
        shutil.rmtree(folder)
        kills += survive(server, arguments, folder, kinds)
        assert contents(folder) == expected
    figures[f"kills of {command.__name__}: the same result as without"] += kills


def test_a_paid_job_is_sent_once_however_often_its_sender_dies(
    place: Place, server: Server, figures: Counter[str]
) -> None:
    """`hardware sample --yes`, killed, and `hardware collect`, killed, by turns."""
    pytest.importorskip("qiskit_ibm_runtime")
    folder = place.folder / "hardware"
    service = folder / "service"
    out = folder / "out"
    order, more = hardware_order(place, service, out)
    answer = server.run(order, out, **more)
    assert answer.status == 0, answer.log
    expected = contents(out)
    assert len(arrived(service)) == 1
    kinds = crashes(random.Random(3), answer.seconds, answer.operations, 100_000)
    kills, after_it_was_sent = 0, 0
    while kills < KILLS * 0.15 or not after_it_was_sent:
        shutil.rmtree(folder)
        folder.mkdir()
        while True:
            crash = next(kinds)
            command = order
            if (out / "jobs.jsonl").is_file() and kills % 2:
                command = ["hardware", "collect", str(out), "--backend", SERVICE]
            answer = server.run(command, out, **more, **crash)
            if answer.status >= 0:
                break
            assert answer.status in DEATHS, answer.log
            kills += 1
            after_it_was_sent += bool(arrived(service))
        if answer.status:
            assert "never sent" in answer.log, answer.log  # collect sends nothing itself
            answer = server.run(order, out, **more)
            assert answer.status == 0, answer.log
        assert contents(out) == expected
        assert len(arrived(service)) == 1
        assert '"done"' in (out / "jobs.jsonl").read_text().splitlines()[-1]
    figures["kills of hardware sample and collect: one job, the same result"] += kills
    figures["  of them after the job was sent, and before its values were kept"] += (
        after_it_was_sent
    )
