"""The server: who gets in, what it says of its address, and that nothing is left behind."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hqgan import cli_app
from hqgan.app import serving
from hqgan.app.door.listening import open_port
from hqgan.app.serving import account_check, announce, first_images
from hqgan.app.settings import Settings
from hqgan.cli import app as command
from hqgan.errors import HqganError, MissingExtra, RunError, UsageError
from hqgan.pretrained import find_pretrained
from open_page import a_page

NAME = "ham10000-64"
OPEN = Settings(find_pretrained(NAME), NAME)
RUN = CliRunner()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_a_sentence(taken: int) -> None:
    with pytest.raises(RunError, match=f"port {taken} is in use; choose another"):
        open_port("127.0.0.1", taken)


def test_port_0_is_any_free_one() -> None:
    with open_port("127.0.0.1", 0) as one, open_port("127.0.0.1", 0) as other:
        assert 1023 < one.getsockname()[1] != other.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        ("127.0.0.1", 70_000, UsageError),
        ("127.0.0.1", -1, UsageError),
        ("no such host", 0, RunError),
        ("192.0.2.1", 0, RunError),
    ],
)
def test_an_address_that_cannot_be_is_refused(host: str, port: int, kind: type[HqganError]) -> None:
    with pytest.raises(kind):
        open_port(host, port)


def test_a_port_in_use_is_known_before_the_model_is_loaded(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setattr(serving, "open_model", lambda *given: pytest.fail("was loaded"))
    with pytest.raises(RunError, match="in use"):
        serving.serve(replace(OPEN, port=taken), print)


def test_a_page_open_to_others_says_so() -> None:
    said: list[str] = []
    announce(OPEN, 1, said.append)
    assert said == ["hqgan app: http://127.0.0.1:1  (Ctrl-C ends it)"]
    announce(replace(OPEN, host="0.0.0.0"), 1, said.append)
    assert said[1].startswith("warning: whoever reaches 0.0.0.0 can use this page")
    announce(replace(OPEN, host="0.0.0.0", accounts={"a": "b"}), 1, said.append)
    assert said[3].startswith("note: passwords")


def test_real_images_are_shown_to_others_only_if_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HQGAN_DATA", "/nowhere")
    model: Any = None
    local = first_images(OPEN, model)
    open_to_all = first_images(replace(OPEN, host="0.0.0.0"), model)
    named = first_images(replace(OPEN, host="0.0.0.0", data="embedded"), model)
    assert not local.hidden
    assert not named.hidden
    with pytest.raises(UsageError, match="real"):
        open_to_all.load()


def test_only_the_right_password_of_a_known_user_opens() -> None:
    right = account_check({"ann": "secret", "bob": ""})
    assert right("ann", "secret")
    assert not right("ann", "")
    assert not right("ann", "secret ")
    assert not right("eve", "")
    assert not right("eve", "secret")


def test_accounts_come_from_flag_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text("ann:se:cret\n\nbob:b\n")
    assert cli_app.accounts("c:d", file, "e:f") == {
        "c": "d", "e": "f", "ann": "se:cret", "bob": "b",
    }  # fmt: skip
    assert cli_app.accounts(None, None, None) == {}


@pytest.mark.parametrize("text", ["", "\n \n", "hunter2", ":hunter2", "ann:", "ann:x\nhunter2"])
def test_a_line_that_is_no_account_is_refused_without_being_repeated(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "accounts"
    file.write_text(text)
    with pytest.raises(UsageError) as refusal:
        cli_app.accounts(None, file, None)
    assert "hunter2" not in str(refusal.value)


def test_an_unset_variable_does_not_open_the_page_to_everybody() -> None:
    for given in (("", None, None), (None, None, "")):
        with pytest.raises(UsageError, match="USER:PASSWORD"):
            cli_app.accounts(*given)


def test_without_gradio_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    for name in serving.QUIET:
        monkeypatch.setenv(name, "kept")  # restored afterwards
    result = RUN.invoke(command, ["app", "--port", "0"])
    assert isinstance(result.exception, MissingExtra)
    assert "pip install 'hqgan[app]'" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 1, "nowhere does not exist"),
        (["ham10000-64"], 2, "say --pretrained ham10000-64"),
        (["--pretrained", "ham10000-46"], 2, "Did you mean 'ham10000-64'?"),
        (["a-run", "--pretrained", "ham10000-64"], 2, "two generators"),
        (["--max-upload-mb", "0"], 2, "must lie from 0.1"),
        (["--auth", "secret"], 2, "USER:PASSWORD"),
        (["--runs", __file__], 1, "cannot write to --runs"),
        (["--data", "/nowhere", "--port", "0"], 1, "/nowhere"),
        (["--data", "embedded", "--label", "x", "--port", "0"], 2, "leave 'x' away"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_an_exit_code(
    arguments: list[str], code: int, words: str
) -> None:
    result = RUN.invoke(command, ["app", *arguments])
    assert isinstance(result.exception, HqganError)
    assert result.exception.exit_code == code
    assert words in str(result.exception)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a page with an account, and the folder that its temporary files go to."""
    pytest.importorskip("gradio")
    environment = {**os.environ, "TMPDIR": str(tmp_path), cli_app.AUTH: "ann:secret"}
    with a_page(environment) as (address, process):
        yield address, tmp_path
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not list(tmp_path.glob("hqgan-app-*"))


def test_nobody_gets_in_without_an_account_and_nothing_stays_behind(
    opened: tuple[str, Path],
) -> None:
    import httpx

    address, folder = opened
    assert list(folder.glob("hqgan-app-*"))
    with httpx.Client(base_url=address, timeout=30) as visitor:
        page = visitor.get("/")
        assert page.status_code in (200, 401)
        assert "not for diagnosis" not in page.text  # a form for the name, not the page
        join = {"data": [], "fn_index": 0, "session_hash": "x"}
        assert visitor.post("/gradio_api/queue/join", json=join).status_code == 401
        assert visitor.post("/gradio_api/cancel", json=join).status_code == 401
        uploaded = {"files": ("a.zip", b"PK")}
        assert visitor.post("/gradio_api/upload", files=uploaded).status_code == 401
        for path in ("queue/data?session_hash=x", "heartbeat/x", "upload_progress?upload_id=x"):
            assert visitor.get(f"/gradio_api/{path}").status_code == 401
        assert visitor.get("/config").status_code == 401
        assert visitor.get("/gradio_api/info").status_code == 404
        wrong = {"username": "ann", "password": "guess"}
        assert visitor.post("/login", data=wrong).status_code == 400
        right = {"username": "ann", "password": "secret"}
        assert visitor.post("/login", data=right).status_code == 200
        inside = visitor.get("/")
        assert "not for diagnosis" in inside.text
        assert "default-src 'self'" in inside.headers["content-security-policy"]
        assert visitor.get("/gradio_api/file=/etc/passwd").status_code == 403
        weights = find_pretrained(NAME) / "model.safetensors"
        assert visitor.get(f"/gradio_api/file={weights}").status_code == 403
        assert visitor.get(f"/gradio_api/file={os.getcwd()}/README.md").status_code == 403
        assert visitor.get("/", headers={"host": "evil.example"}).status_code == 421
