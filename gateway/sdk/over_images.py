"""Conversations with models that make pictures and nothing else: the last prompt is a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core.body import JsonBody
from gateway.core.talk.chat.media import address, by_url
from gateway.core.talk.events import (
    Began,
    Broke,
    Closed,
    Ended,
    Event,
    Opened,
    Reader,
    Stopped,
    Used,
)
from gateway.core.talk.model import Answer, Losses, Media, Message, Talk, Text
from gateway.core.usage import decode_head, usage_of
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import Fault, invalid, upstream_error
from gateway.sdk.adapter import PASSTHROUGH, Call, Operation, Reply, Wire

MAX_ANSWER = 64 << 20
# What says how a picture shall be in either way of asking.
_SHAPES = ("size", "aspect_ratio", "resolution")
_CONFIG = {"aspect_ratio": "aspect_ratio", "image_size": "size"}
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Item(Struct):
    b64_json: str | None = None
    url: str | None = None


class _Made(Struct):
    data: list[_Item]
    output_format: Any = None


_decode = msgspec.json.Decoder(_Made).decode


def over_images(operations: Mapping[str, Operation]) -> Wire:
    """The wire that operations on pictures make: one picture for each turn of a conversation."""
    images = operations["images"]

    def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
        body = _asked(talk, losses)
        operation = "image_edits" if "images" in body else "images"
        making = operations.get(operation)
        if making is None:
            raise invalid("This model makes pictures from words alone; it takes none.", "messages")
        asking = structs.replace(
            call, operation=operation, body=JsonBody(msgspec.json.encode(body)), stream=False
        )
        request = making.build(asking, credential)
        for name in request.adapted:
            losses.lose(name)
        return request

    def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
        if images.parse is PASSTHROUGH:
            raw = usage_of(decode_head(body))
            return _answer(body, None if raw is None else images.usage(raw))
        reply = images.parse(_shaped(call), 200, headers, body)
        if not isinstance(reply, Reply):
            raise TypeError("a conversation is answered at once")
        return _answer(reply.body, reply.usage)

    def reader(call: Call) -> Reader:
        return _Whole(lambda body: read(call, {}, body))

    def expects(call: Call) -> Usage:
        return Usage(images=1) if images.expects is None else images.expects(_shaped(call))

    return Wire(build=build, read=read, reader=reader, fault=images.fault, expects=expects)


def _shaped(call: Call) -> Call:
    """The call as one for pictures, as far as its answer is read by it."""
    config = call.body.value("image_config")
    told = {name: call.body.value(name) for name in _SHAPES if name in call.body}
    told |= _configured(config if isinstance(config, dict) else {})
    body = JsonBody(msgspec.json.encode(told))
    return structs.replace(call, operation="images", body=body, stream=False)


def _configured(config: dict[str, Any]) -> dict[str, Any]:
    return {_CONFIG[name]: value for name, value in config.items() if name in _CONFIG}


def _asked(talk: Talk, losses: Losses) -> dict[str, Any]:
    """The last thing that a user said, as a request for pictures."""
    turn = next((one for one in reversed(talk.messages) if one.role == "user"), None)
    prompt, given = _said(turn)
    if not prompt:
        raise invalid("The last message of a user must say what picture is wanted.", "messages")
    if len(talk.messages) > 1:
        losses.lose("messages")
    losses.keep("modalities")  # a picture is what comes, whatever else is wanted
    body: dict[str, Any] = {"model": talk.model, "prompt": prompt}
    if given:
        body["images"] = [{"image_url": url} for url in given]
    for name, raw in talk.extra.items():
        if name == "image_config":
            body |= _configured(_object(raw))
        elif name not in ("modalities", "images", "mask", "prompt", "model", "stream_options"):
            body[name] = Raw(raw)
    if talk.seed is not None:
        body["seed"] = talk.seed
    if talk.user:
        body["user"] = talk.user
    _name_losses(talk, losses)
    return body


def _said(turn: Message | None) -> tuple[str, list[str]]:
    words: list[str] = []
    given: list[str] = []
    for part in turn.parts if turn is not None else ():
        if isinstance(part, Text):
            words.append(part.text)
        elif isinstance(part, Media) and part.kind == "image" and address(part):
            given.append(address(part))
        else:
            raise invalid("A model of pictures takes words and pictures alone.", "messages")
    return "\n".join(words).strip(), given


def _name_losses(talk: Talk, losses: Losses) -> None:
    said = {
        "tools": bool(talk.tools),
        "temperature": talk.temperature is not None,
        "top_p": talk.top_p is not None,
        "stop": bool(talk.stop),
        "n": talk.n not in (None, 1),
        "presence_penalty": bool(talk.presence_penalty),
        "frequency_penalty": bool(talk.frequency_penalty),
        "logit_bias": talk.logit_bias not in (b"", b"null", b"{}"),
        "logprobs": bool(talk.logprobs),
        "reasoning_effort": bool(talk.effort),
        "response_format": talk.format is not None,
    }
    for name, is_said in said.items():
        if is_said:
            losses.lose(name)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except _BAD:
        raise invalid("'image_config' must be an object.", "image_config") from None


def _answer(body: bytes, usage: Usage | None) -> Answer:
    try:
        made = _decode(body)
    except _BAD:
        raise upstream_error("The provider's answer holds no pictures.", "bad_answer") from None
    kind = made.output_format if isinstance(made.output_format, str) else "png"
    answer = Answer(usage=usage)
    for item in made.data:
        if item.b64_json:
            answer.parts.append(Media("image", mime=f"image/{kind}", data=item.b64_json))
        elif item.url:
            answer.parts.append(by_url("image", item.url))
    return answer


class _Whole:
    """Reads an answer that comes at once, where a stream was asked for."""

    def __init__(self, read: Callable[[bytes], Answer]) -> None:
        self._read = read
        self._body = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Nothing is known before all of it is there."""
        self._body += data
        if len(self._body) > MAX_ANSWER:
            self._body.clear()
            yield Broke(upstream_error("The provider's answer is too large.", "too_large"))

    def finish(self) -> Iterator[Event]:
        """The whole answer."""
        try:
            answer = self._read(bytes(self._body))
        except Fault as fault:
            yield Broke(fault)
            return
        yield Began()
        for index, part in enumerate(answer.parts):
            yield Opened(index, part)
            yield Closed(index)
        yield Stopped(answer.reason)
        if answer.usage is not None:
            yield Used(answer.usage)
        yield Ended()
