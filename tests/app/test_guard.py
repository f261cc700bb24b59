"""What reaches the page at all: known routes, its own name, no addresses of the web."""

import asyncio
import json
from typing import Any

import pytest

from hqgan.app.guard import HEADERS, MOST_JSON, OVERHEAD, Guard

LIMIT = 1_000_000


def asked(
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    host: str = "127.0.0.1:7860",
    hosts: tuple[str, ...] | None = ("127.0.0.1", "localhost", "[::1]"),
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[int, str, dict[bytes, bytes], bytes | None]:
    """Status, text and headers of the answer, and the body that the page itself got."""
    reached: list[bytes] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        reached.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"host", host.encode()), *headers],
    }
    asyncio.run(Guard(page, hosts, LIMIT)(scope, receive, send))
    start, answer = sent
    return (
        start["status"],
        answer["body"].decode(),
        dict(start["headers"]),
        reached[0] if reached else None,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/theme.css",
        "/assets/index-1a.js",
        "/gradio_api/heartbeat/abc",
        "/gradio_api/upload_progress",
        "/gradio_api/queue/data",
        "/gradio_api/file=/tmp/hqgan-app-1/gradio/a/b.png",
    ],
)
def test_what_the_page_needs_passes_and_carries_rules_for_the_browser(path: str) -> None:
    status, text, headers, _ = asked(path=path)
    assert (status, text) == (200, "page")
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert set(dict(HEADERS)) <= set(headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/gradio_api/info"), ("POST", "/gradio_api/call/make"), ("POST", "/gradio_api/run/0"),
     ("GET", "/gradio_api/proxy=https://example.com/"), ("POST", "/gradio_api/process_recording"),
     ("POST", "/gradio_api/vibe-edit"), ("GET", "/monitoring"), ("DELETE", "/"), ("GET", "/docs"),
     ("GET", "/gradio_api/mcp/"), ("GET", "/static/../../etc/passwd%00")],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(method: str, path: str) -> None:
    status, _, headers, reached = asked(method, path)
    assert status == 404
    assert reached is None
    assert b"content-security-policy" in headers


@pytest.mark.parametrize(
    "address", ["https://example.com/a", "http:/x", "https%3A%2F%2Fexample.com"]
)
def test_files_of_other_servers_are_not_fetched(address: str) -> None:
    assert asked(path=f"/gradio_api/file={address}")[0] == 403


@pytest.mark.parametrize("path", ["https://example.com/a.zip", "ftp://x/y", " http://x"])
def test_nor_are_those_that_a_request_names(path: str) -> None:
    body = json.dumps({"data": [[{"path": path, "meta": {"_type": "gradio.FileData"}}]]}).encode()
    assert asked("POST", "/gradio_api/queue/join", body)[0] == 403


def test_an_ordinary_request_arrives_whole() -> None:
    body = json.dumps({"data": [{"path": "/tmp/gradio/a.zip"}, {"path": "C:\\a.zip"}, 1]}).encode()
    status, _, _, reached = asked("POST", "/gradio_api/queue/join", body)
    assert (status, reached) == (200, body)


def test_a_request_of_megabytes_is_refused_unless_it_is_an_upload() -> None:
    assert asked("POST", "/gradio_api/queue/join", bytes(MOST_JSON + 1))[0] == 413


@pytest.mark.parametrize(("length", "status"), [(LIMIT, 200), (LIMIT + OVERHEAD + 1, 413)])
def test_an_upload_says_its_size_and_keeps_to_the_limit(length: int, status: int) -> None:
    headers = ((b"content-length", str(length).encode()),)
    assert asked("POST", "/gradio_api/upload", headers=headers)[0] == status
    assert asked("POST", "/gradio_api/upload")[0] == 411


@pytest.mark.parametrize("host", ["evil.example:7860", "127.0.0.1.evil.example", "", "a@evil"])
def test_a_page_for_this_machine_answers_to_no_other_name(host: str) -> None:
    assert asked(host=host)[0] == 421
    assert asked(host=host, hosts=None)[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1:1", "LOCALHOST:7860", "[::1]:7860"])
def test_but_to_its_own(host: str) -> None:
    assert asked(host=host)[0] == 200


def test_another_web_site_cannot_post() -> None:
    headers = ((b"content-length", b"9"), (b"sec-fetch-site", b"cross-site"))
    assert asked("POST", "/gradio_api/upload", headers=headers)[0] == 403
    assert asked("POST", "/gradio_api/upload", headers=headers[:1])[0] == 200
    assert asked("GET", "/", headers=headers[1:])[0] == 200  # a link to the page


def test_brackets_without_end_are_refused() -> None:
    assert asked(host="[")[0] == 421
    assert asked("POST", "/gradio_api/queue/join", b"[" * 99_999)[0] == 400
