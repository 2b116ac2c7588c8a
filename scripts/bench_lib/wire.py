"""The calls and answers of the bench: bytes that the fake upstream sends and the clients expect."""

from __future__ import annotations

import json

MODEL = "bench"
HOLD_MODEL = "hold"
PATH = "/v1/chat/completions"
OTHER_PATH = "/v1/messages"  # of a dialect that the fake upstream does not speak
CHUNKS = 50
SPACING = 0.02
PLAIN_BYTES = 800
USAGE = {"prompt_tokens": 24, "completion_tokens": CHUNKS, "total_tokens": 24 + CHUNKS}
WORDS = [f" word{i:03d}" for i in range(CHUNKS)]
STREAM_TEXT = "".join(WORDS)
PROMPT = "Describe the isthmus of Corinth to a traveller who has one hour and good shoes."
_HEAD = {"id": "chatcmpl-Bench0123456789abcdefghijkl", "created": 1760000000, "model": MODEL}


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {
        **_HEAD,
        "object": "chat.completion.chunk",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [choice],
    }
    return b"data: " + _dump(body) + b"\n\n"


def _completion() -> bytes:
    """One chat.completion of PLAIN_BYTES bytes with usage."""
    message = {"role": "assistant", "content": "", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {
        **_HEAD,
        "object": "chat.completion",
        "choices": [choice],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    message["content"] = "x" * (PLAIN_BYTES - len(_dump(body)))
    return _dump(body)


COMPLETION = _completion()
FIRST_EVENT = _event({"role": "assistant", "content": ""})
EVENTS = [_event({"content": word}) for word in WORDS]
FINISH_EVENT = _event({}, "stop")
USAGE_EVENT = (
    b"data: "
    + _dump({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    + b"\n\n"
)
DONE_EVENT = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """One piece of a chunked HTTP body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


PLAIN_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(COMPLETION)
) + COMPLETION
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def request_body(model: str = MODEL, *, stream: bool = False) -> bytes:
    """The JSON body of one chat call."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "Answer in plain words."},
            {"role": "user", "content": PROMPT},
        ],
        "temperature": 0.7,
    }
    if stream:
        body["stream"] = True
    return _dump(body)


def other_body() -> bytes:
    """The same streamed call in the other dialect."""
    turn = {"role": "user", "content": PROMPT}
    body = {"model": MODEL, "system": "Answer in plain words.", "messages": [turn]}
    return _dump({**body, "max_tokens": 4096, "temperature": 0.7, "stream": True})


def request(port: int, headers: dict[str, str], body: bytes, path: str = PATH) -> bytes:
    """The bytes of one POST of a call on a kept-alive connection."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        "Accept: */*",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
