"""OpenAI-compatible providers by declaration: a base path and their quirks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct, field

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.talk.model import Losses
from gateway.core.usage import openai_usage
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import Fault
from gateway.sdk import hearing, ranking
from gateway.sdk.adapter import PASSTHROUGH, Adapter, Build, Call, Operation
from gateway.sdk.normalise import Step, each_message
from gateway.sdk.picture_wire import picture_operation
from gateway.sdk.respell import Spelling, streamed_answer, whole_answer
from gateway.sdk.voices import speech_operation

PATHS: Mapping[str, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "moderations": "/moderations",
    **hearing.PATHS,
    "rerank": ranking.PATH,
    "speech": "/audio/speech",
    "images": "/images/generations",
    "image_edits": "/images/edits",
}
STREAMED = frozenset({"chat", "completions"})
PICTURES = frozenset({"images", "image_edits"})
_WITH_USAGE = b'{"include_usage":true}'
_CONTENT = ("Content-Type", "application/json")


class Quirks(Struct, frozen=True):
    """How a host departs from OpenAI's wire: in members of the request, and by steps.

    What is dropped, brought into range, or lost in a step is named in the request's `adapted`.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    default: Mapping[str, bytes] = field(default_factory=dict)
    clamp: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    stream_usage: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()  # for conversations alone, after all the rest


def compatible(
    name: str,
    *,
    quirks: Quirks | None = None,
    operations: tuple[str, ...] = ("chat", "completions", "embeddings"),
    paths: Mapping[str, str] = PATHS,
    usage: Callable[[bytes], Usage] = openai_usage,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
    spelling: Spelling | None = None,
    build: Callable[[str, Quirks], Build] | None = None,
    probe: Build | None = None,
) -> Adapter:
    """Declare an OpenAI-compatible provider.

    With a `spelling`, answers in conversations are rewritten; else their bytes pass untouched.
    `build` replaces the usual address and login: it is given the path and the quirks. `probe`
    replaces the question for the list of models.
    """
    chosen = quirks or Quirks()
    builder = build or _builder

    def operation(kind: str) -> Operation:
        if kind in hearing.PATHS:
            return hearing.heard(paths[kind], fault_in=fault_in, fault=fault)
        if kind == "rerank":
            return ranking.reranking(paths[kind], fault_in=fault_in, fault=fault)
        if kind == "speech":
            return speech_operation(builder(paths[kind], chosen), fault_in=fault_in, fault=fault)
        if kind in PICTURES:
            building = builder(paths[kind], chosen)
            return picture_operation(building, fault_in=fault_in, fault=fault)
        respelled = spelling if kind == "chat" else None
        return Operation(
            build=builder(paths[kind], chosen),
            parse=whole_answer(respelled, usage, fault_in) if respelled else PASSTHROUGH,
            stream=streamed_answer(respelled, usage, fault_in) if respelled else PASSTHROUGH,
            usage=usage,
            fault_in=fault_in,
            fault=fault,
        )

    return Adapter(
        name=name,
        operations={kind: operation(kind) for kind in operations},
        probe=probe or (None if build else _probe(chosen)),
    )


def bearer(credential: Credential) -> tuple[tuple[str, str], ...]:
    """The usual headers; a host that needs no key gets none."""
    key = credential.secrets.get("api_key")
    return _with_key(key) if key else (_CONTENT,)


@lru_cache(maxsize=256)
def _with_key(key: str) -> tuple[tuple[str, str], ...]:
    # Every call says the same, and what is the same object is also found sooner by who sends it.
    return (_CONTENT, ("Authorization", f"Bearer {key}"))


def with_stream_usage(body: JsonBody) -> bytes | None:
    """The `stream_options` that ask for usage beside whatever the client asked for."""
    given = body.get("stream_options")
    if given is None or given == b"null":
        return _WITH_USAGE
    options = JsonBody.parse(given)
    return options.replace({"include_usage": b"true"}).raw


