"""The command that writes one page of whatever a folder holds: `hqgan report`."""

from pathlib import Path
from typing import Annotated

import typer

from hqgan.cli_data import DataPath, Json, Label, Pretrained, Seed
from hqgan.console import emit, say, stages


def report(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="run folder or snapshot, or a folder of compare, study, probe or hardware"
        ),
    ] = None,
    pretrained: Pretrained = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the page (default: PATH/report.html, or ./NAME-report.html)"),
    ] = None,
    data: DataPath = None,
    label: Label = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write one HTML page of all that is known. It needs no network and can be sent as it is."""
    from hqgan.pretrained import chosen
    from hqgan.report import report as write_report

    source = chosen(path, pretrained)
    with stages() as progress:
        made = write_report(source, out, data=data, label=label, seed=seed, progress=progress)
    size = made.file.stat().st_size
    say(f"page: {made.file} ({made.kind}, {size / 1e6:.1f} MB)")
    if as_json:
        emit({"report": str(made.file), "kind": made.kind, "bytes": size})
