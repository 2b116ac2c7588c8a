"""Where a request goes, and its head as bytes on the wire."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.errors import INTERNAL_ERROR, Fault, invalid

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE_URL = re.compile(r"[^\x21-\x7e]")
# Framing and connection headers are this room's; an adapter that sets them splits requests.
_OURS = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_KNOWN_LIMIT = 1024
_MOST_HEADS = 256


class Origin(NamedTuple):
    """One server, and whether it is spoken to under TLS."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS[self.scheme] == self.port else f"{host}:{self.port}"


def split(url: str) -> tuple[Origin, str]:
    """The origin and the request target (path and query) of a URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise _unusable("it is malformed") from error
    scheme = parts.scheme
    if scheme not in _PORTS or not host:
        raise _unusable("it needs http or https and a host")
    if parts.username is not None or parts.password is not None:
        raise _unusable("it carries a login")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if _UNSAFE_URL.search(target) or _UNSAFE_URL.search(host) or not target.startswith("/"):
        raise _unusable("it holds characters that must be percent-encoded")
    return Origin(scheme, host, _PORTS[scheme] if port is None else port), target


def opening(method: str, target: str, origin: Origin, proxy_login: str | None) -> str:
    """The request line and the headers that are the same for every request to this target."""
    if not _TOKEN.fullmatch(method):
        raise Fault(INTERNAL_ERROR, "the request method is not a token", cause="bad_request")
    login = f"Proxy-Authorization: {proxy_login}\r\n" if proxy_login else ""
    return (
        f"{method} {target} HTTP/1.1\r\nHost: {origin.authority}\r\n"
        f"Accept-Encoding: identity\r\n{login}"
    )


class HeadWriter:
    """Writes request heads; remembers those it has written, and which names were found sound."""

    __slots__ = ("_heads", "_known")

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}

    def write(
        self,
        start: str,
        method: str,
        headers: tuple[tuple[str, str], ...],
        length: int,
        body: bytes = b"",
    ) -> bytes:
        """The whole head, and what of the body there is; most requests on one way have the same
        head, but for their length.
        """
        try:
            head = self._heads.get((start, headers)) or self._remembered(start, headers)
        except TypeError:  # lists in place of tuples are headers as well
            head = self.opened(start, headers)
        if length or method not in ("GET", "DELETE", "HEAD"):
            return b"%bContent-Length: %d\r\n\r\n%b" % (head, length, body)
        return head + b"\r\n"

    def opened(self, start: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        """A head that may go on; a name or value that could add a line is refused."""
        known = self._known
        lines = []
        for name, value in headers:
            if name not in known:
                self._learn(name)
            lines.append(f"{name}: {value}\r\n")
        block = "".join(lines)
        count = len(lines)
        if block.count("\n") != count or block.count("\r") != count or "\0" in block:
            raise _bad_value(headers)
        try:
            return f"{start}{block}".encode("latin-1")
        except UnicodeEncodeError:
            raise _bad_value(headers) from None

    def _remembered(self, start: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        head = self.opened(start, headers)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[start, headers] = head
        return head

    def _learn(self, name: str) -> None:
        if not _TOKEN.fullmatch(name):
            raise invalid("a header name for the provider holds forbidden characters")
        if name.lower() in _OURS:
            raise Fault(
                INTERNAL_ERROR, f"the adapter may not set the header {name}", cause="bad_request"
            )
        if len(self._known) < _KNOWN_LIMIT:
            self._known.add(name)


def _bad_value(headers: tuple[tuple[str, str], ...]) -> Fault:
    for name, value in headers:
        if any(char in "\r\n\0" or ord(char) > 0xFF for char in value):
            return invalid(f"the value of header {name} holds characters that HTTP forbids")
    return invalid("a header value holds characters that HTTP forbids")


def _unusable(why: str) -> Fault:
    return Fault(INTERNAL_ERROR, f"the provider's URL cannot be used: {why}", cause="bad_request")
