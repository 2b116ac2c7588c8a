"""From the provider's answer to the client's: bytes through, usage read as it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.core.estimate import output_tokens
from gateway.core.faults import fault_in_body
from gateway.core.meter import DELTA_FRAME, LARGE, StreamMeter, Translator
from gateway.core.sse import CR, LF, MAX_EVENT
from gateway.core.usage import NOTHING, decode_head, openai_usage, usage_of
from gateway.domain import Usage
from gateway.errors import Fault, upstream_error
from gateway.pipeline.attempt import Attempt
from gateway.pipeline.costs import cost_in_events, length_end
from gateway.pipeline.further import brought
from gateway.pipeline.masking import guarded, masked, refused, scrubbed, told
from gateway.pipeline.media import Through, measured
from gateway.pipeline.mishaps import sound_reply, sound_type, sound_usage
from gateway.pipeline.operations import TALKS
from gateway.pipeline.record import Record
from gateway.pipeline.settle import whole_input
from gateway.pipeline.strangers import kept, passing
from gateway.pipeline.till import Till
from gateway.pipeline.wishes import Wishes
from gateway.ports import Clock, Headers, Sink, Upstream
from gateway.sdk import PASSTHROUGH, Further, Reply

MAX_REPLY = 64 << 20
_MOST_WAVES = 64  # of further requests, one after the other
_EVENT_STREAM = "text/event-stream"


def at_hand(attempt: Attempt) -> Reply | None:
    """What `whole` gives, where all of it is here and passes as it is: no coroutine, no wait."""
    reply, operation = attempt.reply, attempt.candidate.operation
    if operation.parse is not PASSTHROUGH or not 200 <= reply.status < 300:
        return None
    body = reply.at_hand(MAX_REPLY)
    return None if body is None else _passed(attempt, body)


async def whole(attempt: Attempt, upstream: Upstream) -> Reply:
    """The provider's whole answer in the client's dialect, or the fault it stands for."""
    reply, operation = attempt.reply, attempt.candidate.operation
    if not 200 <= reply.status < 300:
        raise await _refusal(attempt)
    body = await reply.read(MAX_REPLY)
    if operation.parse is PASSTHROUGH:
        return _passed(attempt, body)
    try:
        made = operation.parse(attempt.call, reply.status, reply.headers, body)
        for _ in range(_MOST_WAVES):
            if not isinstance(made, Further):
                break
            made = made.then(await brought(attempt, made.requests, upstream, MAX_REPLY))
        return sound_reply(made)
    except Fault as fault:
        raise told(fault, attempt.candidate, attempt.credential, attempt.mishaps) from None
    except (Exception, SystemExit) as error:
        raise _failed(attempt, error) from error


def media_type(attempt: Attempt) -> str | None:
    """The content type of an answer that is bytes; None of any other."""
    media, reply = attempt.candidate.operation.media, attempt.reply
    if media is None or not 200 <= reply.status < 300:
        return None
    candidate, credential, mishaps = attempt.candidate, attempt.credential, attempt.mishaps
    return guarded(
        candidate, credential, mishaps, lambda: sound_type(media(attempt.call, reply.headers))
    )


class Meter(msgspec.Struct, eq=False):
    """What of a stream has passed so far, for whoever settles it however it ends."""

    _translator: Translator | None = None
    counter: Any = None  # whose `events` and `produced` are the stream's

    def follow(self, translator: Translator) -> StreamMeter | None:
        """Count what passes; a translator that does not count itself has its output counted."""
        self._translator = self.counter = translator
        if hasattr(translator, "produced"):
            return None
        self.counter = counter = StreamMeter(hide_usage=False)
        return counter

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported."""
        return None if self._translator is None else self._translator.usage

    @property
    def events(self) -> int:
        """How many events have passed."""
        return int(getattr(self.counter, "events", 0))

    @property
    def produced(self) -> int:
        """How many bytes of answer have passed."""
        return int(getattr(self.counter, "produced", 0))

    @property
    def final(self) -> bytes:
        """The whole answer, where a stream sums itself up."""
        return getattr(self._translator, "final", b"")


class _Spent(Exception):  # noqa: N818 - it ends a stream that did nothing wrong
    """The money set aside is used up, and there is no more."""


