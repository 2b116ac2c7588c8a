"""Checks of sessions: what a dialogue makes of either side's messages, whatever they are."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.domain import Usage
from gateway.errors import Fault
from gateway.sdk.adapter import Dialogue, Frames, Operation
from gateway.sdk.testing.hostile import garbage, mutants
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import PLAIN, SESSION
from gateway.sdk.testing.streaming import check_usage, weight
from gateway.sdk.testing.subject import (
    Broken,
    Sample,
    Subject,
    Unfit,
    request_of,
)

Side = Literal["client", "provider"]
Script = Sequence[tuple[Side, bytes]]
_FLOOD = 160
_PIECE = 256 << 10
_MOST_KEPT = 32 << 20
_MUTANTS = 12


class Spoken(Struct, frozen=True):
    """What a session made of a script."""

    frames: tuple[Frames, ...]
    usage: tuple[Usage, ...]
    fault: tuple[str, str] | None

    @property
    def to_provider(self) -> tuple[bytes, ...]:
        """All that would have been sent to the provider."""
        return tuple(message for frame in self.frames for message in frame.to_provider)

    @property
    def to_client(self) -> tuple[bytes, ...]:
        """All that would have been sent to the client."""
        return tuple(message for frame in self.frames for message in frame.to_client)


def scripts(subject: Subject, name: str) -> list[tuple[Sample, Script]]:
    """What a client generally says, and the package's samples of sessions."""
    found: list[tuple[Sample, Script]] = [(Sample(name, "a usual client"), SESSION)]
    found += [
        (sample, [_message(sample, one) for one in sample.dialogue])
        for sample in subject.samples
        if sample.operation == name and sample.dialogue
    ]
    return found


def _message(sample: Sample, said: dict[str, Any]) -> tuple[Side, bytes]:
    for side in ("client", "provider"):
        if side in said:
            message = said[side]
            text = message if isinstance(message, str) else msgspec.json.encode(message)
            return side, text.encode() if isinstance(text, str) else text
    raise Broken(
        11,
        f"'{sample.name}' has a message of nobody.",
        'write {"client": ...} or {"provider": ...}.',
    )


def spoken(
    subject: Subject,
    name: str,
    operation: Operation,
    script: Script,
    sample: Sample | None = None,
    look: Callable[[Dialogue], None] = lambda _: None,
) -> Spoken:
    """A session from its opening to the end of the script."""
    make = operation.session
    if make is None:
        raise Unfit(f"'{name}' is no session")
    call = subject.call(name, request_of(sample or Sample(name), PLAIN))
    frames: list[Frames] = []
    usage: list[Usage] = []
    faults: list[object] = []

    def speak() -> None:
        dialogue = make(call, subject.credential)
        frames.append(dialogue.opening())
        greeting = getattr(dialogue, "greeting", None)
        for side, message in script:
            if side == "provider" and greeting is not None:
                faults.append(greeting(message))
            heard = dialogue.from_client if side == "client" else dialogue.from_provider
            frames.append(heard(message))
            usage.extend(dialogue.take_usage())
            look(dialogue)
        faults.append(dialogue.fault)

    try:
        examined(subject, "session", speak, sum(len(message) for _, message in script))
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            4,
            f"a session raised {type(error).__name__}: {error}",
            "answer a client's mistake with an error event, and set `fault` where the provider's "
            "message can't be read; both sides do send nonsense.",
        ) from error
    _check_frames(subject, frames, {message for _, message in script})
    for told in faults:
        if told is not None and not isinstance(told, Fault):
            raise Broken(6, f"fault is a {type(told).__name__}.", "set a Fault, or None.")
    last = faults[-1]
    code = (last.kind.code, last.message) if isinstance(last, Fault) else None
    return Spoken(tuple(frames), tuple(usage), code)


def _check_frames(subject: Subject, frames: Sequence[object], came: set[bytes]) -> None:
    """Frames are text; what goes through as it came is whatever it was."""
    for one in frames:
        if not isinstance(one, Frames):
            raise Broken(12, f"a session returned {type(one).__name__}.", "return Frames(...).")
        sent: list[object] = [*one.to_provider, *one.to_client]
        for message in sent:
            if not isinstance(message, bytes):
                kind = type(message).__name__
                raise Broken(12, f"a frame is a {kind}.", "give tuples of bytes.")
            if message not in came:
                _check_message(subject, message)


