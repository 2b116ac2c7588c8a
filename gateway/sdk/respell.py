"""Answers on OpenAI's wire that a host spells in its own way, spelled as clients expect them.

Only what must change is read at all: an event without any of the marks passes as its own bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct, field

from gateway.core import sse
from gateway.core.faults import clean, fault_in_body
from gateway.core.meter import StreamMeter
from gateway.core.usage import decode_head, openai_usage, usage_of
from gateway.domain import Usage
from gateway.errors import Fault, upstream_error
from gateway.sdk.adapter import Call, Reply
from gateway.sdk.normalise import speaks_old_tools
from gateway.sdk.thoughts import ThinkTags, details_text, foreign, parts_of, parts_text

REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_OUR_THOUGHTS = "reasoning_content"
_ODD_REASON = re.compile(
    rb'"finish_reason"\s*:\s*"(?!(?:stop|length|tool_calls|content_filter|function_call)")'
)
_KEPT = ("id", "object", "created", "model")
_Members = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Members).decode
_decode_choices = msgspec.json.Decoder(list[_Members]).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Spelling(Struct, frozen=True):
    """How a host's answers depart from OpenAI's.

    `thoughts` names members of a message whose text becomes `reasoning_content`; `details` says
    that `reasoning_details` tell it where those do not; `parts`, that content may be a list with
    thinking in it; `tags`, that content may begin with <think>. Reasons in `finish` are told by
    OpenAI's names, those in `broken` are failures, all others that OpenAI lacks become "stop".
    `usage_in` names a member that holds the usage object where the usual place is empty.
    """

    thoughts: tuple[str, ...] = ()
    details: bool = False
    parts: bool = False
    tags: bool = False
    finish: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    usage_in: str = ""

    @property
    def marks(self) -> tuple[bytes, ...]:
        """What is in every answer that has to be read."""
        names = [*self.thoughts]
        if self.details:
            names.append("reasoning_details")
        if self.parts:
            names.append("thinking")
            names.append("text")
        if self.usage_in:
            names.append(self.usage_in)
        return tuple(b'"%s"' % name.encode() for name in names)


class Respeller:
    """Rewrites one answer, or the chunks of one stream: it knows what their text has begun."""

    def __init__(self, spelling: Spelling, *, old_tools: bool = False) -> None:
        self._spelling = spelling
        self._old_tools = old_tools
        self._marks = (*spelling.marks, b'"tool_calls"') if old_tools else spelling.marks
        self._tags: dict[int, ThinkTags] = {}
        self._head: _Members = {}
        self.fault: Fault | None = None

    def payload(self, raw: bytes) -> bytes:
        """The same answer or chunk in OpenAI's spelling; its own bytes where nothing is odd."""
        if not self._odd(raw):
            return raw
        try:
            whole = _decode(raw)
            choices = _decode_choices(whole["choices"]) if "choices" in whole else []
            changed = [self._choice(choice) for choice in choices]
            hoisted = self._hoist(whole)
        except _BAD:
            return raw
        if self._tags:
            self._head = {name: whole[name] for name in _KEPT if name in whole}
        if not any(changed) and not hoisted:
            return raw
        if choices:
            whole["choices"] = _raw(choices)
        return msgspec.json.encode(whole)

    def rest(self) -> bytes:
        """Text that was held back as the beginning of a tag, and is none: a chunk, or nothing."""
        choices = []
        for index, tags in self._tags.items():
            thought, text = tags.rest()
            delta = {_OUR_THOUGHTS: thought} if thought else {"content": text} if text else None
            if delta is not None:
                choices.append({"index": index, "delta": delta, "finish_reason": None})
        self._tags.clear()
        if not choices:
            return b""
        return sse.event(msgspec.json.encode({**self._head, "choices": choices}))

    def _odd(self, raw: bytes) -> bool:
        if any(mark in raw for mark in self._marks) or _ODD_REASON.search(raw) is not None:
            return True
        if not self._spelling.tags:
            return False
        return b"<think>" in raw or not self._tags or any(t.reading for t in self._tags.values())

    def _choice(self, choice: _Members) -> bool:
        name = "delta" if "delta" in choice else "message"
        changed = False
        raw = choice.get(name)
        if raw is not None and _first(raw) == b"{":
            said = _decode(raw)
            changed = self._parts(said) | self._thoughts(said)
            changed |= self._tagged(said, choice, whole=name == "message")
            changed |= self._old_tools and _as_function_call(said)
            if changed:
                choice[name] = _raw(said)
        return self._reason(choice) or changed

    def _thoughts(self, said: _Members) -> bool:
        if _is_text(said.get(_OUR_THOUGHTS)):
            return False
        for name in self._spelling.thoughts:
            if _is_text(said.get(name)):
                _rename(said, name)
                return True
        if not self._spelling.details or "reasoning_details" not in said:
            return False
        text = details_text(said["reasoning_details"])
        if text:
            said[_OUR_THOUGHTS] = _raw(text)
        return bool(text)

    def _parts(self, said: _Members) -> bool:
        if not self._spelling.parts:
            return False
        parts = parts_of(said.get("content"))
        if parts is None:
            return False
        thought, text = parts_text(parts)
        whole = "role" in said and "tool_calls" in said
        if foreign(parts):
            said["content_parts"] = said["content"]  # what no text can say stays to be seen
        said["content"] = _raw(text if text or not whole else None)
        if thought:
            said[_OUR_THOUGHTS] = _raw(thought)
        return True

    def _tagged(self, said: _Members, choice: _Members, *, whole: bool) -> bool:
        if not self._spelling.tags:
            return False
        index = msgspec.json.decode(choice["index"]) if "index" in choice else 0
        if not isinstance(index, int) or len(self._tags) > 128:
            return False
        tags = self._tags.setdefault(index, ThinkTags())
        content = said.get("content")
        ended = whole or _is_text(choice.get("finish_reason"))
        given = msgspec.json.decode(content) if content is not None and _is_text(content) else ""
        thought, text = tags.feed(given)
        if ended:
            more_thought, more_text = tags.rest()
            thought, text = thought + more_thought, text + more_text
        if (thought, text) == ("", given):
            return False
        if content is not None or text:
            said["content"] = _raw(text)
        if thought:
            before = said.get(_OUR_THOUGHTS)
            told = msgspec.json.decode(before) if before is not None and _is_text(before) else ""
            said[_OUR_THOUGHTS] = _raw(told + thought)
        return True

    def _reason(self, choice: _Members) -> bool:
        raw = choice.get("finish_reason")
        reason = msgspec.json.decode(raw) if raw is not None and _is_text(raw) else None
        if reason == "tool_calls" and self._old_tools:
            choice["finish_reason"] = _raw("function_call")
            return True
        if reason is None or reason in REASONS:
            return False
        if reason in self._spelling.broken and self.fault is None:
            self.fault = upstream_error(
                f"The provider broke its answer off: {clean(reason)[:60]}.", "broken_off"
            )
        choice["finish_reason"] = _raw(self._spelling.finish.get(reason, "stop"))
        choice.setdefault("native_finish_reason", _raw(reason))
        return True

    def _hoist(self, whole: _Members) -> bool:
        name = self._spelling.usage_in
        if name not in whole or _first(whole.get("usage")) == b"{":
            return False
        if _first(whole[name]) != b"{":
            return False
        usage = _decode(whole[name]).get("usage")
        if usage is None or _first(usage) != b"{":
            return False
        whole["usage"] = usage
        return True


