"""Asking a server for a file: https alone, after redirects too, and never more bytes than expected.

Plain http is for this machine alone, and only where it was asked itself: a server elsewhere cannot
lead to what listens here.
"""

import http.client
import urllib.request
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urlsplit

from hqgan.errors import UsageError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
CHUNK = 1 << 20  # bytes


class UnsafeAddress(UsageError):
    """An address that could be read or changed on the way, or that leads to this machine."""


class Oversize(OSError):
    """A server that sends more than the file that was published has."""


def require_safe(address: str) -> None:
    """UnsafeAddress unless it is https, or http to this machine."""
    try:
        parts = urlsplit(address)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_local(address))
    except ValueError:  # an address such as https://[
        safe = False
    if not safe:
        raise UnsafeAddress(
            f"{address:.300} is not an https address, so it is refused: only https is safe (http "
            "only on this machine)."
        )


def is_local(address: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(address).hostname in LOCAL_HOSTS


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to another safe address (Dataverse redirects to its storage)."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        require_safe(newurl)
        if is_local(newurl) and not is_local(req.full_url):
            raise UnsafeAddress(f"{req.full_url} leads to {newurl}, on this machine: refused.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> Any:
        """As urllib does it, with the connection closed where it leads nowhere."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except Exception:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


OPENER = urllib.request.build_opener(SafeRedirects)


def length_of(response: http.client.HTTPResponse) -> int | None:
    """How many bytes a server says that it sends; None where it does not, or says nonsense."""
    said = response.headers.get("Content-Length") or ""
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else None


def chunks(response: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    """What a server sends, piece by piece; Oversize beyond `most` bytes, whatever it announced."""
    left = most
    while chunk := response.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise Oversize(f"the server sends more than the {most:,} bytes that are expected")
        yield chunk