def _check_message(subject: Subject, message: bytes) -> None:
    try:
        message.decode()
    except UnicodeDecodeError as error:
        raise Broken(4, f"a frame is no text: {message!r:.60}.", "frames are UTF-8.") from error
    for secret in subject.saying.secrets.values():
        if len(secret) >= 8 and secret.encode() in message:
            raise Broken(15, "a frame holds a secret.", "send secrets in the handshake's headers.")


def sessions_are_pure(subject: Subject, name: str, operation: Operation) -> None:
    """The same messages give the same frames, and what samples say is in them is."""
    for sample, script in scripts(subject, name):
        first = spoken(subject, name, operation, script, sample)
        if spoken(subject, name, operation, script, sample) != first:
            raise Broken(
                1,
                f"'{sample.name}' gives other frames the second time.",
                "make ids from `call.id` and a count; keep nothing outside of the dialogue.",
            )
        told = b"\n".join(first.to_client)
        if sample.text is not None and sample.text.encode() not in told:
            raise Broken(4, f"'{sample.name}' lacks the text {sample.text!r}.", "write it.")
        for count in ("input", "output"):
            wanted = getattr(sample, count)
            found = sum(getattr(one, count) for one in first.usage)
            if wanted is not None and found != wanted:
                raise Broken(
                    7, f"'{sample.name}' counts {found} {count}, not {wanted}.", "count it once."
                )
        for usage in first.usage:
            check_usage(subject, usage, sane=True)


def sessions_name_the_model(subject: Subject, name: str, operation: Operation) -> None:
    """The route's model is asked for: in the URL, or in the first frames."""
    first = spoken(subject, name, operation, SESSION)
    call = subject.call(name, PLAIN["realtime"])
    asked = operation.build(call, subject.credential).url.encode() + b"".join(first.to_provider)
    if subject.saying.upstream.encode() not in asked:
        raise Broken(
            16,
            f"a session does not name the model '{subject.saying.upstream}'.",
            "name `call.upstream` in the URL, or in what `opening` sends.",
        )
    if b'"client-model"' in b"".join(first.to_provider):
        raise Broken(
            16, "a session sends the client's name for the model.", "send `call.upstream`."
        )


def bad_messages_are_borne(subject: Subject, name: str, operation: Operation) -> None:
    """Nonsense from either side, at any point, raises nothing."""
    nonsense = [*garbage(), b'{"type":7}', b'{"type":"x"}', b"[" * 3_000, b'{"a":' * 3_000]
    sides: tuple[Side, Side] = ("client", "provider")
    for sample, script in scripts(subject, name):
        for message in nonsense:
            for side in sides:
                spoken(subject, name, operation, [(side, message), *script], sample)
                spoken(subject, name, operation, [*script, (side, message)], sample)
        for at, (side, message) in enumerate(script):
            for mutant in list(mutants(message))[:: max(1, 120 // _MUTANTS)]:
                changed = [*script[:at], (side, mutant), *script[at + 1 :]]
                for usage in spoken(subject, name, operation, changed, sample).usage:
                    check_usage(subject, usage, sane=False)


def sessions_are_bounded(subject: Subject, name: str, operation: Operation) -> None:
    """A client that says ever more is not kept, whatever the provider does."""
    sound = base64.b64encode(bytes(_PIECE * 3 // 4))
    text = b"x" * _PIECE
    floods = (
        b'{"type":"input_audio_buffer.append","audio":"' + sound + b'"}',
        b'{"type":"conversation.item.create","item":{"type":"message","role":"user","content":'
        b'[{"type":"input_text","text":"' + text + b'"}]}}',
    )
    most = 0

    def look(dialogue: Dialogue) -> None:
        nonlocal most
        most = max(most, weight(dialogue))

    for flood in floods:
        script: Script = [("client", flood)] * _FLOOD
        spoken(subject, name, operation, script, look=look)
        if most > _MOST_KEPT:
            raise Broken(
                17,
                f"{most >> 20} MiB of a client's messages are kept.",
                "bound what waits for the provider, and set `fault` beyond it.",
            )
