"""Writes the pages of the documentation that the code itself knows best: docs/reference.

Usage: python .ci/pages.py     (what `make docs` runs first)

Commands and options from the command line's own tables, the Python reference from the public names
of each package (mkdocstrings then reads the docstrings), circuits from the named choices and the
presets (gallery.py), and files of the repository that stand outside of docs.
"""

import re
import runpy
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import nbformat
import typer

from hqgan.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUT = DOCS / "reference"
PACKAGES = ("", "quantum", "models", "data", "training", "evaluation", "workflows", "report")
SUBPACKAGES = {  # public modules whose names are not in the package's own list
    "quantum": ("backends", "devices", "interop"),
    "report": ("circuit_figure",),
}
WORDS = {Path: "path", str: "text", int: "whole number", float: "number"}  # an option takes
FILES = {  # where each goes, and its title where it has none
    "CHANGELOG.md": "changelog.md",
    "LOG.md": "lab-notes.md",
    "benchmarks/RESULTS.md": "speed.md",
}


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "api").mkdir(parents=True)
    (OUT / "commands.md").write_text("\n".join(commands()), encoding="utf-8")
    for name in PACKAGES:
        (OUT / "api" / f"{name or 'hqgan'}.md").write_text("\n".join(api(name)), encoding="utf-8")
    for source, target in FILES.items():
        (OUT / target).write_text(moved(ROOT / source), encoding="utf-8")
    script("gallery.py")["main"](OUT)
    if not (DOCS / "notebook" / "index.md").exists():  # nobody has run it: without its pictures
        book = nbformat.read(ROOT / "notebooks" / "hqgan.ipynb", as_version=4)
        script("notebook.py")["write"](book, DOCS / "notebook")


def script(name: str) -> dict[str, Any]:
    """The names of a script beside this one."""
    return runpy.run_path(str(Path(__file__).with_name(name)))


# ---- the command line ----


def commands() -> Iterator[str]:
    """A section a command: what it does, an example, its arguments and options."""
    group: Any = typer.main.get_command(app)
    yield "# Commands\n"
    yield f"{paragraphs(group.help)}\n"
    yield (
        "Text for people goes to stderr; with `--json`, one JSON object goes to stdout. Exit "
        "codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted with the state saved. This page "
        "is made of the same tables as `hqgan COMMAND --help`.\n"
    )
    found = list(walk(group, "hqgan"))
    yield "| command | |\n| --- | --- |"
    for name, command in found:
        first = paragraphs(command.help).split(". ")[0].removesuffix(".")
        yield f"| [`{name}`](#{name.replace(' ', '-')}) | {first} |"
    for name, command in found:
        yield from section(name, command)


def walk(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name, in the order of the help page."""
    for verb in group.list_commands(None):
        command = group.commands[verb]
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from walk(command, f"{name} {verb}")
        else:
            yield f"{name} {verb}", command


def section(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    yield f"\n## {name}\n\n{paragraphs(command.help)}\n"
    usage = [name, *(written(p) for p in arguments), "[OPTIONS]" if options else ""]
    yield "```text\n" + " ".join(filter(None, usage)) + "\n```\n"
    if command.epilog:
        yield from examples(command.epilog)
    if arguments:
        yield "| argument | what it is |\n| --- | --- |"
        yield from (f"| `{written(p)}` | {cell(getattr(p, 'help', None))} |" for p in arguments)
        yield ""
    yield "| option | takes | what it does |\n| --- | --- | --- |"
    for option in options:
        names = ", ".join(f"`{n}`" for n in [*option.opts, *option.secondary_opts])
        yield f"| {names} | {takes(option)} | {cell(option.help)}{default(option)} |"


def examples(epilog: str) -> Iterator[str]:
    """The commands of an epilog as a block to copy; text that is no command stays text."""
    lines = [line.strip() for line in re.sub(r"\bExamples?: ?", "\n", epilog).splitlines()]
    shown = [line for line in lines if line.startswith("hqgan ")]
    yield from (line for line in lines if line and line not in shown)
    if shown:
        yield "```sh\n" + "\n".join(shown) + "\n```\n"


def written(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name.strip('[]')}]"


def takes(option: Any) -> str:
    """What stands behind an option: its own word for it, or the type."""
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    kinds = [kind for kind in (*get_args(annotation), annotation) if kind in WORDS]
    word = option.metavar or (WORDS[kinds[0]] if kinds else "text")
    return f"`{word}`" + (", repeatable" if option.multiple else "")


def default(option: Any) -> str:
    value = option.default
    shown = value is not None and not callable(value) and not isinstance(value, bool)
    empty = not shown or value in ("", ()) or "Sentinel" in type(value).__name__
    return "" if empty else f" (default: `{value}`)"


def cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def paragraphs(text: str | None) -> str:
    """A help text as Markdown: click's marker of kept line breaks removed."""
    return re.sub(r"\b\n(?!\n)", " ", (text or "").replace("\b", "").strip())


# ---- Python ----


def api(package: str) -> Iterator[str]:
    """The public names of one package, each a directive that mkdocstrings fills."""
    dotted = f"hqgan.{package}".rstrip(".")
    module = import_module(dotted)
    yield f"# {dotted}\n\n{(module.__doc__ or '').strip()}\n"
    yield from directives(module, dotted)
    for name in SUBPACKAGES.get(package, ()):
        try:
            inner = import_module(f"{dotted}.{name}")
        except ModuleNotFoundError:
            continue
        yield f"\n## {dotted}.{name}\n\n{(inner.__doc__ or '').strip()}\n"
        yield from directives(inner, f"{dotted}.{name}", level=3)


def directives(module: ModuleType, dotted: str, level: int = 2) -> Iterator[str]:
    for name in public_names(module):
        thing = getattr(module, name)
        if isinstance(thing, ModuleType):
            continue
        home = getattr(thing, "__module__", None)
        if not (isinstance(thing, type) or callable(thing)) or not str(home).startswith("hqgan"):
            home = constant_home(module, name)
        yield f"::: {home or dotted}.{name}\n    options:\n      heading_level: {level}\n"


def public_names(module: ModuleType) -> list[str]:
    """`__all__`, or what the source imports as itself (`import A as A`) or defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    again = re.findall(r"(?:import|^ {4})\s*(\w+) as \1\b", source, re.MULTILINE)
    own = [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]
    return [*dict.fromkeys([*again, *own])]


def constant_home(module: ModuleType, name: str) -> str | None:
    """The module that a re-exported constant comes from, by the import that names it."""
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    found = re.search(rf"from (hqgan[\w.]*) import [^()\n]*\b{name}\b", source)
    return found[1] if found else None


# ---- files of the repository ----


def moved(file: Path) -> str:
    """A Markdown file with its links as they are from docs/reference.

    Links into docs are kept, links to other files of the repository become their names: the site
    does not hold them.
    """

    def target(found: re.Match[str]) -> str:
        mark, text, link = found["mark"], found["text"], found["link"]
        if "://" in link or link.startswith("#"):
            return found[0]
        path = (file.parent / link.partition("#")[0]).resolve().relative_to(ROOT)
        known = {str(Path(source)): name for source, name in FILES.items()}
        if str(path) in known:
            return f"[{text}]({known[str(path)]})"
        if path.parts[0] == "docs":
            return f"{mark}[{text}](../{'/'.join(path.parts[1:])})"
        if mark:  # a picture elsewhere in the repository
            shutil.copy(ROOT / path, OUT / path.name)
            return f"![{text}]({path.name})"
        return f"`{path}`"

    pattern = r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<link>[^)]+)\)"
    return re.sub(pattern, target, file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
