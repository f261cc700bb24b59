"""A Hugging Face Hub of one process: what its client needs to make, fill and read repositories."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_" + "a" * 34
COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """Files of each repository, by name; `private` are those that were made so."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    may_write: bool = True


def handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

        def answer(self, code: int, content: bytes, **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def say(self, value: object, code: int = 200, **headers: str) -> None:
            text = json.dumps(value).encode()
            self.answer(code, text, Content_Type="application/json", **headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            if path == "/api/validate-yaml":
                text = json.loads(body)["content"]
                yaml.safe_load(text.split("---")[1])
                self.say({"errors": [], "warnings": []})
                return
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.say({"error": "Invalid username or password."}, 401)
                return
            if not hub.may_write:
                self.say({"error": "Forbidden"}, 403)
                return
            if path == "/api/repos/create":
                order = json.loads(body)
                owner = order.get("organization") or "me"
                name = f"{owner}/{order['name']}"
                hub.files.setdefault(name, {})
                if order.get("private") or order.get("visibility") == "private":  # by version
                    hub.private.add(name)
                self.say({"url": f"{hub.address}/{name}", "name": name, "id": name})
            elif "/preupload/" in path:
                files = json.loads(body)["files"]
                told = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in files
                ]
                self.say({"files": told})
            elif "/commit/" in path:
                name = "/".join(path.split("/")[3:5])
                for line in body.splitlines():
                    said = json.loads(line)
                    if said["key"] == "header":
                        hub.messages.append(said["value"]["summary"])
                    if said["key"] == "file":
                        content = base64.b64decode(said["value"]["content"])
                        hub.files[name][said["value"]["path"]] = content
                where = f"{hub.address}/{name}/commit/{COMMIT}"
                self.say({"commitUrl": where, "commitOid": COMMIT, "success": True})
            else:
                self.say({"error": f"no {path} here"}, 404)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            parts = path.strip("/").split("/")
            if path.startswith("/api/models/"):
                name = "/".join(parts[2:4])
                if name not in hub.files:
                    self.say({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
                elif parts[4:5] == ["tree"]:
                    tree = [
                        {"type": "file", "path": f, "size": len(c), "oid": f"{hash(c):x}"}
                        for f, c in hub.files[name].items()
                    ]
                    self.say(tree)
                else:
                    siblings = [{"rfilename": file} for file in hub.files[name]]
                    self.say({"id": name, "sha": COMMIT, "siblings": siblings})
                return
            name, file = "/".join(parts[:2]), "/".join(parts[4:])
            content = hub.files.get(name, {}).get(file)
            if content is None:
                self.say({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
                return
            tag = f'"{abs(hash(content)):040x}"'
            self.answer(200, content, ETag=tag, X_Repo_Commit=COMMIT)

        def do_HEAD(self) -> None:
            self.do_GET()

    return Hub


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A Hub on this machine; `hub.address` is what HF_ENDPOINT should be."""
    hub = FakeHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(hub)) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
