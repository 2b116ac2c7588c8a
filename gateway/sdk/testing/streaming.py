"""Checks of translators: exact for any split, complete only at the end, calm with bad bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from gateway.core.meter import StreamMeter, Translator
from gateway.domain import Usage
from gateway.errors import Fault
from gateway.sdk.adapter import PASSTHROUGH, Call, Operation
from gateway.sdk.testing.hostile import garbage, mutants, splits
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import COMPATIBLE, PLAIN
from gateway.sdk.testing.subject import Broken, Sample, Subject, Unfit, request_of, samples_of

T = TypeVar("T")

_PIECE = 1 << 16
_FLOOD = 3 << 20
_MOST_KEPT = (1 << 20) + 2 * _PIECE
_TOKENS = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "reasoning", "audio_input",
    "audio_output", "cached_audio", "image_input", "image_output",
)  # fmt: skip


class Played(Struct, frozen=True):
    """What a translator made of a stream."""

    out: bytes
    usage: Usage | None
    fault: tuple[str, str] | None
    complete: bool


def streams(subject: Subject, name: str, operation: Operation) -> Sequence[Sample]:
    """The samples that there are, and those of OpenAI's wire for what is passed through."""
    if name not in ("chat", "completions", "messages", "responses") and not any(
        sample.streamed for sample in subject.samples if sample.operation == name
    ):
        raise Unfit(f"'{name}' is not streamed, as far as the kit knows")
    found = list(samples_of(subject, name, "stream"))
    if operation.stream is PASSTHROUGH and name in ("chat", "completions"):
        found += [
            Sample(name, kind, stream=text, end_mark='data: {"id":"c1","object":"chat.completion'
                   '.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},', input=7,
                   output=5)
            for kind, text in COMPATIBLE.items()
        ]  # fmt: skip
    if not found:
        raise Unfit(f"there is no sample of a stream of '{name}': give some in SAMPLES")
    return found


def opened(subject: Subject, operation: Operation, call: Call) -> Translator:
    """A translator for one stream."""
    if operation.stream is PASSTHROUGH:
        return StreamMeter(hide_usage=True, read_usage=operation.usage, fault_in=operation.fault_in)
    make = operation.stream
    try:
        return examined(subject, "stream", lambda: make(call))
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise _raised("stream", error) from error


def _raised(what: str, error: BaseException) -> Broken:
    return Broken(
        4,
        f"{what} raised {type(error).__name__}: {error}",
        "skip an event that can't be read, or set `fault` where the answer is lost with it; "
        "providers do send nonsense.",
    )


def fed(
    subject: Subject,
    translator: Translator,
    pieces: Sequence[bytes],
    look: Callable[[], None] = lambda: None,
) -> list[bytes]:
    """What comes out for each piece, and at the end; `look` is called after each piece."""
    outs: list[bytes] = []
    what = "feed"

    def feed_all() -> None:
        nonlocal what
        for piece in pieces:
            outs.append(translator.feed(piece))
            look()
        what = "finish"
        outs.append(translator.finish())

    try:
        examined(subject, what, feed_all, sum(map(len, pieces)) + len(pieces))
    except Fault:
        pass
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise _raised(what, error) from error
    returned: list[object] = [*outs]
    for out in returned:
        if not isinstance(out, bytes):
            raise Broken(
                4, f"{what} returned {type(out).__name__}.", "return bytes, if need be b''."
            )
    return outs


def played(subject: Subject, operation: Operation, call: Call, pieces: Sequence[bytes]) -> Played:
    """A stream from its start to its end."""
    translator = opened(subject, operation, call)
    out = b"".join(fed(subject, translator, pieces))
    return _state(translator, out)


def _state(translator: Translator, out: bytes) -> Played:
    try:
        fault, usage, complete = translator.fault, translator.usage, translator.complete
    except Exception as error:
        raise _raised("usage, fault or complete", error) from error
    shown: object = usage
    if shown is not None and not isinstance(shown, Usage):
        raise Broken(7, f"usage is a {type(shown).__name__}.", "give a Usage, or None.")
    stated: object = fault
    if stated is not None and not isinstance(stated, Fault):
        raise Broken(6, f"fault is a {type(stated).__name__}.", "set a Fault, or None.")
    if not isinstance(complete, bool):
        raise Broken(5, "complete is no bool.", "True or False.")
    return Played(out, usage, None if fault is None else (fault.kind.code, fault.message), complete)


