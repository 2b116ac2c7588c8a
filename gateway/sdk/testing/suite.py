"""Every check of the kit, and which of them fit an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from gateway.sdk.adapter import CONTRACT, PASSTHROUGH, Adapter, Login, Operation, Wire
from gateway.sdk.testing import answering, building, streaming, talking, wiring, working
from gateway.sdk.testing.answering import faults_are_told
from gateway.sdk.testing.subject import Broken, Subject, Unfit

OfOperation = Callable[[Subject, str, Operation], None]

_OPERATION: tuple[OfOperation, ...] = (
    building.build_is_pure,
    building.request_is_sendable,
    building.model_is_set,
    building.schemas_stay_bytes,
    building.members_stay,
    building.hears_are_names,
    answering.answers_are_read,
    answering.bad_answers_are_borne,
    answering.usage_is_read,
    answering.failures_are_told,
    streaming.splits_are_exact,
    streaming.events_are_whole,
    streaming.end_is_proved,
    streaming.usage_grows,
    streaming.bad_bytes_are_borne,
    streaming.memory_is_bounded,
)
_SESSION: tuple[OfOperation, ...] = (
    talking.sessions_are_pure,
    talking.sessions_name_the_model,
    talking.bad_messages_are_borne,
    talking.sessions_are_bounded,
)
_JOB: tuple[OfOperation, ...] = (
    working.job_begins,
    working.job_steps_are_pure,
    working.polls_are_read,
    working.bad_polls_are_borne,
)
_WIRE: tuple[Callable[[Subject, Wire], None], ...] = (
    wiring.wire_builds,
    wiring.wire_reads,
    wiring.reader_is_exact,
    wiring.cut_is_not_ended,
    wiring.reader_bears_bad_bytes,
)


class Check(Struct, frozen=True):
    """One question to an adapter: raises Broken, or Unfit when there is nothing to ask."""

    name: str
    ask: Callable[[], None]


def is_whole(subject: Subject) -> None:
    """The adapter is an Adapter of this contract, complete, its parts callable."""
    adapter: object = subject.adapter
    if not isinstance(adapter, Adapter):
        raise Broken(11, f"it is a {type(adapter).__name__}.", "declare a gateway.sdk.Adapter.")
    if adapter.contract != CONTRACT:
        raise Broken(
            11,
            f"it speaks contract {adapter.contract}; this gateway speaks {CONTRACT}.",
            "leave `contract` at its default.",
        )
    operations: object = adapter.operations
    if not isinstance(operations, dict) or not (operations or adapter.wire):
        raise Broken(11, "it declares no operations.", "give it at least one.")
    for name, operation in operations.items():
        if not isinstance(name, str) or not isinstance(operation, Operation):
            raise Broken(11, f"operation {name!r} is no Operation.", "declare an Operation.")
        _check_callable(name, operation, ("build", "usage", "fault_in", "fault"))
        parts = [
            part for part in ("parse", "stream") if getattr(operation, part) is not PASSTHROUGH
        ]
        parts += ["session"] if operation.session is not None else []
        _check_callable(name, operation, tuple(parts))
        if operation.job is not None:
            _check_callable(f"{name}' and its job", operation.job, ("poll", "polled", "result"))
    if adapter.wire is not None:
        _check_callable("wire", adapter.wire, ("build", "read", "reader", "fault"))
    if adapter.login is not None:
        _check_callable("login", adapter.login, ("step",))
    for part in ("native", "probe"):
        given: object = getattr(adapter, part, None)
        if given is not None and not callable(given):
            raise Broken(11, f"'{part}' can't be called.", "give a function, or None.")


def _check_callable(name: str, owner: object, parts: tuple[str, ...]) -> None:
    for part in parts:
        if not callable(getattr(owner, part, None)):
            raise Broken(11, f"'{part}' of '{name}' can't be called.", "give a function.")


def checks(subject: Subject) -> Iterator[Check]:
    """All checks for this adapter."""
    yield Check("is_whole", lambda: is_whole(subject))
    try:
        is_whole(subject)
    except Broken:
        return
    for name, operation in subject.adapter.operations.items():
        more = _SESSION if operation.session is not None else ()
        more += _JOB if operation.job is not None else ()
        for check in _OPERATION + more:
            yield Check(f"{name}: {check.__name__}", _bound(check, subject, name, operation))
    wire = subject.adapter.wire
    if wire is not None:
        yield from _wire_checks(subject, wire)
    login = subject.adapter.login
    if login is not None:
        yield _login_check(subject, login)
    probe = subject.adapter.probe
    if probe is not None:
        yield Check("probe_is_sendable", lambda: building.probe_is_sendable(subject, probe))


def _bound(
    check: OfOperation, subject: Subject, name: str, operation: Operation
) -> Callable[[], None]:
    return lambda: check(subject, name, operation)


def _wire_checks(subject: Subject, wire: Wire) -> Iterator[Check]:
    def bound(check: Callable[[Subject, Wire], None]) -> Callable[[], None]:
        return lambda: check(subject, wire)

    for check in _WIRE:
        yield Check(f"wire: {check.__name__}", bound(check))
    yield Check("wire: faults_are_told", lambda: faults_are_told(subject, wire.fault))


def _login_check(subject: Subject, login: Login) -> Check:
    return Check("login: login_ends", lambda: wiring.login_ends(subject, login))


def verdicts(subject: Subject) -> dict[str, Broken | Unfit | None]:
    """The outcome of each check: None where the rule holds."""
    found: dict[str, Broken | Unfit | None] = {}
    for check in checks(subject):
        try:
            check.ask()
            found[check.name] = None
        except (Broken, Unfit) as outcome:
            found[check.name] = outcome
    return found
