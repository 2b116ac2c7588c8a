"""The OpenAPI 3.1 document of the admin API and of what users may ask of their own account."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.web.admin.accounts import AccountChange, Movement, NewAccount
from gateway.web.admin.common import admin
from gateway.web.admin.credentials import Bench
from gateway.web.admin.keys import NewKey
from gateway.web.exchange import Exchange

_BODIES = (NewAccount, AccountChange, Movement, NewKey, Bench)
_AMOUNT = {
    "type": "string",
    "description": "Dollars, in decimals.",
    "pattern": "^-?[0-9]+(\\.[0-9]+)?$",
}
_MAYBE_AMOUNT = {"type": ["string", "null"], "description": "Dollars, in decimals."}
_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_NUMBER = {"type": "integer"}
_MAYBE_NUMBER = {"type": ["integer", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}

_OBJECTS: dict[str, dict[str, Any]] = {
    "Account": {
        "id": _TEXT, "object": _TEXT, "name": _TEXT, "group": _MAYBE, "credit": _MAYBE_AMOUNT,
        "spend_limit": _MAYBE_AMOUNT, "period": _TEXT, "status": _TEXT, "created_at": _NUMBER,
        "balance": _AMOUNT, "held": _AMOUNT, "charged": _AMOUNT,
    },
    "Key": {
        "id": _TEXT, "object": _TEXT, "name": _TEXT, "prefix": _TEXT, "account": _MAYBE,
        "account_id": _MAYBE, "parent": _MAYBE, "allow": _TEXTS, "ips": _TEXTS, "scopes": _TEXTS,
        "rpm": _MAYBE_NUMBER, "tpm": _MAYBE_NUMBER, "concurrency": _MAYBE_NUMBER,
        "budget": _MAYBE_AMOUNT, "period": _TEXT, "created_at": _NUMBER,
        "expires_at": _MAYBE_NUMBER, "revoked_at": _MAYBE_NUMBER,
        "fidelity": {"type": "string", "enum": ["adapt", "strict"]},
        "provider": {"type": ["object", "null"]},
    },
    "Call": {
        "id": _MAYBE, "object": _TEXT, "at": {"type": "number"}, "account": _MAYBE, "key": _MAYBE,
        "child": _MAYBE, "model": _MAYBE, "route": _MAYBE, "provider": _MAYBE, "status": _NUMBER,
        "flag": _MAYBE, "input_tokens": _NUMBER, "output_tokens": _NUMBER,
        "cached_tokens": _NUMBER, "cost": _AMOUNT,
    },
    "Catalog": {
        "object": _TEXT, "revision": _TEXT, "loaded_at": _NUMBER, "last_error": _MAYBE,
        "models": _NUMBER, "routes": _NUMBER,
    },
    "AuditEntry": {
        "id": _TEXT, "object": _TEXT, "at": {"type": "number"}, "actor": _TEXT, "act": _TEXT,
        "subject": _TEXT, "detail": {"type": "object"},
    },
    "Error": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "type": _TEXT, "code": _TEXT, "param": _MAYBE},
            "required": ["message", "type", "code", "param"],
        }
    },
}  # fmt: skip

_SEARCH = ("account", "key", "model", "route", "provider", "status", "flag", "since", "until")
_PAGE = ("after", "limit")
_CREDENTIAL = "/admin/v1/credentials/{provider}/{name}"
_IN_PATH = re.compile(r"{(\w+)}")
# Path, method -> summary, body, answer, whether it is a list of them, query.
_Row = tuple[str, str | None, str | None, bool, tuple[str, ...]]
OPERATIONS: dict[tuple[str, str], _Row] = {
    ("/admin/v1/accounts", "get"): ("List accounts", None, "Account", True, _PAGE),
    ("/admin/v1/accounts", "post"): ("Open an account", "NewAccount", "Account", False, ()),
    ("/admin/v1/accounts/{id}", "get"): ("Show an account", None, "Account", False, ()),
    ("/admin/v1/accounts/{id}", "patch"): ("Change one", "AccountChange", "Account", False, ()),
    ("/admin/v1/accounts/{id}/topups", "post"): ("Top up", "Movement", "Account", False, ()),
    ("/admin/v1/accounts/{id}/adjustments", "post"): ("Adjust", "Movement", "Account", False, ()),
    ("/admin/v1/keys", "get"): ("List keys", None, "Key", True, ("account", *_PAGE)),
    ("/admin/v1/keys", "post"): ("Make a key", "NewKey", "Key", False, ()),
    ("/admin/v1/keys/{id}", "get"): ("Show a key", None, "Key", False, ()),
    ("/admin/v1/keys/{id}", "delete"): ("Revoke a key", None, "Key", False, ()),
    ("/admin/v1/keys/{id}/revoke", "post"): ("Revoke a key", None, "Key", False, ()),
    ("/admin/v1/credentials", "get"): ("How credentials stand", None, None, True, ()),
    (f"{_CREDENTIAL}/bench", "post"): ("Keep one out", "Bench", None, False, ()),
    (f"{_CREDENTIAL}/restore", "post"): ("Let it back in", None, None, False, ()),
    ("/admin/v1/catalog", "get"): ("The catalog in service", None, "Catalog", False, ()),
    ("/admin/v1/catalog/reload", "post"): ("Read its file again", None, "Catalog", False, ()),
    ("/admin/v1/usage", "get"): (
        "Sum up usage", None, None, True,
        ("by", "since", "until", "account", "key", "limit", "offset"),
    ),
    ("/admin/v1/calls", "get"): ("Search calls", None, "Call", True, (*_SEARCH, *_PAGE)),
    ("/admin/v1/calls/{id}", "get"): ("Show a call's receipt", None, None, False, ()),
    ("/admin/v1/flagged", "get"): ("List flagged calls", None, "Call", True, (*_SEARCH, *_PAGE)),
    ("/admin/v1/audit", "get"): ("Read the audit log", None, "AuditEntry", True, _PAGE),
    ("/admin/v1/ledger/export", "get"): (
        "Export the ledger", None, None, False, ("format", "since", "until"),
    ),
    ("/admin/v1/openapi.json", "get"): ("This document", None, None, False, ()),
    ("/v1/key", "get"): ("Show the key in use", None, "Key", False, ()),
    ("/v1/usage", "get"): ("The key's usage", None, None, True, ("of", "by", "since", "until")),
    ("/v1/balance", "get"): ("The account's balance", None, None, False, ()),
    ("/v1/receipts/{id}", "get"): ("A call's receipt", None, None, False, ()),
    ("/v1/explain", "post"): ("Show where a call would go", None, None, False, ("endpoint",)),
    ("/v1/quote", "post"): ("Price a body on every route", None, None, False, ()),
}  # fmt: skip


async def document(exchange: Exchange) -> None:
    """Serve the document."""
    await admin(exchange)
    exchange.answer(describe(exchange.site.version))


def describe(version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    for (path, method), row in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(path, method, row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Isthmus Gateway", "version": version},
        "paths": paths,
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _operation(path: str, method: str, row: _Row) -> dict[str, Any]:
    summary, body, answer, many, query = row
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "required": False, "schema": _TEXT} for name in query
    ]
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in _IN_PATH.findall(path)
    ]
    if method == "post":
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, "schema": _TEXT}
        )
    made = method == "post" and body is not None and answer is not None
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": method + _IN_PATH.sub("one", path).replace("/", "_").replace(".", "_"),
        "parameters": parameters,
        "responses": {
            "201" if made else "200": _response(answer, many),
            "default": _response("Error", False),
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, **_content(_ref(body))}
    return operation


def _response(answer: str | None, many: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} if answer is None else _ref(answer)
    if many:
        schema = {
            "type": "object",
            "properties": {
                "object": _TEXT,
                "data": {"type": "array", "items": schema},
                "has_more": {"type": "boolean"},
            },
            "required": ["object", "data", "has_more"],
        }
    return {"description": answer or "The answer", **_content(schema)}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Any]:
    _, bodies = msgspec.json.schema_components(_BODIES, ref_template="#/components/schemas/{name}")
    objects = {
        name: {"type": "object", "properties": fields, "required": sorted(fields)}
        for name, fields in _OBJECTS.items()
    }
    return {**bodies, **objects}