def splits_are_exact(subject: Subject, name: str, operation: Operation) -> None:
    """However the bytes are cut, the same comes out."""
    for sample in streams(subject, name, operation):
        call = subject.call(name, request_of(sample, PLAIN), stream=True)
        whole = played(subject, operation, call, [sample.streamed])
        for pieces in splits(sample.streamed):
            cut = played(subject, operation, call, pieces)
            if cut != whole:
                differs = [
                    f for f in whole.__struct_fields__ if getattr(cut, f) != getattr(whole, f)
                ]
                raise Broken(
                    3,
                    f"'{sample.name}' cut in {len(pieces)} pieces gives another "
                    f"{', '.join(differs)} than whole.",
                    "keep what is not complete yet for the next feed; `sse.Splitter` of "
                    "gateway.sdk.talk does. Decode UTF-8 only once an event is whole.",
                )
        _check_expected(sample, whole)


def _check_expected(sample: Sample, whole: Played) -> None:
    if sample.text is not None and sample.text.encode() not in whole.out:
        raise Broken(4, f"'{sample.name}' lacks the text {sample.text!r}.", "write what was said.")
    check_counts(sample, whole.usage)


def check_counts(sample: Sample, usage: Usage | None) -> None:
    """The figures that a sample names are those that were read."""
    for figure in ("input", "output"):
        expected = getattr(sample, figure)
        if expected is not None and (usage is None or getattr(usage, figure) != expected):
            raise Broken(
                7,
                f"'{sample.name}' reports {expected} {figure} tokens; read were "
                f"{None if usage is None else getattr(usage, figure)}.",
                "input holds cached and written tokens, output holds reasoning.",
            )


def events_are_whole(subject: Subject, name: str, operation: Operation) -> None:
    """What each feed gives is whole events, none of them half."""
    for sample in streams(subject, name, operation):
        call = subject.call(name, request_of(sample, PLAIN), stream=True)
        for pieces in splits(sample.streamed):
            for out in fed(subject, opened(subject, operation, call), pieces):
                if out and not out.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
                    raise Broken(
                        4,
                        f"feed gave half an event: {out[-60:]!r}.",
                        "hold an event back until its blank line.",
                    )


