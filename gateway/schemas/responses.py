"""POST responses: the fields the gateway itself reads or vouches for."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.errors import invalid
from gateway.schemas.chat import Count, Part, Text, UsageOptions, text_or_list

_ABSENT = Raw(b"null")


class ResponsesRequest(Struct):
    """The known fields of a call in the Responses dialect."""

    model: Text
    input: Raw = _ABSENT
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=512)] | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    tools: list[Part] | None = None
    tool_choice: str | dict[str, Raw] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Raw] | None = None
    reasoning: dict[str, Raw] | None = None
    metadata: dict[str, str] | None = None
    usage: UsageOptions | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None

    def __post_init__(self) -> None:
        if self.input == _ABSENT:
            raise invalid("'input' is missing: a string or an array of items.", "input")
        text_or_list(self.input, "input")
        if self.background:
            raise invalid(
                "This gateway does not run responses in the background. Leave 'background' out, "
                "and stream a long answer.",
                "background",
            )


decoder = msgspec.json.Decoder(ResponsesRequest)
