"""One connection's response parser: bytes in; status, headers, body pieces and the end out.

llhttp (through httptools) refuses what is ambiguous on the wire: both lengths, duplicate lengths,
bad chunk sizes, bare CR or LF, control bytes in headers. The rest of our demands stand here.
`whole_answer` reads what is usual about short answers, and leaves all else to the parser.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools

MAX_HEAD = 32 * 1024
MAX_HEADERS = 200
MAX_INTERIM = 8

_HEADER_COST = 4  # the colon, the space, CR and LF
_MOST_NAMES = 512
_MOST_LINES, _LONGEST_LINE = 1_024, 1_024

# Names of headers as they come, and as they are kept: most are the same in every answer.
_names: dict[bytes, str] = {}
# The same as text, for those names that say nothing of an answer's framing or encoding, or what
# `whole_answer` understands of it.
_harmless: dict[str, str] = {}
_WEIGHTY = frozenset({"content-encoding", "proxy-connection", "trailer", "upgrade"})
_STARTS = "HTTP/1.1 200 OK"
_LAST_CHUNK = b"\r\n0\r\n\r\n"

NO_HEADERS: dict[str, str] = {}  # of an answer whose headers are somebody else's now
REFUSALS = (httptools.HttpParserError, httptools.HttpParserUpgrade)


def _released(_data: bytes) -> None:
    """What a released parser does with bytes that still come."""


class _Stop(Exception):  # noqa: N818 - stops the C parser; never leaves this module
    """Raised inside a callback so that the parser reads no further."""


class _Fields(dict[str, tuple[str, str]]):
    """Headers as they are kept, by their lines: of an answer's most are those of the last one.

    What the parser might not take, or would weigh, is a KeyError.
    """

    def __missing__(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(": ")
        if value < "!" or not value.isprintable():  # nothing, or a space in front
            raise KeyError(name)
        field = (_harmless[name], value)
        if len(line) <= _LONGEST_LINE:
            if len(self) >= _MOST_LINES:
                self.clear()
            self[line] = field
        return field


_field_of = _Fields().__getitem__


def whole_answer(data: bytes) -> tuple[dict[str, str], bytes] | None:
    """Headers and body of a success that lies whole in `data`; None where the parser must judge.

    The parser costs a call of Python per header and per event. What is taken here, it would take as
    well: names that it has passed before, each once; values in print; the one exact length, be it
    that of a single chunk.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        return None
    lines = head.decode("latin-1").split("\r\n")
    if lines.pop(0) != _STARTS:
        return None
    try:
        headers = dict(map(_field_of, lines))
        if "transfer-encoding" in headers:
            body = _one_chunk(headers, body)
        elif headers["content-length"] != str(len(body)):
            return None
    except KeyError:
        return None
    if "connection" in headers and headers["connection"] != "keep-alive":
        return None
    return (headers, body) if body and len(headers) == len(lines) <= MAX_HEADERS else None


def _one_chunk(headers: dict[str, str], body: bytes) -> bytes:
    """What lies in the one chunk of a body that is there to its end; nothing of any other body."""
    if headers["transfer-encoding"] != "chunked" or "content-length" in headers:
        return b""
    size, _, rest = body.partition(b"\r\n")
    length = len(rest) - len(_LAST_CHUNK)
    whole = length > 0 and size.lower() == b"%x" % length and rest.endswith(_LAST_CHUNK)
    return rest[:length] if whole else b""


class ResponseParser:
    """Parses the responses of one connection, one after the other.

    After `feed`, look at `head_done`, `pieces` and `complete`; `feed` raises REFUSALS.
    """

    __slots__ = (
        "_head_bytes",
        "_headers_seen",
        "_interim",
        "_parser",
        "_wrong",
        "complete",
        "delimited",
        "feed",
        "head_done",
        "headers",
        "modern",
        "on_body",
        "pieces",
        "reusable",
        "status",
        "surplus",
    )

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        # Body bytes go straight into the list: no Python frame per chunk.
        self.on_body = self.pieces.append
        self.begin()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # The C parser's own method: no Python frame per read either.
        self.feed: Callable[[bytes], object] = self._parser.feed_data

    def begin(self) -> None:
        """Make ready for the next response on this connection."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head_done = False
        self.modern = False  # known to be HTTP/1.1: as text, a version is dear to ask for
        self.complete = False
        self.delimited = True
        self.reusable = False
        self.surplus = False
        self._wrong = ""
        self._head_bytes = 0
        self._headers_seen = 0
        self._interim = 0

    def refusal(self, error: Exception) -> str | None:
        """What was wrong, after `feed` raised one of REFUSALS: no further byte can be trusted."""
        if self.complete:  # the answer itself was whole; what follows it is junk
            self.surplus = True
            return None
        return self._wrong or str(error)

    def overlong(self, size: int) -> str | None:
        """A single endless header reaches no callback: its bytes are counted as they come."""
        self._head_bytes += size
        if self._head_bytes > 2 * MAX_HEAD:
            return f"more than {MAX_HEAD} bytes of headers"
        return None

    def joined(self) -> bytes:
        """All of the body that one read has brought."""
        whole = b"".join(self.pieces)
        self.pieces.clear()
        return whole

    def release(self) -> None:
        """Break the cycle with the C parser so that memory goes without the collector."""
        self._parser = None
        self.feed = _released

    # --- callbacks of httptools ---

    def on_message_begin(self) -> None:
        """A second message in one answer is surplus: never somebody else's answer."""
        if self.complete:
            self.surplus = True
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, bounded in number and size; trailers count but are dropped."""
        self._headers_seen = seen = self._headers_seen + 1
        self._head_bytes = size = self._head_bytes + len(name) + len(value) + _HEADER_COST
        if seen > MAX_HEADERS:
            self._refuse(f"more than {MAX_HEADERS} headers")
        if size > MAX_HEAD:
            self._refuse(f"more than {MAX_HEAD} bytes of headers")
        if self.head_done:
            return
        headers, key = self.headers, _names.get(name) or _learned(name)
        text = str(value, "latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Judge the head: interim answers are skipped, impossible ones refused."""
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        version = "1.1" if self.modern else parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse("not an HTTP/1 answer")
        if 100 <= status < 200 and status != 101:
            self._skip_interim()
            return
        if not 200 <= status <= 599:
            self._refuse(f"status {status}")
        self.status = status
        self.head_done = True
        headers = self.headers
        coding = headers.get("transfer-encoding")
        if coding is not None and (coding.strip().lower() != "chunked" or version == "1.0"):
            self._refuse("a transfer encoding that nobody asked for")
        self.delimited = coding is not None or "content-length" in headers or status in (204, 304)
        self.reusable = parser.should_keep_alive() and "upgrade" not in headers

    def on_message_complete(self) -> None:
        """The end by length or last chunk; the end of an interim answer is none."""
        if self.head_done:
            self.complete = True

    def _skip_interim(self) -> None:
        self._interim += 1
        self.headers = {}
        if self._interim > MAX_INTERIM:
            self._refuse(f"more than {MAX_INTERIM} interim answers")

    def _refuse(self, what: str) -> None:
        self._wrong = what
        raise _Stop


def _learned(name: bytes) -> str:
    key = name.decode("latin-1").lower()
    if len(name) <= 64:
        if len(_names) >= _MOST_NAMES:  # who invents names shall not keep the others' out for good
            _names.clear()
            _harmless.clear()
        _names[name] = key
        if key not in _WEIGHTY:
            _harmless[name.decode("latin-1")] = key
    return key
