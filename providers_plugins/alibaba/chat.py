"""Alibaba's Model Studio (DashScope), compatible mode: Qwen thinks by two members of its own."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk import (
    Call,
    Fault,
    JsonBody,
    Quirks,
    compatible,
    normalise,
    provider_fault,
    read_error,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import EXHAUSTED, INVALID, POLICY, RATE, REFUSED, caused

# Thinking tokens for an effort; above these, the model's own limit holds. A choice of ours.
_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 16384}

# By the beginning of the code, in lower case: "Throttling.RateQuota" is a "throttling".
_CAUSES: Mapping[str, str] = {
    "datainspectionfailed": POLICY,
    "data_inspection_failed": POLICY,
    "invalidparameter.datainspection": POLICY,
    "arrearage": EXHAUSTED,
    "allocationquota.freetieronly": EXHAUSTED,
    "throttling.allocationquota": RATE,
    "insufficient_quota": RATE,  # of the minute, not of the account: that is Arrearage
    "throttling": RATE,
    "limit_requests": RATE,
    "invalidapikey": REFUSED,
    "invalid_api_key": REFUSED,
    "accessdenied": REFUSED,
    "access_denied": REFUSED,
    "invalidparameter": INVALID,
}


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The code says more than the status: an unpaid bill is a 400 here."""
    found = provider_fault(status, headers, body)
    said = read_error(body)
    code = (said.code or said.type or "").lower()
    for known, cause in _CAUSES.items():
        if code.startswith(known) and found.provider is not None:
            return caused(cause, said.message, found.provider, found.retry_after)
    return found


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """`enable_thinking` and `thinking_budget`, unless the client uses them itself."""
    del call
    wish = normalise.wish(body)
    asked = normalise.asked(body)
    if not asked:
        return body
    changes: dict[str, bytes | None] = dict.fromkeys(asked)
    if wish.on is not None and "enable_thinking" not in body:
        changes["enable_thinking"] = b"true" if wish.on else b"false"
    budget = wish.budget or _BUDGETS.get(wish.effort)
    if wish.on and budget is not None and "thinking_budget" not in body:
        changes["thinking_budget"] = normalise.encoded(budget)
    elif wish.effort in _BUDGETS:
        losses.lose(asked[0])
    if "enable_thinking" in body or wish.on is None:
        losses.lose(asked[0])
    return body.replace(changes)


CHAT = compatible(
    "alibaba",
    quirks=Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        roles={"developer": "system"},
        steps=(
            normalise.tools_only_named,
            normalise.some_tools,
            normalise.without("logit_bias"),
            thinking,
        ),
    ),
    operations=("chat",),
    fault=fault,
)
