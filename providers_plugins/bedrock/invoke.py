"""Models that speak the Messages wire themselves, through InvokeModel: nothing is translated.

Only the envelope differs: the model stands in the path, versions and betas in the body, and a
stream's events come in frames, each as base64 in JSON.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec
from msgspec import structs

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Operation,
    ProviderError,
    Reply,
    Translator,
    UpstreamRequest,
    Usage,
    clean,
)
from gateway.sdk.talk import sse
from providers_plugins.bedrock import faults
from providers_plugins.bedrock.endpoint import written
from providers_plugins.bedrock.eventstream import Message, Messages
from providers_plugins.bedrock.lenient import Raw, members, number, text, value
from providers_plugins.bedrock.usage import messages_usage

VERSION = b'"bedrock-2023-05-31"'
_METRICS = "amazon-bedrock-invocationMetrics"
_BETA = "anthropic-beta"
# The tier stands in a header, by this host's names. What Messages clients call theirs is the usual.
_TIER = "X-Amzn-Bedrock-Service-Tier"
_TIERS = ("default", "flex", "priority", "reserved")
_NO_TIERS = (None, "auto", "standard_only")
_CUT = {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}


def enveloped(call: Call) -> bytes:
    """The client's body as InvokeModel takes it."""
    changes: dict[str, bytes | None] = {"anthropic_version": VERSION}
    for name in ("model", "service_tier", "stream"):
        if name in call.body:
            changes[name] = None
    betas = _betas(call)
    if betas:
        changes["anthropic_beta"] = msgspec.json.encode(betas)
    return call.body.replace(changes).raw


def _betas(call: Call) -> list[str]:
    """Those of the client's header and of its body, once each."""
    found = value(call.body.get("anthropic_beta"))
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    names += [name.strip() for name in call.headers.get(_BETA, "").split(",")]
    return list(dict.fromkeys(name for name in names if name))


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The request, with its proof."""
    action = "invoke-with-response-stream" if call.stream else "invoke"
    tier = value(call.body.get("service_tier"))
    headers = ((_TIER, tier),) if isinstance(tier, str) and tier in _TIERS else ()
    request = written(call, credential, action, enveloped(call), headers)
    if headers or tier in _NO_TIERS:
        return request
    return structs.replace(request, adapted=("service_tier",))


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """A whole answer is the Messages wire's own."""
    found = members(body)
    if "content" not in found and "error" not in found:
        raise Fault(
            UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer"
        )
    failure = _failure(found)
    if failure is not None:
        raise failure
    usage = found.get("usage")
    return Reply(body, messages_usage(bytes(usage)) if usage and members(usage) else None)


class InvokeStream:
    """Takes the frames off a stream of Messages events, and reads them as they pass."""

    def __init__(self, call: Call) -> None:
        self._messages = Messages()
        self._started: dict[str, Raw] = {}
        self._usage: Usage | None = None
        self._final = False
        self._open: int | None = None
        self.fault: Fault | None = None
        self.complete = False
        self.events = 0
        self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """The provider's last count. One from the beginning knows the input alone."""
        usage = self._usage
        if usage is None or self._final:
            return usage
        counted = max(self.events, self.produced // 4)
        return structs.replace(usage, output=max(usage.output, counted))

    def feed(self, data: bytes) -> bytes:
        """The events that these bytes complete, as the client's dialect frames them."""
        out = [self._read(message) for message in self._messages.feed(data)]
        if self._messages.broken and self.fault is None and not self.complete:
            self.fault = faults.broken(self._messages.broken)
        return b"".join(out)

    def finish(self) -> bytes:
        """A frame that is not whole says nothing."""
        return b""

    def cut(self) -> bytes:
        """A proper end for an answer that the gateway stops here."""
        out: list[bytes] = []
        if self._open is not None:
            stop = {"type": "content_block_stop", "index": self._open}
            out.append(sse.event(msgspec.json.encode(stop), "content_block_stop"))
        usage = self.usage
        made = {"output_tokens": usage.output if usage else self.produced // 4}
        out.append(sse.event(msgspec.json.encode({**_CUT, "usage": made}), "message_delta"))
        out.append(sse.event(b'{"type":"message_stop"}', "message_stop"))
        return b"".join(out)

    def _read(self, message: Message) -> bytes:
        if self.fault is not None or self.complete:
            return b""
        self.fault = faults.failure_of(message)
        if self.fault is not None or message.header(":event-type") != "chunk":
            return b""
        data = _unwrapped(message.payload)
        said = members(data)
        name = text(said.get("type"))
        if not name.isidentifier():
            return b""  # no event of this wire
        self.fault = _failure(said)
        if self.fault is not None:
            return b""
        self._note(name, said)
        if said.pop(_METRICS, None) is not None:
            data = msgspec.json.encode(said)
        return sse.event(data, name)

    def _note(self, name: str, said: dict[str, Raw]) -> None:
        if name == "message_start":
            self._started = members(members(said.get("message")).get("usage"))
            self._usage = _counted(self._started)
        elif name == "content_block_start":
            self._open = number(said.get("index"))
            self._count(said.get("content_block"))
        elif name == "content_block_delta":
            self._count(said.get("delta"))
        elif name == "content_block_stop":
            self._open = None
        elif name == "message_delta":
            self._count_all(members(said.get("usage")))
        elif name == "message_stop":
            self.complete = True

    def _count(self, raw: Raw | None) -> None:
        self.events += 1
        found = members(raw)
        for name in ("text", "thinking", "partial_json"):
            self.produced += len(text(found.get(name)).encode("utf-8", "replace"))

    def _count_all(self, said: dict[str, Raw]) -> None:
        """The last usage repeats what it knows better; the first holds the rest."""
        if not said:
            return
        usage = _counted({**self._started, **said})
        before = self._usage
        if usage and self._final and before and usage.output < before.output and not usage.problem:
            usage = structs.replace(usage, problem="usage went down within the stream")
        self._usage = usage
        self._final = True


def _counted(found: dict[str, Raw]) -> Usage | None:
    return messages_usage(msgspec.json.encode(found)) if found else None


def _unwrapped(payload: bytes) -> bytes:
    """The event that a chunk holds; empty when it holds none."""
    try:
        data = base64.b64decode(text(members(payload).get("bytes")), validate=True)
        data.decode()
        if b"\n" in data or b"\r" in data:
            return msgspec.json.format(data, indent=-1)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return b""
    return data


def _failure(said: dict[str, Raw]) -> Fault | None:
    """An error of the Messages wire's own, where an answer should be."""
    if text(said.get("type")) != "error":
        return None
    error = members(said.get("error"))
    return Fault(
        UPSTREAM_ERROR,
        f"The provider reported an error inside its answer: {clean(text(error.get('message')))}",
        cause="error_in_answer",
        provider=ProviderError(status=200, type=clean(text(error.get("type")))[:100] or None),
    )


def _open_stream(call: Call) -> Translator:
    return InvokeStream(call)


INVOKE = Operation(
    build=build, parse=parse, stream=_open_stream, fault=faults.fault, hears=(_BETA,)
)
