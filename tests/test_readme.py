"""What the README shows works: its Python runs, and every command and file it names exists."""

import re
from pathlib import Path

import pytest
import typer

from hqgan.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(
    re.findall(r"```sh\n(.*?)```", README, re.DOTALL) + re.findall(r"`(hqgan .*?)`", README)
)
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_every_command_exists() -> None:
    group = typer.main.get_command(app)
    for verb, noun in re.findall(r"\bhqgan ([a-z]+)(?: ([a-z]+))?", SHELL):
        command = group.commands[verb]  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            assert noun in command.commands


def test_every_option_shown_exists() -> None:
    group = typer.main.get_command(app)
    for verb, noun, rest in re.findall(r"^hqgan ([a-z]+)( [a-z]+)?([^#\n]*)", SHELL, re.MULTILINE):
        command = group.commands[verb]  # type: ignore[attr-defined]
        command = getattr(command, "commands", {}).get(noun.strip(), command)
        known = {name for parameter in command.params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_every_file_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
