"""What a model says in a test, whichever wire says it, and what a client is to hear of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6"
    "kgAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
TOOLS = {"get_weather": ("The weather of a city.", WEATHER), "get_time": ("The time.", CLOCK)}


@dataclass(frozen=True)
class Tool:
    """A call that the model makes; its arguments come in these pieces."""

    id: str
    name: str
    pieces: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Said:
    """An answer. `input` counts everything, cached too; `output` counts reasoning too."""

    text: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    signature: str = ""
    tools: tuple[Tool, ...] = ()
    stop: str = "stop"  # or "tool", "length"
    input: int = 40
    cached: int = 16
    output: int = 21
    reasoning: int = 0

    @property
    def nanos(self) -> int:
        """What it costs at the test catalog's prices."""
        return (self.input - self.cached) * 3_000 + self.cached * 300 + self.output * 15_000


@dataclass
class Heard:
    """What a client made of it."""

    text: str = ""
    thinking: str = ""
    tools: list[tuple[str, str]] = field(default_factory=list)  # name and arguments, as JSON text
    stop: str = ""
    input: int = 0
    cached: int = 0
    output: int = 0
    final: Any = None
    request_id: str = ""


@dataclass
class Told:
    """What reached the provider."""

    model: str = ""
    system: str = ""
    user: str = ""
    picture: str = ""
    tools: dict[str, Any] = field(default_factory=dict)  # name -> schema
    results: list[str] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)  # earlier calls: name, arguments
    max_tokens: int | None = None
    stream: bool = False
    secret: str | None = None


HELLO = Said(text=("Hello", ", wor", "ld \u00e9\u4e16\U0001f30d!"))
LONG = Said(text=("It was", " a dark"), stop="length")
CALLS = Said(
    text=("Let me look.",),
    tools=(
        Tool("call_a1", "get_weather", ('{"ci', 'ty":"Os', 'lo","days"', ":3}")),
        Tool("call_b2", "get_time", ('{"zone":', '"CET"}')),
    ),
    stop="tool",
)
THOUGHT = Said(
    thinking=("Twice", " two"), signature="c2lnbmVk", text=("Four",), reasoning=9, output=30
)


def unwrapped(rest: bytes) -> bytes:
    """What a base64 string says, up to its closing quote."""
    return base64.b64decode(rest.partition(b'"')[0])
