"""`hqgan export`: one JSON object, words on stderr, and a paragraph where it cannot be done."""

import json
import sys
from pathlib import Path

import pytest

from hqgan import cli

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["hqgan", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_packaged_generator_is_exported_and_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "exported"
    assert call(monkeypatch, "--pretrained", "ham10000-64", "--out", out, "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert set(found) == {"out", "files", "model", "opset", "circuits", "check"}
    assert found["check"]["images"] >= 16
    assert found["check"]["images_from_values"] < 1e-5
    assert found["check"]["grey_levels"] <= 1
    assert all((out / name).is_file() for name in found["files"])
    assert "same values, same images: 16 images" in said.err
    assert "CC BY-NC 4.0" in (out / "README.md").read_text()
    assert call(monkeypatch, "--pretrained", "ham10000-64", "--out", out) == 1
    assert "nothing is overwritten" in capsys.readouterr().err


def test_what_is_wrong_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "--out", tmp_path / "a") == 2
    assert call(monkeypatch, tmp_path / "none", "--out", tmp_path / "a") == 1
    order = ("--pretrained", "ham10000-64", "--out", tmp_path / "a", "--opset", "3")
    assert call(monkeypatch, *order) == 2
    said = capsys.readouterr()
    assert said.out == ""
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert "say which generator" in errors[0]
    assert "does not exist" in errors[1]
    assert "opset is 3" in errors[2]
    assert list(tmp_path.iterdir()) == []
