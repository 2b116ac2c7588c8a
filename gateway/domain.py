"""The words every room speaks: frozen values, no behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Literal, Protocol, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field


class FieldError(ValueError):
    """A value that was refused, and the field that had it; the text is for a person."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class Usage(Struct, frozen=True, gc=False):
    """What one call used, as its provider counted it.

    The token counts from `cached` to `image_input` are parts of `input`; `reasoning`,
    `audio_output` and `image_output` are parts of `output`. `cached_audio` is part of both `cached`
    and `audio_input`. `problem` says why the figures cannot be billed from.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    raw: bytes = b""
    cache_write_1h: int = 0
    cached_audio: int = 0
    image_input: int = 0
    image_output: int = 0
    images: int = 0
    size: str = ""
    characters: int = 0
    milliseconds: int = 0
    audio_input_ms: int = 0
    audio_output_ms: int = 0
    problem: str = ""
    requests: int = 0  # as its provider counts them, where one call may be several


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds a provider may take at each step of one call."""

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 1800.0
    first_token: float | None = None  # of a stream, where another route could serve it


class Credential(Struct, frozen=True):
    """One login at a provider. `secrets` never leaves the process except to that provider."""

    name: str
    secrets: dict[str, str] = field(default_factory=dict)
    weight: int = 1
    tier: int = 0  # used only while none of a lower one can take the call
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"  # no secret has a place in a traceback

    @property
    def api_key(self) -> str:
        """The usual single secret; empty for providers that need none."""
        return self.secrets.get("api_key", "")


ANONYMOUS = Credential("none")


class DataPolicy(Struct, frozen=True):
    """What a provider does with what it is sent; None is not known, and never taken for a no.

    `retention` is in days: 0 is not kept at all, and FOR_EVER without a known end.
    """

    training: bool | None = None
    retention: int | None = None
    zdr: bool = False


FOR_EVER = 1_000_000
UNKNOWN_DATA = DataPolicy()


class Probe(Struct, frozen=True):
    """How to ask a provider how it is, where no call has told for `every` seconds.

    An empty `path` is what its adapter would ask.
    """

    path: str = ""
    every: float = 30.0
    timeout: float = 10.0


class Provider(Struct, frozen=True):
    """One upstream host and the pool of credentials for it."""

    name: str
    adapter: str
    base_url: str
    credentials: tuple[Credential, ...] = ()
    needs_credential: bool = True
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    ca_file: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    region: str | None = None
    data: DataPolicy = UNKNOWN_DATA
    probe: Probe | None = None  # without it nobody is asked

    @property
    def configured(self) -> bool:
        """Whether there is a credential for it, or it needs none."""
        return bool(self.credentials) or not self.needs_credential


class Price(Struct, frozen=True):
    """A price row: unit-named decimal prices, and their content hash for receipts.

    `above_tokens` (ascending) and `at_size` hold whole rows: the base lines with what differs
    laid over them. An `unpriced` route is known but can't be sold.
    """

    lines: dict[str, Decimal] = field(default_factory=dict)
    digest: str = ""
    above_tokens: tuple[tuple[int, dict[str, Decimal]], ...] = ()
    at_size: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    unpriced: bool = False

    @property
    def free(self) -> bool:
        """True when every line is zero, at every size and length."""
        if self.unpriced or any(self.lines.values()):
            return False
        rows = [*(row for _, row in self.above_tokens), *self.at_size.values()]
        return not any(any(row.values()) for row in rows)

    def at(self, input_tokens: int = 0, size: str = "") -> dict[str, Decimal]:
        """The lines that hold for a call this long, or for an output of this size."""
        if size:
            return self.at_size.get(size, self.lines)
        lines = self.lines
        for threshold, row in self.above_tokens:
            if input_tokens > threshold:
                lines = row
        return lines

    def per_token(self, name: str) -> Decimal | None:
        """A per-Mtok line as dollars per single token, the unit of the model list."""
        price = self.lines.get(name)
        return None if price is None else price / 1_000_000


class Model(Struct, frozen=True):
    """A canonical model: what it is, whoever serves it."""

    id: str
    name: str
    vendor: str
    kind: str
    context: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ()
    tier: str | None = None
    created: int = 0
    fallbacks: tuple[str, ...] = ()  # model names to try when none of its routes can serve
    aliases: tuple[str, ...] = ()


