"""What a request needs of whoever serves it, read from its bytes; and what a route lacks of it.

Nothing is decoded before a look at the bytes says that there may be something to find. A need is
one bit, so that what a request needs and what a route has compare in one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.estimate import input_tokens
from gateway.domain import Route

TOOLS = 1
VISION = 1 << 1
AUDIO = 1 << 2
VIDEO = 1 << 3
DOCUMENTS = 1 << 4
JSON_SCHEMA = 1 << 5
JSON_MODE = 1 << 6
REASONING = 1 << 7
STREAMING = 1 << 8
SPEECH = 1 << 9

# Each need in words, and the capabilities any one of which meets it.
_MET_BY: dict[int, tuple[str, tuple[str, ...]]] = {
    TOOLS: ("tools", ("tools",)),
    VISION: ("images", ("vision",)),
    AUDIO: ("audio input", ("audio_input",)),
    VIDEO: ("video input", ("video_input",)),
    # The catalog has no word for documents: models that read pages read them as pictures.
    DOCUMENTS: ("documents", ("vision",)),
    JSON_SCHEMA: ("JSON schemas", ("json_schema",)),
    JSON_MODE: ("JSON mode", ("json_object", "json_schema")),
    REASONING: ("reasoning", ("reasoning",)),
    STREAMING: ("streaming", ("streaming",)),
    SPEECH: ("audio output", ("audio_output",)),
}
EVERYTHING = sum(_MET_BY)
NO_END = 1 << 62


class Needs(Struct, frozen=True):
    """`wants` is a set of the bits above; `tokens_in` a high guess; `most_out` what it asks for."""

    wants: int = 0
    tokens_in: int = 0
    most_out: int = 0

    @property
    def tokens(self) -> int:
        """The context it takes, its answer at full length included."""
        return self.tokens_in + self.most_out

    @property
    def words(self) -> tuple[str, ...]:
        """What it needs, for people."""
        return tuple(word for bit, (word, _) in _MET_BY.items() if self.wants & bit)


NO_NEEDS = Needs()


def offers(route: Route) -> int:
    """The needs that a route meets, as bits."""
    has = route.model.capabilities
    return sum(bit for bit, (_, any_of) in _MET_BY.items() if any(one in has for one in any_of))


def room(route: Route) -> int:
    """The tokens of context a route has; one that does not say is taken to have enough."""
    return route.window or NO_END


def lacks(route: Route, needs: Needs) -> str | None:
    """What the route can't do of what is needed, for people; None when it can do all."""
    missing = needs.wants & ~offers(route)
    if missing:
        return Needs(missing).words[0]
    if needs.tokens > room(route):
        return f"a context of {needs.tokens} tokens"
    return None


def needs_of(operation: str, body: JsonBody, tokens_in: int | None = None) -> Needs:
    """What a request needs; `tokens_in` is a count of its input, where one was made before."""
    raw = body.raw
    counted = input_tokens(raw) if tokens_in is None else tokens_in
    if operation == "embeddings":
        return Needs(0, counted)
    wants = STREAMING if body.get("stream") == b"true" else 0
    most_out = 0
    if body.has_any(_TELLING):
        most_out = _most_out(body)
        for name, read in _READERS:
            said = body.get(name)
            if said is not None:
                wants |= read(said)
    if b'"type"' in raw and _MEDIA.search(raw):
        wants |= _media(body.get(_CONVERSATION.get(operation, "messages")) or b"", _DEEPEST)
    return Needs(wants, counted, most_out)


_CEILINGS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def _most_out(body: JsonBody) -> int:
    """The longest answer asked for; what is no number is for others to refuse."""
    for name in _CEILINGS:
        said = body.get(name)
        if said is not None and said.isdigit() and len(said) < 16:
            return int(said)
    return 0


# What content parts are called, and what each takes; the dialects that use the word are few
# enough that one table serves all.
_NAMES: Mapping[str, int] = {
    "image_url": VISION,
    "image": VISION,
    "input_image": VISION,
    "input_audio": AUDIO,
    "audio": AUDIO,
    "video_url": VIDEO,
    "video": VIDEO,
    "file": DOCUMENTS,
    "file_url": DOCUMENTS,
    "document": DOCUMENTS,
    "document_url": DOCUMENTS,
    "input_file": DOCUMENTS,
}
_PARTS = {b'"%s"' % name.encode(): bit for name, bit in _NAMES.items()}
# One search for them all, by how their names begin.
_MEDIA = re.compile(rb'"type"\s*+:\s*+"(?:image|input_|audio|video|file|document)')


class _Part(Struct, gc=False):
    """A message, an item or a part: its type, and where more of them may lie."""

    type: Raw = Raw()
    content: Raw = Raw()
    output: Raw = Raw()


_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_DEEPEST = 3  # messages, their parts, and the parts of what a tool gave back
_CONVERSATION = {"responses": "input"}


def _media(raw: bytes | memoryview, depth: int) -> int:
    """What the parts of a list take, and the parts within those. Other forms have none."""
    if not depth or bytes(raw[:1]) != b"[":
        return 0
    try:
        parts = _decode_parts(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    found = 0
    for part in parts:
        found |= _PARTS.get(bytes(part.type), 0)
        found |= _media(memoryview(part.content), depth - 1)
        found |= _media(memoryview(part.output), depth - 1)
    return found


class _Told(Struct, gc=False):
    """What the readers below ask of an object. Nothing is decoded: any value may stand there."""

    type: Raw = Raw()
    effort: Raw = Raw()
    enabled: Raw = Raw()
    format: Raw = Raw()


_decode_told = msgspec.json.Decoder(_Told).decode
_FALSE, _NONE, _DISABLED = Raw(b"false"), Raw(b'"none"'), Raw(b'"disabled"')
_FORMS = {b'"json_schema"': JSON_SCHEMA, b'"json_object"': JSON_MODE}


def _tools(said: bytes) -> int:
    return 0 if said in (b"null", b"[]") else TOOLS


def _modalities(said: bytes) -> int:
    return SPEECH if b'"audio"' in said else 0


def _effort(said: bytes) -> int:
    return 0 if said in (b"null", b'"none"') else REASONING


def _reasoning(said: bytes) -> int:
    told = _told(said)
    off = told is None or told.enabled == _FALSE or told.effort == _NONE
    return 0 if off else REASONING


def _thinking(said: bytes) -> int:
    told = _told(said)
    return 0 if told is None or told.type == _DISABLED else REASONING


def _format(said: bytes) -> int:
    """A form that the answer must have: the object that names it, or one that holds it."""
    told = _told(said)
    if told is not None and told.format:
        told = _told(bytes(told.format))
    return 0 if told is None else _FORMS.get(bytes(told.type), 0)


# The members that say what is needed; the dialects never use one word for two things.
_READERS: tuple[tuple[str, Callable[[bytes], int]], ...] = (
    ("tools", _tools),
    ("modalities", _modalities),
    ("reasoning_effort", _effort),
    ("reasoning", _reasoning),
    ("thinking", _thinking),
    ("response_format", _format),
    ("text", _format),
    ("output_config", _format),
    ("output_format", _format),
)
# Most requests have none of these: one look at the names is enough for them.
_TELLING = frozenset([*_CEILINGS, *(name for name, _ in _READERS)])


def _told(said: bytes) -> _Told | None:
    """A member that should be an object; anything else, or an empty one, is like none."""
    return _decode_told(said) if said.startswith(b"{") and said != b"{}" else None
