"""The adapter contract: a provider as a value.

An adapter is a module-level `ADAPTER`. Its operations are pure functions: they never await, open,
sleep, log or keep state between calls. The gateway does all I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct, field

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.meter import Translator
from gateway.core.talk.events import Reader
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.core.usage import openai_usage
from gateway.domain import Credential, File, UpstreamRequest, Usage
from gateway.errors import Fault

CONTRACT: Final = 1


class Call(Struct, frozen=True, gc=False):
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
    headers: Mapping[str, str] = field(default_factory=dict)  # of the client's, what `hears` names
    files: tuple[File, ...] = ()  # of a form; `body` then holds its other fields
    boundary: str = ""  # nobody can guess it: what parts a form that is sent on


class Progress(Struct, frozen=True):
    """How far a job has come, as its provider tells it.

    `id` is the provider's name for it. When it has succeeded, `url` says where its file is, or
    `media` holds it. `memo` is what the next step needs to know; `soon` asks for that step at once.
    `code` and `message` say why a job failed.
    """

    state: Literal["pending", "running", "succeeded", "failed"]
    id: str = ""
    percent: int = 0
    url: str = ""
    media: bytes = b""
    content_type: str = ""
    usage: Usage | None = None
    code: str = ""
    message: str = ""
    memo: str = ""
    soon: bool = False


class Reply(Struct, frozen=True, gc=False):
    """A whole answer in the client's dialect, and what it used.

    `progress` stands for the answer of a job: what was asked for goes on by itself.
    """

    body: bytes = b""
    usage: Usage | None = None
    content_type: str = "application/json"
    progress: Progress | None = None


class Answered(Struct, frozen=True):
    """What a further request brought."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Further(Struct, frozen=True):
    """More requests that an answer needs, sent side by side; `then` is given what they brought.

    One that needs the credential is a function of it. What they brought may need more again.
    """

    requests: tuple[UpstreamRequest | Callable[[Credential], UpstreamRequest], ...]
    then: Callable[[tuple[Answered, ...]], Reply | Further]


class _PassThrough(Enum):
    PASSTHROUGH = "passthrough"

    def __repr__(self) -> str:
        return "PASSTHROUGH"


PASSTHROUGH: Final = _PassThrough.PASSTHROUGH


def is_one_line(content_type: str) -> bool:
    """Whether a content type can be said in a header."""
    return content_type.isascii() and content_type.isprintable()


PassThrough: TypeAlias = Literal[_PassThrough.PASSTHROUGH]

Build: TypeAlias = Callable[[Call, Credential], UpstreamRequest]
Parse: TypeAlias = Callable[[Call, int, Mapping[str, str], bytes], Reply | Further]
OpenStream: TypeAlias = Callable[[Call], Translator]


class Job(Struct, frozen=True):
    """Work that a provider does in its own time. The operation's `parse` gives its first progress.

    `poll` asks how far it has come; `result` asks for the file of one that has succeeded. A job
    that `waits` is done when its first answer comes, which may take minutes.
    """

    poll: Callable[[Call, Progress, Credential], UpstreamRequest]
    polled: Callable[[Call, Progress, int, Mapping[str, str], bytes], Progress]
    result: Callable[[Call, Progress, Credential], UpstreamRequest]
    cancel: Callable[[Call, Progress, Credential], UpstreamRequest] | None = None
    waits: bool = False


class Frames(Struct, frozen=True):
    """What is to be sent either way, each a text message."""

    to_provider: tuple[bytes, ...] = ()
    to_client: tuple[bytes, ...] = ()


class Dialogue(Protocol):
    """Both sides of a session, in one place: a message from one may be answered to either.

    Where the provider speaks first, it may have `greeting(message) -> Fault | None` as well: what
    that first message stands for if it is a refusal.
    """

    def opening(self) -> Frames: ...

    def from_client(self, message: bytes) -> Frames: ...

    def from_provider(self, message: bytes) -> Frames: ...

    def take_usage(self) -> tuple[Usage, ...]:
        """What each answer used since this was last asked."""
        ...

    @property
    def fault(self) -> Fault | None: ...


class Operation(Struct, frozen=True):
    """One thing a provider can do.

    With PASSTHROUGH the provider speaks the client's dialect and its bytes go through untouched;
    `usage` and `fault_in` then say how to read the usage object and an error inside a 200.
    `hears` names, in lower case, headers of the client's that `build` wants to see.

    `expects` says what a call will use that is not counted in tokens: pictures, seconds,
    characters; what the provider does not count is charged by it. `media` gives the content type of
    answers that are bytes and not JSON: they are relayed as they come, through `stream`. With a
    `job` the answer to a call is only its beginning; with a `session` it opens a websocket.
    """

    build: Build
    parse: Parse | PassThrough = PASSTHROUGH
    stream: OpenStream | PassThrough = PASSTHROUGH
    usage: Callable[[bytes], Usage] = openai_usage
    fault_in: Callable[[bytes], Fault | None] = fault_in_body
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault
    hears: tuple[str, ...] = ()
    expects: Callable[[Call], Usage] | None = None
    media: Callable[[Call, Mapping[str, str]], str | None] | None = None
    job: Job | None = None
    session: Callable[[Call, Credential], Dialogue] | None = None


class Wire(Struct, frozen=True):
    """A provider's own wire, for conversations in any dialect.

    `build` notes what it can't say among the losses; `Answer.usage` and `Used.usage` are whole:
    their input holds cached and cache-written tokens. `expects` is an operation's.
    """

    build: Callable[[Call, Credential, Talk, Losses], UpstreamRequest]
    read: Callable[[Call, Mapping[str, str], bytes], Answer]
    reader: Callable[[Call], Reader]
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault
    expects: Callable[[Call], Usage] | None = None


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
    `paints` says of a model that makes pictures that it can be talked with all the same; others are
    asked through "images", also in conversations.

    `free_text`: tools may take free text on its "chat" operation; others are told of functions.

    `probe` writes a request that costs nothing and that only a good credential is answered to.
    Its call has the operator's path, if there is one, as `upstream`, and the provider's options.
    """

    name: str
    operations: Mapping[str, Operation]
    cached_inside_input: bool = True
    contract: int = CONTRACT
    wire: Wire | None = None
    login: Login | None = None
    native: Callable[[str, str, Mapping[str, str]], bool] | None = None
    paints: Callable[[str], bool] | None = None
    free_text: bool = False
    probe: Build | None = None
