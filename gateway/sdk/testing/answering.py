"""Checks of whole answers and of failures: `parse`, `usage`, `fault_in`, `fault`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gateway.domain import Usage
from gateway.errors import Fault
from gateway.sdk.adapter import PASSTHROUGH, Operation, Reply
from gateway.sdk.testing.hostile import garbage, mutants
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import PLAIN, REFUSALS, WHOLE
from gateway.sdk.testing.streaming import check_counts, check_usage
from gateway.sdk.testing.subject import (
    SECRET,
    Broken,
    Sample,
    Subject,
    Unfit,
    request_of,
    samples_of,
)

_HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    {"content-type": "application/json", "retry-after": "7"},
    {"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT", "retry-after-ms": "x"},
    {"retry-after": "-1e999", "content-type": ""},
)


def answers_are_read(subject: Subject, name: str, operation: Operation) -> None:
    """Whole answers become a Reply, each time the same."""
    if operation.parse is PASSTHROUGH:
        raise Unfit("answers are passed through")
    samples = samples_of(subject, name, "answer")
    if not samples:
        raise Unfit(f"there is no sample of an answer of '{name}': give some in SAMPLES")
    for sample in samples:
        first = parsed(subject, name, operation, sample, sample.whole)
        if isinstance(first, Fault):
            raise Broken(6, f"'{sample.name}' is refused: {first.message}", "read it.")
        if parsed(subject, name, operation, sample, sample.whole) != first:
            raise Broken(1, f"'{sample.name}' is read differently twice.", "keep no state.")
        if sample.text is not None and sample.text.encode() not in first.body:
            raise Broken(4, f"'{sample.name}' lacks the text {sample.text!r}.", "write it.")
        check_counts(sample, first.usage)


def bad_answers_are_borne(subject: Subject, name: str, operation: Operation) -> None:
    """Of what is no answer, `parse` makes a Reply or a Fault, and nothing else."""
    if operation.parse is PASSTHROUGH:
        raise Unfit("answers are passed through")
    samples = [*samples_of(subject, name, "answer"), Sample(name, answer=WHOLE)]
    for sample in samples:
        for body in (*garbage(), *mutants(sample.whole)):
            parsed(subject, name, operation, sample, body)


def parsed(
    subject: Subject, name: str, operation: Operation, sample: Sample, body: bytes
) -> Reply | Fault:
    """What `parse` makes of a body."""
    parse = operation.parse
    assert parse is not PASSTHROUGH
    call = subject.call(name, request_of(sample, PLAIN))
    headers = {"content-type": "application/json", **sample.headers}
    try:
        made: object = examined(
            subject, "parse", lambda: parse(call, 200, headers, body), len(body)
        )
    except Fault as fault:
        return fault
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            12,
            f"parse raised {type(error).__name__}: {error}, for {body[:60]!r}.",
            "raise a Fault(UPSTREAM_ERROR, ...) for an answer that can't be read.",
        ) from error
    if not isinstance(made, Reply) or not isinstance(made.body, bytes):
        raise Broken(12, f"parse returned {type(made).__name__}.", "return Reply(bytes, usage).")
    used: object = made.usage
    if used is not None:
        if not isinstance(used, Usage):
            raise Broken(7, f"a reply's usage is a {type(used).__name__}.", "a Usage, or None.")
        check_usage(subject, used, sane=body == sample.whole)
    return made


def usage_is_read(subject: Subject, name: str, operation: Operation) -> None:
    """`usage` and `fault_in` make something of any JSON, and never raise."""
    del name
    objects = [b"{}", b"null", b"[]", b"7", b'{"prompt_tokens":3,"completion_tokens":4}']
    usage = b'{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":2}}'
    for raw in (*objects, *mutants(usage, 200)):
        made = _calmly(subject, "usage", partial(operation.usage, raw), 7)
        if not isinstance(made, Usage):
            raise Broken(7, f"usage returned {type(made).__name__}.", "return a Usage.")
        check_usage(subject, made, sane=False)
    for body in (*REFUSALS, *garbage(), *mutants(WHOLE.encode())):
        found = _calmly(subject, "fault_in", partial(operation.fault_in, body), 6)
        if found is not None and not isinstance(found, Fault):
            raise Broken(6, f"fault_in returned {type(found).__name__}.", "a Fault, or None.")
    if operation.parse is PASSTHROUGH and operation.fault_in(WHOLE.encode()) is not None:
        raise Broken(6, "fault_in sees a failure in a good answer.", "look for the host's mark.")


def _calmly(
    subject: Subject, what: str, work: Callable[[], object], rule: int, size: int = 0
) -> object:
    try:
        return examined(subject, what, work, size)
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            rule,
            f"{what} raised {type(error).__name__}: {error}",
            "a figure or a text that can't be is set aside (Usage.problem), never raised about.",
        ) from error


def failures_are_told(subject: Subject, name: str, operation: Operation) -> None:
    """Any status from 400 on, with any body, is a Fault that a client may see."""
    del name
    faults_are_told(subject, operation.fault)


def faults_are_told(
    subject: Subject, fault: Callable[[int, Mapping[str, str], bytes], Fault]
) -> None:
    """The same for a `fault` alone."""
    for status in (*range(400, 600), 100, 301, 999):
        few = REFUSALS if status in (400, 401, 403, 429, 500, 529) else REFUSALS[:5] + REFUSALS[-3:]
        sent = [body.replace(b"%s", SECRET.encode()) for body in few]
        size = sum(len(body) for body in sent)
        told = _calmly(subject, "fault", partial(_answers, fault, status, sent), 6, size)
        assert isinstance(told, list)
        for made in told:
            if not isinstance(made, Fault):
                raise Broken(
                    6, f"fault returned {type(made).__name__} for {status}.", "return a Fault."
                )
            check_fault(made, status)


def _answers(
    fault: Callable[[int, Mapping[str, str], bytes], Fault], status: int, bodies: list[bytes]
) -> list[object]:
    return [
        fault(status, _HEADERS[(status + number) % len(_HEADERS)], body)
        for number, body in enumerate(bodies)
    ]


def check_fault(made: Fault, status: int) -> None:
    """A fault that a client may see."""
    message: object = made.message
    if not isinstance(message, str) or not message.strip():
        raise Broken(6, f"the Fault of a {status} says nothing.", "say what happened.")
    if SECRET in f"{message} {made.cause} {made.provider}":
        raise Broken(
            15,
            f"the Fault of a {status} holds the secret that the provider repeated.",
            "pass the provider's words through `clean`.",
        )
    if len(made.message) > 2_000 or "\n" in made.message:
        raise Broken(6, f"the Fault of a {status} is no line of text.", "use `clean`.")
    wait = made.retry_after
    if wait is not None and not 0 <= wait <= 86_400:
        raise Broken(6, f"retry_after is {wait}.", "use `retry_after(headers)`.")
