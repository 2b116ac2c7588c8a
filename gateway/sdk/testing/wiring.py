"""Checks of a `Wire` and of a `Login`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence

import msgspec

from gateway.core.talk.events import Began, Broke, Closed, Ended, Event, Grew, Opened, Stopped, Used
from gateway.core.talk.model import (
    Answer,
    Format,
    Losses,
    Media,
    Message,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.domain import UpstreamRequest
from gateway.errors import Fault
from gateway.sdk.adapter import Call, Login, ReadFile, Token, Wire
from gateway.sdk.testing.building import check_address, check_secrets, told
from gateway.sdk.testing.hostile import garbage, mutants, splits
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import PLAIN, SCHEMA
from gateway.sdk.testing.streaming import check_counts, check_usage
from gateway.sdk.testing.subject import Broken, Sample, Subject, Unfit, request_of, samples_of

_LOSS = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*(?:\[\d*\]|\.[A-Za-z0-9_\-]+)*")
_STEPS = 8


def talks(model: str) -> list[Talk]:
    """Conversations that use what the form can say."""
    said = [Message("user", [Text("Say hello.")])]
    look = Tool("look", "Looks.", SCHEMA)
    used = ToolUse("call_1", "look", '{"z": "q"}')
    seen = ToolResult("call_1", [Text("seen")], "look")
    picture = Media("image", mime="image/png", data="iVBORw0KGgo=")
    wide = Talk("chat", model)
    wide.messages = said
    wide.seed, wide.stop, wide.user, wide.effort = 7, ["x"], "u1", "high"
    wide.logit_bias, wide.metadata, wide.extra = b'{"5":-1}', b'{"a":"b"}', {"x_kit": b"[1,  2]"}
    wide.format = Format("schema", "s", SCHEMA, True)
    parts: list[list[Message]] = [
        said,
        [Message("system", [Text("Be short.")]), *said],
        [Message("user", [Text("What is this?"), picture])],
        [*said, Message("assistant", [Thinking("hm", "sig", family="messages"), used]),
         Message("user", [seen, Text("And?")])],
    ]  # fmt: skip
    made = [Talk("chat", model, messages=list(one), tools=[look]) for one in parts]
    made[0].tools = []
    made[1].choice, made[1].tools = ToolChoice("tool", "look"), [look]
    return [*made, wide]


def wire_builds(subject: Subject, wire: Wire) -> None:
    """`build` is pure, leaves the talk as it is, and names its losses by the client's names."""
    for stream in (False, True):
        for talk in talks(subject.saying.upstream):
            talk.stream = stream
            call = subject.call("chat", PLAIN["chat"], stream=stream)
            before = copy.deepcopy(talk)
            first, lost = _built(subject, wire, call, talk)
            if talk != before:
                raise Broken(13, "build changed the Talk.", "write from it; change a copy.")
            if (told(first), lost) != _twice(subject, wire, call, talk):
                raise Broken(1, "build gave two requests for one talk.", "keep no state.")
            if isinstance(first, Fault):
                if talk.messages == talks("")[0].messages and not talk.extra:
                    raise Broken(13, f"build refuses a plain talk: {first.message}", "serve it.")
                continue
            check_address(subject, first)
            check_secrets(subject, first)
            _check_losses(lost)
            schema = (
                any(isinstance(tool, Tool) and tool.schema for tool in talk.tools)
                and SCHEMA not in first.body
            )
            if schema and not any(name.startswith("tools") for name in lost):
                raise Broken(
                    16,
                    "a tool's schema is neither sent byte for byte nor named as a loss.",
                    "put Tool.schema in as msgspec.Raw; if the host can't take it, lose 'tools'.",
                )


def _twice(subject: Subject, wire: Wire, call: Call, talk: Talk) -> tuple[object, tuple[str, ...]]:
    made, lost = _built(subject, wire, call, talk)
    return told(made), lost


def _built(
    subject: Subject, wire: Wire, call: Call, talk: Talk
) -> tuple[UpstreamRequest | Fault, tuple[str, ...]]:
    losses = Losses()
    try:
        made: object = examined(
            subject,
            "the wire's build",
            lambda: wire.build(call, subject.credential, talk, losses),
            1_000,
        )
    except Fault as fault:
        return fault, losses.names
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            12,
            f"the wire's build raised {type(error).__name__}: {error}",
            "lose what can't be said; raise `invalid(message, param)` where nothing is left.",
        ) from error
    if not isinstance(made, UpstreamRequest) or not isinstance(made.body, bytes):
        raise Broken(13, f"the wire's build returned {type(made).__name__}.", "UpstreamRequest.")
    return made, losses.names


