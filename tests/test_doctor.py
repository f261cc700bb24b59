"""The doctor names what is missing and the command that mends it."""

from pathlib import Path

import pytest

from hqgan import doctor


def found(name: str) -> doctor.Finding:
    (finding,) = [f for f in doctor.examine() if f.name == name]
    return finding


def test_what_is_not_ok_has_a_remedy() -> None:
    findings = doctor.examine()
    assert all(f.remedy for f in findings if not f.ok)
    assert len({f.name for f in findings}) == len(findings)


def test_the_machine_is_described() -> None:
    assert "Python 3." in found("hqgan").state
    assert "threads" in found("torch").state
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


def test_an_absent_extra_names_its_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "app", ("hqgan_no_such_package", "the web page"))
    assert found("extra app").remedy == "pip install 'hqgan[app]'"
    monkeypatch.setitem(doctor.EXTRAS, "app", ("numpy", "the web page"))
    assert found("extra app").state.startswith("numpy ")
