"""MiniMax: OpenAI's wire, failures inside a 200, thinking inside the content unless asked apart."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.sdk import (
    Call,
    Fault,
    JsonBody,
    ProviderError,
    Quirks,
    Spelling,
    compatible,
    fault_in_body,
    normalise,
    provider_fault,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import (
    EXHAUSTED,
    FAILED,
    INVALID,
    POLICY,
    RATE,
    REFUSED,
    TIMEOUT,
    caused,
)

_CAUSES: Mapping[str, str] = {
    "1001": TIMEOUT,
    "1002": RATE,
    "1039": RATE,
    "1026": POLICY,
    "1027": POLICY,
    "1042": INVALID,
    "2013": INVALID,
    "1004": REFUSED,
    "1008": EXHAUSTED,
    "2038": REFUSED,
    "2049": REFUSED,
    "2056": EXHAUSTED,
}


class _BaseResponse(msgspec.Struct):
    status_code: int | str | None = None
    status_msg: str | None = None


class _Head(msgspec.Struct):
    base_resp: _BaseResponse | None = None


_decode = msgspec.json.Decoder(_Head).decode


def fault_in(body: bytes) -> Fault | None:
    """This host reports failures in `base_resp` under a 200."""
    return _told(200, body) or (fault_in_body(body) if b'"base_resp"' not in body else None)


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The same codes, should they come under another status."""
    return _told(status, body) or provider_fault(status, headers, body)


def _told(status: int, body: bytes) -> Fault | None:
    if b'"base_resp"' not in body:
        return None
    try:
        said = _decode(body).base_resp
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    code = "0" if said is None else str(said.status_code or 0)
    if said is None or code == "0":
        return None
    provider = ProviderError(status=status, code=code[:20])
    return caused(_CAUSES.get(code, FAILED), said.status_msg or f"code {code[:20]}", provider)


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """M3 can be told not to think; the models before it always do."""
    wish = normalise.wish(body)
    changes: dict[str, bytes | None] = {}
    asked = normalise.asked(body)
    if asked:
        changes |= dict.fromkeys(asked)
        if "m3" in call.upstream.lower() and wish.on is not None:
            changes["thinking"] = b'{"type":"adaptive"}' if wish.on else b'{"type":"disabled"}'
            if wish.effort not in ("", "none") or wish.budget:
                losses.lose(asked[0])
        else:
            losses.lose(asked[0])
    if "reasoning_split" not in body:
        changes["reasoning_split"] = b"true"
    return body.replace(changes)


CHAT = compatible(
    "minimax",
    quirks=Quirks(
        clamp={"temperature": (0.01, 1.0)},
        roles={"developer": "system"},
        steps=(
            normalise.tools_only,
            normalise.some_tools,
            normalise.flat_text,
            normalise.one_system,
            normalise.one_choice,
            normalise.without(
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "frequency_penalty",
                "presence_penalty",
                "seed",
            ),
            normalise.choices_of_tool("auto", "none"),
            normalise.json_object_only,
            thinking,
        ),
    ),
    operations=("chat",),
    fault_in=fault_in,
    fault=fault,
    spelling=Spelling(
        details=True,
        tags=True,
        finish={"max_output": "length", "sensitive": "content_filter"},
    ),
)