class Route(Struct, frozen=True):
    """One way to reach a model: the slug a client sends, and where it goes."""

    slug: str
    model: Model
    provider: Provider
    upstream: str
    price: Price
    region: str | None = None
    name: str = ""
    context: int | None = None
    max_output: int | None = None
    notes: str = ""
    sunset: str | None = None
    successor: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    data: DataPolicy = UNKNOWN_DATA
    extras: frozenset[str] = frozenset()  # what may be asked for that its price does not know

    def gives(self, extras: tuple[str, ...]) -> bool:
        """Whether all of this may be asked for by who has limited money."""
        return self.extras.issuperset(extras)

    @property
    def window(self) -> int | None:
        """The tokens of context it has, or its model; None where neither says."""
        return self.context or self.model.context

    @property
    def longest(self) -> int | None:
        """The tokens of the longest answer, likewise."""
        return self.max_output or self.model.max_output


Period = Literal["none", "day", "week", "month"]
Fidelity = Literal["adapt", "strict"]
SCOPES = ("inference", "usage:read", "keys:write", "admin")
DEFAULT_SCOPES = ("inference", "usage:read")


# Why a charge is not simply what the provider counted; numbers are for the ledger's rows.
FLAGS = {
    "recovered": 1,  # the gateway was ended while the call ran: charged its input estimate
    "no_usage": 2,  # the provider reported none: charged the gateway's own count
    "bad_usage": 3,  # what the provider reported cannot be: charged the gateway's own count
    "over_hold": 4,  # it cost more than the key had: charged what was there
    "abandoned": 5,  # the client left before the provider's count came: own count
    "cut_off": 6,  # the provider broke off in the middle: own count
    "stopped": 7,  # the money ran out in the middle: own count
}


class Account(Struct, frozen=True):
    """Who pays. Money is in nanodollars; without a `floor` the account is billed afterwards."""

    n: int
    id: str
    name: str
    created_at: int
    group: str | None = None
    floor: int | None = None
    spend_limit: int | None = None
    period: Period = "none"
    status: Literal["active", "suspended"] = "active"


class Child(Struct, frozen=True):
    """One step by which a derived key is narrower than what it was derived from."""

    id: str
    budget: int | None = None
    models: tuple[str, ...] | None = None


class Maker(Struct, frozen=True, array_like=True):
    """A key that made another, at whatever remove: what that one spends is spent of its budget."""

    n: int
    budget: int
    period: Period


def digest_of(secret: bytes) -> bytes:
    """What is kept of a client's secret, and what it is found by."""
    return sha256(secret).digest()


class Key(Struct, frozen=True):
    """A client's key as the gateway knows it; the secret itself is never kept.

    A derived key is its root's, narrowed by `children`, and known by the id of the last of them.
    """

    id: str
    name: str
    prefix: str
    created_at: int
    allow: tuple[str, ...] = ()
    expires_at: int | None = None
    revoked_at: int | None = None
    n: int = 0
    account: Account | None = None
    parent: str | None = None
    public: bytes | None = None
    ips: tuple[str, ...] = ()
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget: int | None = None
    period: Period = "none"
    children: tuple[Child, ...] = ()
    session: str | None = None
    makers: tuple[Maker, ...] = ()
    strict: bool = False  # its calls are refused rather than adapted to what a provider can take
    provider: str | None = None  # JSON: what it wants of routing where a request says nothing
    opens_until: int | None = None  # a client secret: it begins sessions until then, and no more


class Channel(Struct, frozen=True):
    """Everything the upstream transport must know to keep one credential's traffic to itself.

    A `public` one is for addresses that somebody else has named: it reaches nobody's own network.
    """

    provider: str
    credential: str
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    ca_file: str | None = None
    public: bool = False


class Source(Protocol):
    """The bytes of a file, wherever the gateway keeps them; they can be had any number of times."""

    def chunks(self) -> Iterator[bytes]: ...


class File(Struct, frozen=True):
    """A file that a client sent. An adapter says where it goes, and does not read it.

    `milliseconds` is how long its sound lasts, as far as that can be told.
    """

    field: str
    name: str
    content_type: str
    size: int
    source: Source
    milliseconds: int = 0


class Encoded(Struct, frozen=True):
    """A file's bytes in base64, as JSON holds them."""

    file: File


Piece: TypeAlias = bytes | File | Encoded


class UpstreamRequest(Struct, frozen=True, gc=False):
    """One HTTP request to a provider, fully written by an adapter.

    Where files are a part of it, `pieces` stand for the body: they are sent one after the other,
    and no file is ever held whole. `translated` says that the client spoke another dialect than the
    provider; `adapted` names the client's fields that do not arrive as they were meant.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    translated: bool = False
    adapted: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()


class KeyChange(Struct, frozen=True):
    """What `keys create` hands back, once: the only place a secret is ever shown."""

    key: Key
    secret: str | UnsetType = UNSET
