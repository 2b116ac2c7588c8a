"""OpenAI: the wire that everybody else calls compatible. Bytes go through untouched.

Some models answer on its Responses API alone: their routes say `options: {api: responses}`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from gateway.sdk import compatible, responses_operation
from gateway.sdk.talk import responses_wire

_COMPATIBLE = compatible("openai")


def native(operation: str, upstream: str, options: Mapping[str, str]) -> bool:
    """Whether the operation itself serves the model."""
    del upstream
    return operation != "chat" or options.get("api") != "responses"


ADAPTER = structs.replace(
    _COMPATIBLE,
    operations={**_COMPATIBLE.operations, "responses": responses_operation()},
    wire=responses_wire(),
    native=native,
)
