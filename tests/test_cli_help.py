"""Help that helps: an example for every command, completion at once, a sensible order."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from hqgan import completion
from hqgan.cli import app
from hqgan.cli_order import ORDER
from hqgan.config import known_keys, preset_names
from hqgan.data import CATALOGUE
from hqgan.pretrained import pretrained_names
from hqgan.quantum.backends import SPECS
from hqgan.quantum.devices import fake_names
from hqgan.schema import Config
from hqgan.tables import table_names

QUICK = 0.6  # seconds for `hqgan --help`
TRIES = 4  # of which the best counts: the machine may be busy


def walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(walk(get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_whose_options_exist(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help, "what does it do?"
    examples = re.findall(r"Example: (.+)", command.epilog or "")
    assert examples, f"no `Example:` in the help of {' '.join(path)}"
    for example in examples:
        words = shlex.split(example)
        assert words[: len(path) + 1] == ["hqgan", *path]
        rest = words[len(path) + 1 :]
        context = command.make_context("hqgan", rest, resilient_parsing=True)
        # Typer's own parser knows which words are options; what it does not know it leaves over.
        assert not context.args
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.split("=")[0] for word in rest if word.startswith("-")}
        assert used <= known, f"{used - known} in {example!r}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name}"


def test_commands_stand_in_the_order_of_a_newcomer() -> None:
    group = get_command(app)
    listed = group.list_commands(None)
    assert set(listed) <= set(ORDER)
    assert listed == [name for name in ORDER if name in listed]
    assert listed[0] == "demo"
    assert "hqgan demo" in group.epilog
    for line in re.findall(r"^  hqgan (.+?)(?:  |$)", group.epilog, re.MULTILINE):
        words = line.replace("PATH", "images").split()
        path = tuple(words[:2]) if words[0] in ("data", "hardware") else (words[0],)
        known = {option for parameter in COMMANDS[path].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def hqgan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hqgan.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def completed(words: str) -> list[str]:
    """What bash would offer after these words, a space at their end beginning another."""
    said = hqgan(
        _HQGAN_COMPLETE="complete_bash",
        COMP_WORDS=f"hqgan {words}",
        COMP_CWORD=str(len(words.split(" "))),
    )
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    return said.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sa", ["sample"]),
        ("train --preset twin-z", ["twin-zeros"]),
        ("train --preset dcgan", ["dcgan", "dcgan+kit"]),
        ("augment --pretrained ", pretrained_names()),
        ("train --init ham", ["ham10000-64"]),
        ("evaluate run --split ", ["val", "test"]),
        ("train --device c", ["cpu", "cuda"]),
        ("train --logger w", ["wandb"]),
        ("train --set generator.qub", ["generator.qubits="]),
        ("compare --models hybridq,pq", ["hybridq,pqwgan", "hybridq,pqwgan+kit"]),
        ("compare --executor p", ["processes"]),
        ("hardware sample --backend fa", ["fake:"]),
        ("hardware sample --backend ibm:", ["ibm:least_busy"]),
        ("reproduce ham10000-32", ["ham10000-32-twins"]),
        ("data download dermamnist-1", ["dermamnist-128"]),
        ("data pre", ["prepare"]),
    ],
)
def test_the_shell_completes(words: str, offered: list[str]) -> None:
    assert completed(words) == offered


def test_what_is_offered_is_what_there_is() -> None:
    """Completion does not import what would take seconds, and must not fall behind it."""
    assert {kind.rstrip(":") for kind in completion.BACKENDS} == {
        spec.partition(":")[0] for spec in SPECS
    }
    assert set(completion.DATA_SETS) == set(CATALOGUE)
    assert completion.presets("") == preset_names()
    assert completion.tables("") == table_names()
    keys = [key.rstrip("=") for key in completion.settings("")]
    assert set(keys) < set(known_keys(Config))
    assert {"generator.qubits", "data.balance", "loggers"} <= set(keys)
    assert "generator" not in keys
    pytest.importorskip("qiskit_ibm_runtime")
    assert completion.fake_devices() == sorted(fake_names())
    assert completion.backends("noise:fake_marr") == ["noise:fake_marrakesh"]
    assert completion.noises("aer:fake_marr") == ["aer:fake_marrakesh"]


def test_without_qiskit_no_device_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "find_spec", lambda name: None)
    assert completion.backends("noise:") == []


def test_help_and_version_come_at_once_and_import_nothing_heavy() -> None:
    program = (
        "import sys, time; began = time.perf_counter(); from hqgan.cli import app; "
        "code = app(['--help'], prog_name='hqgan', standalone_mode=False); "
        "print(time.perf_counter() - began, file=sys.stderr); "
        "heavy = {'torch', 'numpy', 'scipy', 'pydantic', 'PIL', 'qiskit', 'huggingface_hub'}; "
        "print(*(heavy & set(sys.modules)), file=sys.stderr)"
    )
    # Not while `make coverage` counts lines: counting takes as long as starting.
    unmeasured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS_")}
    command, seconds = [sys.executable, "-c", program], []
    for _ in range(TRIES):
        said = subprocess.run(command, env=unmeasured, capture_output=True, text=True, check=True)
        assert "Start with one of these" in said.stdout
        took, heavy = said.stderr.split("\n")[:2]
        assert heavy == ""
        seconds.append(float(took))
    assert min(seconds) < QUICK
    version = hqgan("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"hqgan \d+\.\d+\.\d+\n", version.stdout)
