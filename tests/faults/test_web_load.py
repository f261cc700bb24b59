"""The web page under load: two hundred at once, none lost, none starved, memory bounded.

Floods of what is no visitor are in test_web_floods.py, small attacks in tests/app/test_attacks.py.
"""

import asyncio
import io
import re
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.app.generating import Order, make
from hqgan.app.limits import (
    REQUESTS_OF_ADDRESS,
)
from hqgan.app.model import open_model
from hqgan.pretrained import find_pretrained
from hqgan.workflows import sample
from web_attacks import (
    API,
    Controls,
    Got,
    Page,
    Visitor,
    attack,
    images_wanted,
    join_body,
    made_for,
    request,
    worst_of,
)

pytest.importorskip("gradio")

NAME = "ham10000-64"
EVERY_CLASS = ""
VISITORS = 200
IMAGES = 4
ALL_CLASSES = 10  # of the visitors ask for every class, as `hqgan sample` makes them
WAVES = 4
# Seconds for all of 200 orders: 0.06 s an image of four alone on one core of this machine.
LONGEST = 180.0
PLAIN = 60.0
FAIR = 3.0  # the longest wait over the median: half of them come before the median, in turn
MEGABYTES = 600  # more than before the first visitor: 400 sessions of 0.6, and what torch keeps

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def before(page: Page) -> float:
    """Megabytes of the server before the first visitor."""
    return page.memory()


def test_two_hundred_plain_pages_at_once_all_come_whole(
    page: Page, before: float, figures: Counter[str]
) -> None:
    first = attack(page, request("GET", "/"))
    assets = sorted(set(re.findall(rb'"\./(assets/[\w./-]+\.(?:js|css))"', first.body)))[:4]
    paths = ["/", "/config", "/theme.css", *(f"/{one.decode()}" for one in assets)]
    answers = {path: attack(page, request("GET", path)) for path in paths}
    assert {one.status for one in answers.values()} == {200}
    whole = {path: one.body for path, one in answers.items()}

    async def visit(number: int) -> list[float]:
        waits = []
        async with Visitor(page, f"plain-{number}") as visitor:
            for path in paths:
                started = time.monotonic()
                answer = await visitor.web.get(path)
                waits.append(time.monotonic() - started)
                assert answer.status_code == 200
                # A page holds what it was asked for by, and nothing else that differs.
                assert len(answer.content) == pytest.approx(len(whole[path]), abs=200)
        return waits

    async def together() -> list[list[float]]:
        return await asyncio.gather(*(visit(number) for number in range(VISITORS)))

    started = time.monotonic()
    waits = [wait for one in asyncio.run(together()) for wait in one]
    total = time.monotonic() - started
    assert len(waits) == VISITORS * len(paths)
    assert total < PLAIN
    worst_of(figures, "the longest wait for a plain page", max(waits))
    figures["requests served: plain pages, 200 visitors at once"] += len(waits)


def test_two_hundred_visitors_get_their_own_images_in_fair_order(
    page: Page, before: float, buttons: Controls, figures: Counter[str], tmp_path: Path
) -> None:
    model = open_model(find_pretrained(NAME), NAME)
    names = model.about.classes

    async def visit(number: int) -> tuple[Got, list[bytes]]:
        which = EVERY_CLASS if number < ALL_CLASSES else names[number % len(names)]
        async with Visitor(page, f"own-{number}") as visitor:
            got = await visitor.order(buttons.make, images_wanted(IMAGES, number, which))
            return got, await visitor.pictures(got)

    async def together() -> list[tuple[Got, list[bytes]]]:
        return await asyncio.gather(*(visit(number) for number in range(VISITORS)))

    answers = asyncio.run(together())
    for number, (_, pictures) in enumerate(answers):
        theirs = np.stack([read(content) for content in pictures])
        chosen = None if number < ALL_CLASSES else names[number % len(names)]
        own = make(model, Order(chosen, IMAGES, number)).images
        np.testing.assert_array_equal(theirs, own)
        if chosen is None:
            out = tmp_path / str(number)
            sample(find_pretrained(NAME), out, per_class=IMAGES, seed=number)
            files = [out / name / f"{k:05d}.png" for name in names for k in range(IMAGES)]
            np.testing.assert_array_equal(theirs, np.stack([read(f.read_bytes()) for f in files]))
    waits = sorted(got.seconds for got, _ in answers)
    assert waits[-1] < LONGEST
    assert waits[-1] < FAIR * statistics.median(waits)
    figures["requests served: images, 200 visitors at once, each its own bit for bit"] += sum(
        2 + len(pictures) for _, pictures in answers
    )
    worst_of(figures, "the longest wait for 4 images", waits[-1])
    worst_of(figures, "the median of them", statistics.median(waits))


