"""`hqgan app` as attackers and visitors meet it: a real process and real sockets."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START = 120.0  # seconds, on a busy machine
END = 120.0  # thousands of small files are deleted
ANSWER = 60.0
API = "/gradio_api"


@dataclass(frozen=True)
class Page:
    """A page that runs.

    Attributes:
        port: of 127.0.0.1.
        process: the server.
        folder: where its temporary files are.
        log: what it writes to stderr.
    """

    port: int
    process: "subprocess.Popen[bytes]"
    folder: Path
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> float:
        """Megabytes that are resident now."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """Megabytes that were resident at most."""
        return self._status("VmHWM")

    def _status(self, key: str) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{key}:\s+(\d+) kB", text)
        assert found
        return int(found[1]) / 1000

    def stored(self) -> float:
        """Megabytes of all its temporary files."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file()) / 1e6

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def a_page_under_attack(folder: Path, *arguments: str, **variables: str) -> Iterator[Page]:
    """A page on a free port. Whatever is done to it, it ends as it should and logs no traceback."""
    log, temporary = folder / "log.txt", folder / "temporary"
    temporary.mkdir(parents=True)
    command = [sys.executable, "-m", "hqgan.cli", "app", "--port", "0", *arguments]
    # glibc keeps memory in an arena for each thread; how many threads met is no leak.
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "2"}
    environment = {**os.environ, **quiet, "TMPDIR": str(temporary), **variables}
    with log.open("wb") as said:
        process = subprocess.Popen(command, stderr=said, env=environment)
    deadline = time.monotonic() + START
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Page(int(found[1]), process, temporary, log)
        if process.poll() is None:
            process.terminate()
        assert process.wait(END) == 0, (process.returncode, log.read_text())
        said, traced, rest = log.read_text().partition("Traceback")
        assert not traced, said[-500:] + traced + rest[:1500] + " ... " + rest[-3000:]
        assert len(log.read_text().splitlines()) < 20, log.read_text()  # nor is it filled
        assert not list(temporary.glob("hqgan-app-*"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)


# ---- attackers: bytes on a socket ----


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    head: str
    body: bytes
    seconds: float


def connected(page: Page, source: str = "127.0.0.1", timeout: float = ANSWER) -> socket.socket:
    """A socket, from any address of this machine."""
    return socket.create_connection(
        ("127.0.0.1", page.port), timeout=timeout, source_address=(source, 0)
    )


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as bytes; nothing of it is made legal. Headers are whole lines."""
    lines = [f"{method} {path} HTTP/1.1", *headers]
    names = {line.partition(":")[0].lower() for line in headers}
    if "host" not in names:
        lines.append("Host: 127.0.0.1")
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join([*lines, "Connection: close", "", ""])).encode("latin-1") + body


def posted(path: str, content: object, *headers: str) -> bytes:
    """A request with a body: bytes as they are, all else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return request("POST", path, "Content-Type: application/json", *headers, body=body)


def form(*files: tuple[str, bytes], headers: tuple[str, ...] = ()) -> bytes:
    """An upload as a browser sends it."""
    parts = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    kind = "Content-Type: multipart/form-data; boundary=x"
    return request("POST", f"{API}/upload", kind, *headers, body=parts + b"--x--\r\n")


def answer_of(connection: socket.socket) -> Answer:
    """Read what comes until the server closes."""
    started, content = time.monotonic(), bytearray()
    try:
        while piece := connection.recv(65_536):
            content += piece
    except (ConnectionError, TimeoutError):
        pass
    head, _, body = bytes(content).partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d+)", head)
    seconds = time.monotonic() - started
    return Answer(int(found[1]) if found else 0, head.decode("latin-1"), body, seconds)


def attack(page: Page, content: bytes, source: str = "127.0.0.1") -> Answer:
    """Send bytes and read the answer; a server that hangs up early is an answer too."""
    with connected(page, source) as connection:
        with suppress(ConnectionError, TimeoutError):
            connection.sendall(content)
        return answer_of(connection)


# ---- visitors: what a browser with the page does ----