class Stream:
    """Pumps a streamed answer into the sink as it arrives."""

    __slots__ = (
        "_attempt", "_begun", "_clock", "_counter", "_frame", "_headers", "_media", "_meter",
        "_passing", "_record", "_second", "_show_cost", "_sink", "_till", "_translator", "_write",
        "stopped",
    )  # fmt: skip
    _passing: StreamMeter
    _write: Callable[[bytes], object] | None
    _frame: bytes

    def __init__(
        self,
        attempt: Attempt,
        sink: Sink,
        headers: Headers,
        wishes: Wishes,
        till: Till,
        meter: Meter,
        record: Record,
        clock: Clock,
        begun: Callable[[], None],
        media: str | None = None,
    ) -> None:
        self._begun = begun
        self._media = media or _EVENT_STREAM
        self._attempt = attempt
        self._sink = sink
        self._headers = headers
        self._record = record
        self._clock = clock
        self._till = till
        self._show_cost = wishes.show_cost
        self._translator = _translator(attempt, wishes.show_usage, media)
        self._meter = meter
        self._second = meter.follow(self._translator)
        self._counter = meter.counter
        self.stopped = False

    async def run(self) -> None:
        """Relay until the provider's clean end; anything less is a fault."""
        reply = self._attempt.reply
        reply.forget_headers()
        self._sink.on_congestion(reply.pause, reply.resume)
        try:
            await reply.pump(self._receiver())
            self._finish()
        except _Spent:
            self.stopped = True
        except Fault:
            self._record.sequence = getattr(self._translator, "sequence", 0)
            raise

    def _finish(self) -> None:
        """The provider has ended its stream: whether that was the answer's end."""
        rest = self._translator.finish()
        self._send(rest, self._translator.fault)
        fault = self._translator.fault
        if fault is not None and self._sink.started:
            # The provider's own error event has passed to the client; here it is only noted.
            fault.forget_frames()
            self._record.fault, self._record.cause = fault, fault.cause
            return
        if fault is not None:
            raise scrubbed(fault, self._attempt.credential)
        if not self._translator.complete:
            raise upstream_error(
                "The provider's stream ended before the answer was complete.", "truncated"
            )
        if not self._sink.started:
            self._start()

    def _receiver(self) -> Callable[[bytes], None]:
        """What takes each piece."""
        meter = self._translator
        self._write, self._frame = self._sink.straight() or (None, b"")
        if not isinstance(meter, StreamMeter) or self._show_cost:
            return self._changed
        self._passing = meter
        return self._receive if meter.plain and self._write is not None else self._untouched

    def _receive(self, data: bytes) -> None:
        """Any piece of a stream that passes as it is.

        Nearly every one is a whole event of one choice that says something: that is read, measured
        and written on right here. Every chunk passes, and one call more shows in the bench.
        """
        meter, size = self._passing, len(data)
        if (
            data.find(b"\n") != size - 2
            or data[:6] != b"data: "  # a piece is cut sooner than asked how it begins
            or data[-1] != LF
            or CR in data
            or meter.tail
            or size > MAX_EVENT
            or meter.fault is not None
            or not self._sink.started
        ):
            return self._untouched(data)
        try:
            head = decode_head(data[6:-2])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._untouched(data)
        choices, usage = head.choices, head.usage
        if not choices or len(choices) > 1:
            return self._untouched(data)
        first = choices[0]
        said = len(first.delta)
        if (
            first.finish_reason
            or said >= LARGE
            or first.usage is not NOTHING
            or (usage is not NOTHING and bytes(usage) != b"null")
        ):
            return self._untouched(data)
        said = said or len(first.text)
        if said > DELTA_FRAME:
            meter.produced += said - DELTA_FRAME
        meter.events = events = meter.events + 1
        self._record.bytes_out += size
        write = self._write
        assert write is not None
        write(self._frame % (size, data))
        watch_at = self._till.watch_at
        if events >= watch_at or meter.produced >> 2 >= watch_at:
            self._watch(data)
        return None

    def _untouched(self, data: bytes) -> None:
        meter, sink = self._passing, self._sink
        out = meter.feed(data)
        if meter.fault is not None or not sink.started:
            self._send(out, meter.fault)
        elif out:
            sink.write(out)
        watch_at = self._till.watch_at
        if meter.events >= watch_at or meter.produced >> 2 >= watch_at:
            self._watch(data)

    def _changed(self, data: bytes) -> None:
        """Any piece of a stream that is translated, or that tells its cost."""
        translator, sink = self._translator, self._sink
        out = translator.feed(data)
        if out:
            if self._second is not None:
                self._second.feed(out)
            if self._show_cost:
                out = cost_in_events(out, self._cost_so_far)
        fault = translator.fault
        if fault is not None or not sink.started:
            self._send(out, fault)
        elif out and (write := self._write) is not None:
            size = len(out)
            self._record.bytes_out += size
            write(self._frame % (size, out))
        elif out:
            sink.write(out)
        counter, watch_at = self._counter, self._till.watch_at
        if counter.events >= watch_at or counter.produced >> 2 >= watch_at:
            self._watch(out)

    def _watch(self, sample: bytes) -> None:
        """See to it that what the stream produces is paid for; end it when it cannot be."""
        meter = self._meter
        if output_tokens(meter.events, meter.produced) < self._till.watch_at:
            return
        if self._till.more(meter.events, meter.produced) or self._translator.complete:
            return
        if self._sink.started:
            self._sink.write(self._cut(sample))
            raise _Spent

    def _cut(self, sample: bytes) -> bytes:
        """A proper end, said by the translator where it knows how."""
        cut: Callable[[], bytes] | None = getattr(self._translator, "cut", None)
        out = b"" if cut is None else cut()
        return out or length_end(sample, self._attempt.call.operation)

    def _cost_so_far(self) -> int:
        usage = self._meter.usage
        return 0 if usage is None else self._till.price(whole_input(usage, self._attempt.candidate))

    def _send(self, out: bytes, fault: Fault | None) -> None:
        # A stream that passes untouched passes the provider's error event on as well, once it has
        # started; before that, and where a wire is translated, the fault is told in our own style.
        if fault is not None:
            out = masked(out, self._attempt.credential)
            if not (self._sink.started and _passes_errors(self._translator)):
                if out and self._sink.started:
                    self._sink.write(out)  # what was said before it broke
                raise scrubbed(fault, self._attempt.credential)
        if not out:
            return
        if not self._sink.started:
            self._start()
        self._sink.write(out)

    def _start(self) -> None:
        self._record.first_byte = self._clock.monotonic()
        self._begun()
        self._sink.start(200, [("Content-Type", self._media), *self._headers])


