"""What a command prints: bars or plain lines on stderr, and words where stdout takes nothing."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hqgan import console


@pytest.mark.parametrize("terminal", [True, False])
def test_training_is_shown_as_a_bar_or_as_plain_lines(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    file = io.StringIO()
    screen = Console(file=file, force_terminal=terminal, width=160)
    monkeypatch.setattr(console, "screen", screen)
    record = {"images_per_second": 90.0, "critic_loss": 1.25, "diversity": 0.9}
    with console.training_progress() as callbacks:
        callbacks.message("starting")
        for done in range(1, 11):
            callbacks.decoding(done, 10)
        for seen in (1000, 2000):
            callbacks.progress(seen, 2000, {**record, "generator_loss": 0.75})
    shown = file.getvalue()
    assert "starting" in shown
    assert "90 images/s, 0 s left, critic 1.250, generator 0.750, diversity 0.90" in shown
    assert ("\x1b[" in shown) == terminal
    assert ("decoding: 3 of 10" in shown) != terminal


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output_is_an_error_and_no_traceback() -> None:
    command = [sys.executable, "-m", "hqgan.cli", "train", "--dry-run", "--json"]
    with open("/dev/full", "w") as full:
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        "error: cannot write to standard output: No space left on device"
    ]
