"""What part of a file a request asks for, as RFC 9110 has it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class Unsatisfiable(Exception):  # noqa: N818 - an answer to a request, and no error of ours
    """Nothing of what was asked for is there."""


def asked_range(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """First and last byte that are wanted; None for the whole file.

    Several parts at once, and what cannot be read, are answered with the whole, as one may.
    """
    given = headers.get("Range")
    matched = None if given is None else _ONE.fullmatch(given.strip().replace(" ", ""))
    if matched is None or matched[0].lower() == "bytes=-":
        return None
    condition = headers.get("If-Range")
    if condition is not None and condition.strip() != etag:
        return None  # of another file, or of a date, which this one does not have
    first, last = matched[1], matched[2]
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
        if last and int(last) < int(first):
            return None
    if start >= size or start > end:
        raise Unsatisfiable
    return start, end


def unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has the file already."""
    given = headers.get("If-None-Match")
    if given is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag in tags
