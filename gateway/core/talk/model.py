"""What a call says, whichever dialect said it: requests, answers, and the parts they are made of.

What a dialect can say and this form can't is either kept verbatim (`Foreign`, `Talk.extra`) for a
wire that speaks the same dialect, or named among the losses. JSON that only travels (schemas, tool
arguments) is kept as the bytes it came as, so that a provider's prompt cache sees the same prefix.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from gateway.domain import Usage

Role = Literal["system", "user", "assistant"]
MediaKind = Literal["image", "audio", "document", "video"]
# Why an answer ended. "sequence": a stop sequence of the client's; "context": the window is full;
# "pause": a provider's own tool loop wants another turn.
Reason = Literal[
    "stop", "sequence", "length", "context", "tool", "filter", "refusal", "pause", "error"
]


class Own(Struct):
    """A part as its dialect said it, where that is more than the form can hold.

    The same dialect's wire writes `raw` instead of the part; for all others `names` are losses.
    """

    dialect: str
    raw: bytes
    names: tuple[str, ...] = ()


class Citation(Struct):
    """Where a piece of an answer comes from. `raw` is the dialect's own object."""

    url: str = ""
    title: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None
    dialect: str = ""
    raw: bytes = b""


class Text(Struct):
    """Words. `cache` marks a prompt-cache breakpoint after the part: "5m" or "1h"."""

    text: str = ""
    cache: str = ""
    citations: list[Citation] = field(default_factory=list)
    own: Own | None = None


class Refusal(Struct):
    """Words by which a model declines."""

    text: str = ""


class Media(Struct):
    """A picture, a recording, a document: inline as base64, plain text, or by reference."""

    kind: MediaKind
    mime: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str = ""
    name: str = ""
    detail: str = ""
    context: str = ""
    cite: bool = False
    cache: str = ""
    transcript: str = ""
    own: Own | None = None


class Thinking(Struct):
    """What a model thought. `signature` proves to its `family` that it did; `data` is sealed.

    A family is named for the wire whose models sign so: "messages", "responses", "generate".
    """

    text: str = ""
    signature: str = ""
    data: str = ""
    family: str = ""
    id: str = ""


class ToolUse(Struct):
    """A call of a tool. `arguments` is JSON text as the model wrote it; free text if `custom`."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    custom: bool = False
    signature: str = ""
    family: str = ""
    cache: str = ""
    own: Own | None = None


class ToolResult(Struct):
    """What a tool gave back. `name` is the tool's, where the dialect says it."""

    id: str = ""
    parts: list[Text | Media] = field(default_factory=list)
    name: str = ""
    error: bool = False
    cache: str = ""
    custom: bool = False
    own: Own | None = None


class Foreign(Struct):
    """Something that one dialect alone knows, verbatim."""

    dialect: str
    kind: str
    raw: bytes


Part: TypeAlias = Text | Refusal | Media | Thinking | ToolUse | ToolResult | Foreign


class Message(Struct):
    """One turn. Results of tools stand in the user's turn, in front of what the user says."""

    role: Role
    parts: list[Part] = field(default_factory=list)
    name: str = ""


class Tool(Struct):
    """A function the model may call. `schema` is its JSON schema verbatim, empty for none."""

    name: str
    description: str | None = None
    schema: bytes = b""
    strict: bool | None = None
    cache: str = ""
    custom: bool = False
    format: bytes = b""
    own: Own | None = None


class ToolChoice(Struct):
    """Whether the model may, must or must not call tools, or which one it must."""

    mode: Literal["auto", "any", "none", "tool"]
    name: str = ""


class Format(Struct):
    """Structured output: any JSON, or JSON of a schema (verbatim)."""

    kind: Literal["json", "schema"]
    name: str = ""
    schema: bytes = b""
    strict: bool | None = None
    description: str = ""


class Talk(Struct):
    """A request. None and empty mean that the client said nothing about it.

    `thinking` is "on", "adaptive" or "off"; `effort` one of none, minimal, low, medium, high,
    xhigh, max; `summary` how much of its thinking is shown. `extra` holds top-level members that
    the dialect's reader does not know, as raw JSON: they go through by default.
    """

    dialect: str
    model: str = ""
    messages: list[Message] = field(default_factory=list)
    tools: list[Tool | Foreign] = field(default_factory=list)
    choice: ToolChoice | None = None
    parallel: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: bytes = b""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    effort: str = ""
    thinking: str = ""
    budget: int | None = None
    summary: str = ""
    format: Format | None = None
    user: str = ""
    metadata: bytes = b""
    service_tier: str = ""
    verbosity: str = ""
    cache_key: str = ""
    stream: bool = False
    extra: dict[str, bytes] = field(default_factory=dict)


class Answer(Struct):
    """A whole answer. `usage.input` holds cached and written tokens, whatever the provider does."""

    id: str = ""
    model: str = ""
    parts: list[Part] = field(default_factory=list)
    reason: Reason = "stop"
    sequence: str = ""
    usage: Usage | None = None
    created: int = 0
    service_tier: str = ""


class Losses:
    """What a translation could not say, by the client's own names, in the order it was met."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def lose(self, name: str) -> None:
        """Note that a field, or a part of it, does not arrive as it was meant."""
        self._names[name] = None

    def keep(self, name: str) -> None:
        """Take it back: this wire says it after all."""
        self._names.pop(name, None)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, once each."""
        return tuple(self._names)
