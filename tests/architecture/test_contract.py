"""What third parties build against does not change by accident."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import gateway.sdk
from gateway.errors import TABLE
from gateway.plugins import contract_problem, installed
from gateway.sdk import Adapter

ROOT = Path(__file__).parents[2]

SDK = [
    "CONTRACT",
    "INVALID_REQUEST",
    "NO_UPSTREAM",
    "PASSTHROUGH",
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "UPSTREAM_ERROR",
    "UPSTREAM_TIMEOUT",
    "Adapter",
    "Answered",
    "Call",
    "Credential",
    "Dialogue",
    "Encoded",
    "Fault",
    "File",
    "Frames",
    "Further",
    "Job",
    "JsonBody",
    "Operation",
    "Piece",
    "Progress",
    "ProviderError",
    "Quirks",
    "Reply",
    "Script",
    "ScriptCut",
    "ScriptSend",
    "ScriptWait",
    "Spelling",
    "StreamMeter",
    "Translator",
    "UpstreamRequest",
    "Usage",
    "adapted",
    "bearer",
    "clean",
    "compatible",
    "fault_in_body",
    "form",
    "hearing",
    "invalid",
    "normalise",
    "openai_usage",
    "painting",
    "provider_fault",
    "ranking",
    "read_error",
    "realtime",
    "reasoning_outside",
    "retry_after",
    "transcripts",
    "vectors",
    "voices",
    "with_stream_usage",
]

# code: status, type, error_type
ERRORS = {
    "invalid_request": (400, "invalid_request_error", "invalid_request"),
    "missing_client_ip": (400, "invalid_request_error", "missing_client_ip"),
    "authentication_error": (401, "authentication_error", "authentication_required"),
    "paid_model_auth_required": (401, "authentication_error", "paid_model_auth_required"),
    "promotion_limit_reached": (401, "authentication_error", "promotion_limit_reached"),
    "budget_exhausted": (402, "billing_error", "budget_exhausted"),
    "model_not_allowed": (403, "permission_error", "model_not_allowed"),
    "insufficient_scope": (403, "permission_error", "insufficient_scope"),
    "model_not_found": (404, "not_found_error", "model_not_found"),
    "not_found": (404, "not_found_error", "not_found"),
    "method_not_allowed": (405, "invalid_request_error", "method_not_allowed"),
    "request_timeout": (408, "invalid_request_error", "request_timeout"),
    "idempotency_in_use": (409, "invalid_request_error", "idempotency_in_use"),
    "idempotency_mismatch": (422, "invalid_request_error", "idempotency_mismatch"),
    "request_too_large": (413, "invalid_request_error", "request_too_large"),
    "unsupported_media_type": (415, "invalid_request_error", "unsupported_media_type"),
    "rate_limit_exceeded": (429, "rate_limit_error", "rate_limit_exceeded"),
    "client_closed": (499, "invalid_request_error", "client_closed"),
    "internal_error": (500, "upstream_error", "internal_error"),
    "not_implemented": (501, "upstream_error", "not_implemented"),
    "upstream_error": (502, "upstream_error", "upstream_error"),
    "no_upstream": (503, "upstream_error", "temporarily_unavailable"),
    "upstream_timeout": (504, "upstream_error", "upstream_timeout"),
}


def test_sdk_names() -> None:
    """The SDK offers exactly these names."""
    assert sorted(gateway.sdk.__all__) == sorted(SDK)
    assert all(hasattr(gateway.sdk, name) for name in SDK)


def test_error_table() -> None:
    """Codes, statuses and both kinds of type are what clients match on."""
    assert {c: (k.status, k.type, k.error_type) for c, k in TABLE.items()} == ERRORS


def test_every_declared_adapter_loads() -> None:
    """Each entry point of ours is an adapter of the contract."""
    ours = [entry for entry in installed() if entry.value.startswith("providers_plugins.")]
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg")
    names = declared["options.entry_points"]["gateway.providers"].split("\n")
    assert {entry.name for entry in ours} == {line.split("=")[0].strip() for line in names if line}
    for entry in ours:
        adapter = entry.load()
        assert contract_problem(adapter) is None, entry.name
        assert isinstance(adapter, Adapter)


def test_runtime_dependencies_stay_few() -> None:
    """Twelve at most, each with its reason written down."""
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg")
    lines = declared["options"]["install_requires"].split("\n")
    names = [line.split(">")[0].split(";")[0].strip() for line in lines if line.strip()]
    assert len(names) <= 12
    reasons = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"`{name}`" in reasons for name in names)
