"""The web page flooded: thousands of slow senders, uploads, streams, guesses and broken requests.

Hundreds of honest visitors are in test_web_load.py, small attacks in tests/app/test_attacks.py.
"""

import asyncio
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from faults.amounts import EVERY
from hqgan.app.limits import (
    CONNECTIONS,
    CONNECTIONS_OF_ADDRESS,
    PATIENCE,
    UPLOADS_OF_VISITOR,
    UPLOADS_WAITING,
)
from web_attacks import (
    API,
    Answer,
    Controls,
    Page,
    Visitor,
    a_page_under_attack,
    attack,
    connected,
    controls,
    form,
    images_wanted,
    join_body,
    made_for,
    posted,
    request,
    worst_of,
)

pytest.importorskip("gradio")

QUIET = 20.0  # seconds for a visitor during a flood, on two cores that the flood uses too
FUZZED = 4000 // EVERY
SLACK = 5.0  # seconds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def in_the_way(page: Page, count: int, source: str, content: bytes) -> list[socket.socket]:
    """So many sockets that begin and do not go on; fewer where the server takes no more."""
    sockets = []
    for _ in range(count):
        try:
            one = connected(page, source, 5)
            one.sendall(content)
            sockets.append(one)
        except OSError:
            continue
    return sockets


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("heads", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "),
        ("bodies", posted(f"{API}/queue/join", b'{"data": ', "Content-Length: 20000")),
    ],
)
def test_visitors_are_served_while_thousands_of_slow_ones_hold_on(
    page: Page, buttons: Controls, figures: Counter[str], what: str, content: bytes
) -> None:
    held: list[socket.socket] = []
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(1.0):
            for one in held:
                with suppress(OSError):
                    one.send(b"a")

    for number in range(2):
        held += in_the_way(page, CONNECTIONS_OF_ADDRESS, f"127.0.1.{number}", content)
    threading.Thread(target=drip, daemon=True).start()
    assert len(held) >= CONNECTIONS - 10  # "bodies" are refused beyond that
    waits: list[float] = []
    answers = []
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE + SLACK:
        asked = time.monotonic()
        answers.append(attack(page, request("GET", "/theme.css")).status)
        waits.append(time.monotonic() - asked)
        time.sleep(0.2)
    # Each is cut off in time, although it keeps dripping.
    left = sum(1 for one in held if not is_closed(one))
    stop.set()
    for one in held:
        one.close()
    assert left == 0
    assert max(waits) < QUIET
    if what == "heads":
        assert set(answers) == {200}
    else:  # requests that have begun hold their places, for a while and not longer
        assert set(answers) <= {200, 503}
        assert answers[-1] == 200
    got = asyncio.run(made_for(page, buttons, [images_wanted(1, 1)]))
    assert got[0].output
    figures["slow connections: cut off, others served"] += len(held)
    worst_of(
        figures, f"the longest wait for a page while thousands of slow {what} hold on", max(waits)
    )


