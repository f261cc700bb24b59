"""Uploads as they arrive: one file each, piece by piece to the disk, none slow for ever.

In place of Gradio's own, which takes a thousand files in one request, keeps them by the name and
for as long as it likes, waits for the next piece without end, and answers with a path.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hqgan.app.door.refusing import HEADERS, Receive, Refused, Send, answer
from hqgan.app.door.shelf import Shelf, Upload
from hqgan.app.door.visitors import SESSION, Visitor
from hqgan.app.limits import MEGABYTE, PATIENCE, SLOWEST, UPLOADS, UPLOADS_OF_ADDRESS

OVERHEAD = 10_000  # bytes of a request beyond the file
PIECE = 256_000  # bytes that are written at once
YOUNG = 3.0  # seconds for which an upload is not cut off for another
SHOWN = 0.25  # seconds between two messages of progress


class Receiving:
    """The uploads that are on their way.

    Args:
        shelf: where they come to lie.
        most, of_address: at once.
        patience: seconds without a piece; the age from which `slowest` counts.
        slowest: bytes a second on average.
    """

    def __init__(
        self,
        shelf: Shelf,
        most: int = UPLOADS,
        of_address: int = UPLOADS_OF_ADDRESS,
        patience: float = PATIENCE,
        slowest: float = SLOWEST,
    ):
        self.shelf, self.most, self.of_address = shelf, most, of_address
        self.patience, self.slowest = patience, slowest
        self._tasks: dict[Upload, asyncio.Task[Any]] = {}
        self._cut: set[Upload] = set()
        self._named: dict[tuple[str, str], Upload] = {}  # by who shows their progress

    async def receive(
        self,
        who: Visitor,
        headers: Mapping[bytes, bytes],
        name: str,
        receive: Receive,
        send: Send,
    ) -> None:
        """Take an upload, and answer with its word.

        Args:
            who: sends it.
            headers: of the request.
            name: by which the page asks for its progress; empty for none.
            receive, send: of the request.

        Raises:
            Refused: too large, too slow, too many, or no form with one file.
        """
        self._require_size(headers)
        await self._make_room(who)
        task = asyncio.current_task()
        assert task is not None
        upload = self.shelf.begin(who.word, who.network)
        self._tasks[upload] = task
        named = (who.word, name) if SESSION.fullmatch(name) else None
        if named is not None:
            self._named[named] = upload
        try:
            pieces = self._in_time(upload, receive)
            await store(self.shelf, upload, headers.get(b"content-type", b""), pieces)
            upload.complete = True
        except asyncio.CancelledError:
            if upload in self._cut:  # not the server that ends, but a newcomer that is quicker
                task.uncancel()
                raise Refused(408, "The upload was the slowest of many; try again.", 30) from None
            raise
        finally:
            del self._tasks[upload]
            self._cut.discard(upload)
            if named is not None:
                self._named.pop(named, None)
            if not upload.complete:
                self.shelf.drop(upload)
        await answer(send, 200, [upload.word])

    def _require_size(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 18:
            raise Refused(411, "The size of the upload is not known.")
        if int(length) > self.shelf.largest + OVERHEAD:
            most = self.shelf.largest / MEGABYTE
            raise Refused(413, f"The file is larger than {most:g} MB, the most taken.")

    async def _make_room(self, who: Visitor) -> None:
        if Counter(one.network for one in self._tasks)[who.network] >= self.of_address:
            raise Refused(429, "Too many uploads come from your address; try again soon.", 10)
        if len(self._tasks) < self.most:
            return
        now = self.shelf.clock()
        old = [one for one in self._tasks if now - one.began > YOUNG and one not in self._cut]
        if not old:
            raise Refused(503, "Too many uploads arrive at once; try again soon.", 10)
        slowest = min(old, key=lambda one: one.bytes / (now - one.began))
        self._cut.add(slowest)
        self._tasks[slowest].cancel()

    async def _in_time(self, upload: Upload, receive: Receive) -> AsyncIterator[bytes]:
        more = True
        while more:
            try:
                async with asyncio.timeout(self.patience):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "The upload stopped on its way; please try again.") from None
            if message["type"] != "http.request":
                raise Refused(400, "The upload ended before it was complete.")
            age = self.shelf.clock() - upload.began
            if age > self.patience and upload.bytes < self.slowest * (age - self.patience):
                raise Refused(408, "The upload is too slow; please send a smaller file.")
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def progress(self, who: Visitor, name: str, send: Send) -> None:
        """Tell a page how far its upload is, in the messages that Gradio's own sends."""
        upload = None
        for _ in range(int(3 / SHOWN)):  # the page asks before it sends
            upload = self._named.get((who.word, name))
            if upload is not None or not SESSION.fullmatch(name):
                break
            await asyncio.sleep(SHOWN)
        if upload is None:
            raise Refused(404, "There is no such upload.")
        kind = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), *HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        told = 0
        while upload in self._tasks:
            step = {"msg": "update", "orig_name": upload.shown, "chunk_size": upload.bytes - told}
            told = upload.bytes
            await send(_event(step))
            await asyncio.sleep(SHOWN)
        await send(_event({"msg": "done"}))
        await send({"type": "http.response.body", "body": b""})


async def store(shelf: Shelf, upload: Upload, kind: bytes, pieces: AsyncIterator[bytes]) -> None:
    """Write the one file of a form of a browser; Refused where it is none, or has more."""
    from python_multipart.exceptions import MultipartParseError
    from python_multipart.multipart import MultipartParser, parse_options_header

    name, options = parse_options_header(kind)
    boundary = options.get(b"boundary", b"")
    if name != b"multipart/form-data" or not 1 <= len(boundary) <= 200:
        raise Refused(400, "An upload is a form with one file.")
    parts, ends = 0, 0
    content, header = bytearray(), bytearray()

    def begin() -> None:
        nonlocal parts
        parts += 1
        if parts > 1:
            raise Refused(400, "One file is taken at a time.")

    def described(piece: bytes, start: int, end: int) -> None:
        header.extend(memoryview(piece)[start:end])

    def described_whole() -> None:
        file = parse_options_header(bytes(header))[1].get(b"filename", b"")
        upload.shown = upload.shown or file.decode("utf-8", "replace")
        header.clear()

    def data(piece: bytes, start: int, end: int) -> None:
        content.extend(memoryview(piece)[start:end])

    def finish() -> None:
        nonlocal ends
        ends += 1

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_value": described,
            "on_header_end": described_whole,
            "on_part_data": data,
            "on_end": finish,
        },
    )
    with upload.path.open("xb") as out:
        try:
            async for piece in pieces:
                before = len(content)
                parser.write(piece)
                shelf.grow(upload, len(content) - before)
                if len(content) >= PIECE:
                    await asyncio.to_thread(out.write, bytes(content))
                    content.clear()
        except MultipartParseError:
            raise Refused(400, "An upload is a form with one file.") from None
        if parts != 1 or ends != 1:
            raise Refused(400, "The upload ended before it was complete.")
        await asyncio.to_thread(out.write, bytes(content))


def _event(content: dict[str, Any]) -> dict[str, Any]:
    body = f"data: {json.dumps(content)}\n\n".encode()
    return {"type": "http.response.body", "body": body, "more_body": True}
