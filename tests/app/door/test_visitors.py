"""Who asks, and whose page is whose."""

import pytest

from hqgan.app.door.refusing import Refused
from hqgan.app.door.visitors import Owners, Visitor, network, new_cookie, visitor

ONE, OTHER = (Visitor(word, "10.0.0.1", is_new=False) for word in ("one", "other"))


def test_a_browser_is_known_by_its_cookie_again_and_others_by_their_address() -> None:
    cookie = new_cookie().partition(b";")[0]
    first = visitor({b"cookie": b"theme=dark; " + cookie}, "10.0.0.1")
    assert first == visitor({b"cookie": cookie}, "10.0.0.1")
    assert not first.is_new
    assert cookie.endswith(first.word.encode())
    assert visitor({}, "10.0.0.1") == Visitor("10.0.0.1", "10.0.0.1", is_new=True)


@pytest.mark.parametrize(
    "cookie",
    [b"", b"hqgan-visitor", b"hqgan-visitor=", b"hqgan-visitor=../../etc/passwd/etc", b"\xff\0=;;",
     b"hqgan-visitor=" + b"a" * 65, b"hqgan-visitor=\xd9\xa1" * 20],
)  # fmt: skip
def test_a_cookie_that_is_none_of_ours_counts_as_none(cookie: bytes) -> None:
    assert visitor({b"cookie": cookie}, "10.0.0.1").word == "10.0.0.1"


def test_cookies_are_never_the_same() -> None:
    assert len({new_cookie() for _ in range(1000)}) == 1000


def test_of_ipv6_one_machine_has_half_of_the_address() -> None:
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::1%eth0") != network("::1")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert network("unknown") == "unknown"


def test_a_page_is_the_one_visitors_who_opened_it() -> None:
    owners = Owners()
    assert owners.claim("page", ONE) == "page"
    assert owners.claim("page", ONE) == "page"
    with pytest.raises(Refused, match="another visitor"):
        owners.claim("page", OTHER)
    owners.claim("another", OTHER)


def test_owners_of_the_latest_pages_are_known() -> None:
    owners = Owners(most=2)
    for page in ("a", "b", "a", "c"):
        owners.claim(page, ONE)
    owners.claim("b", OTHER)  # forgotten
    with pytest.raises(Refused):
        owners.claim("c", OTHER)
