"""What reaches the page at all: known routes, its own name, its own visitors, no other server."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqgan.app.door.guard import Door, Guard
from hqgan.app.door.orders import Event
from hqgan.app.door.receiving import OVERHEAD, Receiving
from hqgan.app.door.refusing import HEADERS
from hqgan.app.door.shelf import Shelf
from hqgan.app.door.waiting import Waiting
from hqgan.app.limits import MOST_JSON

LIMIT = 1_000_000
LOCAL = ("127.0.0.1", "localhost", "[::1]")
MADE = Path("/tmp/hqgan-app-1/gradio")
CHECKSUM = "0123456789abcdef" * 4
PASSED = "page"
LEFT: list[str] = []


def a_guard(page: Any, hosts: tuple[str, ...] | None) -> Guard:
    queue = SimpleNamespace(
        event_queue_per_concurrency_id={},
        pending_messages_per_session={"mine": asyncio.Queue()},
        pending_event_ids_session={},
        event_ids_to_events={},
    )
    events = {3: Event((False, True), frozenset({7}), chooses=False)}
    return Guard(
        page,
        Door(
            hosts, False, MADE, events, Waiting(queue), Receiving(Shelf(MADE, LIMIT)), LEFT.append
        ),
    )


def asked(
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    host: str = "127.0.0.1:7860",
    hosts: tuple[str, ...] | None = LOCAL,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    status: int = 200,
    kind: str = "application/json",
) -> tuple[int, Any, dict[bytes, bytes], Any]:
    """Status, content and headers of the answer, and what the page itself got of the request.

    The page, in place of Gradio, answers with `status`, a word, and what should not leave it.
    """
    reached: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        reached.append(SimpleNamespace(body=message["body"], query=scope["query_string"]))
        answer = [(b"content-type", kind.encode()), (b"access-control-allow-origin", b"*")]
        await send({"type": "http.response.start", "status": status, "headers": answer})
        text = PASSED if status < 400 else "Traceback (most recent call last): /srv/secret"
        await send({"type": "http.response.body", "body": json.dumps(text).encode()})

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": host, "content-length": str(len(body)), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "client": ("10.0.0.1", 5),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    guard = a_guard(page, hosts)
    asyncio.run(guard(scope, receive, send))
    start, answer, *end = sent
    assert [one["body"] for one in end] in ([], [b""])
    content = json.loads(answer["body"])
    return start["status"], content, dict(start["headers"]), reached[0] if reached else None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/theme.css",
        "/assets/index-1a.js",
        f"/gradio_api/file={MADE}/{CHECKSUM}/hqgan-mel-seed1.zip",
    ],
)
def test_what_the_page_needs_passes_and_carries_rules_for_the_browser(path: str) -> None:
    status, text, headers, _ = asked(path=path)
    assert (status, text) == (200, PASSED)
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert set(dict(HEADERS)) <= set(headers)
    assert b"access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/gradio_api/info"), ("POST", "/gradio_api/call/make"), ("POST", "/gradio_api/run/0"),
     ("GET", "/gradio_api/proxy=https://example.com/"), ("POST", "/gradio_api/process_recording"),
     ("POST", "/gradio_api/vibe-edit"), ("GET", "/monitoring"), ("DELETE", "/"), ("GET", "/docs"),
     ("GET", "/gradio_api/mcp/"), ("GET", "/static/../../etc/passwd%00"), ("POST", "/"),
     ("GET", "/assets/../x"), ("GET", "/gradio_api/queue/join"), ("POST", "/config"),
     ("GET", "/gradio_api/startup-events"), ("GET", "/gradio_api/heartbeat/a/b"),
     ("OPTIONS", "/"), ("TRACE", "/"), ("GET", "/gradio_api/heartbeat/\u0661")],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(method: str, path: str) -> None:
    status, content, headers, reached = asked(method, path)
    assert status == 404
    assert content == {"detail": "There is no such page."}
    assert reached is None
    assert b"content-security-policy" in headers


@pytest.mark.parametrize(
    "file",
    ["https://example.com/a", "http:/x", "https%3A%2F%2Fexample.com", "/etc/passwd", f"{MADE}/x",
     f"{MADE}/../../etc/passwd", f"{MADE}/{CHECKSUM}/../../../etc/passwd", f"{MADE}/{CHECKSUM}/",
     f"{MADE}/{CHECKSUM}/..", f"{MADE}/uploads/word.zip", f"{MADE}/{CHECKSUM}/a/b", "file:///etc/x",
     f"{MADE}/{CHECKSUM}/a\0.png", f"{MADE}/{CHECKSUM}/a\\..\\b"],
)  # fmt: skip
def test_only_what_was_made_here_can_be_downloaded(file: str) -> None:
    status, _, _, reached = asked(path=f"/gradio_api/file={file}")
    assert status in (403, 404)
    assert reached is None


def test_the_page_gets_no_query_but_what_the_guard_has_read() -> None:
    _, _, _, page = asked(query="deep_link=../../secret&__theme=dark")
    assert page.query == b""
    _, _, _, page = asked(
        path="/gradio_api/queue/data", query="session_hash=mine&session_hash=mine&x=1"
    )
    assert page.query == b"session_hash=mine"


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_errors_of_the_page_become_sentences(status: int) -> None:
    answered, content, headers, _ = asked(status=status)
    assert answered == status
    assert "secret" not in str(content)
    assert content["detail"].endswith(".")
    assert (b"retry-after" in headers) == (status == 503)


def test_the_form_to_sign_in_is_no_error() -> None:
    assert asked(status=401, kind="text/html")[1].startswith("Traceback")  # whatever it says


JOIN = {"fn_index": 3, "data": ["mel", None], "session_hash": "mine", "trigger_id": 7}


def joined(**changed: Any) -> tuple[int, Any, Any]:
    body = json.dumps({**JOIN, **changed}).encode()
    status, content, _, page = asked("POST", "/gradio_api/queue/join", body)
    return status, content, page and json.loads(page.body)


def test_an_order_arrives_as_it_should_be_and_with_nothing_else() -> None:
    status, _, body = joined(oauth_token="x", simple_format=True, event_data={"a": 1}, batched=True)
    assert status == 200
    assert body == {**JOIN, "event_data": None}


@pytest.mark.parametrize(
    "changed",
    [
        {"fn_index": 4},
        {"fn_index": -1},
        {"fn_index": True},
        {"fn_index": "3"},
        {"fn_index": None},
        {"data": ["mel"]},
        {"data": {"0": "mel"}},
        {"data": [["mel"], None]},
        {"data": [{"path": "/etc/passwd"}, None]},
        {"data": ["mel", "/etc/passwd"]},
        {"data": ["m" * 2000, None]},
        {"trigger_id": 8},
        {"trigger_id": "7"},
        {"session_hash": "../x"},
        {"session_hash": ["mine"]},
        {"session_hash": None},
        {"session_hash": "m" * 65},
    ],
)
def test_an_order_that_is_none_is_refused_before_the_page_sees_it(changed: dict[str, Any]) -> None:
    status, content, body = joined(**changed)
    assert status == 400
    assert content["detail"].endswith("reload it.")
    assert body is None


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "https://example.com/a.zip", "ftp://x/y", "nobodys-word", "../x"]
)
def test_a_file_is_named_by_the_word_of_its_upload_and_by_nothing_else(path: str) -> None:
    file = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
    status, content, body = joined(data=["mel", file])
    assert status == 404
    assert content == {"detail": "That upload is no longer here; please send it again."}
    assert body is None


def test_a_request_of_megabytes_is_refused_unless_it_is_an_upload() -> None:
    assert asked("POST", "/gradio_api/queue/join", bytes(MOST_JSON + 1))[0] == 413


def test_an_upload_says_its_size_and_keeps_to_the_limit() -> None:
    for length in (str(LIMIT + OVERHEAD + 1), "9" * 30):
        headers = {"content-length": length}
        status = asked("POST", "/gradio_api/upload", headers=headers)[0]
        assert status == (413 if len(length) < 18 else 411)
    assert asked("POST", "/gradio_api/upload", headers={"content-length": "-1"})[0] == 411


@pytest.mark.parametrize(
    "host", ["evil.example:7860", "127.0.0.1.evil.example", "", "a@evil", "[", "127.0.0.1@evil"]
)
def test_a_page_for_this_machine_answers_to_no_other_name(host: str) -> None:
    assert asked(host=host)[0] == 421
    assert asked(host=host, hosts=None)[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1:1", "LOCALHOST:7860", "[::1]:7860"])
def test_but_to_its_own(host: str) -> None:
    assert asked(host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of this machine
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "cross-site"},
    ],
)
def test_another_web_site_cannot_use_the_page(headers: dict[str, str]) -> None:
    for method, path in (
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/login"),
        ("GET", "/config"),
        ("GET", "/logout"),
    ):
        assert asked(method, path, headers=headers)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:7860"},
        {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"},
        {"origin": "https://public.example", "sec-fetch-site": "same-origin"},  # behind a proxy
        {"origin": "https://public.example", "x-forwarded-host": "public.example"},
        {"sec-fetch-site": "none"},
    ],
)
def test_the_page_itself_can(headers: dict[str, str]) -> None:
    assert asked("POST", "/gradio_api/reset", b"{}", headers=headers)[0] == 200


def test_a_link_from_elsewhere_leads_to_the_page() -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert asked(headers=headers)[0] == 200


def test_a_first_visit_gets_a_cookie_that_scripts_and_other_sites_do_not_have() -> None:
    cookie = asked()[2][b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    word = cookie.partition(";")[0]
    assert b"set-cookie" not in asked(headers={"cookie": word})[2]
    assert b"set-cookie" in asked(headers={"cookie": "hqgan-visitor=short"})[2]


def test_what_is_nested_deeply_or_is_no_object_is_refused() -> None:
    for body in (b"[" * 20_000, b'{"a":' * 5000, b'{"a":' * 30 + b"1" + b"}" * 30, b"[1]", b"x"):
        assert asked("POST", "/gradio_api/cancel", body)[0] == 400


def test_a_page_is_open_for_as_long_as_its_stream_and_left_at_the_end_of_the_last() -> None:
    async def opened_and_closed() -> list[list[str]]:
        async def page(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("Gradio is not asked")

        guard = a_guard(page, LOCAL)
        path = "/gradio_api/heartbeat/mine"
        headers = [(b"host", b"127.0.0.1")]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
        closed = [asyncio.Event(), asyncio.Event()]
        sent: list[Any] = []

        async def stream(end: asyncio.Event) -> None:
            async def receive() -> Any:
                await end.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            await guard({**scope}, receive, send)

        tasks = [asyncio.create_task(stream(end)) for end in closed]
        seen = []
        for end in closed:
            await asyncio.sleep(0.01)
            seen.append(list(LEFT))
            end.set()
        await asyncio.gather(*tasks)
        assert [one["status"] for one in sent if "status" in one] == [200, 200]
        return [*seen, list(LEFT)]

    LEFT.clear()
    assert asyncio.run(opened_and_closed()) == [[], [], ["mine"]]
