"""The admin API: paths, what each method does there, and the one way in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.errors import invalid
from gateway.store.commands import CommandError
from gateway.web.admin import accounts, catalogs, credentials, keys, openapi, reports
from gateway.web.exchange import Exchange

Act = Callable[[Exchange], Awaitable[None]]
ROOT = "/admin/v1"

# A path that ends in "/" takes an object's id, and what may stand behind it.
ROUTES: Mapping[str, tuple[str, Mapping[str, Act]]] = {
    f"{ROOT}/accounts": ("admin_accounts", {"GET": accounts.index, "POST": accounts.create}),
    f"{ROOT}/accounts/": (
        "admin_account",
        {"GET": accounts.show, "PATCH": accounts.change, "POST": accounts.move},
    ),
    f"{ROOT}/keys": ("admin_keys", {"GET": keys.index, "POST": keys.create}),
    f"{ROOT}/keys/": (
        "admin_key",
        {"GET": keys.show, "DELETE": keys.revoke, "POST": keys.revoke_by_post},
    ),
    f"{ROOT}/credentials": ("admin_credentials", {"GET": credentials.index}),
    f"{ROOT}/credentials/": ("admin_credential", {"POST": credentials.change}),
    f"{ROOT}/catalog": ("admin_catalog", {"GET": catalogs.show}),
    f"{ROOT}/catalog/reload": ("admin_catalog_reload", {"POST": catalogs.reload}),
    f"{ROOT}/usage": ("admin_usage", {"GET": reports.usage}),
    f"{ROOT}/calls": ("admin_calls", {"GET": reports.calls}),
    f"{ROOT}/calls/": ("admin_call", {"GET": reports.call}),
    f"{ROOT}/flagged": ("admin_flagged", {"GET": reports.flagged}),
    f"{ROOT}/audit": ("admin_audit", {"GET": reports.audit}),
    f"{ROOT}/ledger/export": ("admin_export", {"GET": reports.export}),
    f"{ROOT}/openapi.json": ("admin_openapi", {"GET": openapi.document}),
}


def dispatch(path: str, actions: Mapping[str, Act]) -> Act:
    """One endpoint for all methods of a path."""
    listing = openapi.OPERATIONS.get((path, "get"))

    async def serve(exchange: Exchange) -> None:
        method = exchange.request.method
        act = actions["GET" if method == "HEAD" else method]
        if listing is not None and act is actions.get("GET"):
            await _check_query(exchange, listing[4])
        try:
            await act(exchange)
        except (CommandError, ValueError) as error:
            raise invalid(str(error), getattr(error, "param", None)) from None

    return serve


async def _check_query(exchange: Exchange, known: tuple[str, ...]) -> None:
    """A misspelt filter would list everything, and be believed."""
    for name in exchange.query:
        if name not in known:
            await exchange.key()  # who may not ask is told that, and nothing of what to ask
            what = f"may be {', '.join(known)}" if known else "are none here"
            raise invalid(f"'{name[:100]}' is not known here: query parameters {what}.", name[:100])