def test_memory_is_bounded_however_many_come(
    page: Page, before: float, buttons: Controls, figures: Counter[str]
) -> None:
    seen = []
    for wave in range(WAVES):
        wishes = [images_wanted(IMAGES, 1000 * wave + n) for n in range(VISITORS)]
        answers = asyncio.run(made_for(page, buttons, wishes))
        assert all(one.status == 200 and one.output for one in answers)
        figures["requests served: images, further waves of 200 visitors"] += 2 * len(answers)
        seen.append(page.memory())
    assert page.peak() - before < MEGABYTES, seen
    assert seen[-1] - seen[-2] < 60, seen  # as many sessions as are kept: no more is needed
    figures["  memory of the server before, MB"] = round(before)
    figures["  memory of the server at most, MB"] = round(page.peak())


def test_a_flood_beyond_the_queue_is_told_when_to_come_back_and_others_get_in(
    page: Page, before: float, buttons: Controls, figures: Counter[str]
) -> None:
    flood = REQUESTS_OF_ADDRESS + 150

    async def one(number: int, source: str) -> Got:
        async with Visitor(page, f"flood-{source[-1]}-{number}", source) as visitor:
            # Walks of sixteen images: slow enough for a queue to grow.
            return await visitor.order(
                buttons.walk, [names[number % 7], number, 1, 16, 4.0, "exact", 1, ""]
            )

    async def others() -> list[Got]:
        await asyncio.sleep(3)
        return await asyncio.gather(*(one(number, "127.0.0.9") for number in range(20)))

    async def both() -> tuple[list[Got], list[Got]]:
        loud = asyncio.gather(*(one(number, "127.0.0.8") for number in range(flood)))
        quiet = asyncio.create_task(others())
        return await loud, await quiet

    names = open_model(find_pretrained(NAME), NAME).about.classes
    loud, quiet = asyncio.run(both())
    refused = [got for got in loud if got.status != 200]
    assert not [got for got in refused if not (got.status == 429 and got.retry)]
    assert all(got.refusal.endswith(".") for got in refused)
    assert all(got.output for got in loud if got.status == 200)  # who was let in is served
    assert len(refused) >= 100
    assert all(got.status == 200 and got.output for got in quiet)
    figures["orders beyond the queue: refused in a sentence with Retry-After"] += len(refused)
    figures["requests served: a flood, and others during it"] += 2 * (
        len(loud) - len(refused) + len(quiet)
    )
    worst_of(figures, "the longest wait of others for 16 images", max(got.seconds for got in quiet))


def test_a_greedy_page_waits_for_everybody_elses_first(
    page: Page, before: float, buttons: Controls
) -> None:
    async def both() -> tuple[float, float]:
        walk = ["mel", 0, 1, 16, 4.0, "exact", 1, ""]
        async with AsyncExitStack() as stack:
            greedy, *late = [
                await stack.enter_async_context(Visitor(page, name))
                for name in ("greedy-one", *(f"late-{number}" for number in range(10)))
            ]
            for seed in range(8):
                body = join_body(buttons.walk, "greedy-one", ["mel", seed, *walk[2:]])
                await greedy.web.post(f"{API}/queue/join", json=body)
            started = time.monotonic()
            last = asyncio.create_task(drained(greedy))
            await asyncio.gather(*(one.order(buttons.walk, walk) for one in late))
            others = time.monotonic() - started
            await last
            return others, time.monotonic() - started

    others, greedy = asyncio.run(both())
    assert others < greedy


async def drained(visitor: Visitor) -> None:
    """Read a visitor's messages to their end."""
    query = {"session_hash": visitor.session}
    async with visitor.web.stream("GET", f"{API}/queue/data", params=query) as stream:
        async for _ in stream.aiter_lines():
            pass


def test_afterwards_the_page_is_as_it_was(
    page: Page, before: float, buttons: Controls, figures: Counter[str]
) -> None:
    started = time.monotonic()
    got = asyncio.run(made_for(page, buttons, [images_wanted(8, 3)]))
    assert got[0].output
    worst_of(figures, "8 images after all of it", time.monotonic() - started)
    assert page.peak() - before < MEGABYTES
    figures["  memory of the server at most, MB"] = round(page.peak())
    figures["  memory of the server afterwards, MB"] = round(page.memory())


def read(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
