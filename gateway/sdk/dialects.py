"""How clients may speak, and which operation of an adapter serves each of these dialects."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.talk import chat, messages
from gateway.sdk.adapter import Adapter, Operation
from gateway.sdk.over_chat import over_chat
from gateway.sdk.over_images import over_images
from gateway.sdk.responding import RESPONSES
from gateway.sdk.spoken import Dialect, translated

DIALECTS: Mapping[str, Dialect] = {
    "chat": Dialect("chat", chat.read_request, chat.write_answer, chat.Writer, free_text=True),
    "messages": Dialect("messages", messages.read_request, messages.write_answer, messages.Writer),
    "responses": RESPONSES,
}


def own_operation(
    adapter: Adapter, operation: str, upstream: str, options: Mapping[str, str]
) -> Operation | None:
    """The adapter's own operation, where it has it and serves this model with it."""
    own = adapter.operations.get(operation)
    if own is None or adapter.native is None or adapter.native(operation, upstream, options):
        return own
    return None


def serving(
    adapter: Adapter,
    operation: str,
    upstream: str,
    options: Mapping[str, str],
    kind: str = "chat",
) -> Operation | None:
    """What serves a call: the adapter's own operation, or a translation to what it speaks.

    `kind` is the model's: one that makes pictures is talked with through its "images" operation,
    where there is no other way to talk with it.
    """
    dialect = DIALECTS.get(operation)
    talks = adapter.paints is not None and adapter.paints(upstream)
    if kind == "image" and dialect is not None and not talks:
        painting = own_operation(adapter, "images", upstream, options)
        if painting is not None:
            return translated(dialect, over_images(adapter.operations))
    own = own_operation(adapter, operation, upstream, options)
    if own is not None or dialect is None:
        return own
    chatting = own_operation(adapter, "chat", upstream, options)
    wire = adapter.wire
    if chatting is not None:
        wire = over_chat(chatting, free_text=adapter.free_text)
    return None if wire is None else translated(dialect, wire)
