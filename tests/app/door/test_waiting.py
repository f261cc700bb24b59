"""The queue of orders: everybody's first before anybody's second, within bounds.

That Gradio's queue is as it is imitated here shows in tests/app/test_attacks.py.
"""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from hqgan.app.door import waiting as module
from hqgan.app.door.refusing import Refused
from hqgan.app.door.waiting import Waiting


def event(session: str, place: str = "10.0.0.1", waited: float = 0.0) -> Any:
    request = SimpleNamespace(client=SimpleNamespace(host=place))
    since = time.monotonic() - waited
    return SimpleNamespace(session_hash=session, request=request, enqueue_time=since)


def a_queue(*events: Any) -> Any:
    return SimpleNamespace(
        event_queue_per_concurrency_id={"images": SimpleNamespace(queue=list(events))},
        pending_messages_per_session={},
        pending_event_ids_session={},
        event_ids_to_events={},
    )


def test_the_first_of_each_comes_before_the_second_of_any() -> None:
    asked = [event("greedy") for _ in range(5)] + [event("b"), event("c"), event("b")]
    queue = a_queue(*asked)
    Waiting(queue).take_turns()
    turns = queue.event_queue_per_concurrency_id["images"].queue
    assert "".join(one.session_hash[0] for one in turns) == "gbcgbggg"
    assert [one for one in turns if one.session_hash == "greedy"] == asked[:5]


def test_a_flood_from_one_address_does_not_hold_up_who_comes_from_another() -> None:
    flood = [event(f"f{number}", "10.6.6.6") for number in range(100)]
    queue = a_queue(*flood, event("quiet", "10.0.0.2"), event("also quiet", "10.0.0.3"))
    Waiting(queue).take_turns()
    turns = [one.session_hash for one in queue.event_queue_per_concurrency_id["images"].queue]
    assert turns[:4] == ["f0", "quiet", "also quiet", "f1"]


def test_nor_do_ever_new_ones_keep_back_who_has_waited_for_long() -> None:
    old = [event("patient", waited=100 - number) for number in range(50)]
    queue = a_queue(*old, *(event(f"n{number}", f"10.0.1.{number}") for number in range(50)))
    waiting = Waiting(queue)
    served = []
    for number in range(50, 150):
        turns = queue.event_queue_per_concurrency_id["images"].queue
        turns.append(event(f"n{number}", f"10.0.1.{number}"))
        waiting.take_turns()
        served.append(turns.pop(0))
    assert [one for one in served if one.session_hash == "patient"] == old


def test_one_page_one_address_and_all_together_wait_for_so_much() -> None:
    queue = a_queue(*(event(f"s{n // 4}", f"10.0.0.{n // 8}") for n in range(32)))
    waiting = Waiting(queue, most=33, of_address=8, of_session=4)
    with waiting.room("new", "10.9.9.9"):
        pass
    for session, place, status in (("s0", "10.9.9.9", 429), ("new", "10.0.0.0", 429)):
        with pytest.raises(Refused) as refusal, waiting.room(session, place):
            pass
        assert refusal.value.status == status
        assert refusal.value.retry
    queue.event_queue_per_concurrency_id["looks"] = SimpleNamespace(queue=[event("x")])
    with pytest.raises(Refused) as full, waiting.room("new", "10.9.9.9"):
        pass
    assert full.value.status == 503
    assert full.value.retry


def test_who_reads_nothing_gets_nothing_more() -> None:
    queue = a_queue()
    unread: asyncio.Queue[int] = asyncio.Queue()
    queue.pending_messages_per_session["s"] = unread
    waiting = Waiting(queue)
    with waiting.room("s", ""):
        pass
    for number in range(1000):
        unread.put_nowait(number)
    with pytest.raises(Refused), waiting.room("s", ""):
        pass


def test_orders_that_are_on_their_way_count() -> None:
    waiting = Waiting(a_queue(), of_session=2)
    with (
        waiting.room("s", ""),
        waiting.room("s", ""),
        pytest.raises(Refused),
        waiting.room("s", ""),
    ):
        pass
    with waiting.room("s", ""):
        pass


def test_pages_that_fetch_nothing_for_a_minute_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    queue = a_queue()
    names = ("gone", "reads", "works")
    for name in names:
        queue.pending_messages_per_session[name] = asyncio.Queue()
        queue.pending_event_ids_session[name] = set()
    queue.event_ids_to_events["e"] = event("works")
    waiting = Waiting(queue)
    waiting.streams.add("reads")
    waiting.sweep()
    now += 61
    waiting.sweep()
    assert set(queue.pending_messages_per_session) == {"reads", "works"}
    assert set(queue.pending_event_ids_session) == {"reads", "works"}
    assert waiting.knows("reads")
    assert not waiting.knows("gone")
