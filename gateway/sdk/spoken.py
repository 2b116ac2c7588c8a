"""Every dialect over any wire: one typed form between them.

A `Wire` is how a provider is spoken to, a `Dialect` how a client speaks. `translated` makes of a
pair the operation that the gateway runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from gateway.core.body import JsonBody, check_values
from gateway.core.meter import Translator
from gateway.core.talk.events import Began, Writer
from gateway.core.talk.free_text import FreeTextWriter, as_free_text, free_text_tools
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.domain import Credential, UpstreamRequest
from gateway.sdk.adapter import Call, Operation, Reply, Wire


class Dialect(Struct, frozen=True):
    """A client's way to speak: its requests read, whole and streamed answers written.

    `write` and `writer` are given the client's own body: it says how an answer is wanted.
    `free_text`: its tools may take free text, and such calls are answered as free text.
    """

    name: str
    read: Callable[[JsonBody, Losses], Talk]
    write: Callable[[JsonBody, Answer], bytes]
    writer: Callable[[JsonBody], Writer]
    free_text: bool = False

    def free_text_tools(self, body: JsonBody) -> frozenset[str]:
        """The names of the tools in a client's body that take free text."""
        return free_text_tools(body) if self.free_text else frozenset()


# Members of other dialects that say how much is answered: money was set aside for what this one's
# own say.
_AMOUNTS = ("n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens")


def _lose_amounts(talk: Talk, losses: Losses) -> None:
    for name in _AMOUNTS:
        if talk.extra.pop(name, b"null") != b"null":
            losses.lose(name)


def translated(dialect: Dialect, wire: Wire) -> Operation:
    """The operation that hears one dialect and speaks one wire."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        check_values(call.body.raw)
        losses = Losses()
        talk = dialect.read(call.body, losses)
        _lose_amounts(talk, losses)
        talk.model = call.upstream
        talk.stream = call.stream
        request = wire.build(call, credential, talk, losses)
        return structs.replace(request, translated=True, adapted=losses.names)

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        answer = wire.read(call, headers, body)
        names = dialect.free_text_tools(call.body)
        answer.parts = [as_free_text(part, names) for part in answer.parts]
        answer.id = answer.id or call.id
        answer.model = answer.model or call.upstream
        answer.created = answer.created or int(call.now)
        return Reply(dialect.write(call.body, answer), answer.usage)

    def stream(call: Call) -> Translator:
        began = Began(call.id, call.upstream, int(call.now))
        writer = dialect.writer(call.body)
        names = dialect.free_text_tools(call.body)
        if names:
            writer = FreeTextWriter(writer, names)
        return Interpreter(wire.reader(call), writer, began)

    return Operation(
        build=build, parse=parse, stream=stream, fault=wire.fault, expects=wire.expects
    )
