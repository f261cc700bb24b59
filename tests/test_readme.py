"""What README, docs and the notebook show works: Python runs, commands and links exist."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import typer
import yaml

from hqgan.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
NOTEBOOK = ROOT / "notebooks" / "hqgan.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
NOT_RUN = "# not run: "  # the first line of an example, before the reason
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
MADE = ("reference", "notebook")  # below docs, by `make docs`, which checks the links to them


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [dedent(text) for _, name, text in found if name == language]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def source(cell: dict[str, object]) -> str:
    written = cell["source"]
    return written if isinstance(written, str) else "".join(written)  # type: ignore[arg-type]


EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_run(
    code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)  # examples measure with the small network
    if code.startswith(NOT_RUN):
        assert len(code.splitlines()[0]) > len(NOT_RUN) + 5, "say why"
    else:
        exec(compile(code, "example", "exec"), {"__name__": "example"})


def test_there_are_examples() -> None:
    run = [one for one in EXAMPLES if not str(one.values[0]).startswith(NOT_RUN)]
    assert len(run) >= 8
    assert len([one for one in run if str(one.id).startswith("README")]) >= 3


# ---- commands ----


def commands() -> Iterator[tuple[str, str]]:
    """Each `hqgan ...` that a page shows, with the page's name."""
    for page in PAGES:
        lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
        for text in (*lines, *re.findall(r"`([^`]+)`", prose(page).replace("\n", " "))):
            yield from ((page.name, found) for found in in_line(text))
    for cell in CELLS:
        lines = re.findall(r"^!(.*)$|`(hqgan [^`]*)`", source(cell), re.MULTILINE)
        for text in ("".join(pair) for pair in lines):
            yield from ((NOTEBOOK.name, found) for found in in_line(text))


def in_line(text: str) -> Iterator[str]:
    if found := re.search(r"(?:^|\s|;)(?:hqgan|-m hqgan\.cli) ([a-z].*)", text):
        yield re.split(r"\s#\s|\s[|>]|2>", found[1])[0].strip()


SHOWN = sorted(set(commands()))


@pytest.mark.parametrize(("page", "shown"), SHOWN)
def test_every_command_and_option_shown_exists(page: str, shown: str) -> None:
    words = shlex.split(shown.replace("…", "").replace("...", ""))
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            # `hqgan data (inspect, download)` in prose, or the group itself
            assert not words, f"{page}: no command {shown!r}"
            assert command.name in ("data", "hardware"), f"{page}: no command {shown!r}"
            return
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    known |= {name for parameter in command.params for name in parameter.secondary_opts}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known | {"--help"}, page


def test_commands_are_found() -> None:
    assert len(SHOWN) >= 40
    assert {NOTEBOOK.name, README.name} <= {page for page, _ in SHOWN}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join([*blocks(page, "sh"), *re.findall(r"`(make [^`]*)`", prose(page))])
    assert set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE)) <= targets


# ---- links ----


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and Python-Markdown agree on it for plain headings."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def anchors(page: Path) -> set[str]:
    return {slug(h) for h in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)}


def nav(entries: object) -> Iterator[str]:
    """The files of mkdocs.yml's navigation."""
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, list | dict):
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from nav(entry)


NAV = list(nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path) if path else page
        within = target.resolve().relative_to(ROOT)
        if within.parts[0] == "docs" and within.parts[1] in MADE and page != README:
            assert "/".join(within.parts[1:]) in NAV, link
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_navigation_has_every_page_and_no_other() -> None:
    written = {page.name for page in PAGES if page != README}
    assert {file for file in NAV if file.split("/")[0] not in MADE} == written
    assert len(NAV) == len(set(NAV))


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 220


def test_the_notebook_is_kept_without_outputs() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
