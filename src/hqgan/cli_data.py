"""The commands `hqgan data ...`: look at a data set, prepare it, fetch a public one."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hqgan import completion
from hqgan.console import (
    command,
    counter,
    emit,
    going_to,
    interruptible,
    propose,
    say,
    stages,
)

data_app = typer.Typer(help="Look at a data set, or fetch a public one.", no_args_is_help=True)

Seed = Annotated[int, typer.Option(help="seed of everything random", min=0, max=2**31 - 1)]
DataPath = Annotated[
    str | None,
    typer.Option(
        "--data", help="folder, csv or npz of images; 'embedded' for the built-in synthetic lesions"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")]
Label = Annotated[
    str | None, typer.Option(help="csv column used as class, where there is a choice")
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        "--pretrained",
        help="a generator of the package instead, e.g. ham10000-64",
        autocompletion=completion.pretrained,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda or mps", autocompletion=completion.among("auto", "cpu", "cuda", "mps")
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        help="edge of the images: 32, 64 or 128", autocompletion=completion.among("32", "64", "128")
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="e.g. generator.qubits=8",
        autocompletion=completion.settings,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="fine-tune from this run or packaged generator", autocompletion=completion.pretrained
    ),
]

ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        help="local: one run after the other; processes: side by side in worker processes, the "
        "fastest on a CPU; ray: on a cluster. Continue with the one it was begun with",
        autocompletion=completion.among("local", "processes", "ray"),
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="of --executor processes, which share the cores (default: one a core)"),
]


def name_built_in(path: str, given: str | None) -> None:
    """Say so where nobody chose the built-in images: `path` is resolved, `given` is --data."""
    if path == "embedded" and given is None:
        say("no --data: the images are the built-in synthetic lesions")


@data_app.command("inspect", epilog="Example: hqgan data inspect images/")
def data_inspect(
    path: Annotated[str, typer.Argument(help="folder, csv or npz of images; or 'embedded'")],
    label: Label = None,
    as_json: Json = False,
) -> None:
    """Show classes, splits, sizes, damage, duplicates and leaks."""
    from hqgan.data import inspect

    with (
        interruptible("nothing was written; the same command starts again"),
        counter("looking") as progress,
    ):
        found = inspect(path, label=label, progress=progress)
    for line in found.lines():
        say(line)
    chosen = ("--label", label) if label else ()
    size = ("--size", 64, "--kimg", 250)
    say("")
    propose(command("train", "--data", path, *chosen, *size, "--out", "runs/mine"))
    if as_json:
        emit(found.to_dict())


@data_app.command(
    "prepare", epilog="Example: hqgan data prepare images/ --size 64 --out data/prepared"
)
def data_prepare(
    path: Annotated[str, typer.Argument(help="folder, csv or npz of images; or 'embedded'")],
    out: Annotated[Path, typer.Option(help="an absent or empty folder")] = Path("data/prepared"),
    size: Annotated[int, typer.Option(help="edge of the images, pixels")] = 64,
    label: Label = None,
    as_json: Json = False,
) -> None:
    """Write the images as a model sees them. OUT/<split>/<class>/*.png and a manifest."""
    from hqgan.data import prepare

    going_to(out)
    half = f"{out} holds a part of the images; delete it, and the same command starts again"
    with interruptible(half), counter("decoding") as progress:
        result = prepare(path, out, size, label=label, progress=progress)
    written = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    say(f"{written} images in {result.out}; {result.skipped} left out, listed in skipped.csv")
    if as_json:
        emit(asdict(result))


@data_app.command("download", epilog="Example: hqgan data download ham10000 --out data/ham10000")
def data_download(
    name: Annotated[
        str,
        typer.Argument(
            help="ham10000, dermamnist, dermamnist-64 ...",
            autocompletion=completion.among(*completion.DATA_SETS),
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="folder (default: data/NAME)")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept the licence printed")] = False,
    mirror: Annotated[
        str | None, typer.Option(help="fetch the files from this address instead")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a public data set. Prints its licence and asks; an interrupted download continues."""
    from hqgan.data import download

    def ask(terms: str) -> bool:
        say(terms)
        return yes or (sys.stdin.isatty() and typer.confirm("Do you accept these terms?", err=True))

    place = out or Path("data") / name
    going_to(place)
    kept = f"what was fetched is kept in {place}, and the same command continues"
    with interruptible(kept), stages() as progress:
        target = download(name, place, ask=ask, base_url=mirror, progress=progress)
    propose(command("data", "inspect", target))
    if as_json:
        emit({"path": str(target)})
