"""How keys, accounts and charges are shown: the same on the command line and in every API."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.money.amounts import dollars
from gateway.domain import Account, Key, KeyChange


def key_view(key: Key) -> dict[str, Any]:
    """A key without its secret."""
    account = key.account
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "prefix": key.prefix,
        "account": account.name if account is not None else None,
        "account_id": account.id if account is not None else None,
        "parent": key.parent,
        "allow": list(key.allow),
        "ips": list(key.ips),
        "scopes": list(key.scopes),
        "rpm": key.rpm,
        "tpm": key.tpm,
        "concurrency": key.concurrency,
        "budget": amount(key.budget),
        "period": key.period,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "derived": [
            {
                "id": child.id,
                "models": None if child.models is None else list(child.models),
                "budget": amount(child.budget),
            }
            for child in key.children
        ],
        "session": key.session,
        "fidelity": "strict" if key.strict else "adapt",
        "provider": None if key.provider is None else msgspec.json.decode(key.provider),
    }


def change_view(change: KeyChange) -> dict[str, Any]:
    """A key that was just made, with its secret."""
    return {**key_view(change.key), "key": change.secret}


def account_view(account: Account) -> dict[str, Any]:
    """An account; `credit` is how far below zero it may go, null for billed afterwards."""
    return {
        "id": account.id,
        "object": "account",
        "name": account.name,
        "group": account.group,
        "credit": None if account.floor is None else dollars(-account.floor),
        "spend_limit": amount(account.spend_limit),
        "period": account.period,
        "status": account.status,
        "created_at": account.created_at,
    }


def amount(nanos: int | None) -> str | None:
    """Nanodollars as decimal dollars, where there are any."""
    return None if nanos is None else dollars(nanos)