def _check_losses(lost: tuple[str, ...]) -> None:
    for name in lost:
        if not _LOSS.fullmatch(name):
            raise Broken(
                13,
                f"a loss is called {name!r}.",
                "use the client's own name: `seed`, `messages[2].content[0].detail`.",
            )


def _wire_samples(subject: Subject, kind: str) -> Sequence[Sample]:
    found = samples_of(subject, "wire", kind)
    if not found:
        raise Unfit(f"there is no sample for the wire with {kind}: give some in SAMPLES")
    return found


def events_of(subject: Subject, wire: Wire, call: Call, pieces: list[bytes]) -> list[Event]:
    """What a reader makes of a stream."""

    def read() -> list[Event]:
        reader = wire.reader(call)
        found: list[Event] = []
        for piece in pieces:
            found += reader.feed(piece)
        return [*found, *reader.finish()]

    try:
        return examined(subject, "the wire's reader", read, sum(map(len, pieces)) + len(pieces))
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            4,
            f"the wire's reader raised {type(error).__name__}: {error}",
            "skip an event that can't be read, or yield Broke(Fault(...)).",
        ) from error


def reader_is_exact(subject: Subject, wire: Wire) -> None:
    """Events mean the same however the bytes are cut, in the order the form asks for."""
    for sample in _wire_samples(subject, "stream"):
        call = subject.call("chat", request_of(sample, PLAIN), stream=True)
        whole = events_of(subject, wire, call, [sample.streamed])
        for pieces in splits(sample.streamed):
            if said(events_of(subject, wire, call, pieces)) != said(whole):
                raise Broken(
                    3,
                    f"'{sample.name}' cut in {len(pieces)} pieces is read differently.",
                    "keep what is not complete for the next feed; `sse.Splitter` does.",
                )
        check_order(sample.name, whole)
        _check_read(subject, sample, whole)


def _check_read(subject: Subject, sample: Sample, events: list[Event]) -> None:
    used = [event.usage for event in events if isinstance(event, Used)]
    for usage in used:
        check_usage(subject, usage)
    check_counts(sample, used[-1] if used else None)
    text = "".join(event.text for event in events if isinstance(event, Grew))
    text = (
        "".join(
            event.part.text
            for event in events
            if isinstance(event, Opened) and isinstance(event.part, Text)
        )
        + text
    )
    if sample.text is not None and sample.text not in text:
        raise Broken(13, f"'{sample.name}' is read as {text!r}.", "yield all that was said.")


def said(events: list[Event]) -> object:
    """Events as comparable values."""
    return [
        (type(event).__name__, told(event.fault)) if isinstance(event, Broke) else event
        for event in events
    ]


def check_order(name: str, events: list[Event]) -> None:
    """Began, parts that open, grow and close, Stopped, Used, Ended."""
    opened: set[int] = set()
    known = 0
    ended = used = stopped = False
    for place, event in enumerate(events):
        wrong = ""
        if ended:
            wrong = f"{type(event).__name__} comes after Ended"
        elif place == 0 and not isinstance(event, Began | Broke):
            wrong = f"{type(event).__name__} comes before Began"
        elif isinstance(event, Began) and place:
            wrong = "Began comes twice"
        elif isinstance(event, Opened):
            wrong = f"part {event.index} opens as number {known}" * (event.index != known)
            known += 1
            opened.add(event.index)
        elif isinstance(event, Closed):
            wrong = "a part closes that is not open" * (event.index not in opened)
            opened.discard(event.index)
        elif isinstance(event, Grew):
            wrong = "a part grows that is not open" * (event.index not in opened)
        elif isinstance(event, Stopped):
            wrong = "Stopped comes while a part is open" * bool(opened)
            stopped = True
        elif isinstance(event, Ended):
            wrong = "Ended comes before Used" * (not used)
            ended = True
        used = used or isinstance(event, Used)
        if wrong:
            raise Broken(13, f"'{name}': {wrong}.", "see the order in docs/translation.md.")
    if not any(isinstance(event, Broke) for event in events) and not (ended and stopped):
        raise Broken(5, f"'{name}' is whole, and never Ended.", "yield Stopped, Used, Ended.")


