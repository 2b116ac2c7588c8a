"""How many tokens a request is likely to be, from its bytes alone: cheap, and on the high side.

English takes about four bytes a token, other scripts two to three; what is encoded in base64 is
not text, and counts by what models charge for a picture or a page.
"""

from __future__ import annotations

import re

_BYTES_PER_TOKEN = 3
_BYTES_PER_TOKEN_ELSE = 2
_FRAMING = 8
_PER_MEDIA = 2_000
_ENCODED_BYTES_PER_TOKEN = 40
# Only where files stand, and only what is nothing but base64: text that looks like it is charged as
# the text it is. Possessive, so that a file of any length costs no memory for ways back into it.
_PACKED = re.compile(
    rb'"(?:url|data|image_url|b64_json|file(?:_data)?)"\s*:\s*"'
    rb"(?:data:[A-Za-z0-9.+;=/\\-]{0,100}?base64,"
    rb'|(?:[A-Za-z0-9+/_-]|\\/){1000}+)(?:[A-Za-z0-9+/_-]++|\\/)*+={0,2}"'
)
_LINKED = (b'"image_url"', b'"video_url"', b'"audio_url"', b'"file_url"', b'"file_id"')
_LINKED_SOURCE = re.compile(rb'"type"\s*:\s*"url"')
# Where none of these stands, there is none: what is nothing but text is walked over once. The first
# two letters stand apart, since where there are many quotes that is half of the time: "uata"
# matches too, and costs no more than a closer look. A name may be spelled with escapes, so a word
# that goes on with the escape of a letter may be one.
_MEDIA_NAME = re.compile(
    rb'"[abdfiuv\\][aimnoru6\\](?:(?:l|ta|age_url|4_json|le(?:_url|_data|_id)?'
    rb"|deo(?:_url)?|dio(?:_url)?|put_audio|cument_url)"
    rb'"|[0-9a-z_]*+\\u00[3-7]|u?00[3-7])'
)
_SHORT = 1_000
# What may stand in a string as it is: with these as they are and no others, texts stay texts.
_ESCAPED = re.compile(rb"\\u00(2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abdefABDEF]|7[0-9a-eA-E])")


def input_tokens(raw: bytes) -> int:
    """An upper guess of a request's input tokens."""
    return weighed(raw)[0]


def weighed(raw: bytes) -> tuple[int, bool]:
    """The same, and False where a look at the bytes has shown nothing but text."""
    look = len(raw) > _SHORT or raw.find(b'url"') >= 0 or raw.find(b"\\u00") >= 0
    if look and _MEDIA_NAME.search(raw) is not None:
        return _with_media(raw), True
    per_token = _BYTES_PER_TOKEN if raw.isascii() else _BYTES_PER_TOKEN_ELSE
    return len(raw) // per_token + _FRAMING, False


def may_have_parts(raw: bytes) -> bool:
    """Of what was too short to be looked through for names: parts stand in a list within one."""
    return len(raw) <= _SHORT and raw.find(b"[") != raw.rfind(b"[")


def output_tokens(events: int, produced: int) -> int:
    """How many tokens an answer has so far: one an event at least, and four bytes each."""
    return max(events, produced // 4)


def _with_media(raw: bytes) -> int:
    spelled = _ESCAPED.sub(_letter, raw) if b"\\u00" in raw else raw
    tokens = encoded = 0
    if len(raw) > _SHORT or b'url"' in spelled:
        tokens = sum(map(spelled.count, _LINKED)) * _PER_MEDIA
        tokens += len(_LINKED_SOURCE.findall(spelled)) * _PER_MEDIA
        for found in _PACKED.finditer(spelled):
            size = found.end() - found.start()
            encoded += size
            tokens += max(_PER_MEDIA, size // _ENCODED_BYTES_PER_TOKEN)
    return tokens + _of_text(raw, len(raw) - encoded)


def _of_text(raw: bytes, size: int) -> int:
    per_token = _BYTES_PER_TOKEN if raw.isascii() else _BYTES_PER_TOKEN_ELSE
    return size // per_token + _FRAMING


def _letter(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))
