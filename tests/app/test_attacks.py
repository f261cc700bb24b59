"""The page attacked on this machine, in small; `make faults` does it in large.

That no attack leaves a traceback in the log, or a file behind, is tested when the page is closed.
"""

import asyncio
import io
import random
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqgan.app.limits import MOST_JSON, PATIENCE
from hqgan.pretrained import find_pretrained
from hqgan.workflows import sample
from web_attacks import (
    API,
    Answer,
    Controls,
    Page,
    Visitor,
    a_page_under_attack,
    answer_of,
    attack,
    connected,
    controls,
    form,
    images_wanted,
    join_body,
    made_for,
    posted,
    request,
)

pytest.importorskip("gradio")

NAME = "ham10000-64"
LARGEST = 1_000_000  # bytes of an upload
SLACK = 5.0  # seconds: two cores, other tests beside
VISITORS = 40
EVERY_CLASS = ""
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SECRET = "a-password-in-the-environment"
TRAVERSALS = (
    "/etc/passwd", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc%252fpasswd", "....//....//etc/passwd", "..\\..\\etc\\passwd",
    "..%5c..%5cetc%5cpasswd", "%c0%ae%c0%ae/etc/passwd", "/proc/self/environ", "file:///etc/passwd",
    "/etc/passwd%00.png", "//etc/passwd", "/./etc/passwd", "http://127.0.0.1/x", "~/.ssh/id_rsa",
    "\\\\server\\share", "C:/x", "%00", "?", "#", "%", "{MADE}/uploads", "{MADE}/../secret",
)  # fmt: skip
ROUTES = (
    "/{}", "/static/{}", "/assets/{}", "/svelte/{}", "/file={}", "/file/{}", "/gradio_api/file={}",
    "/gradio_api/file/{}", "/gradio_api/proxy={}", "/gradio_api/stream/{}/a/b/playlist.m3u8",
    "/gradio_api/stream/{}/a/b/c.ts", "/gradio_api/custom_component/{}/client/x/y",
    "/gradio_api/heartbeat/{}", "/gradio_api/queue/data?session_hash={}", "/gradio_api/call/{}",
    "/gradio_api/upload_progress?upload_id={}", "/?deep_link={}", "/config?deep_link={}&page={}",
    "/gradio_api/deep_link?session_hash={}", "/monitoring/{}", "/gradio_api/runs?x={}", "/login/{}",
    "/pwa_icon/{}", "/gradio_api/vibe-code/{}", "/dev/{}", "/theme.css/{}", "/gradio_api/api/{}",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    secrets = {"HF_TOKEN": SECRET, "HQGAN_SECRET": SECRET}
    with a_page_under_attack(folder, "--max-upload-mb", "1", **secrets) as running:
        yield running


@pytest.fixture(scope="module")
def buttons(page: Page) -> Controls:
    return controls(page)


def tells_nothing(page: Page, answer: Answer) -> None:
    """An answer that is an error says a sentence, and nothing about the server."""
    text = answer.head + answer.body.decode("latin-1")
    for word in (SECRET, "root:", "Traceback", "site-packages", str(page.folder), str(Path.cwd())):
        assert word not in text, text[:2000]
    if answer.status >= 400 and answer.body:
        assert not re.search(r'File "|/(?:tmp|usr|home|root|work|proc|etc)/', text), text[:2000]
        assert len(answer.body) < 1000
        assert answer.body.rstrip(b'"}').endswith((b".", b"received")), answer.body


def test_no_path_of_a_client_leads_anywhere(page: Page) -> None:
    made = next(page.folder.glob("hqgan-app-*")) / "gradio"
    (made.parent / "secret").write_text(SECRET)
    for route in ROUTES:
        for path in TRAVERSALS:
            target = route.replace("{}", path.replace("{MADE}", str(made)))
            for method in ("GET", "HEAD") if "%2e" in path else ("GET",):
                answer = attack(page, request(method, target.replace("#", "%23")))
                tells_nothing(page, answer)
                # "/" with a query is the page itself, whatever the query says.
                is_page = target.startswith(("/?", "/config?", "//?"))
                assert answer.status in ((200, 405) if is_page else (400, 403, 404)), target


def test_what_is_no_order_of_the_page_is_a_sentence_and_no_traceback(
    page: Page, buttons: Controls
) -> None:
    whole = join_body(buttons.make, "odd", images_wanted(1, 0))
    odd: list[Any] = [
        {**whole, key: value}
        for key in whole
        for value in (None, -1, 10**6, 10**400, 1.5, "../x", [], {}, [[]], True, "\0")
        if not (key == "trigger_id" and value is None)
    ]
    odd += [{}, [], 1, None, {"data": []}, b"", b"{", b"\xff\xfe", b"[" * 30_000, b'"' * 100]
    for body in odd:
        answer = attack(page, posted(f"{API}/queue/join", body))
        assert answer.status == 400, body
        tells_nothing(page, answer)
    for path in ("cancel", "reset", "queue/join"):
        answer = attack(page, posted(f"{API}/{path}", {"event_id": ["x"], "session_hash": {}}))
        assert answer.status in (400, 422)
        tells_nothing(page, answer)


def test_values_that_no_control_has_are_a_sentence(page: Page, buttons: Controls) -> None:
    odd = (None, -1, 1e308, 10**30, "\u202e", "a" * 999, True)
    wishes = []
    for place in range(7):
        for value in odd:
            wish = images_wanted(1, 0)
            wish[4] = ("exact", "shots", "noise")[max(0, place - 4)]
            wish[place] = value
            wishes.append(wish)
    answers = asyncio.run(made_for(page, buttons, wishes))
    assert {one.status for one in answers} == {200}
    for one in answers:
        assert one.output is not None or one.refusal.endswith((".", "?")), one
        assert "went wrong on the server" not in one.refusal
        assert str(page.folder) not in one.refusal


JOIN, UPLOAD, CHUNKED = f"{API}/queue/join", f"{API}/upload", "Transfer-Encoding: chunked"
DEEP = b'{"data":' + b"[" * 9999 + b"]" * 9999 + b"}"
# What is sent, and the answers that are right; 0 is a connection that is cut.
ODD: dict[str, tuple[bytes, set[int]]] = {
    "a body by its length": (posted(JOIN, bytes(MOST_JSON + 1)), {413}),
    "a terabyte": (posted(UPLOAD, b"x", f"Content-Length: {10**12}"), {413}),
    "a length of digits": (posted(UPLOAD, b"x", "Content-Length: " + "9" * 50), {400, 411}),
    "no length": (posted(UPLOAD, b"0\r\n\r\n", CHUNKED), {411}),
    "a negative length": (posted(UPLOAD, b"x", "Content-Length: -1"), {400}),
    "two lengths": (posted(UPLOAD, b"", "Content-Length: 1", "Content-Length: 2"), {400}),
    "a length and pieces": (posted(JOIN, b"0\r\n\r\n", "Content-Length: 3", CHUNKED), {400}),
    "many headers": (request("GET", "/", *(f"X-{n}: y" for n in range(20_000))), {400, 0}),
    "a large header": (request("GET", "/", "X-A: " + "y" * 10**6), {400, 0}),
    "many cookies": (request("GET", "/config", "Cookie: " + "a=b; " * 2000), {200}),
    "a long address": (request("GET", "/" + "a" * 10**6), {400, 0}),
    "a query of many": (request("GET", "/config?" + "a=b&" * 3000), {400}),
    "lists in lists": (posted(JOIN, DEEP), {400}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), {400, 0}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 421, 0}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (request("GET", "/", "Host: 127.0.0.1", "Host: evil"), {400}),
    "a foreign name": (request("GET", "/", "Host: evil.example"), {421}),
    "an absolute address": (request("GET", "http://evil.example/"), {400, 404}),
    "a way through": (request("CONNECT", "evil.example:80"), {400, 404}),
    "a web socket": (request("GET", "/", "Upgrade: websocket", "Connection: upgrade"), {200, 400}),
    "ranges": (
        request("GET", "/static/img/logo.svg", "Range: bytes=" + "0-1," * 500),
        {200, 206, 400, 404, 416},
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_too_much_and_too_odd_is_refused(page: Page, what: str) -> None:
    content, statuses = ODD[what]
    answer = attack(page, content)
    assert answer.status in statuses, answer
    assert answer.seconds < PATIENCE + SLACK
    if answer.status >= 400:
        tells_nothing(page, answer)


def test_pieces_without_end_are_cut_off_at_the_limit(page: Page) -> None:
    piece = b"2710\r\n" + b"a" * 10_000 + b"\r\n"
    content = posted(JOIN, b"", CHUNKED) + 1000 * piece
    answer = attack(page, content)
    assert answer.status in (413, 0)
    assert answer.seconds < SLACK


def test_who_sends_on_after_a_refusal_still_hears_it(page: Page) -> None:
    for length in (LARGEST, 20 * LARGEST):
        kind = "Content-Type: multipart/form-data; boundary=x"
        sent = request(
            "POST", UPLOAD, kind, f"Content-Length: {length}", body=b"--y" + bytes(length)
        )
        answers = [attack(page, sent) for _ in range(10)]
        assert {one.status for one in answers} <= {400, 413}
        assert all(one.body.endswith(b'."}') for one in answers)


ONE_FILE = form(("a.zip", b"PK"))
NO_UPLOADS: dict[str, tuple[bytes, int]] = {
    "a thousand files": (form(*((f"{n}.zip", b"PK") for n in range(1000))), 400),
    "no file": (form(), 400),
    "a file too large": (form(("a.zip", bytes(LARGEST + 1))), 413),
    "an end that is missing": (ONE_FILE.replace(b"--x--", b"-----"), 400),
    "no boundary": (ONE_FILE.replace(b"; boundary=x", b""), 400),
    "a long boundary": (ONE_FILE.replace(b"boundary=x", b"boundary=" + b"x" * 300), 400),
    "large headers of parts": (form(("a" * 9000, b"PK")), 400),
    "no form": (posted(UPLOAD, {"files": 1}), 400),
}


@pytest.mark.parametrize("what", NO_UPLOADS)
def test_an_upload_is_one_file_of_bounded_size(page: Page, what: str) -> None:
    content, status = NO_UPLOADS[what]
    answer = attack(page, content)
    assert answer.status == status, answer
    tells_nothing(page, answer)
    assert not list(page.folder.rglob("uploads/*"))


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x", "/etc/x", "a/b\\c", "", "\0", "a" * 3000]
)
def test_the_name_of_an_upload_is_nowhere_on_the_disk(page: Page, name: str) -> None:
    answer = attack(page, form((name, b"PK")))
    assert answer.status == 200
    word = answer.body.decode().strip('[]"')
    files = list(page.folder.rglob("uploads/*"))
    assert [file.name for file in files if word in file.name] == [f"{word}.zip"]
    assert not {file for file in page.folder.rglob("*") if "cron" in file.name}


def a_zip() -> bytes:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("mel", "nv"):
            for number in range(6):
                picture = io.BytesIO()
                pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(picture, format="PNG")
                archive.writestr(f"{name}/{number}.png", picture.getvalue())
    return buffer.getvalue()


def test_an_upload_is_its_visitors_and_nobody_elses(page: Page, buttons: Controls) -> None:
    async def both() -> None:
        async with Visitor(page, "owner") as owner, Visitor(page, "thief") as thief:
            for visitor in (owner, thief):
                await visitor.web.get("/")  # the cookie
            word = (await owner.upload(a_zip())).json()[0]
            file = {"path": word, "meta": {"_type": "gradio.FileData"}}
            stolen = await thief.order(buttons.upload, [file])
            assert stolen.status == 404
            assert stolen.refusal == "That upload is no longer here; please send it again."
            assert (await thief.web.get(f"{API}/file={word}")).status_code == 403
            looked = await owner.order(buttons.upload, [file])
            assert looked.output
            assert "2 classes" in str(looked.output) or "mel" in str(looked.output)
            again = await owner.order(buttons.upload, [file])
            assert again.status == 404  # it is deleted once it was looked at

    asyncio.run(both())


def test_the_page_of_one_visitor_is_closed_to_others(page: Page, buttons: Controls) -> None:
    async def both() -> None:
        async with Visitor(page, "own-page") as owner, Visitor(page, "own-page") as thief:
            for visitor in (owner, thief):
                await visitor.web.get("/")
            assert (await owner.order(buttons.make, images_wanted(1, 1))).output
            query = {"session_hash": "own-page"}
            spied = await thief.web.get(f"{API}/queue/data", params=query)
            closed = await thief.web.get(f"{API}/heartbeat/own-page")
            cancel = {"session_hash": "own-page", "fn_index": 0, "event_id": "x"}
            stopped = await thief.web.post(f"{API}/cancel", json=cancel)
            used = await thief.order(buttons.make, images_wanted(1, 2))
            assert {one.status_code for one in (spied, closed, stopped)} == {403}
            assert used.status == 403

    asyncio.run(both())


def test_what_one_visitor_says_of_the_host_no_other_hears(page: Page) -> None:
    for path in ("/", "/config"):
        attack(page, request("GET", path, "X-Forwarded-Host: evil.example"))
        assert b"evil.example" not in attack(page, request("GET", path)).body


def test_slow_senders_are_cut_off_and_others_served_meanwhile(page: Page) -> None:
    starts = {
        "nothing": b"",
        "half a line": b"GET / HT",
        "half a head": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        "half a body": posted(JOIN, b"{", "Content-Length: 100"),
        "half an upload": form(("a.zip", bytes(5000)))[:-3000],
        "more after the end": request("GET", "/favicon.ico").replace(b"close", b"keep-alive"),
    }
    sockets = {what: connected(page) for what in starts}
    waits = connected(page)  # and sends nothing more
    waits.sendall(b"GET / HTTP/1.1\r\n")
    for what, content in starts.items():
        sockets[what].sendall(content)
        sockets[what].setblocking(False)
    began, ended, worst = time.monotonic(), {}, 0.0
    while time.monotonic() - began < PATIENCE + SLACK and len(ended) < len(starts):
        asked = time.monotonic()
        assert attack(page, request("GET", "/theme.css")).status == 200
        worst = max(worst, time.monotonic() - asked)
        for what, one in sockets.items():
            if what in ended:
                continue
            try:
                one.send(b"X")  # a drop
                while one.recv(65_536):
                    pass
                ended[what] = time.monotonic() - began
            except BlockingIOError:
                pass
            except OSError:
                ended[what] = time.monotonic() - began
        time.sleep(0.3)
    for one in sockets.values():
        one.close()
    with waits:
        answer = answer_of(waits)
    assert answer.status == 408
    assert answer.body == b"The request took too long to arrive."
    assert set(ended) == set(starts), ended
    assert worst < SLACK


def test_who_does_not_read_is_cut_off(page: Page) -> None:
    # An answer larger than what lies in between is never taken; the server keeps serving.
    stuck = []
    for _ in range(20):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.connect(("127.0.0.1", page.port))
        one.sendall(50 * request("GET", "/").replace(b"close", b"keep-alive"))
        stuck.append(one)
    assert attack(page, request("GET", "/")).status == 200
    for one in stuck:
        one.close()


def test_many_visitors_at_once_get_all_they_asked_for_and_each_their_own(
    page: Page, buttons: Controls, tmp_path: Path
) -> None:
    async def visit(number: int) -> tuple[float, list[bytes]]:
        async with Visitor(page, f"many-{number}") as visitor:
            got = await visitor.order(buttons.make, images_wanted(1, number, EVERY_CLASS))
            return got.seconds, await visitor.pictures(got)

    async def together() -> list[tuple[float, list[bytes]]]:
        return await asyncio.gather(*(visit(number) for number in range(VISITORS)))

    before = page.memory()
    answers = asyncio.run(together())
    assert all(len(pictures) == len(CLASSES) for _, pictures in answers)
    different = {picture for _, pictures in answers for picture in pictures}
    assert len(different) == VISITORS * len(CLASSES)
    chosen = random.Random(0).sample(range(VISITORS), 3)
    for seed in chosen:
        sample(find_pretrained(NAME), tmp_path / str(seed), per_class=1, seed=seed)
        for name, content in zip(CLASSES, answers[seed][1], strict=True):
            file = tmp_path / str(seed) / name / "00000.png"
            with Image.open(file) as own, Image.open(io.BytesIO(content)) as theirs:
                np.testing.assert_array_equal(np.asarray(own), np.asarray(theirs))
    assert page.memory() - before < 200  # megabytes


def test_one_page_cannot_fill_the_queue(page: Page, buttons: Controls) -> None:
    async def greedy() -> list[int]:
        async with Visitor(page, "greedy") as visitor:
            body = join_body(buttons.walk, "greedy", ["mel", 0, 1, 16, 4.0, "exact", 1, ""])
            asked = [visitor.web.post(f"{API}/queue/join", json=body) for _ in range(40)]
            answers = await asyncio.gather(*asked)
            refused = [one for one in answers if one.status_code != 200]
            assert all(one.status_code == 429 for one in refused)
            assert all(one.headers["retry-after"] for one in refused)
            assert all(one.json()["detail"].endswith(".") for one in refused)
            return [one.status_code for one in answers]

    assert asyncio.run(greedy()).count(429) >= 20