def end_is_proved(subject: Subject, name: str, operation: Operation) -> None:
    """A stream that was cut is not complete; one that was not, is."""
    for sample in streams(subject, name, operation):
        wire = sample.streamed
        call = subject.call(name, request_of(sample, PLAIN), stream=True)
        whole = played(subject, operation, call, [wire])
        if not whole.complete and whole.fault is None:
            raise Broken(
                5, f"'{sample.name}' is whole, and never complete.", "set it at the end mark."
            )
        mark = wire.find(sample.end_mark.encode()) if sample.end_mark else -1
        for at in {0, len(wire) // 4, len(wire) // 2 if mark < 0 else mark}:
            if played(subject, operation, call, [wire[:at]]).complete:
                raise Broken(
                    5,
                    f"'{sample.name}' cut after {at} of {len(wire)} bytes counts as complete.",
                    "set `complete` at the provider's own end mark, never in `finish` or at the "
                    "first event: a cut answer would pass for a whole one.",
                )


def _seen(
    subject: Subject,
    translator: Translator,
    pieces: Sequence[bytes],
    look: Callable[[Translator], T],
) -> list[T]:
    """What is seen of a translator after each piece."""
    found: list[T] = []
    fed(subject, translator, pieces, lambda: found.append(look(translator)))
    return found


def usage_grows(subject: Subject, name: str, operation: Operation) -> None:
    """Usage holds together, and does not go down as the stream goes on."""
    for sample in streams(subject, name, operation):
        call = subject.call(name, request_of(sample, PLAIN), stream=True)
        translator = opened(subject, operation, call)
        seen = _seen(subject, translator, sse_pieces(sample.streamed), lambda t: t.usage)
        before: Usage | None = None
        for now in seen:
            lower = before is not None and (now is None or now.output < before.output)
            if lower and not (now is not None and now.problem):
                raise Broken(
                    7,
                    f"'{sample.name}': usage goes down within the stream.",
                    "keep the largest count, or set Usage.problem.",
                )
            before = now
            if now is not None:
                check_usage(subject, now)


def sse_pieces(wire: bytes) -> list[bytes]:
    """The stream, a few bytes at a time."""
    step = max(1, len(wire) // 100)
    return [wire[at : at + step] for at in range(0, len(wire), step)]


def check_usage(subject: Subject, usage: Usage, *, sane: bool = True) -> None:
    """Rule 7, for one Usage. Of nonsense (not `sane`) nothing but its types need hold."""
    if usage.problem:
        return
    figures = [getattr(usage, name) for name in _TOKENS]
    if not all(type(figure) is int and figure >= 0 for figure in figures):
        raise Broken(7, f"a count is no whole number from 0 on: {usage}", "set Usage.problem.")
    if not isinstance(usage.raw, bytes):
        raise Broken(7, "Usage.raw is not bytes.", "give the provider's own object, or b''.")
    if not sane:
        return
    cached = usage.cached + usage.cache_write + usage.cache_write_1h
    if subject.adapter.cached_inside_input and cached > usage.input:
        raise Broken(
            7,
            f"{cached} cached and written tokens are more than {usage.input} of input.",
            "add them: Usage.input is all input, wherever the provider counts them.",
        )
    if usage.reasoning > usage.output:
        raise Broken(
            7,
            f"{usage.reasoning} tokens of reasoning are more than {usage.output} of output.",
            "add them: Usage.output is all output.",
        )


def bad_bytes_are_borne(subject: Subject, name: str, operation: Operation) -> None:
    """Nothing that a provider sends makes a translator raise, or run on."""
    try:
        samples = streams(subject, name, operation)
    except Unfit:
        if operation.stream is PASSTHROUGH:
            raise
        samples = ()
    bodies = PLAIN.get(name, PLAIN["chat"])
    wires = list(garbage())
    for sample in samples:
        wires += mutants(sample.streamed)
    for wire in wires:
        state = played(subject, operation, subject.call(name, bodies, stream=True), [wire])
        if state.usage is not None:
            check_usage(subject, state.usage, sane=False)


def memory_is_bounded(subject: Subject, name: str, operation: Operation) -> None:
    """A stream without an end is not kept."""
    if operation.stream is PASSTHROUGH:
        raise Unfit("streams are passed through")
    body = PLAIN.get(name, PLAIN["chat"])
    for letter in (b"x", b"[", b"\x7f"):
        translator = opened(subject, operation, subject.call(name, body, stream=True))
        flood = [letter * _PIECE] * (_FLOOD // _PIECE)
        kept = _seen(subject, translator, flood, weight)
        if max(kept) > _MOST_KEPT:
            raise Broken(
                17,
                f"{max(kept) >> 10} KiB of a stream without a line end are kept.",
                "give up on an event over `sse.MAX_EVENT` bytes: skip it, or set `fault`.",
            )


def weight(thing: object, depth: int = 6) -> int:
    """How many bytes of text something holds, looking into its members."""
    if isinstance(thing, bytes | bytearray | str):
        return len(thing)
    if depth == 0 or isinstance(thing, type) or callable(thing):
        return 0
    if isinstance(thing, dict):
        return sum(weight(one, depth - 1) for one in thing.values())
    if isinstance(thing, list | tuple | set | deque):
        return sum(weight(one, depth - 1) for one in thing)
    names = [*getattr(thing, "__dict__", ()), *_slots(type(thing))]
    return sum(weight(getattr(thing, name, None), depth - 1) for name in names)


def _slots(kind: type) -> Iterator[str]:
    for one in kind.__mro__:
        slots = one.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