class RespelledStream:
    """A `Translator`: the meter of OpenAI's wire behind a respeller; exact for any split."""

    __slots__ = ("_meter", "_respeller", "_splitter")

    def __init__(self, respeller: Respeller, meter: StreamMeter) -> None:
        self._splitter = sse.Splitter()
        self._respeller = respeller
        self._meter = meter

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        return self._meter.usage

    @property
    def fault(self) -> Fault | None:
        """What the provider told of a failure, by an error object or a reason to finish."""
        return self._meter.fault or self._respeller.fault

    @property
    def complete(self) -> bool:
        """True once the stream's end has passed."""
        return self._meter.complete

    @property
    def events(self) -> int:
        """How many events have passed."""
        return self._meter.events

    @property
    def produced(self) -> int:
        """How many bytes of answer have passed."""
        return self._meter.produced

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, as clients expect them."""
        # One whole event per read is what an unhurried stream looks like.
        if not self._splitter.tail and self.fault is None and _is_one_event(data):
            return self._event(data, oversize=False, payload=data[6:-2])
        out: list[bytes] = []
        for event in self._splitter.feed(data):
            if self.fault is not None:
                break
            out.append(self._event(event, self._splitter.oversize))
        return b"".join(out)

    def finish(self) -> bytes:
        """The end of the stream: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        if self.fault is not None:
            return b""
        if not rest or self._splitter.oversize:
            return rest + self._held()
        payload = sse.data_of(rest)
        if payload is None:
            return self._held()
        spelled = payload if payload == b"[DONE]" else self._respeller.payload(payload)
        told = self._meter.feed(sse.event(spelled))
        return told + self._held() if self.fault is None and self.complete else b""

    def _event(self, event: bytes, oversize: bool, payload: bytes | None = None) -> bytes:
        if payload is None and not oversize:
            payload = sse.data_of(event)
        if payload is None:
            return event  # a comment, or a piece of something too large to be read
        if payload == b"[DONE]":
            return self._held() + self._meter.feed(event)
        spelled = self._respeller.payload(payload)
        told = self._meter.feed(event if spelled is payload else sse.event(spelled))
        return told if self.fault is None else b""

    def _held(self) -> bytes:
        held = self._respeller.rest()
        return self._meter.feed(held) if held else b""