def is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        while one.recv(65_536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_slow_uploads_make_room_for_quick_ones(page: Page, figures: Counter[str]) -> None:
    kind, length = "Content-Type: multipart/form-data; boundary=x", "Content-Length: 900000"
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.zip"\r\n\r\nPK'
    slow = [
        one
        for source in ("127.0.2.1", "127.0.2.2", "127.0.2.3")
        for one in in_the_way(
            page, 30, source, request("POST", f"{API}/upload", kind, length, body=head)
        )
    ]
    time.sleep(4)

    async def quick() -> list[int]:
        async with AsyncExitStack() as stack:
            visitors = [Visitor(page, f"quick-{number}", "127.0.2.9") for number in range(8)]
            for one in visitors:
                await stack.enter_async_context(one)
            answers = await asyncio.gather(*(one.upload(bytes(500_000)) for one in visitors))
            return [one.status_code for one in answers]

    started = time.monotonic()
    assert asyncio.run(quick()) == [200] * 8
    seconds = time.monotonic() - started
    assert seconds < QUIET
    time.sleep(PATIENCE + SLACK)
    assert all(is_closed(one) for one in slow)
    for one in slow:
        one.close()
    figures["slow uploads: cut off, others served"] += len(slow)
    worst_of(figures, "the longest wait for an upload among them", seconds)


def test_a_flood_of_uploads_keeps_to_the_room_that_there_is(
    page: Page, figures: Counter[str]
) -> None:
    async def flood(number: int) -> list[int]:
        async with Visitor(page, f"hoarder-{number}", f"127.0.3.{number + 1}") as visitor:
            await visitor.web.get("/")
            return [(await visitor.upload(bytes(990_000))).status_code for _ in range(12)]

    async def together() -> list[list[int]]:
        return await asyncio.gather(*(flood(number) for number in range(16)))

    counted = Counter(status for one in asyncio.run(together()) for status in one)
    assert set(counted) <= {200, 429, 503}
    assert counted[200] >= UPLOADS_WAITING
    kept = list(page.folder.rglob("uploads/*.zip"))
    assert len(kept) <= min(UPLOADS_WAITING, 16 * UPLOADS_OF_VISITOR)
    assert sum(file.stat().st_size for file in kept) <= UPLOADS_WAITING * 1_000_000
    figures["uploads in a flood: ten are kept"] += sum(counted.values())


def test_streams_without_end_leave_room_for_visitors(
    page: Page, buttons: Controls, figures: Counter[str]
) -> None:
    hearts = []
    for number in range(CONNECTIONS_OF_ADDRESS + 100):
        try:
            one = connected(page, "127.0.4.1", 5)
            one.sendall(request("GET", f"{API}/heartbeat/heart-{number}"))
            hearts.append(one)
        except OSError:
            continue
    deadline = time.monotonic() + QUIET  # a thousand more wait to be looked at
    while (open_ones := sum(1 for one in hearts if not is_closed(one))) > CONNECTIONS_OF_ADDRESS:
        assert time.monotonic() < deadline, open_ones
        time.sleep(0.5)
    started = time.monotonic()
    got = asyncio.run(made_for(page, buttons, [images_wanted(1, n) for n in range(10)]))
    assert all(one.status == 200 and one.output for one in got)
    worst_of(
        figures,
        "the longest wait for images while a thousand streams are open",
        time.monotonic() - started,
    )
    for one in hearts:
        one.close()


def test_one_page_is_open_a_few_times_and_not_more(page: Page) -> None:
    many = [connected(page) for _ in range(20)]
    for one in many:
        one.sendall(request("GET", f"{API}/heartbeat/the-same"))
    deadline = time.monotonic() + QUIET
    while (open_ones := sum(1 for one in many if not is_closed(one))) > 6:
        assert time.monotonic() < deadline, open_ones
        time.sleep(0.5)
    assert open_ones == 6
    for one in many:
        one.close()


def test_thousands_of_broken_requests_break_nothing(
    page: Page, figures: Counter[str], buttons: Controls
) -> None:
    rng = random.Random(0)
    wish = join_body(buttons.make, "broken", images_wanted(1, 0))
    whole = [
        request("GET", "/", "Cookie: hqgan-visitor=" + "a" * 30, "Range: bytes=0-9"),
        request("GET", "/static/img/logo.svg", "Range: bytes=1-5", "If-None-Match: x"),
        request("GET", f"{API}/file={page.folder}/hqgan-app-x/gradio/" + "0" * 64 + "/image.png"),
        request("GET", f"{API}/queue/data?session_hash=broken"),
        request("GET", f"{API}/upload_progress?upload_id=@"),
        form(("a.zip", b"PK")).replace(b"/upload", b"/upload?upload_id=1"),
        form(("a.zip", b"PK")).replace(b"/gradio_api/upload", b"/login"),
        posted("/login", b"username=a&password=b"),
        posted(f"{API}/cancel", {"session_hash": "broken", "fn_index": 1, "event_id": "x"}),
        posted(f"{API}/queue/join", wish),
    ]
    counted: Counter[int] = Counter()
    for _ in range(FUZZED):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 6)):
            where = rng.randrange(len(content))
            change = rng.randrange(4)
            if change == 0:
                content[where] = rng.randrange(256)
            elif change == 1:
                del content[where : where + rng.randint(1, 20)]
            elif change == 2:
                content[where:where] = rng.randbytes(rng.randint(1, 8))
            else:
                content[where:where] = content[where : where + 40]
            content = content or bytearray(b"x")
        # What it waits for does not come: the sender is done.
        with connected(page, timeout=0.3) as one:
            one.sendall(bytes(content))
            try:
                head = one.recv(200)
            except (TimeoutError, ConnectionError):
                head = b""
        found = re.match(rb"HTTP/1\.1 (\d+)", head)
        counted[int(found[1]) if found else 0] += 1
    assert not [status for status in counted if status >= 500], counted
    assert "Traceback" not in page.said()
    assert attack(page, request("GET", "/")).status == 200
    figures["broken requests: answered or cut off, no traceback"] += FUZZED