def cut_is_not_ended(subject: Subject, wire: Wire) -> None:
    """A stream that was cut never yields Ended."""
    for sample in _wire_samples(subject, "stream"):
        wire_bytes = sample.streamed
        call = subject.call("chat", request_of(sample, PLAIN), stream=True)
        mark = wire_bytes.find(sample.end_mark.encode()) if sample.end_mark else -1
        for at in {0, len(wire_bytes) // 4, len(wire_bytes) // 2 if mark < 0 else mark}:
            if any(isinstance(e, Ended) for e in events_of(subject, wire, call, [wire_bytes[:at]])):
                raise Broken(
                    5,
                    f"'{sample.name}' cut after {at} of {len(wire_bytes)} bytes yields Ended.",
                    "yield it at the provider's own end mark alone.",
                )


def reader_bears_bad_bytes(subject: Subject, wire: Wire) -> None:
    """Nothing that a provider sends makes the reader raise, or run on."""
    call = subject.call("chat", PLAIN["chat"], stream=True)
    wires = list(garbage())
    for sample in samples_of(subject, "wire", "stream"):
        wires += mutants(sample.streamed)
    for one in wires:
        for event in events_of(subject, wire, call, [one]):
            if isinstance(event, Used):
                check_usage(subject, event.usage, sane=False)


def wire_reads(subject: Subject, wire: Wire) -> None:
    """A whole answer becomes an Answer, and of anything else nothing but a Fault."""
    samples = samples_of(subject, "wire", "answer")
    for body in (*garbage(), *(bad for sample in samples for bad in mutants(sample.whole))):
        _read(subject, wire, Sample("wire"), body)
    for sample in samples:
        made = _read(subject, wire, sample, sample.whole)
        if isinstance(made, Fault):
            raise Broken(6, f"'{sample.name}' is refused: {made.message}", "read it.")
        check_counts(sample, made.usage)


def _read(subject: Subject, wire: Wire, sample: Sample, body: bytes) -> Answer | Fault:
    call = subject.call("chat", request_of(sample, PLAIN))
    try:
        made: object = examined(
            subject, "the wire's read", lambda: wire.read(call, sample.headers, body), len(body)
        )
    except Fault as fault:
        return fault
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            12,
            f"the wire's read raised {type(error).__name__}: {error}, for {body[:60]!r}.",
            "raise a Fault(UPSTREAM_ERROR, ...) for an answer that can't be read.",
        ) from error
    if not isinstance(made, Answer):
        raise Broken(13, f"the wire's read returned {type(made).__name__}.", "return an Answer.")
    if made.usage is not None:
        check_usage(subject, made.usage, sane=body == sample.whole)
    return made


def login_ends(subject: Subject, login: Login) -> None:
    """A login is pure, and comes to a Token or a Fault in a few steps, whatever it is told."""
    for answer in (None, b"", b"{}", b"[]", b"\xff", b'{"access_token":7,"expires_in":"x"}'):
        _log_in(subject, login, answer)


def _log_in(subject: Subject, login: Login, answer: bytes | None) -> None:
    answers: tuple[bytes | None, ...] = ()
    for _ in range(_STEPS):
        step = _stepper(login, subject, answers)
        made = _step(subject, step)
        if _comparable(_step(subject, step)) != _comparable(made):
            raise Broken(1, "a step of the login differs from itself.", "keep no state.")
        if isinstance(made, Token | Fault):
            return
        if isinstance(made, UpstreamRequest) and any(
            secret in made.url for secret in subject.saying.secrets.values() if len(secret) > 7
        ):
            raise Broken(15, "a login's URL holds a secret.", "send it in a header or the body.")
        if not isinstance(made, UpstreamRequest | ReadFile):
            raise Broken(14, f"a step gave {type(made).__name__}.", "see `Login`.")
        answers = (*answers, answer)
    raise Broken(
        14,
        f"the login comes to no end in {_STEPS} steps when each is answered {answer!r}.",
        "raise a Fault when an answer is None or can't be read.",
    )


def _stepper(
    login: Login, subject: Subject, answers: tuple[bytes | None, ...]
) -> Callable[[], object]:
    return lambda: login.step(subject.credential, 1_767_225_600.0, answers)


def _step(subject: Subject, step: Callable[[], object]) -> object:
    try:
        return examined(subject, "a step of the login", step)
    except Fault as fault:
        return fault
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            14, f"a step of the login raised {type(error).__name__}: {error}", "raise a Fault."
        ) from error


def _comparable(made: object) -> object:
    if isinstance(made, Fault):
        return told(made)
    return msgspec.to_builtins(made) if isinstance(made, msgspec.Struct) else made
