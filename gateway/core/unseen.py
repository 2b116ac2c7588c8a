"""What a request brings whose length in tokens its bytes do not tell: documents, video and sound
that are linked, named, or packed in base64.

A page, an hour of film and a thousand pages have addresses of one length, and what is packed may
unfold a thousandfold. Pictures are not among them: a model never reads much more than so many
tokens of one. Only what is set aside depends on this; what is charged by the gateway's own count
goes by the estimate (`core/estimate.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

# Where a route does not say how much it can take, a piece is taken for this many tokens.
UNKNOWN_LENGTH = 200_000

_NONE = (b"", b"null", b'""', b"{}", b"[]")
_PICTURES = frozenset(("image_url", "image", "input_image", "computer_screenshot"))
# Sound whose bytes are as many as it is long. What packs silence into nothing is not among it.
_EVEN = (b'"wav"', b'"mp3"')
# Texts, the tools' own items and what a model has thought: their bytes tell their length.
_PLAIN = frozenset((
    "text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text", "thinking",
    "redacted_thinking", "reasoning", "tool_use", "server_tool_use", "mcp_tool_use",
    "function_call", "custom_tool_call", "message", "tool_result", "function_call_output",
    "custom_tool_call_output", "search_result", "web_search_tool_result", "web_search_result",
    "web_fetch_tool_result", "web_fetch_result",
))  # fmt: skip
# What an address, or a file's name, leads to that stands where a picture should: some providers are
# told what it is by its ending or host, or have it from before.
_NO_PICTURE = re.compile(
    r"data:(?!image/)"
    r"|(?:\w+://)?[^/?#]*\byoutu(?:\.be|be\.com)(?:[:/?#]|$)"
    r"|[^?#]*\.(?:pdf|txt|md|csv|html?|docx?|xlsx?|pptx?|wav|mp3|ogg|opus|flac|aac|m4a"
    r"|mp4|m4v|mov|webm|mpe?g|avi|mkv)(?:[?#]|$)"
    r"|(?:[^?#]*/)?files/[^./?#]+(?:[?#]|$)"
)
_SHOWN = 2_048  # of an address; nobody takes a longer one that is not the file itself
_MOST_LOOKED_AT = 15_000  # parts and lists; what lies beyond is taken for a piece
_NESTED = re.compile(rb"[\[{]")
_DEEPEST = 20  # lists and objects, one within the other


def most_tokens(estimate: int, pieces: int, window: int | None) -> int:
    """The most input tokens that a call with so many pieces may come to on a route."""
    return max(estimate, window or estimate + pieces * UNKNOWN_LENGTH)


class _Body(Struct, gc=False):
    """Where the dialects have what is said. Nothing is decoded, so nothing is copied."""

    messages: Raw = Raw()
    input: Raw = Raw()
    system: Raw = Raw()
    prompt: Raw = Raw()


class _Part(Struct, gc=False):
    """A message, an item, a part or a source: what it is, what it brings, what lies within."""

    type: Raw = Raw()
    content: Raw = Raw()
    output: Raw = Raw()
    variables: Raw = Raw()
    source: Raw = Raw()
    media_type: Raw = Raw()
    url: Raw = Raw()
    data: Raw = Raw()
    format: Raw = Raw()
    file: Raw = Raw()
    file_id: Raw = Raw()
    file_url: Raw = Raw()
    file_data: Raw = Raw()
    document_url: Raw = Raw()
    image_url: Raw = Raw()
    video: Raw = Raw()
    video_url: Raw = Raw()
    audio: Raw = Raw()
    audio_url: Raw = Raw()
    input_audio: Raw = Raw()


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_names = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_FAILS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def unseen_pieces(raw: bytes) -> int:
    """How many of them a request's body brings; names and types in any spelling that JSON has."""
    try:
        body = _decode_body(raw)
        said = (body.messages, body.input, body.system, body.prompt)
        return _pieces([(one, _DEEPEST) for one in said])
    except _FAILS:  # it was read before, so this is something of a kind that nobody expects
        return 1


def _pieces(places: list[tuple[Raw | _Part, int]]) -> int:
    """Of lists and objects, each to be looked into so deep."""
    found = looked = 0
    while places:
        place, depth = places.pop()
        looked += 1
        if looked > _MOST_LOOKED_AT:
            return found + 1
        within: Sequence[Raw | _Part] = ()
        if isinstance(place, _Part):
            kind = _text(place.type)
            found += _is_piece(place, kind)
            within = _within(place, kind)
        elif bytes(memoryview(place)[:1]) == b"{":
            within = (_decode_part(place),)
        elif bytes(memoryview(place)[:1]) == b"[" and _NESTED.search(place, 1):
            within = _listed(place)
        if depth:
            places += [(one, depth - 1) for one in within]
    return found


def _listed(raw: Raw) -> Sequence[Raw | _Part]:
    """Of nothing but objects, as nearly always, those: its bytes are walked over once less."""
    try:
        return _decode_parts(raw)
    except msgspec.ValidationError:
        return _decode_list(raw)


def _within(part: _Part, kind: str) -> list[Raw]:
    """Where more parts may lie."""
    within = [one for one in (part.content, part.output) if one]
    if kind == "document":  # it may be a text in parts
        within.append(_inner(part.source).content)
    if bytes(memoryview(part.variables)[:1]) == b"{":
        within += _decode_names(part.variables).values()
    return within


def _is_piece(part: _Part, kind: str) -> bool:
    if kind in _PLAIN:
        return False
    if kind in _PICTURES or (not kind and _is_there(part.image_url)):
        return _is_no_picture(part)
    if kind == "document" and _text(_inner(part.source).type) in ("text", "content"):
        return False
    if kind == "input_audio" or _is_there(part.input_audio):
        return not _is_even(_inner(part.input_audio))
    if any(map(_is_there, (part.file, part.file_id, part.file_url, part.file_data))):
        return True
    named = (part.document_url, part.video, part.video_url, part.audio, part.audio_url)
    if any(map(_is_there, named)):
        return True
    return bool(kind) and any(map(_is_there, (part.source, part.url, part.data)))


def _is_there(raw: Raw) -> bool:
    view = memoryview(raw)
    return len(view) > len(b"null") or bytes(view) not in _NONE


def _inner(raw: Raw) -> _Part:
    """An object within a part; one with nothing in it, where there is none."""
    return _decode_part(raw) if bytes(memoryview(raw)[:1]) == b"{" else _Part()


def _is_even(sound: _Part) -> bool:
    """Whether a sound is here itself, and as long as its bytes say."""
    return bytes(sound.format) in _EVEN and ":" not in _address(sound.data)


def _is_no_picture(part: _Part) -> bool:
    """Whether what stands where a picture should is something else, as far as can be told."""
    source, image = _inner(part.source), _inner(part.image_url)
    told = _text(source.media_type).lower()
    if told and not told.startswith("image/"):
        return True
    places = (part.image_url, image.url, part.file_id, part.url, source.url, source.file_id)
    return any(_NO_PICTURE.match(_address(place)) is not None for place in places)


def _address(raw: Raw) -> str:
    """A text; the start of one that is too long for an address, and so is the file itself."""
    view = memoryview(raw)
    if len(view) <= _SHOWN:
        return _text(raw).lstrip().lower()
    start = bytes(view[:_SHOWN])
    escape = start.rfind(b"\\", _SHOWN - 6)  # which may be cut in two
    return _text(Raw((start if escape < 0 else start[:escape]) + b'"')).lstrip().lower()


def _text(raw: Raw) -> str:
    return _decode_text(raw) if bytes(memoryview(raw)[:1]) == b'"' else ""
