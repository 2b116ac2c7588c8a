"""A task: work that a provider does in its own time, and what of it is written down."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gateway.core.body import JsonBody

State = Literal["pending", "running", "succeeded", "failed"]

_LONGEST_MEMBER = 16_384
_LONGEST_BODY = 65_536


class Work(Struct, frozen=True):
    """What work of one kind is called, and the file that it makes where its provider does not say.

    `noun` begins the ids of tasks and the types of their notices, `file` the name of the file's
    address.
    """

    noun: str
    file: str
    media_type: str


WORKS = {
    "videos": Work("video", "video", "video/mp4"),
    "music": Work("music", "audio", "audio/mpeg"),
}
OTHER_WORK = Work("task", "file", "application/octet-stream")


class Task(Struct, frozen=True):
    """One task. Moments are unix milliseconds, money is nanodollars.

    `progress` is what the provider told last, in JSON; None while it is being handed over.
    """

    id: str
    call: int
    account: int
    key: int
    child: int
    operation: str
    asked: str
    route: str
    model: str
    provider: str
    upstream: str
    region: str | None
    credential: str
    body: bytes
    expects: bytes
    way: int
    price: str
    scale: str
    tokens: int
    held: int
    created: int
    deadline: int
    most: int | None = None
    state: State = "pending"
    percent: int = 0
    progress: bytes | None = None
    charged: int = 0
    error_code: str | None = None
    error: str | None = None
    finished: int | None = None
    media: str | None = None
    media_type: str | None = None
    media_size: int | None = None
    media_until: int | None = None
    webhook: str | None = None
    webhook_due: int | None = None
    webhook_tries: int = 0
    deleted: int | None = None
    n: int = 0

    @property
    def who(self) -> tuple[int, int, int]:
        """Account, key and derived key, as the ledger has them."""
        return self.account, self.key, self.child

    @property
    def work(self) -> Work:
        """What kind of work it is."""
        return WORKS.get(self.operation, OTHER_WORK)

    @property
    def done(self) -> bool:
        """Whether nothing more will come of it."""
        return self.finished is not None


def id_of(operation: str, token: str) -> str:
    """A task's name, of 16 random bytes in hex: nobody can guess it."""
    return f"{WORKS.get(operation, OTHER_WORK).noun}_{token}"


def is_id(text: str) -> bool:
    """Whether it can be the name of a task; whatever else a path holds is never looked up."""
    prefix, _, rest = text.partition("_")
    known = any(prefix == work.noun for work in (*WORKS.values(), OTHER_WORK))
    return known and len(rest) == 32 and all(char in "0123456789abcdef" for char in rest)


def kept_body(body: JsonBody) -> bytes:
    """The request as it is kept: pictures and the like were for its beginning alone."""
    short: dict[str, bytes | None] = {}
    size = len(body.raw)
    for name in body.names():
        length = len(body.get(name) or b"")
        if length > _LONGEST_MEMBER:
            short[name] = None
            size -= length
    kept = body.replace(short) if short else body
    return kept.raw if size <= _LONGEST_BODY else b"{}"
