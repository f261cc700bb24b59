"""Visitors' folders: one each, gone when the page is, whatever else happens."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hqgan.app.sessions import Session, Sessions
from hqgan.app.training_jobs import Trainings


def opened(folder: Path, **limits: Any) -> Sessions:
    first: Any = lambda: (SimpleNamespace(name="first"), SimpleNamespace())  # noqa: E731
    return Sessions(folder, first, Trainings(), **limits)


def with_file(session: Session) -> Path:
    file = session.new_folder("x")
    file.write_text("something")
    return file


def test_every_session_has_a_folder_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    sessions = opened(tmp_path)
    one, other = sessions.of("a"), sessions.of("b")
    assert one.folder != other.folder
    assert sessions.of("a") is one
    assert one.folder.stat().st_mode & 0o077 == 0  # nobody else's


def test_a_closed_page_is_forgotten_after_a_while_with_all_its_files(tmp_path: Path) -> None:
    sessions = opened(tmp_path, grace=0.05)
    file = with_file(sessions.of("a"))
    kept = with_file(sessions.of("b"))
    sessions.leave("a")
    sessions.sweep()
    assert file.exists()
    time.sleep(0.1)
    sessions.sweep()
    assert not file.parent.parent.exists()
    assert kept.exists()


def test_a_page_that_comes_back_in_time_has_lost_nothing(tmp_path: Path) -> None:
    sessions = opened(tmp_path, grace=0.05)
    file = with_file(sessions.of("a"))
    sessions.leave("a")
    sessions.of("a")
    time.sleep(0.1)
    sessions.sweep()
    assert file.exists()


def test_an_idle_page_ends_too(tmp_path: Path) -> None:
    sessions = opened(tmp_path, idle=0.05)
    file = with_file(sessions.of("a"))
    time.sleep(0.1)
    sessions.sweep()
    assert not file.exists()
    assert len(sessions) == 0


def test_of_too_many_sessions_the_one_unused_for_longest_is_forgotten(tmp_path: Path) -> None:
    sessions = opened(tmp_path, most=2)
    files = {word: with_file(sessions.of(word)) for word in ("a", "b")}
    sessions.of("a")
    sessions.of("c")
    assert files["a"].exists()
    assert not files["b"].exists()


def test_of_a_kind_of_file_the_latest_is_kept(tmp_path: Path) -> None:
    session = opened(tmp_path).of("a")
    first, second, elsewhere = with_file(session), with_file(session), tmp_path / "b" / "c" / "d"
    elsewhere.mkdir(parents=True)
    session.replace("zip", first)
    session.replace("run", elsewhere)
    session.replace("zip", second)
    session.replace("run", second)
    assert not first.parent.exists()
    assert second.exists()
    assert elsewhere.exists()


def test_nothing_is_left_after_closing(tmp_path: Path) -> None:
    sessions = opened(tmp_path)
    for word in "abc":
        with_file(sessions.of(word))
    sessions.close()
    assert not list(tmp_path.iterdir())
