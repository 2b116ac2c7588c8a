"""How the simulator is to behave: from a route's upstream name, and from the request over it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from gateway.sdk import Call, Script, invalid
from gateway.sdk import ScriptSend as Send
from gateway.sdk import ScriptWait as Wait

MAX_TOKENS = 20_000
MAX_FILE = 1 << 20
JSON = ("content-type", "application/json")
_MESSAGES = {
    400: ("invalid_request_error", "The simulated provider refuses this request."),
    401: ("authentication_error", "The simulated provider refuses this credential."),
    429: ("rate_limit_error", "The simulated provider is rate limiting."),
}

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True):
    """How to answer."""

    text: str | None = None
    tokens: Count | None = None
    pace: Seconds = 0.0
    delay: Seconds = 0.0
    status: Annotated[int, Meta(ge=200, le=599)] = 200
    retry_after: str | None = None
    code: Annotated[str, Meta(max_length=64, pattern=r"^[\w.-]+$")] | None = None
    cut: Count | None = None
    usage: bool = True
    takes: Seconds = 2.0
    fails: Annotated[str, Meta(max_length=64, pattern=r"^[\w.-]+$")] | None = None
    size: Annotated[int, Meta(ge=1, le=MAX_FILE)] | None = None


def behaviour_of(call: Call) -> Behaviour:
    """The route's behaviour, with what the request asks for laid over it."""
    _, _, query = call.upstream.partition("?")
    wanted: dict[str, Any] = dict(parse_qsl(query))
    asked = call.body.get("sim")
    try:
        if asked is not None and asked != b"null":
            wanted |= msgspec.json.decode(asked, type=dict[str, Any])
        if isinstance(wanted.get("retry_after"), (int, float)):
            wanted["retry_after"] = str(wanted["retry_after"])
        return msgspec.convert(wanted, Behaviour, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"'sim' is not valid: {error}.", "sim") from None


def refusal(behaviour: Behaviour) -> Script:
    headers = [JSON]
    if behaviour.retry_after is not None:
        headers.append(("retry-after", behaviour.retry_after))
    return Script(
        behaviour.status, headers, [Send(msgspec.json.encode(error_of(behaviour)).decode())]
    )


def error_of(behaviour: Behaviour) -> dict[str, Any]:
    kind, message = _MESSAGES.get(
        behaviour.status, ("server_error", "The simulated provider is out of order.")
    )
    return {"error": {"message": message, "type": kind, "code": behaviour.code, "param": None}}


def waited(script: Script, behaviour: Behaviour) -> Script:
    """The same after the delay that is asked for."""
    if not behaviour.delay:
        return script
    return Script(script.status, script.headers, [Wait(behaviour.delay), *script.steps])