@dataclass(frozen=True)
class Controls:
    """Numbers of the page's events: make images, show one, walk, take an upload."""

    make: tuple[int, int]
    walk: tuple[int, int]
    upload: tuple[int, int]
    inputs: dict[int, int]

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Controls":
        def find(name: str, event: str) -> tuple[int, int]:
            parts = (c for c in config["components"] if c["props"].get("elem_id") == name)
            part = next(parts)["id"]
            for one in config["dependencies"]:
                if [part, event] in [list(target) for target in one["targets"]]:
                    return one["id"], part
            raise AssertionError(name)

        inputs = {one["id"]: len(one["inputs"]) for one in config["dependencies"]}
        return cls(find("make", "click"), find("walk", "click"), find("upload", "upload"), inputs)


def controls(page: Page, **options: Any) -> Controls:
    config = httpx.get(f"{page.address}/config", timeout=ANSWER, **options).json()
    assert config["connect_heartbeat"]  # browsers say when a page is closed
    return Controls.of(config)


def join_body(event: tuple[int, int], session: str, data: list[Any]) -> dict[str, Any]:
    number, trigger = event
    return {"fn_index": number, "trigger_id": trigger, "session_hash": session, "data": data}


def images_wanted(count: int, seed: int, class_name: str = "mel") -> list[Any]:
    return [class_name, count, seed, 4.0, "exact", 1024, "fake_fez"]


@dataclass
class Got:
    """What a visitor got of an order.

    Attributes:
        status: of the first answer that was no success, else 200.
        seconds: from the order to its result.
        output: of the page's event, one value for each part that it changes.
        refusal: the sentence of an answer that was no success.
        retry: its Retry-After.
    """

    status: int
    seconds: float
    output: list[Any] | None = None
    refusal: str = ""
    retry: str | None = None


class Visitor:
    """Somebody with a browser of their own, which `async with` closes."""

    def __init__(self, page: Page, session: str, source: str = "127.0.0.1"):
        few = httpx.Limits(max_keepalive_connections=0)
        # Certificates are read for each visitor otherwise, for 50 ms, while all others wait.
        transport = httpx.AsyncHTTPTransport(local_address=source, limits=few, verify=False)
        self.web = httpx.AsyncClient(base_url=page.address, transport=transport, timeout=600)
        self.session = session

    async def order(self, event: tuple[int, int], data: list[Any]) -> Got:
        """Ask for something and wait until it is there."""
        started = time.monotonic()
        body = join_body(event, self.session, data)
        joined = await self.web.post(f"{API}/queue/join", json=body)
        if joined.status_code != 200:
            seconds = time.monotonic() - started
            text, retry = joined.json()["detail"], joined.headers.get("retry-after")
            return Got(joined.status_code, seconds, None, text, retry)
        query = {"session_hash": self.session}
        async with self.web.stream("GET", f"{API}/queue/data", params=query) as stream:
            if stream.status_code != 200:
                return Got(stream.status_code, time.monotonic() - started)
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    output = message["output"].get("data") if message["success"] else None
                    text = "" if output else str(message["output"].get("error"))
                    return Got(200, time.monotonic() - started, output, text)
        return Got(0, time.monotonic() - started)

    async def pictures(self, got: Got) -> list[bytes]:
        """The PNG files of an order of images."""
        assert got.output, got.refusal
        urls = [one["image"]["url"] for one in got.output[1]["value"]]
        answers = [await self.web.get(url) for url in urls]
        assert all(one.status_code == 200 for one in answers)
        return [one.content for one in answers]

    async def upload(self, content: bytes, name: str = "images.zip") -> httpx.Response:
        return await self.web.post(f"{API}/upload", files={"files": (name, content)})

    async def __aenter__(self) -> "Visitor":
        return self

    async def __aexit__(self, *given: object) -> None:
        await self.web.aclose()


async def made_for(page: Page, buttons: Controls, wishes: list[list[Any]]) -> list[Got]:
    """Orders of as many visitors at the same moment."""

    async def one(number: int, wish: list[Any]) -> Got:
        async with Visitor(page, f"visitor-{number}-{time.monotonic_ns()}") as visitor:
            return await visitor.order(buttons.make, wish)

    return await asyncio.gather(*(one(number, wish) for number, wish in enumerate(wishes)))


def worst_of(figures: Counter[str], name: str, seconds: float) -> None:
    """Keep the largest of several waits; figures that begin with a space are no counts."""
    key = f"  {name}, ms"
    figures[key] = max(figures[key], round(1000 * seconds))