def test_guessing_at_passwords_is_slow_and_keeps_nobody_out(
    tmp_path: Path, figures: Counter[str]
) -> None:
    def sign_in(page: Page, password: str, source: str, cookie: str = "") -> Answer:
        kind = "Content-Type: application/x-www-form-urlencoded"
        body = f"username=ann&password={password}".encode()
        sent = request("POST", "/login", kind, f"Cookie: {cookie}", body=body)
        return attack(page, sent, source)

    with a_page_under_attack(tmp_path / "page", HQGAN_APP_AUTH="ann:the right one") as page:
        head = attack(page, request("GET", "/")).head
        found = re.search(r"(hqgan-visitor=[\w-]+)", head)
        assert found
        mine = found[1]
        assert sign_in(page, "the+right+one", "127.0.0.1", mine).status == 200
        started = time.monotonic()
        counted: Counter[int] = Counter()
        for number in range(1000):
            answer = sign_in(page, f"guess-{number}", f"127.0.5.{number % 50 + 1}")
            counted[answer.status] += 1
            if answer.status == 429:
                assert "retry-after" in answer.head.lower()
        seconds = time.monotonic() - started
        assert set(counted) == {400, 429}
        assert counted[400] <= 30 + seconds / 2 + 1  # thirty at once, then one in two seconds
        # Whoever was in before gets in while the guessing goes on, and with another name anybody.
        assert sign_in(page, "the+right+one", "127.0.0.1", mine).status == 200
        assert sign_in(page, "wrong", "127.0.0.1", mine).status == 400
        # Anybody else who waits as long as the answer says.
        waiting = sign_in(page, "the+right+one", "127.0.6.1")
        if waiting.status == 429:
            wait = re.search(r"retry-after: (\d+)", waiting.head.lower())
            assert wait
            time.sleep(int(wait[1]) + 1)
            assert sign_in(page, "the+right+one", "127.0.6.1").status == 200
    figures["passwords guessed at: most not looked at, the owner gets in"] += 1000


def test_a_page_ends_at_once_and_quietly_while_streams_are_open(tmp_path: Path) -> None:
    with a_page_under_attack(tmp_path / "page") as page:
        hearts = [connected(page) for _ in range(50)]
        for number, one in enumerate(hearts):
            one.sendall(request("GET", f"{API}/heartbeat/open-{number}"))
            assert one.recv(100)
        started = time.monotonic()
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(60) == 0
        assert time.monotonic() - started < 30  # most of it is Python, which ends
        for one in hearts:
            one.close()


def test_a_page_ends_whole_while_images_are_made(tmp_path: Path) -> None:
    """Python must not end before the threads that compute: it would be aborted by them."""
    with a_page_under_attack(tmp_path / "page") as page:
        make = controls(page).make
        for number in range(12):
            wish = join_body(make, f"still-waiting-{number}", images_wanted(64, number))
            assert attack(page, posted(f"{API}/queue/join", wish)).status == 200
        started = time.monotonic()
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(60) == 0
        assert time.monotonic() - started < 30
