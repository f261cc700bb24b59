"""Runs a notebook as its readers do, from top to bottom, and keeps what it showed for the site.

Usage: python .ci/notebook.py NOTEBOOK.ipynb     (what `make notebook` runs)

Fails on a cell's error and where the whole takes more than five minutes. The notebook itself is
left as it is, without outputs; a copy with them goes to docs/notebook, where `make docs` finds it.
"""

import base64
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

OUT = Path(__file__).parents[1] / "docs" / "notebook"
MINUTES = 5
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BAR = "━"  # of a progress bar
SHOWN = 24  # lines of a cell's text


def main(notebook: Path) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    try:
        book = nbformat.read(notebook, as_version=4)
    except OSError as error:
        sys.exit(f"cannot read {notebook}: {error.strerror}; name a notebook (.ipynb)")
    except Exception as error:  # nbformat raises whatever the file leads it to
        sys.exit(f"{notebook} is no notebook: {str(error).splitlines()[0][:200]}")
    outputs = [cell for cell in book.cells if cell.get("outputs") or cell.get("execution_count")]
    if outputs:
        sys.exit(f"{notebook} holds outputs of {len(outputs)} cells; commit it without them")
    # The commands of a cell (!hqgan ...) are those of this environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.monotonic()
    place = {"metadata": {"path": notebook.parent}}
    client = NotebookClient(book, timeout=60 * MINUTES, kernel_name="python3", resources=place)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        sys.exit(f"{notebook}: {error}")
    failed = [text for text in texts(book) if "error: " in text or "Traceback" in text]
    if failed:
        sys.exit(f"{notebook}: a command of a cell failed:\n{failed[0]}")
    seconds = time.monotonic() - started
    write(book, OUT)
    print(f"{notebook}: {len(book.cells)} cells in {seconds:.0f} s; pictures in {OUT}")
    if seconds > 60 * MINUTES:
        sys.exit(f"that is more than {MINUTES} minutes")


def texts(book: Any) -> Iterator[str]:
    """What commands printed: a failing one (!hqgan ...) does not stop a notebook."""
    for cell in book.cells:
        yield from (o["text"] for o in cell.get("outputs", ()) if o["output_type"] == "stream")


def write(book: Any, out: Path) -> None:
    """The notebook as a page, with its pictures beside it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "index.md").write_text("\n\n".join(page(book, out)) + "\n", encoding="utf-8")


def page(book: Any, out: Path) -> Iterator[str]:
    for number, cell in enumerate(book.cells):
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        said = ""
        for place, output in enumerate(cell.outputs):
            data = output.get("data", {})
            html = data.get("text/html", "")
            if "image/png" in data:
                name = f"{number:02d}-{place}.png"
                (out / name).write_bytes(base64.b64decode(data["image/png"]))
                width = output.get("metadata", {}).get("image/png", {}).get("width")
                yield from block(said)
                yield f"![What this cell shows]({name})" + (f"{{ width={width} }}" if width else "")
            elif html and not html.startswith("<pre"):  # a line of text in colours is text
                yield from block(said)
                yield f"<div>{html}</div>"
            else:
                said += (output.get("text") or data.get("text/plain", "")).rstrip("\n") + "\n"
                continue
            said = ""
        yield from block(said)


def block(said: str) -> Iterator[str]:
    if text := plain(said):
        yield f"```text\n{text}\n```"


def plain(text: str) -> str:
    """What stays on a terminal: no colours, no bars; the middle of a long text is cut out."""
    lines = [line.rpartition("\r")[2].rstrip() for line in ESCAPE.sub("", text).splitlines()]
    lines = [line for line in lines if BAR not in line]
    lines = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    if len(lines) > SHOWN:
        lines = [*lines[: SHOWN // 3], "…", *lines[-2 * SHOWN // 3 :]]
    return "\n".join(lines).strip("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