def _builder(path: str, quirks: Quirks) -> Build:
    if _rewrites(quirks):
        return _adapting(path, quirks)
    headers, asks_usage = quirks.headers, quirks.stream_usage

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        # What `adapted` does where a host has no quirks, as most have none: every call pays this.
        body, model = call.body, msgspec.json.encode(call.upstream)
        if call.stream and asks_usage and call.operation not in PICTURES:
            raw = body.replace({"model": model, "stream_options": with_stream_usage(body)}).raw
        else:
            raw = body.raw_with("model", model)
        return UpstreamRequest("POST", call.base_url + path, bearer(credential) + headers, raw)

    return build


def _rewrites(quirks: Quirks) -> bool:
    """Whether more of a request changes than its model's name and what it asks of usage."""
    members = (quirks.rename, quirks.drop, quirks.default, quirks.clamp, quirks.roles)
    return any(members) or bool(quirks.steps)


def _adapting(path: str, quirks: Quirks) -> Build:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        losses = Losses()
        body = adapted(call, quirks, losses).raw
        return UpstreamRequest(
            method="POST",
            url=call.base_url + path,
            headers=bearer(credential) + quirks.headers,
            body=body,
            adapted=losses.names,
        )

    return build


def _probe(quirks: Quirks) -> Build:
    """The list of models: every host has one, and asks for the login."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        login = tuple(one for one in bearer(credential) if one[0] != "Content-Type")
        url = call.base_url + (call.upstream or "/models")
        return UpstreamRequest(method="GET", url=url, headers=login + quirks.headers)

    return build


def adapted(call: Call, quirks: Quirks, losses: Losses | None = None) -> JsonBody:
    """The client's body with the model's upstream name and the host's quirks applied."""
    losses = losses or Losses()
    body = call.body
    if quirks.rename:
        _name_clashes(body, quirks.rename, losses)
        body = body.rename(quirks.rename)
    changes: dict[str, bytes | None] = {"model": msgspec.json.encode(call.upstream)}
    for name in sorted(quirks.drop):
        if name in body:
            changes[name] = None
            if body.get(name) != b"null":
                losses.lose(name)
    changes |= {name: value for name, value in quirks.default.items() if name not in body}
    for name, (low, high) in quirks.clamp.items():
        clamped = _clamped(body.get(name), low, high)
        if clamped is not None:
            changes[name] = clamped
            losses.lose(name)
    if call.stream and quirks.stream_usage and call.operation not in PICTURES:
        changes["stream_options"] = with_stream_usage(body)
    body = body.replace(changes)
    if quirks.roles:
        body = _with_roles(body, quirks.roles)
    if call.operation == "chat":
        for step in quirks.steps:
            body = step(call, body, losses)
    return body


def _name_clashes(body: JsonBody, names: Mapping[str, str], losses: Losses) -> None:
    """A member whose new name the client uses as well gives way, and is named if they differ."""
    for old, new in names.items():
        if old in body and new in body and body.value(old) != body.value(new):
            losses.lose(old)


def _clamped(raw: bytes | None, low: float, high: float) -> bytes | None:
    if raw is None or raw == b"null":
        return None
    value = msgspec.json.decode(raw)
    if not isinstance(value, (int, float)) or low <= value <= high:
        return None
    return msgspec.json.encode(min(max(value, low), high))


def _with_roles(body: JsonBody, roles: Mapping[str, str]) -> JsonBody:
    """Messages with their roles renamed, each other byte kept."""

    def renamed(_: int, message: JsonBody) -> JsonBody:
        role = message.value("role")
        if not isinstance(role, str) or role not in roles:
            return message
        return message.replace({"role": msgspec.json.encode(roles[role])})

    named = (f'"{role}"'.encode() for role in roles)
    given = body.get("messages") or b""
    mark = next((mark for mark in named if mark in given), None)
    return body if mark is None else each_message(body, renamed, mark)
