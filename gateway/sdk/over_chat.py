"""A wire made of an adapter's own chat: so it serves clients of every dialect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import structs

from gateway.core.body import JsonBody
from gateway.core.meter import Translator
from gateway.core.talk import chat
from gateway.core.talk.events import Broke, Ended, Event, Reader, Used
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.core.usage import decode_head, usage_of
from gateway.domain import Credential, UpstreamRequest
from gateway.errors import Fault
from gateway.sdk.adapter import PASSTHROUGH, Call, Operation, Wire


def over_chat(operation: Operation) -> Wire:
    """Conversations as chat requests of this operation, and its answers read back."""

    def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
        body = JsonBody(chat.write_request(talk, losses))
        request = operation.build(_asking(call, body), credential)
        for name in request.adapted:
            losses.lose(name)
        return request

    def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
        if operation.parse is not PASSTHROUGH:
            reply = operation.parse(_asking(call, call.body), 200, headers, body)
            answer = chat.read_answer(reply.body)
            answer.usage = reply.usage or answer.usage
            return answer
        fault = operation.fault_in(body)
        if fault is not None:
            raise fault
        answer = chat.read_answer(body)
        raw = usage_of(decode_head(body))
        answer.usage = None if raw is None else operation.usage(raw)
        return answer

    def reader(call: Call) -> Reader:
        if operation.stream is PASSTHROUGH:
            return chat.Reader(operation.usage, operation.fault_in)
        return _Behind(operation.stream(_asking(call, _WITH_USAGE)))

    return Wire(build, read, reader, operation.fault)


_WITH_USAGE = JsonBody(b'{"stream":true,"stream_options":{"include_usage":true}}')


def _asking(call: Call, body: JsonBody) -> Call:
    return structs.replace(call, operation="chat", body=body)


class _Behind:
    """Reads what an adapter's own translator makes of its wire."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._reader = chat.Reader()

    def feed(self, data: bytes) -> Iterable[Event]:
        """What these bytes complete."""
        return self._told(self._reader.feed(self._translator.feed(data)))

    def finish(self) -> Iterable[Event]:
        """What their end completes."""
        yield from self._told(self._reader.feed(self._translator.finish()))
        if self._translator.complete:
            yield from self._told(self._reader.finish())

    def _told(self, events: Iterable[Event]) -> Iterable[Event]:
        """The same events with the adapter's own count of what was used."""
        for event in events:
            if isinstance(event, Used):
                continue
            usage = self._translator.usage
            if isinstance(event, Ended) and usage is not None:
                yield Used(usage)
            yield event
        fault: Fault | None = self._translator.fault
        if fault is not None:
            yield Broke(fault)
