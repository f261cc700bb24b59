"""Downloads from a server of our own: resumed, checked, asked for, kept inside the folder."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hqgan.data import CATALOGUE, RemoteDataset, RemoteFile, download
from hqgan.errors import DataError, UsageError

CONTENT = bytes(range(256)) * 4000  # 1 MB


class Server(ThreadingHTTPServer):
    """Serves `files`; understands Range; hangs up after `drop_after` bytes of each answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.drop_after: int | None = None
        self.ranges: list[str | None] = []
        self.redirect: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        content = self.server.files.get(self.path.lstrip("/"))
        if self.server.redirect is not None:
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
            return
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        limit = None if self.server.drop_after is None else start + self.server.drop_after
        self.wfile.write(content[start:limit])

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def offer(
    monkeypatch: pytest.MonkeyPatch, server: Server, content: bytes, *, unpack: bool = False
) -> str:
    """Put a one-file data set into the catalogue and onto the server."""
    name = "tiny.zip" if unpack else "tiny.npz"
    server.files[name] = content
    file = RemoteFile(name, "https://invalid.example/", hashlib.md5(content).hexdigest(), 1, unpack)
    dataset = RemoteDataset("Tiny", "CC BY-NC 4.0", "nowhere", (file,))
    monkeypatch.setitem(CATALOGUE, "tiny", dataset)
    return name


def accept(terms: str) -> bool:
    return True


def test_a_file_arrives_whole_and_is_not_fetched_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    for _ in range(2):
        path = download("tiny", tmp_path, ask=accept, base_url=server.url)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.npz"]


def test_a_connection_that_drops_is_taken_up_where_it_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    server.drop_after = 300_000
    steps: list[int] = []
    path = download(
        "tiny", tmp_path, ask=accept, base_url=server.url,
        progress=lambda name, done, total: steps.append(done),
    )  # fmt: skip
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert steps == sorted(steps)
    assert steps[-1] == len(CONTENT)


def test_the_same_command_later_continues_the_part_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    server.drop_after = 0
    (tmp_path / "tiny.npz.part").write_bytes(CONTENT[:5000])
    with pytest.raises(DataError, match="5,000 bytes are kept"):
        download("tiny", tmp_path, ask=accept, base_url=server.url)
    server.drop_after = None
    path = download("tiny", tmp_path, ask=accept, base_url=server.url)
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=5000-"


def test_a_part_file_that_is_already_whole_is_accepted(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    (tmp_path / "tiny.npz.part").write_bytes(CONTENT)
    assert download("tiny", tmp_path, ask=accept, base_url=server.url).read_bytes() == CONTENT


def test_wrong_content_is_deleted_and_never_gets_the_final_name(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = offer(monkeypatch, server, CONTENT)
    server.files[name] = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match="was published; the file was deleted"):
        download("tiny", tmp_path, ask=accept, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_in_the_way_is_left_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    (tmp_path / "tiny.npz").write_text("mine")
    with pytest.raises(DataError, match="left alone"):
        download("tiny", tmp_path, ask=accept, base_url=server.url)
    assert (tmp_path / "tiny.npz").read_text() == "mine"


def test_nothing_is_fetched_unless_the_licence_is_accepted(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    shown: list[str] = []
    with pytest.raises(DataError, match="not accepted"):
        download("tiny", tmp_path, ask=lambda terms: bool(shown.append(terms)), base_url=server.url)
    assert "CC BY-NC 4.0" in shown[0]
    assert server.ranges == []


def test_only_https_is_followed_even_after_a_redirect(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, CONTENT)
    with pytest.raises(UsageError, match="only https"):
        download("tiny", tmp_path, ask=accept, base_url="http://example.org")
    server.redirect = "http://example.org/elsewhere"
    with pytest.raises(UsageError, match="only https"):
        download("tiny", tmp_path, ask=accept, base_url=server.url)


def test_an_absent_file_or_server_is_one_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = offer(monkeypatch, server, CONTENT)
    del server.files[name]
    with pytest.raises(DataError, match="HTTP 404"):
        download("tiny", tmp_path, ask=accept, base_url=server.url)
    with pytest.raises(DataError, match="Cannot download"):
        download("tiny", tmp_path, ask=accept, base_url="http://127.0.0.1:9")


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_zip_becomes_a_folder_and_is_then_done(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, server, zipped({"a/x.jpg": b"1", "y.jpg": b"2"}), unpack=True)
    for _ in range(2):
        download("tiny", tmp_path, ask=accept, base_url=server.url)
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {"tiny/a/x.jpg", "tiny/y.jpg"}
    assert len(server.ranges) == 1


@pytest.mark.parametrize("member", ["../evil", "/evil", "a/../../evil", "C:/evil", "..\\evil"])
def test_a_zip_that_would_leave_its_folder_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, member: str
) -> None:
    offer(monkeypatch, server, zipped({"good": b"1", member: b"2"}), unpack=True)
    target = tmp_path / "target"
    with pytest.raises(DataError, match="outside its folder"):
        download("tiny", target, ask=accept, base_url=server.url)
    assert [entry.name for entry in target.iterdir()] == ["tiny.zip"]
    assert not (tmp_path / "evil").exists()


def test_an_unknown_name_lists_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'isic'.*ham10000, dermamnist"):
        download("isic", tmp_path, ask=accept)


def test_every_published_file_is_https_and_has_a_hash() -> None:
    for dataset in CATALOGUE.values():
        assert "non-commercial" in dataset.licence
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert len(bytes.fromhex(file.md5)) == hashlib.md5().digest_size
