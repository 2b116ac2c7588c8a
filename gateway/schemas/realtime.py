"""Realtime sessions: what of their query, of a client secret and of a session is read here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.schemas.chat import Text


class SessionRequest(Struct):
    """What a session is asked for with: the query's model, and what a client secret has preset."""

    model: Text
    session: dict[str, msgspec.Raw] | None = None
    stream: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


class ExpiresAfter(Struct):
    """For how long a client secret opens sessions."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=10, le=7200)] = 600


class PresetSession(Struct):
    """A session as a client secret presets it; what else it holds is the provider's to judge."""

    type: Literal["realtime"] = "realtime"
    model: Text | None = None


class SecretRequest(Struct):
    """POST realtime/client_secrets."""

    expires_after: ExpiresAfter | None = None
    session: PresetSession | None = None


decoder = msgspec.json.Decoder(SessionRequest)
secret_decoder = msgspec.json.Decoder(SecretRequest)
