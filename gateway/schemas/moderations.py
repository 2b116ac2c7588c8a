"""POST moderations, straight through."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from gateway.schemas.chat import Text, text_or_list


class ModerationRequest(Struct):
    """The known fields. Who names no model gets the first of its kind in the catalog."""

    input: Raw
    model: Text = ""
    stream: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None

    def __post_init__(self) -> None:
        text_or_list(self.input, "input")


decoder = msgspec.json.Decoder(ModerationRequest)
