"""What reaches Gradio at all: the routes the page needs, by this page's name, for its own visitors.

Gradio's server can do more than this page: call functions by name, fetch addresses of the web for
a visitor, take recordings, read files that a request names. None of it is needed here, so none of
it answers. What does is read within bounds first and handed on in a form that is known.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from hqgan.app.door.attempts import Attempts
from hqgan.app.door.bodies import fields_of, form, json_object, replayed, whole
from hqgan.app.door.orders import Event, checked
from hqgan.app.door.receiving import Receiving
from hqgan.app.door.refusing import (
    STREAM,
    Asgi,
    Message,
    Receive,
    Refused,
    Scope,
    Send,
    refuse,
    ruled,
)
from hqgan.app.door.visitors import Owners, Visitor, new_cookie, visitor
from hqgan.app.door.waiting import Waiting

API = "/gradio_api/"
NEEDED = re.compile(
    r"/(?:|config/?|theme\.css|favicon\.ico|robots\.txt|login/?|logout"
    r"|(?:static|assets)/[\w./@+-]+"
    r"|gradio_api/(?:queue/(?:join|data)|upload|upload_progress|cancel|reset/?"
    r"|heartbeat/[\w-]+|file=.+))",
    re.ASCII,
)
POSTED = re.compile(r"/login/?|/gradio_api/(?:queue/join|upload|cancel|reset/?)")
MADE = r"/[0-9a-f]{64}/[\w.+-]+"  # Gradio's folder of a file and our name, below the cache
STREAMED = re.compile(API + r"(?:queue/data|upload_progress|heartbeat/.*)")
HEARTS = 6  # streams that say a page is open; a connection that breaks is not noticed at once
BEAT = 15.0  # seconds
ALIVE = b"data: ALIVE\n\n"


@dataclass
class Door:
    """What the guard asks about a request.

    Attributes:
        hosts: names by which the page may be asked for; None is any. A page for this machine alone
            answers to no other name, so that a web site that points its own name here (DNS
            rebinding) gets nothing.
        accounts: whether only who has signed in may do more than see the form for it.
        made: the folder of the files that may be downloaded.
        events: what the page may ask Gradio to do.
        waiting, receiving, owners, attempts: see there.
        left: called with the word of a page that was closed, or whose connection broke.
    """

    hosts: tuple[str, ...] | None
    accounts: bool
    made: Path
    events: Mapping[int, Event]
    waiting: Waiting
    receiving: Receiving
    left: Callable[[str], None]
    owners: Owners = field(default_factory=Owners)
    attempts: Attempts = field(default_factory=Attempts)


class Guard:
    """ASGI middleware around the page."""

    def __init__(self, app: Asgi, door: Door):
        self.app, self.door = app, door
        self.file = re.compile(re.escape(f"{API}file={door.made}") + MADE, re.ASCII)
        self._hearts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started, arrived = False, False

        async def receiving() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = arrived or not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.answered(scope, receiving, sending)
        except Refused as refusal:
            if not started:
                await refuse(send, refusal, None if arrived else receive)

    async def answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or raise Refused."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        self.require_known(scope["method"], scope["path"], headers)
        path, client = scope["path"], scope.get("client")
        if self.door.accounts and path.startswith((API, "/config")):
            await self.require_signed_in(scope)
        who = visitor(headers, client[0] if client else "")
        one = fields_of(scope.get("query_string", b"").decode("latin-1"))
        scope = {**scope, "query_string": b""}  # Gradio reads files and pages by it
        rules = ruled(send, new_cookie() if path == "/" and who.is_new else None)
        match path.removeprefix(API).rstrip("/"):
            case "upload":
                name = one.get("upload_id", "")
                await self.door.receiving.receive(who, headers, name, receive, send)
            case "upload_progress":
                await self.door.receiving.progress(who, one.get("upload_id", ""), send)
            case "queue/join":
                await self.join(who, scope, receive, rules)
            case "queue/data":
                await self.fetch(who, one.get("session_hash"), scope, receive, rules)
            case "cancel" | "reset":
                body = json_object(await whole(receive))
                if path.startswith(f"{API}cancel"):
                    self.door.owners.claim(body.get("session_hash"), who)
                await self.hand_on(scope, body, receive, rules)
            case "/login":
                await self.sign_in(who, headers, scope, receive, rules)
            case word if word.startswith("heartbeat/"):
                await self.beat(who, word.removeprefix("heartbeat/"), receive, send)
            case _:
                await self.app(scope, receive, rules)

    def require_known(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Refused unless this is a request of this page's, by its name."""
        host = headers.get(b"host", b"").decode("latin-1")
        name = host_name(host)
        if self.door.hosts is not None and name not in self.door.hosts:
            raise Refused(421, "This page answers on this machine only; see hqgan app --host.")
        allowed = ("POST",) if POSTED.fullmatch(path) else ("GET", "HEAD")
        if STREAMED.fullmatch(path):
            allowed = ("GET",)
        if method not in allowed or not NEEDED.fullmatch(path) or "/.." in path:
            raise Refused(404, "There is no such page.")
        if path.startswith(f"{API}file=") and not self.file.fullmatch(path):
            raise Refused(403, "There is no such file.")
        # Browsers say so themselves, and no web site can make them say otherwise.
        site = headers.get(b"sec-fetch-site")
        opens = headers.get(b"sec-fetch-mode") == b"navigate" and path == "/"
        if site is not None and site not in (b"same-origin", b"none") and not opens:
            raise Refused(403, "Another web site cannot use this page.")
        origin = headers.get(b"origin")
        # Where both are there the former decides: a proxy may have changed the name of the host.
        if site is None and origin is not None:
            forwarded = headers.get(b"x-forwarded-host", b"").decode("latin-1")
            came = origin_of(origin.decode("latin-1"))
            if not came or came not in (host.lower(), forwarded.lower()):
                raise Refused(403, "Another web site cannot use this page.")

    async def require_signed_in(self, scope: Scope) -> None:
        """Refused for who is not; Gradio knows it, and answers less than this guard does."""
        status = 0

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        path = f"{API}login_check"
        asked = {**scope, "method": "GET", "path": path, "raw_path": path.encode()}
        await self.app({**asked, "query_string": b""}, nothing, noting)
        if status != 200:
            raise Refused(401, "Sign in first.")

    async def join(self, who: Visitor, scope: Scope, receive: Receive, send: Send) -> None:
        """Queue an order."""
        asked = json_object(await whole(receive))
        session = self.door.owners.claim(asked.get("session_hash"), who)
        shelf = self.door.receiving.shelf
        body = checked(asked, self.door.events, lambda word: shelf.find(word, who.word))
        with self.door.waiting.room(session, who.network):
            await self.hand_on(scope, body, receive, send)

    async def fetch(
        self, who: Visitor, session: object, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Messages to a page, in one stream at a time."""
        name, waiting = self.door.owners.claim(session, who), self.door.waiting
        if not waiting.knows(name):
            raise Refused(404, "Nothing was ordered by this page; please reload it.")
        if name in waiting.streams:
            raise Refused(429, "This page fetches its messages already.", 2)
        waiting.streams.add(name)
        try:
            query = urlencode({"session_hash": name}).encode()
            await self.app({**scope, "query_string": query}, receive, send)
        finally:
            waiting.streams.discard(name)

    async def beat(self, who: Visitor, session: str, receive: Receive, send: Send) -> None:
        """A stream for as long as a page is open; in place of Gradio's, whose end is costly."""
        name = self.door.owners.claim(session, who)
        if self._hearts[name] >= HEARTS:
            raise Refused(429, "This page is open often enough.", 10)
        self._hearts[name] += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": STREAM})
            beating = True
            while beating:
                alive = {"type": "http.response.body", "body": ALIVE, "more_body": True}
                await send(alive)
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        while beating:
                            beating = (await receive())["type"] != "http.disconnect"
        finally:
            self._hearts[name] -= 1
            if not self._hearts[name]:
                del self._hearts[name]
                self.door.left(name)

    async def sign_in(
        self,
        who: Visitor,
        headers: Mapping[bytes, bytes],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Try a password, where there were not too many tries."""
        fields = form(headers.get(b"content-type", b""), await whole(receive))
        user = fields.get("username", "").strip()
        self.door.attempts.begin(who, user)
        status = 0

        async def watching(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        named = {"username": user, "password": fields.get("password", "")}
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        body = urlencode(named).encode()
        await self.app(with_body(scope, body, kind), replayed(body, receive), watching)
        if status < 400:
            self.door.attempts.succeeded(who, user)

    async def hand_on(self, scope: Scope, body: object, receive: Receive, send: Send) -> None:
        """Let Gradio have a request with this body."""
        content = json.dumps(body).encode()
        kind = (b"content-type", b"application/json")
        await self.app(with_body(scope, content, kind), replayed(content, receive), send)


def host_name(host: str) -> str:
    """The name in a Host header, without its port; brackets stay."""
    host = host.rsplit("@", 1)[-1].lower()
    start, bracket, _ = host.partition("]")
    return start + bracket if host.startswith("[") else host.partition(":")[0]


def origin_of(origin: str) -> str:
    """The host and port of an Origin header; empty for what has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def with_body(scope: Scope, body: bytes, kind: tuple[bytes, bytes]) -> Scope:
    """A request whose body is another one."""
    gone = (b"content-length", b"content-type", b"transfer-encoding")
    kept = [pair for pair in scope["headers"] if pair[0].lower() not in gone]
    length = (b"content-length", str(len(body)).encode())
    return {**scope, "headers": [*kept, kind, length]}
