"""Pictures on OpenAI's wire: bytes go through, and what they used is read as they pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.usage import NOTHING, is_object
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import Fault, upstream_error
from gateway.sdk.adapter import PASSTHROUGH, Build, Call, Further, Operation, Reply
from gateway.sdk.forms import form
from gateway.sdk.painted import (
    Picture,
    fetched,
    image_usage,
    nothing_made,
    pictures_reply,
    summed,
)
from gateway.sdk.pictures import expected_pictures, wish_of

# A picture is one event, and far longer than what streams of words have.
MAX_PICTURE = 48 << 20
_UNTOLD_TOKENS = 1_056  # what a square picture of medium quality takes, where nobody says
_BEGINNINGS = (b"data:", b"event:", b":", b"id:", b"retry:", b"{")
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
ReadUsage = Callable[[bytes, int, str], Usage]
FaultIn = Callable[[bytes], Fault | None]


class _Item(Struct):
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    mime_type: str | None = None
    media_type: str | None = None


class _Seen(Struct):
    """What is looked at of a picture that passes; its bytes are not decoded."""

    b64_json: Raw = NOTHING
    url: Raw = NOTHING


class _Answer(Struct):
    data: list[_Seen] | None = None
    usage: Raw = NOTHING
    size: Any = None
    quality: Any = None
    background: Any = None
    output_format: Any = None


class _Items(Struct):
    data: list[_Item]


class _Event(Struct):
    type: Any = None
    usage: Raw = NOTHING
    size: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_items = msgspec.json.Decoder(_Items).decode
_TOLD = ("size", "quality", "background", "output_format")


def picture_operation(
    build: Build,
    *,
    usage: ReadUsage = image_usage,
    fault_in: FaultIn = fault_in_body,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
    counted: Callable[[str], bool] = lambda _: False,
    expects: Callable[[Call], Usage] = expected_pictures,
    streams: bool = True,
    forms: bool = True,
) -> Operation:
    """Pictures from a host on OpenAI's wire. `build` writes JSON; a client's form stays a form.

    `counted` says of a model whether the host counts tokens for it: an answer without them is then
    one whose usage is not known. A host without `streams` is not to be asked for one; where it has
    no `forms`, `build` says where files go.
    """

    def whole(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Further:
        del status, headers
        return _read(call, body, usage, fault_in, counted(call.upstream))

    def stream(call: Call) -> PictureStream:
        return PictureStream(call, usage, fault_in)

    return Operation(
        build=_with_files(build) if forms else build,
        parse=whole,
        stream=stream if streams else PASSTHROUGH,
        fault_in=fault_in,
        fault=fault,
        expects=expects,
    )


def _with_files(build: Build) -> Build:
    def built(call: Call, credential: Credential) -> UpstreamRequest:
        request = build(call, credential)
        if not call.files:
            return request
        fields = [pair for name in _names(request) for pair in _fields(request, name)]
        kind, pieces = form(call, fields, [(file.field, file) for file in call.files])
        kept = tuple(pair for pair in request.headers if pair[0].lower() != "content-type")
        headers = (*kept, ("Content-Type", kind))
        return structs.replace(request, headers=headers, body=b"", pieces=pieces)

    return built


def _names(request: UpstreamRequest) -> list[str]:
    return JsonBody(request.body).names()


def _fields(request: UpstreamRequest, name: str) -> list[tuple[str, str]]:
    """A member of the body as fields of a form."""
    body = JsonBody(request.body)
    value = body.value(name)
    if isinstance(value, list):
        return [(f"{name.removesuffix('[]')}[]", _text(item)) for item in value]
    return [] if value is None else [(name, _text(value))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _read(
    call: Call, body: bytes, usage: ReadUsage, fault_in: FaultIn, counted: bool
) -> Reply | Further:
    try:
        answer = _decode(body)
    except _BAD:
        raise fault_in(body) or _unreadable() from None
    items = answer.data or []
    told = fault_in(body)
    if told is not None and (not items or fault_in is not fault_in_body):
        raise told
    made = [item for item in items if _there(item.b64_json) or _there(item.url)]
    if not made:
        raise _unreadable() if answer.data is None else nothing_made()
    used = _used(answer, len(made), usage, counted)
    wanted = "b64_json" if call.stream else wish_of(call).response_format
    urls = [_there(item.url) for item in made]
    fits = {None: True, "url": all(urls), "b64_json": not any(urls)}
    if fits.get(wanted, True) and not call.stream:
        return Reply(body, used)
    told_of = {name: getattr(answer, name) for name in _TOLD}
    pictures = _pictures(body, answer.output_format)
    if wanted == "b64_json" and any(urls):
        return fetched(call, pictures, lambda held: pictures_reply(call, held, used, **told_of))
    return pictures_reply(call, pictures, used, **told_of)


def _used(answer: _Answer, made: int, usage: ReadUsage, counted: bool) -> Usage | None:
    size = answer.size if isinstance(answer.size, str) else ""
    if is_object(answer.usage):
        return usage(bytes(answer.usage), made, size)
    return None if counted else Usage(images=made, size=size)


def _pictures(body: bytes, told: object) -> list[Picture]:
    kind = f"image/{told}" if isinstance(told, str) and told.isalnum() else "image/png"
    try:
        items = _decode_items(body).data
    except _BAD:
        raise _unreadable() from None
    return [
        Picture(
            item.b64_json or "",
            "" if item.b64_json else item.url or "",
            item.mime_type or item.media_type or kind,
            item.revised_prompt or "",
        )
        for item in items
        if item.b64_json or item.url
    ]


def _there(raw: Raw) -> bool:
    return raw is not NOTHING and bytes(memoryview(raw)[:1]) == b'"' and memoryview(raw).nbytes > 2


def _unreadable() -> Fault:
    return upstream_error("The provider's answer holds no pictures.", "unreadable_answer")


class PictureStream:
    """A `Translator`: the events of pictures pass, those that complete one are counted.

    A host that does not stream answers at once: what it says is told as events.
    """

    def __init__(self, call: Call, usage: ReadUsage, fault_in: FaultIn) -> None:
        self._call = call
        self._read_usage = usage
        self._fault_in = fault_in
        self._splitter = sse.Splitter(MAX_PICTURE)
        self._made = 0
        self._used: list[Usage] = []
        self._size = ""
        self._partial = False
        self.fault: Fault | None = None
        self.events = 0
        self.produced = 0  # what pictures are paid by is not their length

    @property
    def usage(self) -> Usage | None:
        """What all pictures that are complete have used.

        Who has seen one grow and leaves before its end has had a picture all the same.
        """
        if not self._made and self._partial and self.fault is None:
            tokens = _UNTOLD_TOKENS
            return Usage(output=tokens, image_output=tokens, images=1, size=self._size)
        if not self._made:
            return None
        if not self._used:
            return Usage(images=self._made, size=self._size)
        first, *others = self._used
        for more in others:
            first = summed(first, more)
        return structs.replace(first, images=self._made)

    @property
    def complete(self) -> bool:
        """A picture is complete: there is no other end mark."""
        return self._made > 0

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, as they are."""
        passed: list[bytes] = []
        if self.fault is not None:
            return b""
        for event in self._splitter.feed(data):
            if self._splitter.oversize:
                self.fault = upstream_error("The provider's picture is too large.", "too_large")
            else:
                self._look(event)
            if self.fault is not None:
                return b"".join(passed)
            passed.append(event)
        tail = self._splitter.tail
        if len(tail) > sse.MAX_EVENT and not tail.startswith(_BEGINNINGS):
            tail.clear()
            self.fault = _unreadable()
        return b"".join(passed)

    def finish(self) -> bytes:
        """A last event without its blank line still counts; so does an answer that is none."""
        rest = self._splitter.rest()
        self._partial = False  # one that its provider does not complete is none
        if self.fault is not None or not rest.strip():
            return b""
        if not self.events and rest.lstrip()[:1] == b"{":
            return self._whole(rest)
        before = self._made
        self._look(rest)
        return rest if self._made > before and self.fault is None else b""

    def _look(self, event: bytes) -> None:
        payload = sse.data_of(event)
        if payload is None or payload == b"[DONE]":
            return
        self.events += 1
        try:
            head = _decode_event(payload)
        except _BAD:
            return
        if isinstance(head.type, str) and head.type.endswith(".completed"):
            self._made += 1
            self._size = head.size if isinstance(head.size, str) else self._size
            if is_object(head.usage):
                self._used.append(self._read_usage(bytes(head.usage), 1, self._size))
            return
        self._partial |= isinstance(head.type, str) and head.type.endswith(".partial_image")
        self.fault = self._fault_in(payload)

    def _whole(self, body: bytes) -> bytes:
        try:
            reply = _read(self._call, body, self._read_usage, self._fault_in, counted=False)
        except Fault as fault:
            self.fault = fault
            return b""
        if isinstance(reply, Further):
            self.fault = _unreadable()
            return b""
        usage = reply.usage or Usage()
        self._made, self._used, self._size = usage.images, [usage], usage.size
        return reply.body
