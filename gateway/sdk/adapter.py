"""The adapter contract: a provider as a value.

An adapter is a module-level `ADAPTER`. Its operations are pure functions: they never await, open,
sleep, log or keep state between calls. The gateway does all I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.meter import Translator
from gateway.core.talk.events import Reader
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.core.usage import openai_usage
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import Fault

CONTRACT: Final = 1


class Call(Struct, frozen=True):
    """What an adapter is told of a call: the client's body, and where the catalog sends it."""

    operation: str
    upstream: str
    base_url: str
    body: JsonBody
    stream: bool = False
    region: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0  # unix seconds, for signatures
    id: str = ""  # the gateway's own name for the call
    headers: Mapping[str, str] = field(
        default_factory=dict
    )  # of the client's, those in PASSED_HEADERS


class Reply(Struct, frozen=True):
    """A whole answer in the client's dialect, and what it used."""

    body: bytes
    usage: Usage | None = None
    content_type: str = "application/json"


class _PassThrough(Enum):
    PASSTHROUGH = "passthrough"

    def __repr__(self) -> str:
        return "PASSTHROUGH"


PASSTHROUGH: Final = _PassThrough.PASSTHROUGH
PassThrough: TypeAlias = Literal[_PassThrough.PASSTHROUGH]

Build: TypeAlias = Callable[[Call, Credential], UpstreamRequest]
Parse: TypeAlias = Callable[[Call, int, Mapping[str, str], bytes], Reply]
OpenStream: TypeAlias = Callable[[Call], Translator]


class Operation(Struct, frozen=True):
    """One thing a provider can do.

    With PASSTHROUGH the provider speaks the client's dialect and its bytes go through untouched;
    `usage` and `fault_in` then say how to read the usage object and an error inside a 200.
    `hears` names, in lower case, headers of the client's that `build` wants to see.
    """

    build: Build
    parse: Parse | PassThrough = PASSTHROUGH
    stream: OpenStream | PassThrough = PASSTHROUGH
    usage: Callable[[bytes], Usage] = openai_usage
    fault_in: Callable[[bytes], Fault | None] = fault_in_body
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault
    hears: tuple[str, ...] = ()


class Wire(Struct, frozen=True):
    """A provider's own wire, for conversations in any dialect.

    `build` notes what it can't say among the losses; `Answer.usage` and `Used.usage` are whole:
    their input holds cached and cache-written tokens.
    """

    build: Callable[[Call, Credential, Talk, Losses], UpstreamRequest]
    read: Callable[[Call, Mapping[str, str], bytes], Answer]
    reader: Callable[[Call], Reader]
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault


class ReadFile(Struct, frozen=True):
    """A step of a login: a file that the operator named, or a well-known one. May be absent."""

    path: str


class Token(Struct, frozen=True):
    """The end of a login: secrets that requests are written with, until they expire."""

    secrets: dict[str, str]
    expires_at: float = float("inf")


class Login(Struct, frozen=True):
    """How a credential becomes what requests are signed with, where it isn't simply a key.

    `step` is given the credential, the time, and the answers to its steps so far (a file's content
    or the body of a 2xx answer; None for an absent file or any other answer), and says what to do
    next. It runs on the cold path; its token is kept and renewed before it expires. `gives` names
    the secrets that the token holds.
    """

    step: Callable[
        [Credential, float, tuple[bytes | None, ...]], UpstreamRequest | ReadFile | Token
    ]
    gives: tuple[str, ...] = ()


class Adapter(Struct, frozen=True):
    """A provider: its capabilities are the keys of `operations`, not flags that can lie.

    Dialects that it does not serve itself ("chat", "messages", "responses") are served through its
    "chat" operation, or else through its `wire`. Where not every model takes every operation,
    `native` says of an operation, an upstream model and the route's options whether it does.
    """

    name: str
    operations: Mapping[str, Operation]
    cached_inside_input: bool = True
    contract: int = CONTRACT
    wire: Wire | None = None
    login: Login | None = None
    native: Callable[[str, str, Mapping[str, str]], bool] | None = None
