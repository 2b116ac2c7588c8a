"""What hosts of speech say on the wire: the same bit of sound, each in its own way."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.sdk import Adapter, Call, Credential, JsonBody, Translator, UpstreamRequest
from providers_plugins.alibaba import ADAPTER as ALIBABA
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.minimax import ADAPTER as MINIMAX
from providers_plugins.mistral import ADAPTER as MISTRAL
from providers_plugins.openai import ADAPTER as OPENAI
from providers_plugins.xai import ADAPTER as XAI
from providers_plugins.zhipu import ADAPTER as ZHIPU

KEY = Credential("main", {"api_key": "sk-secret", "project": "p"})
BASE = "https://host.example/v1"
# Samples of half a second, in three pieces of no even length.
PIECES = (bytes(range(256)) * 31, b"\x01\x02\x03" * 1001, b"\xff\x7f" * 6500 + b"z" * 61)
SOUND = b"".join(PIECES)
TIME = len(SOUND) * 1000 // 48_000
DONE = b"data: [DONE]\n\n"


def call(
    upstream: str = "model-1",
    *,
    base: str = BASE,
    options: Mapping[str, str] | None = None,
    **members: Any,
) -> Call:
    body = {"model": "client/model", "input": "Hello there.", "voice": "alloy"} | members
    raw = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
    return Call("speech", upstream, base, JsonBody.parse(raw), options=dict(options or {}))


def built(adapter: Adapter, asked: Call) -> UpstreamRequest:
    return adapter.operations["speech"].build(asked, KEY)


def sent(adapter: Adapter, asked: Call) -> Any:
    return json.loads(built(adapter, asked).body)


def translator(adapter: Adapter, asked: Call) -> Translator:
    stream = adapter.operations["speech"].stream
    assert callable(stream)
    return stream(asked)


def run(one: Translator, *pieces: bytes) -> bytes:
    made = [one.feed(piece) for piece in pieces]
    return b"".join([*made, one.finish()])


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


# --- each host's stream ---


def gemini(pieces: tuple[bytes, ...] = PIECES, rate: int = 24_000, finish: str = "STOP") -> bytes:
    kind = f"audio/L16;codec=pcm;rate={rate}"
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 111, "totalTokenCount": 122}
    details = {"candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 111}]}
    parts = [[{"inlineData": {"mimeType": kind, "data": b64(one)}}] for one in pieces]
    counted = {"usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11}}
    made = [
        {"candidates": [{"content": {"parts": one, "role": "model"}, "index": 0}]} | counted
        for one in parts
    ]
    last = {"candidates": [{"content": {}, "finishReason": finish, "index": 0}]}
    return b"".join(
        json.dumps(one).encode().join((b"data: ", b"\r\n\r\n"))
        for one in [*made, last | {"usageMetadata": usage | details}]
    )


def whole_gemini() -> dict[str, Any]:
    part = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": b64(SOUND)}}
    return {
        "candidates": [{"content": {"parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 111},
    }


def minimax(pieces: tuple[bytes, ...] = PIECES, again: bool = False, only: bool = False) -> bytes:
    """`again`: the last event repeats all of the sound; `only`: it alone has any."""
    extra = {"audio_length": 512, "audio_sample_rate": 24_000, "usage_characters": 26,
             "audio_format": "pcm", "word_count": 12}  # fmt: skip
    fine = {"status_code": 0, "status_msg": "success"}
    made = [
        {"data": {"audio": one.hex(), "status": 1, "ced": ""}, "trace_id": "t", "base_resp": fine}
        for one in (() if only else pieces)
    ]
    whole = b"".join(pieces).hex() if again or only else ""
    last = {"data": {"audio": whole, "status": 2, "ced": ""}, "extra_info": extra,
            "trace_id": "t", "base_resp": fine}  # fmt: skip
    return b"".join(map(event, [*made, last]))


def zhipu(pieces: tuple[bytes, ...] = PIECES, rate: int = 24_000) -> bytes:
    head = {"id": "1", "created": 1, "model": "glm-tts"}
    made = [
        head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": b64(one),
            "return_sample_rate": rate}}]} for one in pieces
    ]  # fmt: skip
    last = head | {"choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": ""}}]}
    return b"".join(map(event, [*made, last])) + DONE


def alibaba(pieces: tuple[bytes, ...] = PIECES) -> bytes:
    def one(data: bytes, finish: str | None, url: str = "") -> bytes:
        output = {"finish_reason": finish, "audio": {"data": b64(data), "url": url, "id": "a"}}
        told = {"output": output, "usage": {"characters": 12 if finish else 0}, "request_id": "r"}
        return b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:" + json.dumps(told).encode() + b"\n\n"

    made = [one(piece, None if n else "null") for n, piece in enumerate(pieces)]
    return b"".join(made) + one(b"", "stop", "http://dashscope.example/a.wav")


def openai(pieces: tuple[bytes, ...] = PIECES) -> bytes:
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    made = [event({"type": "speech.audio.delta", "audio": b64(one)}) for one in pieces]
    return b"".join([*made, event({"type": "speech.audio.done", "usage": usage})])


class Host(Struct, frozen=True):
    """A host that streams samples in events of its own."""

    adapter: Adapter
    stream: bytes
    upstream: str = "model-1"


HOSTS = {
    "gemini": Host(GOOGLE, gemini(), "gemini-2.5-flash-preview-tts"),
    "gemini on vertex": Host(VERTEX, gemini(), "gemini-2.5-flash-tts"),
    "minimax": Host(MINIMAX, minimax(), "speech-2.6-hd"),
    "minimax that says all again": Host(MINIMAX, minimax(again=True), "speech-2.6-hd"),
    "minimax that says all at once": Host(MINIMAX, minimax(only=True), "speech-2.6-hd"),
    "zhipu": Host(ZHIPU, zhipu(), "glm-tts"),
    "alibaba": Host(ALIBABA, alibaba(), "qwen3-tts-flash"),
}
ALL = {
    "openai": OPENAI,
    "xai": XAI,
    "google": GOOGLE,
    "vertex": VERTEX,
    "minimax": MINIMAX,
    "zhipu": ZHIPU,
    "alibaba": ALIBABA,
    "mistral": MISTRAL,
}


def heard(events: bytes) -> tuple[bytes, dict[str, Any]]:
    """What a client gets out of OpenAI's events: the sound, and what the last one says."""
    told = [json.loads(one.removeprefix(b"data: ")) for one in events.split(b"\n\n")[:-1]]
    assert {one["type"] for one in told[:-1]} <= {"speech.audio.delta"}
    assert told[-1]["type"] == "speech.audio.done"
    return b"".join(base64.b64decode(one["audio"]) for one in told[:-1]), told[-1]
