"""Servers that lie, stall, never end or lead elsewhere: a sentence, and nothing is kept of it."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hqgan import fetching
from hqgan.data import CATALOGUE, RemoteDataset, RemoteFile, download, downloading
from hqgan.errors import HqganError
from hqgan.evaluation import weights
from hqgan.evaluation.weights import download_inception

CONTENT = bytes(range(256)) * 400
SECONDS = 10.0  # for a server of any kind
STALL = 0.5  # seconds without a byte, in these tests
MOST = 2 << 20  # bytes that the file may have

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the server of the test is told to."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked += 1
        try:
            self.server.behaviour(self)
        except OSError:  # they hung up, as they should
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def begin(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def endlessly(self, piece: bytes) -> None:
        while not self.server.closing.is_set():
            self.wfile.write(piece)
            self.server.sent += len(piece)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour: Behaviour = never_ends
        self.closing = threading.Event()
        self.asked = self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Be quiet."""


def never_ends(self: Handler) -> None:
    self.begin()
    self.endlessly(bytes(1 << 16))


def claims_little_and_never_ends(self: Handler) -> None:
    self.begin(Content_Length="10")
    self.endlessly(bytes(1 << 16))


def claims_a_terabyte(self: Handler) -> None:
    self.begin(Content_Length=str(1 << 40))
    self.endlessly(bytes(1 << 16))


def claims(length: str) -> Behaviour:
    def answer(self: Handler) -> None:
        self.begin(Content_Length=length)
        self.wfile.write(b"x" * 999)

    return answer


def says_nothing(self: Handler) -> None:
    self.server.closing.wait(SECONDS)


def stops_in_the_middle(self: Handler) -> None:
    self.begin(Content_Length=str(len(CONTENT)))
    self.wfile.write(CONTENT[:100])
    self.server.closing.wait(SECONDS)


def other_bytes_from_the_middle_on(self: Handler) -> None:
    start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
    self.begin(206 if start else 200, Content_Length=str(len(CONTENT) - start))
    self.wfile.write(b"!" * (len(CONTENT) - start) if start else CONTENT[:500])


def another_range_than_was_asked_for(self: Handler) -> None:
    self.begin(206, Content_Range=f"bytes 0-9/{len(CONTENT)}", Content_Length="10")
    self.wfile.write(CONTENT[:10])


def leads_to(address: str) -> Behaviour:
    return lambda self: self.begin(302, Location=address)


def leads_in_circles(self: Handler) -> None:
    self.begin(302, Location=self.path + "x")


def no_http(self: Handler) -> None:
    self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n" * 10)


def endless_headers(self: Handler) -> None:
    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
    self.endlessly(b"X-A: " + b"a" * 1000 + b"\r\n")


def a_page(self: Handler) -> None:
    self.begin(Content_Type="text/html")
    self.wfile.write(b"<title>Log in to the hotel's network</title>")


def compressed(self: Handler) -> None:
    self.begin(Content_Encoding="gzip", Content_Length="4")
    self.wfile.write(b"\x1f\x8b\x08\x00")


def fails(code: int) -> Behaviour:
    return lambda self: self.begin(code, Content_Length="0")


SERVERS: dict[str, Behaviour] = {
    **{one.__name__: one for one in (
        never_ends, claims_little_and_never_ends, claims_a_terabyte, says_nothing,
        stops_in_the_middle, other_bytes_from_the_middle_on, another_range_than_was_asked_for,
        leads_in_circles, no_http, endless_headers, a_page, compressed,
    )},
    **{f"claims {length!r}": claims(length) for length in (
        "", "-1", "abc", "1e9", "9" * 30, "0", "0x10", "१२", "998", "1000",
    )},
    **{f"leads to {where}": leads_to(where) for where in (
        "http://example.org/file", "file:///etc/passwd", "ftp://example.org/x", "data:,x",
        "//[", "https://[", "javascript:alert(1)", "http://127.0.0.1.example.org/", "HTTP://x@y/",
        "http://localhost@example.org/",
    )},
    **{f"fails with {code}": fails(code) for code in (204, 301, 304, 400, 401, 403, 404, 429, 500)},
}  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloading, "TIMEOUT", STALL)
    monkeypatch.setattr(weights, "_TIMEOUT", STALL)
    monkeypatch.setattr(weights, "_MOST", MOST)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


def fetch_data(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RemoteFile("x.npz", "https://invalid.example/", hashlib.md5(CONTENT).hexdigest(), 1)
    monkeypatch.setitem(CATALOGUE, "x", RemoteDataset("X", "CC BY", "nowhere", (file,)))
    download("x", folder, ask=lambda _: True, base_url=server.url)


def fetch_weights(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    known = hashlib.sha256(CONTENT).hexdigest()
    download_inception(folder, url=f"{server.url}/x.pth", sha256=known)


@pytest.mark.parametrize("fetch", [fetch_data, fetch_weights])
@pytest.mark.parametrize("name", SERVERS)
def test_of_a_hostile_server_nothing_is_taken(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figures: Counter[str],
    fetch: Callable[..., None],
    name: str,
) -> None:
    server.behaviour = SERVERS[name]
    began = time.monotonic()
    with pytest.raises(HqganError) as refusal:
        fetch(server, tmp_path, monkeypatch)
    assert time.monotonic() - began < SECONDS
    assert len(str(refusal.value)) < 1000
    assert not {file.name for file in tmp_path.iterdir()} & {"x.npz", "x.pth"}
    kept = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert kept <= MOST, "more of it is on the disk than the file can have"
    figures["hostile servers: refused, and the disk not filled"] += 1


def test_a_server_elsewhere_cannot_lead_to_this_machine() -> None:
    handler = fetching.SafeRedirects()
    asked = fetching.urllib.request.Request("https://example.org/file")
    with pytest.raises(fetching.UnsafeAddress, match="on this machine"):
        handler.redirect_request(asked, Closed(), 302, "", {}, "http://127.0.0.1:8080/admin")


class Closed:
    """The body of a redirect, which is not read."""

    def close(self) -> None:
        """As files do."""


def test_a_link_that_lies_in_the_way_is_not_followed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gives(self: Handler) -> None:
        self.begin(Content_Length=str(len(CONTENT)))
        self.wfile.write(CONTENT)

    server.behaviour = gives
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "x.npz.part").symlink_to(precious)
    fetch_data(server, folder, monkeypatch)
    assert (folder / "x.npz").read_bytes() == CONTENT
    assert precious.read_bytes() == b"mine"
