"""What the hosts of videos and music have in common: how far a job is, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from gateway.sdk import (
    UPSTREAM_ERROR,
    Credential,
    Encoded,
    Fault,
    File,
    Piece,
    Progress,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    clean,
)

FAILED: Final = "generation_failed"
POLICY: Final = "content_policy"
EXPIRED: Final = "expired"
CANCELLED: Final = "cancelled"
NO_FILE: Final = "no_file"
MP4: Final = "video/mp4"
JSON: Final = ("Content-Type", "application/json")

_WORDS: Final = {
    FAILED: "The provider could not make it.",
    POLICY: "The provider refused the content of the request.",
    EXPIRED: "The provider gave the job up: it took too long. Try again.",
    CANCELLED: "The job was cancelled at the provider.",
    NO_FILE: "The provider says that it is done, and gives no file. Try again.",
}
_NAME = re.compile(r"[!-~]{1,512}")
_LINK = re.compile(r"https?://[!#-;=?-Z\[\]_a-z~%]{3,4000}")
_MOST = 1 << 40

Shape = TypeVar("Shape")


def begun(name: str, memo: str = "") -> Reply:
    """A job that the provider has taken on."""
    if not name:
        raise unreadable()
    return Reply(progress=Progress("pending", name, memo=memo))


def failed(job: Progress, code: str, said: object = "") -> Progress:
    """A job that came to nothing, in the provider's words where it has some."""
    words = clean(said) if isinstance(said, str) else ""
    message = words or _WORDS.get(code, _WORDS[FAILED])
    return Progress("failed", job.id, code=code, message=message)


def running(job: Progress, percent: object = 0) -> Progress:
    """A job that goes on; whatever a provider calls it that is no end counts as this."""
    done = percent if isinstance(percent, int | float) and 0 <= percent <= 100 else 0
    return Progress("running", job.id, percent=int(done), memo=job.memo)


def linked(job: Progress, url: object, usage: Usage | None = None) -> Progress:
    """A job that is done, and where its file is; without one it came to nothing."""
    if not isinstance(url, str) or not _LINK.fullmatch(url):
        return failed(job, NO_FILE)
    return Progress(
        "succeeded", job.id, percent=100, url=url, content_type=MP4, usage=usage, memo=job.memo
    )


def counted(job: Progress, seconds: object) -> Usage | None:
    """What a provider says that it made; the memo is the resolution that was asked for."""
    length = milliseconds_of(seconds)
    return Usage(milliseconds=length, size=job.memo) if length else None


def fetched(job: Progress, headers: tuple[tuple[str, str], ...] = ()) -> UpstreamRequest:
    """The request for the file of a job that is done."""
    return UpstreamRequest("GET", job.url, headers)


def signed(credential: Credential) -> tuple[tuple[str, str], ...]:
    """The key alone, for requests without a body."""
    return tuple(one for one in bearer(credential) if one[0] == "Authorization")


def decoded(body: bytes, shape: type[Shape]) -> Shape:
    """An answer of a known shape; for anything else a 502."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise unreadable() from None


def unreadable() -> Fault:
    """A 502 for what is no answer of this wire."""
    return Fault(
        UPSTREAM_ERROR,
        "The provider sent an answer that cannot be read.",
        cause="unreadable_answer",
    )


def name_of(value: object) -> str:
    """A provider's name for a thing as text, whether it is a string or a number; or nothing."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 < value < 1 << 127 else ""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def member(value: object, name: str) -> Any:
    """A member of what should be an object; None where there is none."""
    return value.get(name) if isinstance(value, dict) else None


def first_of(value: object) -> Any:
    """The first of what should be a list; None where there is none."""
    return value[0] if isinstance(value, list) and value else None


def words_of(value: object) -> str:
    """The text of a member that may be anything."""
    return value if isinstance(value, str) else ""


def milliseconds_of(value: object) -> int:
    """Seconds that a provider counted, as a number or as text; 0 where they cannot be."""
    if isinstance(value, str):
        try:
            value = float(value[:20])
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return round(1000 * value) if 0 < value < _MOST else 0


def json_request(
    url: str,
    headers: Iterable[tuple[str, str]],
    body: Mapping[str, Any],
    files: Iterable[tuple[str, File]] = (),
    adapted: tuple[str, ...] = (),
) -> UpstreamRequest:
    """A request of JSON. Each file's base64 stands where its mark is, and is never held."""
    written = msgspec.json.encode(body)
    pieces: list[Piece] = []
    for mark, file in files:
        before, found, written = written.partition(mark.encode())
        assert found
        pieces += (before, Encoded(file))
    kinds = tuple(headers)
    if not pieces:
        return UpstreamRequest("POST", url, kinds, written, translated=True, adapted=adapted)
    return UpstreamRequest(
        "POST", url, kinds, translated=True, adapted=adapted, pieces=(*pieces, written)
    )
