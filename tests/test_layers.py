"""The shape of the package: who may import whom, what may be imported, how long a file may be."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "hqgan"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400

# cli -> app, report -> workflows -> training | evaluation -> models | data -> quantum -> torch.
# A room imports itself and rooms on lower floors, never one beside it. config stands above models
# and data, which take plain numbers; errors stands on the ground and is open to all.
FLOORS = {
    "errors": 0,
    "presets": 0,  # YAML files, no code
    "pretrained": 1,  # weights by name, no model
    "quantum": 1,
    "models": 2,
    "data": 2,
    "schema": 2,  # the keys of a configuration
    "config": 3,
    "training": 4,
    "evaluation": 4,
    "protocol": 5,  # of a study, which names what evaluation measures
    "tables": 5,  # named ones, of YAML files
    "workflows": 6,
    "report": 7,
    "app": 8,  # shows what report draws
    "doctor": 7,
    "console": 7,  # how commands print
    "api": 8,  # for notebooks and programs
    "completion": 7,
    "durations": 0,
    "writing": 1,
    "reading": 0,
    "fetching": 1,
    "foreign": 0,  # words of others, for whoever shows them
    "cli_data": 8,
    "cli_compare": 9,
    "cli_hardware": 10,
    "cli_app": 9,
    "cli_report": 9,
    "cli_export": 9,
    "cli_sample": 9,
    "cli_study": 10,
    "cli_order": 7,
    "cli": 11,
    "__main__": 12,
    "__init__": 12,
}
READS_CONFIGURATIONS = {"config", "schema"}  # and names what is in the package, nothing else

# The quantum layer could be published alone.
QUANTUM_NEEDS = {"torch", "numpy", "numba", "llvmlite"}  # llvmlite comes with numba

# Where a distribution's import name is not its own name.
IMPORT_NAMES = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "lightning-fabric": "lightning_fabric",
    "scikit-learn": "sklearn",
}


class Import(NamedTuple):
    """A module's absolute dotted name, the line, and whether importing the file executes it."""

    module: str
    line: int
    at_import: bool


def imports(file: Path) -> Iterator[Import]:
    """Every import of a file, inside functions too, relative ones made absolute."""
    package = ("hqgan", *file.relative_to(PACKAGE).parent.parts)

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, at_import)
            elif isinstance(child, ast.ImportFrom):
                stem = package[: len(package) - child.level + 1] if child.level else ()
                base = ".".join([*stem, *([child.module] if child.module else [])])
                for alias in child.names:
                    # `from hqgan import data` names a room, `from hqgan.data import X` does not.
                    module = f"{base}.{alias.name}" if base == "hqgan" else base
                    yield Import(module, child.lineno, at_import)
            elif isinstance(child, ast.Attribute) and ast.unparse(child.value) == "hqgan":
                # After a plain `import hqgan` it is the attribute that says which room is meant.
                yield Import(f"hqgan.{child.attr}", child.lineno, at_import)
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, at_import and not deferred and not typing_only)

    return walk(ast.parse(file.read_text(encoding="utf-8")), True)


def room(file: Path) -> str:
    parts = file.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def own_rooms(file: Path) -> Iterator[tuple[str, int]]:
    """The rooms of hqgan that a file imports, with the line; the version belongs to no room."""
    for found in imports(file):
        top, _, inside = found.module.partition(".")
        if top == "hqgan" and inside not in {"", "__version__"}:
            there = inside.split(".")[0]
            yield (
                there if there in FLOORS else "__init__",
                found.line,
            )  # public names live in __init__


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def test_every_file_stands_in_a_known_room() -> None:
    unknown = {room(file) for file in FILES} - set(FLOORS)
    assert not unknown, f"give these a floor in FLOORS, or a better home: {sorted(unknown)}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_go_down(file: Path) -> None:
    here = room(file)
    for there, line in own_rooms(file):
        allowed = there == here or FLOORS[there] < FLOORS[here]
        if here in READS_CONFIGURATIONS:
            allowed = there in {here, "errors", "pretrained", "schema"}
        assert allowed, f"{name(file)}:{line}: {here} must not import {there}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_importing_hqgan_needs_only_its_core_dependencies(file: Path) -> None:
    """Optional packages, torchvision and PennyLane among them, are imported inside functions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [requirement.split(">")[0] for requirement in project["dependencies"]]
    core = {IMPORT_NAMES.get(n, n) for n in names} | set(sys.stdlib_module_names) | {"hqgan"}
    for found in imports(file):
        top = found.module.split(".")[0]
        assert top in core or not found.at_import, f"{name(file)}:{found.line}: import of {top}"


@pytest.mark.parametrize("file", [f for f in FILES if room(f) == "quantum"], ids=name)
def test_the_quantum_layer_needs_only_torch_numpy_and_numba(file: Path) -> None:
    allowed = QUANTUM_NEEDS | set(sys.stdlib_module_names) | {"hqgan"}
    for found in imports(file):
        top = found.module.split(".")[0]
        assert top in allowed or not found.at_import, f"{name(file)}:{found.line}: import of {top}"


def test_no_file_is_a_drawer_for_everything() -> None:
    assert not [name(f) for f in FILES if f.stem in {"utils", "helpers", "misc", "common"}]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_file_holds_two_things(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name(file)} has {lines} lines: which two things is it?"
