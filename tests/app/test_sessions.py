"""Visitors' folders: one each, gone when the page is, whatever else happens."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqgan.app.sessions import KEPT, Session, Sessions
from hqgan.app.training_jobs import Job, Trainings
from hqgan.errors import UsageError


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


def test_one_with_an_upload_or_a_training_is_kept_before_one_without(tmp_path: Path) -> None:
    sessions = opened(tmp_path, most=3)
    wish: Any = SimpleNamespace()
    uploaded = sessions.of("a")
    uploaded.data = uploaded.new_folder("images")
    trains = sessions.of("b")
    trains.job = Job(wish)
    for number in range(100):  # as many as come, each new
        sessions.of(f"light {number}")
    assert sessions.of("a") is uploaded
    assert sessions.of("b") is trains
    assert len(sessions) == 3


def with_upload(sessions: Sessions, word: str, count: int) -> Session:
    session = sessions.of(word)
    session.data = session.new_folder("images").parent
    (session.data / "x").write_bytes(bytes(count))
    return session


def test_an_upload_needs_room_which_those_make_who_are_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = opened(tmp_path, most_bytes=100_000)
    first, second = (with_upload(sessions, word, 40_000) for word in "ab")
    newest = sessions.of("c")
    with pytest.raises(UsageError, match="no room at the moment"):
        sessions.make_room(newest, 50_000)  # others are at work
    assert first.folder.exists()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + KEPT + 1)
    second.used = now + KEPT
    sessions.make_room(newest, 50_000)
    assert not first.folder.exists()
    assert second.folder.exists()
    with pytest.raises(UsageError):
        sessions.make_room(newest, 90_000)
    assert second.folder.exists()


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
