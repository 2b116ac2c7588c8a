"""How a call is charged, however it ended. Each path through here settles exactly once."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from gateway.core.estimate import output_tokens
from gateway.core.money.checks import plausible, problem_of
from gateway.domain import FLAGS, Route, Usage
from gateway.pipeline.operations import NOTHING, TALKS
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate
from gateway.pipeline.till import Till

# What surrounds the text of an answer that came whole.
ENVELOPE = 600
_USUAL_CONTEXT = 2_000_000
_USUAL_OUTPUT = 200_000
# What may be counted beyond ten times what was expected.
_UNITS = (("images", 10), ("characters", 10_000), ("milliseconds", 600_000))
_ANSWERING = ("chat", "completions", "messages", "responses")

Durable = Awaitable[Exception | None]


def finished(
    till: Till,
    record: Record,
    candidate: Candidate,
    usage: Usage | None,
    events: int,
    produced: int,
) -> Durable:
    """The provider answered to the end: what it counted, if that can be."""
    if not candidate.talks:
        if record.operation not in TALKS:
            return _made(till, record, candidate, usage)
        events = produced = 0  # pictures are not paid by their length
        if usage is not None and candidate.operation.expects is None:
            usage = _with_expected(till, usage)  # its wire counts none
    if usage is None:
        return _charge(till, record, 200, _own(till, events, produced), "no_usage")
    if not candidate.adapter.cached_inside_input:
        usage = whole_input(usage, candidate)
    problem = problem_of(usage) or _beyond(till, candidate.route, usage)
    if not problem and produced:
        if events:
            problem = plausible(usage, produced, events)
        elif usage.output == 0 and record.operation in _ANSWERING:
            problem = "no output counted, though there was some"
    if problem:
        own = _own(till, events, produced, usage.raw)
        return _charge(till, record, 200, own, "bad_usage", problem)
    return _charge(till, record, 200, usage)


def stopped(till: Till, record: Record, events: int, produced: int) -> Durable:
    """The gateway ended the stream, since its money had run out."""
    return _charge(till, record, 200, _own(till, events, produced), "stopped")


def broken(
    till: Till,
    record: Record,
    candidate: Candidate,
    usage: Usage | None,
    events: int,
    produced: int,
    status: int,
) -> Durable:
    """The call failed, or its client left. Nothing is charged for nothing."""
    left = status == 499
    if not record.sent_upstream:
        return till.release(status)
    if usage is not None:
        usage = whole_input(usage, candidate)
        if not (problem_of(usage) or _beyond(till, candidate.route, usage)):
            if record.operation not in TALKS:
                return _charge(till, record, status, _with_expected(till, usage))
            if not _behind(usage, produced):
                return _charge(till, record, status, usage)
            # Who leaves before the last count has had what passed since the one before it.
            own = _own(till, events, produced)
            usage = msgspec.structs.replace(
                usage, input=usage.input or own.input, output=max(usage.output, own.output)
            )
            return _charge(till, record, status, usage, "abandoned" if left else "cut_off")
    if produced or left:
        own = _own(till, events, produced)
        if record.operation == "speech" and not produced:  # nothing of its time has passed
            own = msgspec.structs.replace(own, milliseconds=0)
        return _charge(till, record, status, own, "abandoned" if left else "cut_off")
    return till.release(status)


def _made(till: Till, record: Record, candidate: Candidate, usage: Usage | None) -> Durable:
    """What is no talk is charged by what was asked for, wherever its provider counts nothing."""
    if usage is None:
        row = candidate.rows.base
        counted = row.input_fine or row.dearest_output
        return _charge(till, record, 200, _own(till, 0, 0), "no_usage" if counted else "")
    usage = whole_input(usage, candidate)
    problem = problem_of(usage) or _beyond(till, candidate.route, usage)
    if problem:
        return _charge(till, record, 200, _own(till, 0, 0, usage.raw), "bad_usage", problem)
    return _charge(till, record, 200, _with_expected(till, usage))


def _with_expected(till: Till, usage: Usage) -> Usage:
    """What the provider does not count is what the call was expected to use."""
    expects = till.expects
    if expects is NOTHING:
        return usage
    return msgspec.structs.replace(
        usage,
        images=usage.images or expects.images,
        size=usage.size or expects.size,
        characters=usage.characters or expects.characters,
        milliseconds=usage.milliseconds or expects.milliseconds,
        audio_input_ms=usage.audio_input_ms or expects.audio_input_ms,
        audio_output_ms=usage.audio_output_ms or expects.audio_output_ms,
        requests=usage.requests or expects.requests,
    )


def session(
    till: Till, record: Record, usage: Usage | None, status: int, flag: str = "", problem: str = ""
) -> Durable:
    """A session is over, however it ended: all that was counted in it. Nothing for nothing."""
    if usage is None:
        return till.release(status)
    return _charge(till, record, status, usage, flag, problem)


def whole_input(usage: Usage, candidate: Candidate) -> Usage:
    """Usage with cached and written tokens inside the input, wherever the provider counts them."""
    if candidate.adapter.cached_inside_input:
        return usage
    whole = usage.input + usage.cached + usage.cache_write + usage.cache_write_1h
    return msgspec.structs.replace(usage, input=whole)


def _behind(usage: Usage, produced: int) -> bool:
    """Whether a count that came early in a stream knows less than half of what has passed."""
    if not usage.input:
        return True
    return not usage.audio_output and output_tokens(0, produced) > 2 * usage.output


def _beyond(till: Till, route: Route, usage: Usage) -> str:
    """What is wrong with counts that no call to this route can reach; generous on both sides."""
    if usage.input > 2 * till.tokens_in and usage.input > 2 * (route.window or _USUAL_CONTEXT):
        return f"{usage.input} input tokens are more than the model can take"
    if usage.output > 2 * till.ceiling and usage.output > 2 * (route.longest or _USUAL_OUTPUT):
        return f"{usage.output} output tokens are more than the call could have"
    if till.expects is NOTHING and not (usage.images or usage.characters or usage.milliseconds):
        return ""
    return _beyond_units(till.expects, route, usage)


def _beyond_units(expects: Usage, route: Route, usage: Usage) -> str:
    """The same for what is no token. How long a file's sound lasts is its sender's word, so what
    its provider has heard may be far more."""
    for name, more in _UNITS:
        made = getattr(usage, name)
        if made > 10 * getattr(expects, name) + more and route.model.kind != "transcription":
            return f"{made} {name} are more than the call could have"
    return ""


def _charge(
    till: Till, record: Record, status: int, usage: Usage, flag: str = "", problem: str = ""
) -> Durable:
    record.usage = usage
    extra: dict[str, Any] | None = None
    if flag:
        extra = {"flag": flag, "problem": problem} if problem else {"flag": flag}
    if record.tries:
        extra = {**(extra or {}), "failed_attempts": record.tries}
    durable = till.settle(status, usage, FLAGS[flag] if flag else 0, extra)
    record.flag = till.flag
    record.charged = till.charged
    return durable


def _own(till: Till, events: int, produced: int, raw: bytes = b"") -> Usage:
    """The gateway's own count, within what the call was allowed."""
    tokens = min(output_tokens(events, produced), max(till.ceiling, 0))
    files = till.expects
    own = Usage(
        input=till.tokens_in + files.input,
        output=tokens,
        audio_input=files.audio_input,
        image_input=files.image_input,
        raw=raw,
    )
    return _with_expected(till, own)
