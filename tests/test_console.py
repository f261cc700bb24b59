"""What a command prints: bars or plain lines on stderr, and words where stdout takes nothing."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hqgan import console
from hqgan.errors import Interrupted


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
    assert "90 images/s, 0 s left" in shown
    losses = "critic 1.250, generator 0.750, diversity 0.90"
    assert losses in shown
    assert (f"90 images/s, 0 s left, {losses}" in shown) != terminal
    assert ("\x1b[" in shown) == terminal
    assert ("decoding: 10 of 10" in shown) != terminal
    assert "decoding: 3 of 10" not in shown  # ten lines in a moment say no more than the last


def drawn(monkeypatch: pytest.MonkeyPatch, width: int) -> tuple[io.StringIO, Console]:
    file = io.StringIO()
    screen = Console(file=file, force_terminal=True, width=width)
    monkeypatch.setattr(console, "screen", screen)
    return file, screen


def test_at_80_columns_the_numbers_of_a_training_are_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, _ = drawn(monkeypatch, 80)
    record = {
        "images_per_second": 123.4,
        "critic_loss": -1234.5678,
        "generator_loss": 1234.5678,
        "diversity": 0.8371,
    }
    with console.training_progress() as callbacks:
        callbacks.stage("training", 5056, 250_000)
        callbacks.progress(6000, 250_000, record)
        callbacks.progress(7000, 250_000, record)
    shown = file.getvalue()
    assert "5056/250000" in shown
    assert "7000/250000" in shown
    assert " 0/250000" not in shown  # a continued run does not begin at nothing
    assert "123 images/s, 33 min left" in shown
    assert "critic -1234.568, generator 1234.568, diversity 0.837" in shown
    assert "…" not in shown
    assert "-:--:--" not in shown.rpartition("critic")[2]  # one remaining time, not two


def test_without_a_terminal_a_slow_stage_speaks_again_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, now = io.StringIO(), [0.0]
    monkeypatch.setattr(console, "screen", Console(file=file, width=80))
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.stages() as progress:
        for done in range(1, 11):
            progress("decoding", done, 10)
            now[0] += 0.9
    assert file.getvalue().splitlines() == [
        "decoding: 4 of 10, 5 s left",
        "decoding: 7 of 10, 3 s left",
        "decoding: 10 of 10",
    ]


def test_commands_can_be_copied_where_hqgan_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "my env" / "bin" / "hqgan"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert console.command("report", Path("my run")) == "'my env/bin/hqgan' report 'my run'"
    monkeypatch.setenv("PATH", str(script.parent))
    assert console.command("report", "run") == "hqgan report run"
    script.unlink()
    expected = f"'{script.with_name('python')}' -m hqgan.cli report run"
    assert console.command("report", "run") == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output_is_an_error_and_no_traceback() -> None:
    command = [sys.executable, "-m", "hqgan.cli", "train", "--dry-run", "--json"]
    with open("/dev/full", "w") as full:
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        "error: cannot write to standard output: No space left on device"
    ]


def test_ctrl_c_that_compiled_code_wrapped_is_still_ctrl_c() -> None:
    """Qiskit raises a RuntimeError where it is interrupted while it is imported."""

    def wrapped() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("while initialising") from error

    with (
        pytest.raises(Interrupted, match="interrupted; all is kept"),
        console.interruptible("all is kept"),
    ):
        wrapped()
    with pytest.raises(RuntimeError, match="another"), console.interruptible("all is kept"):
        raise RuntimeError("another") from ValueError()
