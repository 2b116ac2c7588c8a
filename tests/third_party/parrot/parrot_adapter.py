"""An adapter by a stranger, for a host with a wire of its own: lines of text, a count at the end.

POST /speak  {"say": "...", "flow": bool}   ->   word\nword\n#2\n
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.sdk import (
    Adapter,
    Call,
    Credential,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
)


def build(call: Call, credential: Credential) -> UpstreamRequest:
    say = call.body.value("messages")[-1]["content"]
    return UpstreamRequest(
        method="POST",
        url=f"{call.base_url}/speak",
        headers=(("X-Parrot-Key", credential.api_key),),
        body=json.dumps({"say": say, "flow": call.stream}).encode(),
    )


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    del call, status, headers
    *words, count = body.decode().split("\n")[:-1]
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "parrot", "object": "chat.completion", "created": 0, "model": "parrot"}
    used = int(count[1:])
    usage = {"prompt_tokens": used, "completion_tokens": used, "total_tokens": 2 * used}
    whole = {**answer, "choices": [choice], "usage": usage}
    return Reply(json.dumps(whole).encode(), Usage(input=used, output=used))


class Stream:
    """Lines into chunks, for any split of the bytes."""

    def __init__(self, call: Call) -> None:
        del call
        self.usage: Usage | None = None
        self.fault: Fault | None = None
        self.complete = False
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        *lines, self._tail = (self._tail + data).split(b"\n")
        return b"".join(map(self._line, lines))

    def finish(self) -> bytes:
        return b""

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"#"):
            return self._event({"content": line.decode() + " "}, None)
        used = int(line[1:])
        self.usage = Usage(input=used, output=used)
        self.complete = True
        return self._event({}, "stop") + b"data: [DONE]\n\n"

    @staticmethod
    def _event(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "parrot", "object": "chat.completion.chunk", "created": 0, "model": "parrot"}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"


ADAPTER = Adapter("parrot", {"chat": Operation(build=build, parse=parse, stream=Stream)})