def whole_answer(
    spelling: Spelling,
    usage: Callable[[bytes], Usage] = openai_usage,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
) -> Callable[[Call, int, Mapping[str, str], bytes], Reply]:
    """How a host's whole answers are read."""

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        del status, headers
        try:
            head = decode_head(body)
        except _BAD:
            raise upstream_error(
                "The provider's answer is not the JSON object it should be.", "bad_answer"
            ) from None
        if not head.choices or fault_in is not fault_in_body:
            fault = fault_in(body)
            if fault is not None:
                raise fault
        respeller = Respeller(spelling, old_tools=speaks_old_tools(call.body))
        spelled = respeller.payload(body)
        if respeller.fault is not None:
            raise respeller.fault
        raw = usage_of(head if spelled is body else decode_head(spelled))
        return Reply(spelled, None if raw is None else usage(raw))

    return parse


def streamed_answer(
    spelling: Spelling,
    usage: Callable[[bytes], Usage] = openai_usage,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
) -> Callable[[Call], RespelledStream]:
    """How a host's streams are read."""

    def stream(call: Call) -> RespelledStream:
        options = call.body.value("stream_options")
        shown = isinstance(options, dict) and options.get("include_usage") is True
        meter = StreamMeter(hide_usage=not shown, read_usage=usage, fault_in=fault_in)
        old_tools = speaks_old_tools(call.body)
        return RespelledStream(Respeller(spelling, old_tools=old_tools), meter)

    return stream


def _is_one_event(data: bytes) -> bool:
    return (
        data.startswith(b"data: ")
        and data.endswith(b"\n\n")
        and data.find(b"\n") == len(data) - 2
        and len(data) <= sse.MAX_EVENT
        and sse.CR not in data
    )


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _is_text(raw: msgspec.Raw | None) -> bool:
    return _first(raw) == b'"'


def _first(raw: msgspec.Raw | None) -> bytes:
    return b"" if raw is None else bytes(memoryview(raw)[:1])


def _as_function_call(said: _Members) -> bool:
    """The first call also in the old form; whatever else was called stays beside it."""
    raw = said.get("tool_calls")
    if raw is None or _first(raw) != b"[" or _first(said.get("function_call")) == b"{":
        return False
    for call in _decode_choices(raw):
        if bytes(call.get("index", b"0")) == b"0" and "function" in call:
            said["function_call"] = call["function"]
            return True
    return False


def _rename(members: _Members, name: str) -> None:
    """The same members in the same order, one under the name that clients know."""
    renamed = [
        (_OUR_THOUGHTS if key == name else key, value)
        for key, value in members.items()
        if key != _OUR_THOUGHTS
    ]
    members.clear()
    members.update(renamed)
