"""What reaches Gradio at all: the routes the page needs, by this page's name, without foreign URLs.

Gradio's server can do more than this page: call functions by name, fetch addresses of the web for
a visitor, take recordings. None of it is needed here, so none of it answers.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

NEEDED = re.compile(
    r"/(?:|config/?|theme\.css|favicon\.ico|robots\.txt|login/?|logout"
    r"|(?:static|assets)/[\w./@+-]+"
    r"|gradio_api/(?:queue/(?:join|data)|upload|upload_progress|cancel|reset/?"
    r"|startup-events|heartbeat/[\w-]+|file=.+))"
)
MOST_JSON = 1_000_000  # bytes of a request that is no upload
OVERHEAD = 100_000  # bytes of an upload beyond the file
HEADERS = (
    # All that is inline is Gradio's own; images are also data: and blob:.
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
        b"base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """ASGI middleware around the page.

    Args:
        app: what is guarded.
        hosts: names by which the page may be asked for; None is any. A page for this machine alone
            answers to no other name, so that a web site that points its own name here (DNS
            rebinding) gets nothing.
        upload_bytes: of one uploaded file.
    """

    def __init__(self, app: Asgi, hosts: tuple[str, ...] | None, upload_bytes: int):
        self.app, self.hosts, self.upload_bytes = app, hosts, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self.refusal(scope["method"], scope["path"], headers)
        if refusal:
            await refuse(send, *refusal)
            return
        if scope["method"] == "POST" and not scope["path"].endswith("/upload"):
            body = await whole_body(receive)
            if body is None:
                await refuse(send, 413, "The request is too large.")
                return
            try:
                elsewhere = names_an_address(body)
            except RecursionError:
                await refuse(send, 400, "The request is nested too deeply.")
                return
            if elsewhere:
                await refuse(send, 403, "Files are uploaded here, not fetched from elsewhere.")
                return
            receive = replayed(body, receive)
        await self.app(scope, receive, with_headers(send))

    def refusal(
        self, method: str, path: str, headers: MutableMapping[bytes, bytes]
    ) -> tuple[int, str] | None:
        """Status and sentence where a request is not answered."""
        host = headers.get(b"host", b"").decode("latin-1").rsplit("@", 1)[-1]
        start, bracket, _ = host.partition("]")
        name = start + bracket if host.startswith("[") else host.partition(":")[0]
        if self.hosts is not None and name.lower() not in self.hosts:
            return 421, "This page answers on this machine only; see hqgan app --host."
        if method not in ("GET", "HEAD", "POST") or not NEEDED.fullmatch(path):
            return 404, "There is no such page."
        if "/file=" in path and re.search(r"^[a-z][a-z0-9+.-]*:/", unquote(path).split("=", 1)[1]):
            return 403, "Files of other servers are not fetched."
        # Browsers say so themselves, and no web site can make them say otherwise.
        if method == "POST" and headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "Another web site cannot use this page."
        length = headers.get(b"content-length", b"0")
        if path.endswith("/upload"):
            if not length.isdigit() or b"content-length" not in headers:
                return 411, "The size of the upload is not known."
            if int(length) > self.upload_bytes + OVERHEAD:
                return 413, "The file is larger than this page takes."
        return None


async def whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None for one that is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > MOST_JSON:
            return None
    return body


def names_an_address(body: bytes) -> bool:
    """Whether the JSON of a request names a file by an address of the web."""
    try:
        values = [json.loads(body)]
    except ValueError:
        return False
    while values:
        value = values.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and re.match(r"\s*[a-zA-Z][a-zA-Z0-9+.-]+:", path):
                return True
            values += value.values()
        elif isinstance(value, list):
            values += value
    return False


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what comes after it."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def with_headers(send: Send) -> Send:
    """Add the page's rules for browsers to an answer."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in HEADERS}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in own]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return sending


async def refuse(send: Send, status: int, text: str) -> None:
    """Answer with a sentence."""
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
