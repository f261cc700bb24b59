"""The doctor names what is missing and the command that mends it."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from hqgan import doctor
from hqgan.cli import app

ROOT = Path(__file__).parents[1]


def found(name: str) -> doctor.Finding:
    (finding,) = [f for f in doctor.examine() if f.name == name]
    return finding


def test_what_is_not_ok_has_a_remedy() -> None:
    findings = doctor.examine()
    assert all(f.remedy for f in findings if not f.ok)
    assert len({f.name for f in findings}) == len(findings)


def test_the_machine_is_described() -> None:
    assert "Python 3." in found("hqgan").state
    assert "threads on" in found("threads").state
    assert found("device").state.startswith(("cpu", "cuda", "mps"))
    assert found("numba").ok


def test_absent_weights_are_only_bad_where_they_were_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HQGAN_INCEPTION", raising=False)
    finding = found("Inception weights")
    assert finding.ok
    assert "fd_tiny" in finding.state
    monkeypatch.setenv("HQGAN_INCEPTION", str(tmp_path / "absent.pth"))
    assert not found("Inception weights").ok
    (tmp_path / "absent.pth").touch()
    assert found("Inception weights").ok


def test_the_cache_is_judged_by_whether_it_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HQGAN_CACHE", str(tmp_path / "not" / "yet"))
    assert found("cache").ok
    (tmp_path / "file").touch()
    monkeypatch.setenv("HQGAN_CACHE", str(tmp_path / "file" / "below"))
    finding = found("cache")
    assert not finding.ok
    assert "HQGAN_CACHE" in (finding.remedy or "")
    monkeypatch.setenv("HQGAN_CACHE", "~nobody-of-this-name/cache")
    assert not found("cache").ok


def test_every_package_of_an_extra_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = ("numpy", "hqgan_no_such_package", "pillow")
    monkeypatch.setitem(doctor.EXTRAS, "app", (packages, "the web page"))
    finding = found("extra app")
    assert finding.remedy == "pip install 'hqgan[app]'"
    assert finding.state.startswith("numpy ")
    assert "absent: hqgan_no_such_package (the web page)" in finding.state
    monkeypatch.setitem(doctor.EXTRAS, "app", (("numpy", "pillow"), "the web page"))
    assert found("extra app").remedy is None


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, (packages, _) in doctor.EXTRAS.items():
        assert set(packages) == {re.split("[>=<]", line)[0].strip() for line in extras[name]}


def test_data_disk_and_threads_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HQGAN_DATA", raising=False)
    assert "not set" in found("data").state
    monkeypatch.setenv("HQGAN_DATA", str(tmp_path / "absent"))
    assert not found("data").ok
    monkeypatch.setenv("HQGAN_DATA", str(tmp_path))
    assert found("data").ok
    monkeypatch.chdir(tmp_path)
    assert f"free in {tmp_path}" in found("disk").state
    monkeypatch.setattr(doctor, "LEAST_SPACE", 1e18)
    assert not found("disk").ok
    monkeypatch.setattr(doctor, "usable_cores", lambda: 0)
    assert not found("threads").ok
    assert found("threads").remedy == "export OMP_NUM_THREADS=0"


def test_where_an_account_was_found_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    assert found("IBM account").state.startswith("none")
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "secret")
    assert found("IBM account").state == "found in QISKIT_IBM_TOKEN"
    (tmp_path / ".qiskit").mkdir()
    (tmp_path / ".qiskit" / "qiskit-ibm.json").write_text("{}")
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    assert found("IBM account").state == "found in ~/.qiskit/qiskit-ibm.json"


COMMANDS = get_command(app).commands


def test_each_remedy_is_one_command_that_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HQGAN_DATA", "HQGAN_INCEPTION"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("HQGAN_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "LEAST_SPACE", 1e18)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 0)
    for name, (packages, purpose) in doctor.EXTRAS.items():
        monkeypatch.setitem(doctor.EXTRAS, name, ((*packages, "hqgan_no_such"), purpose))
    bad = [finding for finding in doctor.examine() if finding.remedy]
    monkeypatch.delenv("HQGAN_INCEPTION")
    bad += [found("Inception weights")]
    assert {f.name for f in bad} >= {"threads", "disk", "data", "Inception weights", "cache"}
    for finding in bad:
        works(finding.remedy or "", tmp_path)


def works(remedy: str, folder: Path) -> None:
    """Run it where that costs nothing, else look whether there is such a command."""
    words = shlex.split(remedy)
    if words[0] in ("export", "unset", "cd", "du"):
        subprocess.run(["bash", "-ec", remedy], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    elif words[0] == "hqgan":
        command = COMMANDS[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
    elif words[0] == "pip":
        assert re.fullmatch(r"pip (install 'hqgan\[\w+\]'|uninstall -y \w+|install numba)", remedy)
    else:
        assert remedy == "hf auth login"  # of huggingface_hub, which is a dependency
        assert Path(sys.executable).with_name("hf").exists()


def test_what_a_remedy_sets_mends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HQGAN_CACHE", str(tmp_path / "file" / "below"))
    remedy = found("cache").remedy
    said = subprocess.run(
        ["bash", "-ec", f"{remedy}; echo $HQGAN_CACHE"], capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("HQGAN_CACHE", said.stdout.strip())
    assert found("cache").ok
    Path(said.stdout.strip()).rmdir()
