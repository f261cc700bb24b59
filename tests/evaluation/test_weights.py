"""Weights are read safely from a file and downloaded once, whole and verified, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hqgan.errors import HqganError
from hqgan.evaluation.weights import download_inception, read_weights

BODY = b"weights " * 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Server:
    """/net.pth is the file, /cut.pth ends early, /away.pth leads to plain http elsewhere."""

    address: str = ""
    requests: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            if self.path == "/away.pth":
                self.send_response(302)
                self.send_header("Location", "http://weights.invalid/net.pth")
                self.end_headers()
            elif self.path in {"/net.pth", "/cut.pth"}:
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY if self.path == "/net.pth" else BODY[:1000])
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield served
        http.shutdown()
        thread.join()


def test_a_download_happens_once_and_reports_its_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        path = download_inception(
            tmp_path,
            url=server.url("net.pth"),
            sha256=SHA256,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert path == tmp_path / "net.pth"
    assert path.read_bytes() == BODY
    assert server.requests == ["/net.pth"]
    assert seen[-1] == (len(BODY), len(BODY))


def test_a_damaged_earlier_download_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(BODY[:10])
    path = download_inception(tmp_path, url=server.url("net.pth"), sha256=SHA256)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "sha256", "complaint"),
    [
        ("net.pth", "0" * 64, f"sha256 {SHA256}, expected 0000"),
        ("cut.pth", SHA256, "expected " + SHA256),
        ("gone.pth", SHA256, "404"),
        ("away.pth", SHA256, "http://weights.invalid/net.pth is not an https address"),
    ],
)
def test_anything_but_the_known_file_is_refused_and_nothing_is_kept(
    server: Server, tmp_path: Path, name: str, sha256: str, complaint: str
) -> None:
    with pytest.raises(HqganError, match=complaint) as refusal:
        download_inception(tmp_path, url=server.url(name), sha256=sha256)
    assert "--inception-weights" in str(refusal.value)  # the way that needs no network
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(HqganError, match=r"Could not download .* Download the file by hand"):
        download_inception(tmp_path, url="http://127.0.0.1:9/net.pth", sha256=SHA256)


def test_plain_http_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(HqganError, match="not an https address"):
        download_inception(tmp_path, url="http://example.org/net.pth", sha256=SHA256)


def test_both_file_formats_give_the_same_tensors_and_the_hash_of_the_file(tmp_path: Path) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        found, sha256 = read_weights(tmp_path / name)
        assert torch.equal(found["a.weight"], state["a.weight"])
        assert sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


class Surprise:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"a": Surprise(tmp_path / "ran")}, tmp_path / "net.pth")
    with pytest.raises(HqganError, match="cannot be read as a state dict"):
        read_weights(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()


def test_files_that_hold_no_weights_are_named(tmp_path: Path) -> None:
    for name in ("text.pth", "text.safetensors"):
        for content in ("not weights", "root:x:0:0:root:/root:/bin/bash\n"):
            (tmp_path / name).write_text(content)
            with pytest.raises(HqganError, match=f"{name} cannot be read as a state dict"):
                read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(HqganError, match=r"list\.pth holds a list"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(HqganError, match=r"no Inception weights at .*missing"):
        read_weights(tmp_path / "missing")
