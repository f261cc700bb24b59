"""Who asks: a cookie or an address, and which open pages are whose.

An account says who may come in. A visitor is less: whoever has the cookie of a first visit, so that
nobody who learns the word of another's page can look into it, answer for it or close it.
"""

import ipaddress
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from hqgan.app.door.refusing import Refused

COOKIE = "hqgan-visitor"
WORD = re.compile(r"[\w-]{16,64}", re.ASCII)
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
MOST = 10_000  # open pages whose owners are known
LONGEST = 30 * 24 * 3600  # seconds a browser keeps the cookie


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Attributes:
        word: of the cookie, or the address of who has none.
        network: the address, for IPv6 the first half of it, which one machine can have whole.
        is_new: whether there was no cookie.
    """

    word: str
    network: str
    is_new: bool


def visitor(headers: Mapping[bytes, bytes], address: str) -> Visitor:
    """Who sent a request, as far as it says."""
    word = _cookies(headers.get(b"cookie", b"")).get(COOKIE, "")
    place = network(address)
    known = WORD.fullmatch(word) is not None
    return Visitor(word if known else place, place, not known)


def network(address: str) -> str:
    """What counts as one address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def new_cookie() -> bytes:
    """The header of a first visit."""
    word = secrets.token_urlsafe(24)
    # Lax: links from elsewhere lead here as ever, forms and scripts from elsewhere go without it.
    return f"{COOKIE}={word}; Path=/; Max-Age={LONGEST}; HttpOnly; SameSite=Lax".encode()


class Owners:
    """Which page, by the word that Gradio gives it, belongs to whom: to whoever spoke first."""

    def __init__(self, most: int = MOST):
        self.most = most
        self._owners: OrderedDict[str, str] = OrderedDict()

    def claim(self, session: object, who: Visitor) -> str:
        """The word of a page; Refused where it is another visitor's, or no word."""
        if not isinstance(session, str) or not SESSION.fullmatch(session):
            raise Refused(400, "The page that asks has no name; please reload it.")
        owner = self._owners.setdefault(session, who.word)
        if owner != who.word:
            raise Refused(403, "This is the page of another visitor; please reload yours.")
        self._owners.move_to_end(session)
        while len(self._owners) > self.most:
            self._owners.popitem(last=False)
        return session


def _cookies(header: bytes) -> dict[str, str]:
    """Name to value; empty for what is no header of cookies."""
    try:
        read = SimpleCookie(header.decode("latin-1"))
    except CookieError:
        return {}
    return {name: one.value for name, one in read.items()}
