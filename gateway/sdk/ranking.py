"""Reranking: hosts share a request, and answer in shapes that are nearly one; clients get one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.talk.model import Losses
from gateway.core.usage import is_object
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import UPSTREAM_ERROR, Fault, invalid
from gateway.sdk.adapter import Call, Operation, Reply

PATH = "/rerank"
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MOST_TOKENS = 1 << 53


def reranking(
    path: str = PATH,
    *,
    url: Callable[[Call, str], str] = lambda call, path: call.base_url + path,
    rename: Mapping[str, str] | None = None,
    drop: frozenset[str] = frozenset(),
    texts: bool = False,
    searched: int = 0,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
) -> Operation:
    """An operation of a host that puts documents in order.

    With `texts` it takes them as texts alone; it bills a request for each `searched` of them, where
    that is not 0. `drop` names members that it does not know; of
    those, `return_documents` is nothing lost: the answer's documents are the client's own.
    """

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        losses = Losses()
        changes: dict[str, bytes | None] = {"model": msgspec.json.encode(call.upstream)}
        for name in sorted(drop & set(call.body.names())):
            changes[name] = None
            if name != "return_documents" and call.body.value(name) is not None:
                losses.lose(name)
        if texts:
            changes["documents"] = msgspec.json.encode(texts_of(call.body))
        headers = [("Content-Type", "application/json")]
        if credential.api_key:
            headers.append(("Authorization", f"Bearer {credential.api_key}"))
        body = call.body.replace(changes).rename(rename or {})
        return UpstreamRequest(
            "POST", url(call, path), tuple(headers), body.raw, adapted=losses.names
        )

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        found = fault_in(body)
        if found is not None:
            raise found
        return ranked(call, body)

    def expects(call: Call) -> Usage:
        documents = call.body.value("documents") or ()
        return Usage(requests=-(-len(documents) // searched) if searched else 0)

    return Operation(build=build, parse=parse, fault=fault, expects=expects)


def texts_of(body: JsonBody) -> list[str]:
    """The documents as texts."""
    texts: list[str] = []
    for place, document in enumerate(body.value("documents") or ()):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str):
            where = f"documents[{place}]"
            raise invalid(f"'{where}' must be a text, or an object with a 'text'.", where)
        texts.append(text)
    return texts


class _Result(Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Meta(Struct):
    billed_units: Raw = Raw()


class _Answer(Struct):
    """What hosts call their results, and what they took."""

    results: list[_Result] | None = None
    data: list[_Result] | None = None
    id: Any = None
    model: Any = None
    usage: Raw = Raw()
    meta: _Meta | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def ranked(call: Call, body: bytes) -> Reply:
    """The answer in one shape: the best first, and no more of them than were asked for."""
    try:
        found = _decode(body)
    except _BAD:
        raise _unreadable() from None
    results = found.results if found.results is not None else found.data
    documents = call.body.value("documents") or []
    if results is None:
        raise _unreadable()
    scored = [(_score(one), one.index) for one in results]
    if any(not 0 <= index < len(documents) for _, index in scored):
        raise _unreadable()
    scored.sort(key=lambda one: -one[0])
    most = call.body.value("top_n") or len(scored)
    shows = call.body.value("return_documents") is True
    usage, told = _counted(found)
    answer = {
        "id": found.id if isinstance(found.id, str) and found.id else call.id,
        "model": found.model if isinstance(found.model, str) and found.model else call.upstream,
        "results": [
            _shown(index, score, documents[index] if shows else None)
            for score, index in scored[:most]
        ],
        "usage": told,
    }
    return Reply(msgspec.json.encode(answer), usage)


def _score(result: _Result) -> float:
    score = result.score if result.relevance_score is None else result.relevance_score
    if score is None or not isfinite(score):
        raise _unreadable()
    return score


def _shown(index: int, score: float, document: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"index": index, "relevance_score": score}
    if document is not None:
        told["document"] = {"text": document} if isinstance(document, str) else document
    return told


def _counted(found: _Answer) -> tuple[Usage | None, dict[str, Any]]:
    """What it took: tokens, or the units that the host bills, shown as it told them."""
    billed = bytes(found.meta.billed_units) if found.meta is not None else b""
    raw = bytes(found.usage) if is_object(found.usage) else billed
    try:
        said: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}
    except _BAD:
        return Usage(raw=raw, problem="it cannot be read"), {}
    names = ("prompt_tokens", "input_tokens", "total_tokens")
    given = next((said[name] for name in names if said.get(name) is not None), None)
    told: dict[str, Any] = {}
    searches = said.get("search_units")
    if searches is not None:
        told["search_units"] = searches
    if given is None and searches is None:
        return None, told
    tokens, units = _whole(given), _whole(searches)
    if tokens is None or units is None:
        return Usage(raw=raw, problem="a figure of it is not a count"), told
    if given is not None:
        told |= {"prompt_tokens": tokens, "total_tokens": tokens}
    return Usage(input=tokens, requests=units, raw=raw), told


def _whole(value: Any) -> int | None:
    """A count, 0 where none is told; some hosts write counts as numbers with a point."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _MOST_TOKENS and value == int(value) else None


def _unreadable() -> Fault:
    return Fault(UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer")
