"""The offline provider: echoes what it is sent, and misbehaves on request.

Behaviour comes from the route's upstream name (`echo?status=429&retry_after=2`) and, over that,
from a `sim` object in the request body: {"sim": {"pace": 0.1, "cut": 5}}. Known names:

  text         answer this instead of the echo
  tokens       answer this many tokens
  pace         seconds between two streamed tokens
  delay        seconds before anything is answered
  status       answer with this HTTP status
  retry_after  and this Retry-After
  code         the error's code; with status 200 an error in a stream, after `cut` tokens or none
  cut          break the connection after this many tokens
  usage        0: report no usage

Videos and music are work that goes on by itself; `sim_jobs` says what else is known of them.

A token here is a word with the space before it, so that counts are easy to check by hand.
"""

from __future__ import annotations

import hashlib
import re
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sdk import (
    PASSTHROUGH,
    Adapter,
    Call,
    Credential,
    JsonBody,
    Operation,
    Script,
    UpstreamRequest,
    invalid,
)
from gateway.sdk import ScriptCut as Cut
from gateway.sdk import ScriptSend as Send
from gateway.sdk import ScriptWait as Wait
from providers_plugins.sim_behaviour import (
    JSON,
    MAX_TOKENS,
    Behaviour,
    behaviour_of,
    error_of,
    refusal,
    waited,
)
from providers_plugins.sim_jobs import JOBS

_CREATED = 1_767_225_600
_SSE = ("content-type", "text/event-stream")
_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?")
_MAX_DIMENSIONS = 4_096
# Where the conformance kit finds this provider.
KIT = {"base_url": "sim:", "upstream": "echo"}

Step = Send | Wait | Cut


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """Write the whole answer as a script; the gateway plays it."""
    del credential
    behaviour = behaviour_of(call)
    script = (
        refusal(behaviour) if behaviour.status != 200 else _ANSWERS[call.operation](call, behaviour)
    )
    script = waited(script, behaviour)
    return UpstreamRequest("POST", f"sim:{call.operation}", (), script.encode())


def tokens_of(text: str) -> list[str]:
    """Words with the space before them; joined they are the text again."""
    return _TOKEN.findall(text) if text.strip() else [text] * bool(text)