async def is_stream(attempt: Attempt) -> bool:
    """True when the provider opened a stream; a refusal is raised, a whole answer is False."""
    reply = attempt.reply
    if not 200 <= reply.status < 300:
        raise await _refusal(attempt)
    translated = attempt.candidate.operation.stream is not PASSTHROUGH
    if translated and attempt.call.operation in TALKS:
        return True  # whatever it says of itself: some wires have a type of their own
    return reply.headers.get("content-type", "").lower().startswith(_EVENT_STREAM)


def _translator(attempt: Attempt, show_usage: bool, media: str | None) -> Translator:
    operation, mishaps = attempt.candidate.operation, attempt.mishaps
    adapter, begin = attempt.candidate.route.provider.adapter, operation.stream
    if begin is PASSTHROUGH:
        if media is not None:
            return measured(Through(), media, attempt.candidate.rows)
        return passing(operation, adapter, mishaps, show_usage)
    candidate, credential = attempt.candidate, attempt.credential
    translator = guarded(
        candidate, credential, mishaps, lambda: kept(begin(attempt.call), adapter, mishaps)
    )
    return translator if media is None else measured(translator, media, attempt.candidate.rows)


def _passed(attempt: Attempt, body: bytes) -> Reply:
    operation = attempt.candidate.operation
    try:
        try:
            head = decode_head(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise upstream_error(
                "The provider's answer is not the JSON object it should be.", "bad_answer"
            ) from None
        if not head.choices or operation.fault_in is not fault_in_body:
            fault = operation.fault_in(body)
            if fault is not None:
                raise fault
        raw = usage_of(head)
        if raw is None:
            return Reply(body)
        read = operation.usage  # our own reader gives what it owes; strangers' are looked at
        return Reply(body, openai_usage(raw) if read is openai_usage else sound_usage(read(raw)))
    except Fault as fault:
        raise told(fault, attempt.candidate, attempt.credential, attempt.mishaps) from None
    except (Exception, SystemExit) as error:
        raise _failed(attempt, error) from error


def _failed(attempt: Attempt, error: BaseException) -> Fault:
    return attempt.mishaps.failed(attempt.candidate.route.provider.adapter, error)


async def _refusal(attempt: Attempt) -> Fault:
    operation, adapter = attempt.candidate.operation, attempt.candidate.route.provider.adapter
    return await refused(attempt.reply, operation, adapter, attempt.credential, attempt.mishaps)


def _passes_errors(translator: Translator) -> bool:
    return isinstance(translator, StreamMeter) or getattr(translator, "passes_errors", False)
