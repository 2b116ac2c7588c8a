"""Embeddings: many texts in as many requests as a host needs, vectors as the client wants them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.usage import is_object, openai_usage
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import UPSTREAM_ERROR, Fault, invalid
from gateway.sdk.adapter import Answered, Build, Call, Further, Operation, Reply

_WAVE = 32  # requests that go side by side
_MOST = 2_048  # inputs of one call, as with OpenAI
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Embedded(Struct, frozen=True):
    """What one request brought: vectors in the order of its texts, and what it used."""

    vectors: Sequence[Raw]
    usage: Usage | None = None
    model: str = ""


Read = Callable[[Call, int, Mapping[str, str], bytes], Embedded]
FaultOf = Callable[[int, Mapping[str, str], bytes], Fault]


def embedding(
    build: Build, read: Read, *, most: Callable[[Call], int], fault: FaultOf = provider_fault
) -> Operation:
    """An operation of a host that takes `most` inputs a request; more go in further requests.

    `build` and `read` are for one request: the call that they are given has its inputs alone.
    """

    def first(call: Call, credential: Credential) -> UpstreamRequest:
        return build(_batches(call, most(call))[0], credential)

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Further:
        batches = _batches(call, most(call))
        answered = Answered(status, headers, body)
        return _rest(call, batches, [_sound(batches[0], read, answered)])

    def _rest(call: Call, batches: list[Call], parts: list[Embedded]) -> Reply | Further:
        wave = batches[len(parts) :][:_WAVE]
        if not wave:
            return told(call, parts)

        def then(brought: tuple[Answered, ...]) -> Reply | Further:
            found = list(parts)
            for batch, one in zip(wave, brought, strict=True):
                if not 200 <= one.status < 300:
                    raise fault(one.status, one.headers, one.body)
                found.append(_sound(batch, read, one))
            return _rest(call, batches, found)

        return Further(tuple(_asking(build, batch) for batch in wave), then)

    return Operation(build=first, parse=parse, fault=fault)


def _asking(build: Build, call: Call) -> Callable[[Credential], UpstreamRequest]:
    return lambda credential: build(call, credential)


def _batches(call: Call, most: int) -> list[Call]:
    """The call once for each request it takes, with the inputs of that request."""
    given = call.body.value("input")
    if not _listed(given) or len(given) <= most:
        return [call]
    if len(given) > _MOST:
        raise invalid(
            f"'input' holds more than {_MOST} inputs; send them in several calls.", "input"
        )
    parts = [given[at : at + most] for at in range(0, len(given), most)]
    bodies = (call.body.replace({"input": msgspec.json.encode(part)}) for part in parts)
    return [structs.replace(call, body=body) for body in bodies]


def _listed(given: Any) -> bool:
    """Whether these are several inputs: a list of numbers is one, in tokens."""
    kind = type(given[0]) if isinstance(given, list) and given else None
    return kind in (str, list) and all(type(one) is kind for one in given)


def texts_of(call: Call) -> list[str]:
    """The inputs of a host that takes texts alone."""
    given = call.body.value("input")
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    raise invalid("This model takes texts, not tokens: a string, or a list of strings.", "input")


def _sound(call: Call, read: Read, answered: Answered) -> Embedded:
    """What one request brought, if it is a vector for each of its inputs."""
    found = read(call, answered.status, answered.headers, answered.body)
    given = call.body.value("input")
    due = len(given) if _listed(given) else 1
    if not found.vectors or (given is not None and len(found.vectors) != due):
        raise unreadable()
    return found


def told(call: Call, parts: Sequence[Embedded]) -> Reply:
    """All vectors in OpenAI's list, numbered through; base64 where the client asked for that."""
    shaped = packed if call.body.value("encoding_format") == "base64" else _verbatim
    vectors = [vector for part in parts for vector in part.vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": shaped(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = summed([part.usage for part in parts])
    answer: dict[str, Any] = {
        "object": "list",
        "data": data,
        "model": parts[0].model or call.upstream,
    }
    if usage is not None:
        answer["usage"] = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return Reply(msgspec.json.encode(answer), usage)


def summed(usages: Sequence[Usage | None]) -> Usage | None:
    """What several requests used together; nothing where one of them does not tell."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None
    if len(known) == 1:
        return known[0]
    total = sum(usage.input for usage in known)
    problem = next((usage.problem for usage in known if usage.problem), "")
    return Usage(
        input=total,
        raw=msgspec.json.encode({"prompt_tokens": total, "requests": len(known)}),
        problem=problem,
    )


def packed(vector: Raw) -> str:
    """A vector as OpenAI's clients like it: 32-bit floats, the lowest byte first, in base64."""
    try:
        if bytes(vector)[:1] == b'"':
            text = msgspec.json.decode(vector, type=str)
            base64.b64decode(text, validate=True)
            return text
        values = msgspec.json.decode(vector, type=list[float])
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (*_BAD, OverflowError, ValueError, struct.error):
        raise unreadable() from None


def _verbatim(vector: Raw) -> Raw:
    """Numbers keep their own spelling."""
    try:
        msgspec.json.decode(vector, type=list[float])
    except _BAD:
        raise unreadable() from None
    return vector


class _Vector(Struct):
    embedding: Raw
    index: int = -1


class _Answer(Struct):
    data: list[_Vector]
    usage: Raw = Raw()
    model: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def openai_embedded(
    usage: Callable[[bytes], Usage] = openai_usage,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
) -> Read:
    """Reads an answer on OpenAI's wire."""

    def read(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Embedded:
        fault = fault_in(body)
        if fault is not None:
            raise fault
        try:
            found = _decode(body)
        except _BAD:
            raise unreadable() from None
        vectors = sorted(found.data, key=lambda one: one.index)
        used = usage(bytes(found.usage)) if is_object(found.usage) else None
        model = found.model if isinstance(found.model, str) else ""
        return Embedded([one.embedding for one in vectors], used, model)

    return read


def total_usage(raw: bytes) -> Usage:
    """Usage of hosts that tell the total alone: of embeddings, that is the input."""
    found = openai_usage(raw)
    try:
        said = msgspec.json.decode(raw, type=dict[str, Any])
    except _BAD:
        return found
    total = said.get("total_tokens")
    if "prompt_tokens" in said or isinstance(total, bool) or not isinstance(total, int):
        return found
    return Usage(input=total, raw=raw, problem="" if 0 <= total < 1 << 53 else "it is no count")


def unreadable() -> Fault:
    """A 502 for what are no vectors."""
    return Fault(UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer")
