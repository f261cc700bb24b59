"""Passwords that are tried: guessing is slow, and the owner gets in all the same."""

import pytest

from hqgan.app.door.attempts import OF_ACCOUNT, OF_ADDRESS, Attempts
from hqgan.app.door.refusing import Refused
from hqgan.app.door.visitors import Visitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(address: str, word: str = "") -> Visitor:
    return Visitor(word or address, address, is_new=not word)


def tries(attempts: Attempts, who: Visitor, user: str, count: int) -> int:
    """How many of so many tries were let through."""
    refusals = []
    for _ in range(count):
        try:
            attempts.begin(who, user)
        except Refused as refusal:
            refusals.append(refusal)
    assert all(refusal.status == 429 and refusal.retry for refusal in refusals)
    return count - len(refusals)


def test_an_address_has_some_tries_and_then_one_every_few_seconds() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    assert tries(attempts, at("a"), "ann", 1000) == OF_ADDRESS[0]
    clock.now += 60
    assert tries(attempts, at("a"), "bob", 1000) == 60 / OF_ADDRESS[1]


def test_an_account_has_some_from_all_addresses_together() -> None:
    attempts = Attempts(Clock())
    let = sum(tries(attempts, at(f"10.0.0.{n}"), "ann", 5) for n in range(200))
    assert let == OF_ACCOUNT[0]
    assert tries(attempts, at("a"), "bob", 5) == 5


def test_a_browser_that_was_in_gets_in_while_others_guess() -> None:
    attempts = Attempts(Clock())
    owner = at("a", "a-word-of-its-own")
    attempts.begin(owner, "ann")
    attempts.succeeded(owner, "ann")
    for number in range(200):
        tries(attempts, at(f"10.0.0.{number}"), "ann", 5)
    assert tries(attempts, at("a"), "ann", 1) == 0
    attempts.begin(owner, "ann")


def test_right_passwords_do_not_count() -> None:
    attempts = Attempts(Clock())
    for _ in range(100):
        attempts.begin(at("a"), "ann")
        attempts.succeeded(at("a"), "ann")


def test_whoever_waits_as_long_as_was_said_may_try() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    tries(attempts, at("a"), "ann", 100)
    with pytest.raises(Refused) as refusal:
        attempts.begin(at("a"), "ann")
    assert refusal.value.retry
    clock.now += refusal.value.retry + 0.001
    attempts.begin(at("a"), "ann")


def test_no_more_is_remembered_than_fits() -> None:
    attempts = Attempts(Clock())
    for number in range(30_000):
        attempts.begin(at(f"address {number}"), f"user {number}" * 100)
    assert len(attempts._buckets) <= 10_000
    assert max(len(key[1]) for key in attempts._buckets) <= 100
