"""What a request carries, read within bounds of size, time and depth."""

import asyncio
import email.policy
import json
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

from hqgan.app.door.refusing import Message, Receive, Refused
from hqgan.app.limits import MOST_JSON, PATIENCE

MOST_DEEP = 20  # lists and objects within each other
MOST_FIELDS = 20  # of a form or a query


async def whole(receive: Receive, most: int = MOST_JSON, seconds: float = PATIENCE) -> bytes:
    """The body of a small request.

    Raises:
        Refused: it is too large, does not come in time, or its sender left.
    """
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refused(400, "The request ended before it was complete.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    raise Refused(413, "The request is too large.")
    except TimeoutError:
        raise Refused(408, "The request took too long to arrive.", retry=1) from None
    return bytes(body)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; Refused for anything else, or one that is nested deeply."""
    try:
        found = json.loads(body)
    except RecursionError:
        raise Refused(400, "The request is nested too deeply.") from None
    except ValueError:
        raise Refused(400, "The request is no JSON.") from None
    if not isinstance(found, dict):
        raise Refused(400, "The request is no JSON object.")
    level: list[dict[Any, Any] | list[Any]] = [found]
    for _ in range(MOST_DEEP):
        inner = [value for one in level for value in _inside(one)]
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return found
    raise Refused(400, "The request is nested too deeply.")


def form(kind: bytes, body: bytes) -> dict[str, str]:
    """The fields of a form, whichever way a browser packs them; files are left out."""
    if not kind.lower().startswith(b"multipart/form-data"):
        return fields_of(body.decode("utf-8", "replace"))
    head = b"Content-Type: " + kind.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n"
    parts = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in parts.iter_parts() if parts.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode("utf-8", "replace")
    return fields


def fields_of(text: str) -> dict[str, str]:
    """The fields of a query, the last of each name; Refused for more than a page has."""
    try:
        read = parse_qs(text, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refused(400, "The request has too many fields.") from None
    return {name: values[-1] for name, values in read.items()}


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)
