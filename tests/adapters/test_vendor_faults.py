"""What each vendor's refusals mean, alone and inside answers, where no recording shows it.

MiniMax and Moonshot were never recorded: their bodies here are fakes written after the fact sheet.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk import Call, JsonBody
from providers_plugins import (
    alibaba,
    azure,
    deepseek,
    groq,
    minimax,
    mistral,
    moonshot,
    openrouter,
    zhipu,
)
from tests.adapters.vendors import NORMALISED, event, message_of, played

FAULTS = [
    (deepseek, 402, {"error": {"message": "Insufficient Balance"}}, "credential_exhausted"),
    (deepseek, 503, {"error": {"message": "busy"}}, "status_503"),
    (alibaba, 400, {"error": {"code": "data_inspection_failed"}}, "content_policy"),
    (alibaba, 400, {"code": "DataInspectionFailed", "message": "m"}, "content_policy"),
    (alibaba, 400, {"error": {"code": "Arrearage", "message": "m"}}, "credential_exhausted"),
    (alibaba, 429, {"error": {"code": "Throttling.RateQuota"}}, "provider_rate_limit"),
    (alibaba, 403, {"error": {"code": "AllocationQuota.FreeTierOnly"}}, "credential_exhausted"),
    (alibaba, 401, {"error": {"code": "invalid_api_key"}}, "credential_refused"),
    (moonshot, 429, {"error": {"type": "exceeded_current_quota_error"}}, "credential_exhausted"),
    (moonshot, 429, {"error": {"type": "engine_overloaded_error"}}, "provider_busy"),
    (moonshot, 429, {"error": {"type": "rate_limit_reached_error"}}, "provider_rate_limit"),
    (moonshot, 400, {"error": {"type": "content_filter", "message": "x"}}, "content_policy"),
    (zhipu, 429, {"error": {"code": "1302"}}, "provider_rate_limit"),
    (zhipu, 429, {"error": {"code": "1113"}}, "credential_exhausted"),
    (zhipu, 400, {"error": {"code": "1261", "message": "long"}}, "refused_by_provider"),
    (groq, 498, {"error": {"message": "capacity"}}, "provider_busy"),
    (openrouter, 402, {"error": {"code": 402, "message": "m"}}, "credential_exhausted"),
    (
        openrouter,
        403,
        {"error": {"code": 403, "message": "m", "metadata": {"reasons": ["hate"]}}},
        "content_policy",
    ),
    (openrouter, 403, {"error": {"code": 403, "message": "m"}}, "credential_refused"),
    (azure, 400, {"error": {"code": "content_filter", "message": "m"}}, "content_policy"),
    (
        azure,
        400,
        {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "m"}},
        "content_policy",
    ),
    (minimax, 400, {"base_resp": {"status_code": 1008}}, "credential_exhausted"),
    (mistral, 402, {"detail": "m"}, "credential_exhausted"),
]


@pytest.mark.parametrize(("module", "status", "body", "cause"), FAULTS)
def test_causes(module: Any, status: int, body: Any, cause: str) -> None:
    """Each code means what it means, and keeps the host's status."""
    raw = json.dumps(body).encode()
    fault = module.ADAPTER.operations["chat"].fault(status, {"retry-after-ms": "1500"}, raw)
    assert fault.cause == cause
    assert fault.provider.status == status
    if cause == "provider_rate_limit":
        assert fault.retry_after == 1.5
    if cause == "content_policy":
        assert fault.kind.status == 400


@pytest.mark.parametrize("wrapped", [False, True])
def test_mistral_names_the_member_it_refuses(wrapped: bool) -> None:
    """A list of places, plain or inside a message."""
    body: dict[str, Any] = {"detail": [{"loc": ["body", "messages", 0], "msg": "Extra inputs"}]}
    raw = json.dumps({"object": "error", "message": body} if wrapped else body).encode()
    fault = mistral.ADAPTER.operations["chat"].fault(422, {}, raw)
    assert (fault.kind.status, fault.param) == (400, "messages.0")
    assert fault.message == "messages.0: Extra inputs"


@pytest.mark.parametrize(
    "module", [*NORMALISED, azure], ids=lambda module: module.__name__.split(".")[-1]
)
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"\xff", b'{"error":[]}', b'{"error":{"code":{},"message":7}}',
     b'{"base_resp":7}', b'{"detail":[7]}', b'{"error":' + b"[" * 5000,
     b'{"choices":[{"error":7}]}',
     b'{"error":{"innererror":7,"metadata":[]}}', b'{"base_resp":{"status_code":[]}}'],
)  # fmt: skip
def test_hostile_refusals(module: Any, body: bytes) -> None:
    """No body makes a reading of a fault fail."""
    for operation in module.ADAPTER.operations.values():
        for status in (400, 402, 403, 422, 429, 500):
            assert isinstance(operation.fault(status, {}, body), Fault)
        assert isinstance(operation.fault_in(body), Fault | None)


BROKEN = [
    (zhipu, "network_error"),
    (deepseek, "insufficient_system_resource"),
    (mistral, "error"),
    (openrouter, "error"),
]


@pytest.mark.parametrize(("module", "reason"), BROKEN)
def test_broken_off(module: Any, reason: str) -> None:
    """A reason that is a failure breaks the stream, and fails a whole answer."""
    raw = event({"content": "x"}) + event({}, reason) + b"data: [DONE]\n\n"
    out, _, _, fault = played(module.ADAPTER, [raw])
    assert (message_of(out)[:2], fault) == (("x", ""), "broken_off")
    assert b"[DONE]" not in out
    body = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": reason}]}
    call = Call("chat", "up", "https://h", JsonBody.parse(b"{}"))
    with pytest.raises(Fault) as caught:
        module.ADAPTER.operations["chat"].parse(call, 200, {}, json.dumps(body).encode())
    assert caught.value.cause == "broken_off"


def test_openrouter_errors_inside_answers() -> None:
    """Beside choices and inside one; the host behind stays unnamed."""
    error = {"code": 429, "message": "m", "metadata": {"provider_name": "Hidden"}}
    fault_in = openrouter.ADAPTER.operations["chat"].fault_in
    for body in ({"error": error, "choices": [{"delta": {}}]}, {"choices": [{"error": error}]}):
        fault = fault_in(json.dumps(body).encode())
        assert fault is not None
        assert fault.cause == "provider_rate_limit"
        assert "Hidden" not in fault.message
    assert fault_in(b'{"choices":[{"message":{"content":"\\"error\\": {}"}}]}') is None
