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
_ENCODED = re.compile(
    rb'"(?:url|data|image_url|b64_json|file(?:_data)?)"\s*:\s*"'
    rb"(?:data:[A-Za-z0-9.+;=/\\-]{0,100}?base64,"
    rb'|(?:[A-Za-z0-9+/_-]|\\/){1000}+)(?:[A-Za-z0-9+/_-]++|\\/)*+={0,2}"'
)
_LINKED = (b'"image_url"', b'"video_url"', b'"audio_url"', b'"file_url"', b'"file_id"')
_LINKED_SOURCE = re.compile(rb'"type"\s*:\s*"url"')
# Where none of these stands, there is neither: what is nothing but text is walked over once.
_MEDIA_NAME = re.compile(rb'"(?:url|data|image_url|b64_json|file(?:_url|_data|_id)?)"')


def input_tokens(raw: bytes) -> int:
    """An upper guess of a request's input tokens."""
    if (len(raw) > 1_000 or raw.find(b'url"') >= 0) and _MEDIA_NAME.search(raw):
        return _with_media(raw)
    per_token = _BYTES_PER_TOKEN if raw.isascii() else _BYTES_PER_TOKEN_ELSE
    return len(raw) // per_token + _FRAMING


def output_tokens(events: int, produced: int) -> int:
    """How many tokens an answer has so far: one an event at least, and four bytes each."""
    return max(events, produced // 4)


def _with_media(raw: bytes) -> int:
    tokens = sum(map(raw.count, _LINKED)) * _PER_MEDIA
    tokens += len(_LINKED_SOURCE.findall(raw)) * _PER_MEDIA
    encoded = 0
    for found in _ENCODED.finditer(raw):
        size = found.end() - found.start()
        encoded += size
        tokens += max(_PER_MEDIA, size // _ENCODED_BYTES_PER_TOKEN)
    per_token = _BYTES_PER_TOKEN if raw.isascii() else _BYTES_PER_TOKEN_ELSE
    return tokens + (len(raw) - encoded) // per_token + _FRAMING
