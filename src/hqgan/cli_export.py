"""The command `hqgan export`: a generator for other runtimes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hqgan.cli_data import Json, Pretrained
from hqgan.console import NOTHING_WRITTEN, counter, emit, going_to, interruptible, say


def export(
    run: Annotated[Path | None, typer.Argument(help="run folder or snapshot")] = None,
    pretrained: Pretrained = None,
    out: Annotated[Path, typer.Option(help="a new folder")] = Path("export"),
    opset: Annotated[int | None, typer.Option(help="version of ONNX's operators")] = None,
    as_json: Json = False,
) -> None:
    """Write ONNX files, and the circuits in OpenQASM 3 and JSON. Runs without torch.

    Checks that ONNX Runtime makes the same images, and keeps nothing where it does not.
    """
    from hqgan.pretrained import chosen
    from hqgan.workflows.exporting import OPSET
    from hqgan.workflows.exporting import export as run_export

    source = chosen(run, pretrained)
    going_to(out)
    with interruptible(NOTHING_WRITTEN), counter("exporting") as progress:
        made = run_export(source, out, opset=OPSET if opset is None else opset, progress=progress)
    for line in made.check.lines():
        say(line)
    say(f"{len(made.files)} files in {out}; how to run them: {out / 'README.md'}")
    if as_json:
        emit(asdict(made))
