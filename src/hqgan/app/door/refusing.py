"""Answers that are sentences: what the page refuses, and what Gradio's own errors become."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    # All that is inline is Gradio's own; images are also data: and blob:.
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
        b"base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), *HEADERS]
SENTENCES = {
    400: "The page cannot make sense of this request.",
    401: "Sign in first.",
    403: "That is not to be had here.",
    404: "There is no such page.",
    405: "There is no such page.",
    413: "The request is too large.",
    416: "The file has no such part.",
    422: "The page cannot make sense of this request.",
    503: "The page is busy; please try again in a moment.",
}
LINGER = 2.0  # seconds
FAILED = "Something went wrong on the server. Its log has the details; please try again."


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        text: a sentence, in which nothing of the server's is named.
        retry: seconds after which another try is worth it; None where none is.
    """

    def __init__(self, status: int, text: str, retry: float | None = None):
        super().__init__(text)
        self.status, self.text, self.retry = status, text, retry


async def answer(
    send: Send,
    status: int,
    content: object,
    more: list[tuple[bytes, bytes]] | None = None,
    rest: Receive | None = None,
) -> None:
    """Answer with JSON, and the page's rules for browsers.

    Args:
        send: where the answer goes.
        status: of HTTP.
        content: becomes the JSON.
        more: headers.
        rest: what still comes of the request; it is thrown away for `LINGER` seconds, for a
            connection that is closed while its sender sends loses the answer.
    """
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), *HEADERS, *(more or [])]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": rest is not None})
    if rest is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (message := await rest())["type"] == "http.request":
                    if not message.get("more_body", False):
                        break
        await send({"type": "http.response.body", "body": b""})


async def refuse(send: Send, refusal: Refused, rest: Receive | None = None) -> None:
    """Answer with a sentence, where Gradio's pages look for one, and close the connection.

    `rest` as of `answer`.
    """
    more = [(b"connection", b"close")]
    if refusal.retry is not None:
        more.append((b"retry-after", str(max(1, round(refusal.retry))).encode()))
    await answer(send, refusal.status, {"detail": refusal.text}, more, rest)


def ruled(send: Send, cookie: bytes | None = None) -> Send:
    """Add the page's rules for browsers to an answer of Gradio's, and say its errors in our words.

    Args:
        send: where the answer goes.
        cookie: to be set by it, unless it is an error.
    """
    replaced = False

    async def sending(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.body" and replaced:
            return
        if message["type"] != "http.response.start":
            await send(message)
            return
        own = {name for name, _ in HEADERS}
        given = [(name.lower(), value) for name, value in message.get("headers", [])]
        kind = dict(given).get(b"content-type", b"")
        # The form of who has not signed in is a page with status 401.
        if message["status"] >= 400 and not kind.startswith(b"text/html"):
            replaced = True
            text = SENTENCES.get(message["status"], FAILED)
            retry = 10.0 if message["status"] == 503 else None
            await refuse(send, Refused(message["status"], text, retry))
            return
        # No other origin reads this page, whatever Gradio thinks of other ports of this machine.
        kept = [
            (name, value)
            for name, value in given
            if name not in own and not name.startswith(b"access-control-")
        ]
        more = [(b"set-cookie", cookie)] if cookie else []
        await send({**message, "headers": [*kept, *HEADERS, *more]})

    return sending
