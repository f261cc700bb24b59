"""The command `hqgan app`: the web page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hqgan.cli_data import Label, Pretrained
from hqgan.console import say
from hqgan.errors import UsageError
from hqgan.writing import make_writable, writing

DEFAULT = "ham10000-64"
AUTH = "HQGAN_APP_AUTH"


def app(
    run: Annotated[
        Path | None, typer.Argument(help="run folder or snapshot (default: the packaged generator)")
    ] = None,
    pretrained: Pretrained = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="its training images, for the nearest of them (default: where the run found them, "
            "or HQGAN_DATA)"
        ),
    ] = None,
    label: Label = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; 127.0.0.1 is this machine alone")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD",
            help=f"an account; others on this machine can read it, so prefer --auth-file or {AUTH}",
        ),
    ] = None,
    auth_file: Annotated[
        Path | None, typer.Option(help="accounts, one USER:PASSWORD a line")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="keep what is trained on the page here (default: gone with the page)"),
    ] = None,
    max_upload_mb: Annotated[
        float, typer.Option(help="of an uploaded zip; it may unpack to four times as much")
    ] = 50.0,
) -> None:
    """Open a page in the browser. Make images, look into the circuits, train on own images."""
    from hqgan.app import Settings, serve
    from hqgan.app.limits import UploadLimits
    from hqgan.pretrained import chosen

    if run is None and pretrained is None:
        pretrained = DEFAULT
    if not 0.1 <= max_upload_mb <= 10_000:
        raise UsageError(f"--max-upload-mb is {max_upload_mb:g}, but must lie from 0.1 to 10000")
    source = chosen(run, pretrained)
    if runs is not None:  # now rather than at a visitor's training
        with writing(f"to --runs {runs}", "choose another folder"):
            make_writable(runs)
    settings = Settings(
        run=source,
        name=pretrained or source.resolve().name,
        data=data,
        label=label,
        host=host,
        port=port,
        accounts=accounts(auth, auth_file, os.environ.get(AUTH)),
        runs=runs,
        uploads=UploadLimits.of_megabytes(max_upload_mb),
    )
    serve(settings, say)


def accounts(auth: str | None, file: Path | None, environment: str | None) -> dict[str, str]:
    """User to password, from all places together.

    Raises:
        UsageError: a file that cannot be read, or a line that is no USER:PASSWORD; the line itself
            is not repeated.
    """
    # An empty one is refused, not skipped: an unset variable must not open the page to everybody.
    given = [("--auth", auth), (AUTH, environment)]
    lines = [(place, line) for place, line in given if line is not None]
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise UsageError(f"--auth-file {file} cannot be read as text") from error
        if not text.strip():
            raise UsageError(f"--auth-file {file} is empty; expected one USER:PASSWORD a line")
        named = [(f"--auth-file, line {n}", line) for n, line in enumerate(text.splitlines(), 1)]
        lines += [(place, line) for place, line in named if line.strip()]
    found: dict[str, str] = {}
    for place, line in lines:
        user, colon, password = line.strip().partition(":")
        if not (user and colon and password):
            raise UsageError(f"{place} must be USER:PASSWORD, neither of them empty")
        found[user] = password
    return found