def _chat(call: Call, behaviour: Behaviour) -> Script:
    prompt, last = _conversation(call.body)
    answer = _answer(behaviour, last, _ceiling(call.body))
    if call.stream:
        return _streamed(call, behaviour, prompt, answer, _chat_chunk)
    message = {"role": "assistant", "content": "".join(answer), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    return _whole(call, behaviour, prompt, answer, "chat.completion", choice)


def _completions(call: Call, behaviour: Behaviour) -> Script:
    prompt = call.body.value("prompt")
    text = prompt if isinstance(prompt, str) else "".join(map(str, prompt or ()))
    answer = _answer(behaviour, text, _ceiling(call.body))
    if call.stream:
        return _streamed(call, behaviour, text, answer, _text_chunk)
    choice = {
        "index": 0,
        "text": "".join(answer),
        "logprobs": None,
        "finish_reason": _finish(answer),
    }
    return _whole(call, behaviour, text, answer, "text_completion", choice)


def _embeddings(call: Call, behaviour: Behaviour) -> Script:
    given = call.body.value("input")
    texts = [given] if isinstance(given, str) else list(given)
    size = call.body.value("dimensions") or 8
    if size > _MAX_DIMENSIONS:
        raise invalid(f"'dimensions' may be {_MAX_DIMENSIONS} at most here.", "dimensions")
    base64 = call.body.value("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text), size, base64)}
        for index, text in enumerate(texts)
    ]
    count = sum(len(tokens_of(str(text))) for text in texts)
    body: dict[str, Any] = {"object": "list", "model": "echo", "data": data}
    if behaviour.usage:
        body["usage"] = {"prompt_tokens": count, "total_tokens": count}
    return Script(200, [JSON], [_send(body)])


def _whole(
    call: Call, behaviour: Behaviour, prompt: str, answer: list[str], kind: str, choice: Any
) -> Script:
    body: dict[str, Any] = {**_head(call, kind), "choices": [choice]}
    if behaviour.usage:
        body["usage"] = _usage(prompt, answer)
    if behaviour.code is not None:
        return Script(200, [JSON], [_send(error_of(behaviour))])
    whole = _send(body)
    if behaviour.cut is not None:
        return Script(200, [JSON], [Send(whole.text[: len(whole.text) // 2]), Cut()])
    return Script(200, [JSON], [whole])


def _streamed(
    call: Call, behaviour: Behaviour, prompt: str, answer: list[str], chunk: Any
) -> Script:
    def steps() -> Iterator[Step]:
        breaks = behaviour.cut
        if behaviour.code is None or breaks is not None:
            yield _event(chunk(call, None, None))
        else:
            breaks = 0  # nothing of an answer comes before the error
        for place, token in enumerate(answer):
            if place == breaks:
                break
            if behaviour.pace:
                yield Wait(behaviour.pace)
            yield _event(chunk(call, token, None))
        if breaks is not None:
            yield _event(error_of(behaviour)) if behaviour.code is not None else Cut()
            return
        yield _event(chunk(call, None, _finish(answer)))
        if behaviour.usage:
            last = chunk(call, None, None)
            yield _event({**last, "choices": [], "usage": _usage(prompt, answer)})
        yield Send("data: [DONE]\n\n")

    return Script(200, [_SSE], list(steps()))


def _chat_chunk(call: Call, token: str | None, finish: str | None) -> dict[str, Any]:
    if finish is not None:
        delta: dict[str, str] = {}
    elif token is None:
        delta = {"role": "assistant", "content": ""}
    else:
        delta = {"content": token}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_head(call, "chat.completion.chunk"), "choices": [choice]}


def _text_chunk(call: Call, token: str | None, finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "text": token or "", "logprobs": None, "finish_reason": finish}
    return {**_head(call, "text_completion"), "choices": [choice]}


def _head(call: Call, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(call.body.raw).hexdigest()[:24]
    return {"id": f"chatcmpl-{digest}", "object": kind, "created": _CREATED, "model": "echo"}


def _answer(behaviour: Behaviour, echo: str, ceiling: int | None) -> list[str]:
    if behaviour.text is not None:
        answer = tokens_of(behaviour.text)
    elif behaviour.tokens is not None:
        answer = ["word", *[" word"] * (behaviour.tokens - 1)][: behaviour.tokens]
    else:
        answer = tokens_of(echo)
    limit = MAX_TOKENS if ceiling is None else min(ceiling, MAX_TOKENS)
    return _Truncated(answer[:limit]) if len(answer) > limit else answer


class _Truncated(list[str]):
    """An answer that the ceiling cut short."""


def _finish(answer: list[str]) -> str:
    return "length" if isinstance(answer, _Truncated) else "stop"


def _usage(prompt: str, answer: list[str]) -> dict[str, int]:
    asked, given = len(tokens_of(prompt)), len(answer)
    return {
        "prompt_tokens": asked,
        "completion_tokens": given,
        "total_tokens": asked + given,
    }


def _conversation(body: JsonBody) -> tuple[str, str]:
    """All the text of the messages, and the last user's."""
    texts: list[str] = []
    last = ""
    for message in body.value("messages"):
        text = _text(message.get("content"))
        texts.append(text)
        if message.get("role") == "user":
            last = text
    return "\n".join(texts), last or texts[-1]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", f"[{part.get('type')}]")) for part in content)
    return ""


def _ceiling(body: JsonBody) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.value(name)
        if isinstance(value, int):
            return value
    return None


def _vector(text: str, size: int, base64: bool) -> Any:
    """A unit-scale vector that depends on nothing but the text."""
    seed = hashlib.shake_256(text.encode()).digest(2 * size)
    numbers = [value / 65_535 for (value,) in struct.iter_unpack("<H", seed)]
    return b64encode(struct.pack(f"<{size}f", *numbers)).decode() if base64 else numbers


def _send(body: dict[str, Any]) -> Send:
    return Send(msgspec.json.encode(body).decode())


def _event(chunk: dict[str, Any]) -> Send:
    return Send(f"data: {msgspec.json.encode(chunk).decode()}\n\n")


def probe(call: Call, credential: Credential) -> UpstreamRequest:
    """Answers with the status that the provider's option `probe` has, or 200."""
    del credential
    said = call.options.get("probe", "")
    behaviour = Behaviour(status=int(said) if re.fullmatch("[2-5][0-9][0-9]", said) else 200)
    script = Script(200, [JSON], [_send({})]) if behaviour.status == 200 else refusal(behaviour)
    return UpstreamRequest("GET", "sim:probe", (), script.encode())


_ANSWERS = {"chat": _chat, "completions": _completions, "embeddings": _embeddings}

ADAPTER = Adapter(
    name="sim",
    operations={
        **{
            name: Operation(build=build, parse=PASSTHROUGH, stream=PASSTHROUGH) for name in _ANSWERS
        },
        **JOBS,
    },
    probe=probe,
)
