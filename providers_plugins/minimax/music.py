"""Music: one request that is answered when the piece is done, with its sound in hexadecimals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.sdk import (
    Call,
    Credential,
    Job,
    Operation,
    Progress,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    invalid,
)
from providers_plugins.jobs import (
    NO_FILE,
    decoded,
    failed,
    json_request,
    member,
    name_of,
    unreadable,
)
from providers_plugins.minimax.chat import fault, fault_in
from providers_plugins.songs import Song, left_out, never, sung

_FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}
_NATIVE = ("lyrics_optimizer", "aigc_watermark")
_ALWAYS_SUNG = ("music-1", "music-2.0")
_MOST_MILLISECONDS = 3_600_000


class _Piece(Struct):
    data: Any = None
    extra_info: Any = None
    trace_id: Any = None


def _expects(call: Call) -> Usage:
    sung(call, _FORMATS)
    return Usage()


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    song = sung(call, _FORMATS)
    body: dict[str, Any] = {
        "model": call.upstream,
        "prompt": song.prompt,
        "output_format": "hex",
        "audio_setting": {"sample_rate": 44100, "bitrate": 256000, "format": song.format},
    }
    if song.lyrics:
        body["lyrics"] = song.lyrics
    if song.instrumental:
        _refuse_unsung(call, song)
        body["is_instrumental"] = True
    for name in _NATIVE:
        value = call.body.value(name)
        if value is not None:
            body[name] = value
    lost = ("duration",) if song.seconds is not None else ()
    adapted = left_out(call, _NATIVE, lost)
    url = f"{call.base_url}/music_generation"
    return json_request(url, bearer(credential), body, adapted=adapted)


def _refuse_unsung(call: Call, song: Song) -> None:
    if call.upstream.startswith(_ALWAYS_SUNG):
        raise invalid("This model always sings: leave 'instrumental' out.", "instrumental")
    if song.lyrics:
        raise invalid("A piece without voices has no lyrics: give one or the other.", "lyrics")


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    found = fault_in(body)
    if found is not None:
        raise found
    piece = decoded(body, _Piece)
    job = Progress("running", name_of(piece.trace_id) or call.id)
    held = member(piece.data, "audio")
    if not held:
        return Reply(progress=failed(job, NO_FILE))
    if not isinstance(held, str):
        raise unreadable()
    try:
        media = bytes.fromhex(held)
    except ValueError:
        raise unreadable() from None
    usage = _used(member(piece.extra_info, "music_duration"))
    return Reply(
        progress=Progress(
            "succeeded",
            job.id,
            percent=100,
            media=media,
            content_type=_FORMATS[sung(call, _FORMATS).format],
            usage=usage,
        ),
        usage=usage,
    )


def _used(told: Any) -> Usage | None:
    """How long it is, in milliseconds, where that is told."""
    if isinstance(told, bool) or not isinstance(told, int) or not 0 < told < _MOST_MILLISECONDS:
        return None
    return Usage(milliseconds=told)


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    """Never asked for: the first answer was the last."""
    raise unreadable()


MUSIC = Operation(
    build=_build,
    parse=_parse,
    fault=fault,
    fault_in=fault_in,
    expects=_expects,
    job=Job(poll=never, polled=_polled, result=never, waits=True),
)
