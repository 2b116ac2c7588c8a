"""What can be asked of a database by name: the same from the command line, with or without a
server at work on the file, and from the admin API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.core.money.amounts import MOST, NANOS, dollars, nanos_of
from gateway.core.routing.preferences import defaults_of
from gateway.domain import DEFAULT_SCOPES, Account, Fidelity, FieldError, Period
from gateway.errors import Fault
from gateway.schemas.views import account_view, change_view, key_view
from gateway.store import calls, usage
from gateway.store.ledger import ADJUST, TOP_UP
from gateway.store.store import Store

Command = Callable[..., Awaitable[Any]]
_HEX = frozenset("0123456789abcdef")
_MAX_MEMO = 1_000
_MOST_IN_ALL = MOST * NANOS


class CommandError(Exception):
    """A command that was understood and refused; the text is for a person."""


def is_child_id(text: str) -> bool:
    """Whether this can be a derived key's own id."""
    return len(text) == 32 and set(text) <= _HEX


class Commands:
    """Everything that an operator can do to the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_key(
        self,
        name: str,
        *,
        account: str = "default",
        allow: Sequence[str] = (),
        ips: Sequence[str] = (),
        scopes: Sequence[str] = DEFAULT_SCOPES,
        rpm: int | None = None,
        tpm: int | None = None,
        concurrency: int | None = None,
        budget: str | None = None,
        period: Period = "none",
        expires_at: int | None = None,
        fidelity: Fidelity = "adapt",
        provider: Mapping[str, Any] | None = None,
        parent: int | None = None,
        actor: str = "command line",
    ) -> Any:
        """Make a key; the answer holds its secret, this once."""
        made = await self._store.keys.create(
            name,
            account=account,
            allow=allow,
            ips=ips,
            scopes=scopes,
            rpm=rpm,
            tpm=tpm,
            concurrency=concurrency,
            budget=None if budget is None else _nanos(budget, "budget"),
            period=period,
            expires_at=expires_at,
            parent=parent,
            strict=fidelity == "strict",
            provider=_preferences(provider),
        )
        await self._note(actor, "key.create", made.key.id, {"name": name})
        return change_view(made)

    async def revoke_key(self, key: str, actor: str = "command line") -> Any:
        """Revoke a key and every key made with it."""
        child = key.rpartition(".")[2]
        if is_child_id(child):
            await self._store.keys.revoke_derived(child)
            await self._note(actor, "key.revoke", key)
            return {"id": key, "name": key, "revoked_at": int(self._store.clock.time())}
        revoked = await self._store.keys.revoke(key)
        if revoked is None:
            raise CommandError(
                f"No key has the id '{key}', and none that is not yet revoked has it for its name. "
                "See: gateway keys list"
            )
        await self._note(actor, "key.revoke", revoked.id)
        return key_view(revoked)

    async def list_keys(
        self, account: str | None = None, after: str | None = None, limit: int = 1_000_000
    ) -> Any:
        """Keys, oldest first."""
        await self._must_exist(account, None)
        return [key_view(key) for key in await self._store.keys.list(account, after, limit)]

    async def create_account(
        self,
        name: str,
        *,
        group: str | None = None,
        credit: str | None = "0",
        spend_limit: str | None = None,
        period: Period = "none",
        actor: str = "command line",
    ) -> Any:
        """Open an account; `credit` None means billed afterwards."""
        self._check_group(group)
        made = await self._store.accounts.create(
            name,
            group=group,
            floor=None if credit is None else -_nanos(credit, "credit"),
            spend_limit=None if spend_limit is None else _nanos(spend_limit, "spend_limit"),
            period=period,
        )
        await self._note(actor, "account.create", made.id, {"name": name})
        return await self._shown(made)

    async def change_account(
        self, account: str, changes: Mapping[str, Any], actor: str = "command line"
    ) -> Any:
        """Change an account's fields; `credit` and `spend_limit` are dollars."""
        values = dict(changes)
        self._check_group(values.get("group"))
        if "credit" in values:
            credit = values.pop("credit")
            values["floor"] = None if credit is None else -_nanos(credit, "credit")
        if values.get("spend_limit") is not None:
            values["spend_limit"] = _nanos(values["spend_limit"], "spend_limit")
        changed = await self._store.accounts.change(account, **values)
        if changed is None:
            raise self._no_account(account)
        await self._note(actor, "account.change", changed.id, dict(changes))
        return await self._shown(changed)

    async def list_accounts(self, after: int = 0, limit: int = 1000) -> Any:
        """Accounts with their balances, oldest first."""
        return [await self._shown(one) for one in await self._store.accounts.list(after, limit)]

    async def account(self, account: str) -> Any:
        """One account with its balance."""
        return await self._shown(await self._find(account))

    async def top_up(
        self, account: str, amount: str, memo: str = "", actor: str = "command line"
    ) -> Any:
        """Bring money into an account."""
        nanos = _nanos(amount, "amount")
        if nanos <= 0:
            raise FieldError(
                "A top-up is an amount above zero; to take money out, adjust.", "amount"
            )
        return await self._move(account, TOP_UP, nanos, memo, actor)

    async def adjust(
        self, account: str, amount: str, memo: str = "", actor: str = "command line"
    ) -> Any:
        """Correct an account by an amount above or below zero."""
        nanos = _nanos(amount, "amount")
        if nanos == 0:
            raise FieldError("An adjustment by nothing changes nothing.", "amount")
        return await self._move(account, ADJUST, nanos, memo, actor)

    async def _move(self, account: str, kind: int, nanos: int, memo: str, actor: str) -> Any:
        if len(memo) > _MAX_MEMO:
            raise FieldError(f"A memo has at most {_MAX_MEMO} characters.", "memo")
        found = await self._find(account)
        balance = await self._store.books.balance(found.n)
        if max(abs(balance.source - nanos), abs(balance.wallet + nanos)) > _MOST_IN_ALL:
            raise FieldError("No account can hold or owe more than a billion dollars.", "amount")
        note = msgspec.json.encode({"memo": memo, "by": actor})
        await self._store.move(found.n, kind, nanos, note)
        act = "account.topup" if kind == TOP_UP else "account.adjust"
        await self._note(actor, act, found.id, {"amount": dollars(nanos), "memo": memo})
        return await self._shown(found)

    async def usage(self, **wanted: Any) -> Any:
        """What was used, by hour, day, key, model, route or provider."""
        await self._must_exist(wanted.get("account"), wanted.get("key"))
        return await usage.summary(self._store, **wanted)

    async def calls(self, **wanted: Any) -> Any:
        """Settled calls, newest first, a page at a time."""
        await self._must_exist(wanted.get("account"), wanted.get("key"))
        found, after = await calls.search(self._store, **wanted)
        return {"calls": found, "after": after}

    async def receipt(self, request: str) -> Any:
        """One call's receipt, recomputed."""
        found = await calls.receipt(self._store, request)
        if found is None:
            raise CommandError(f"No settled call has the id '{request}'.")
        return found

    def _check_group(self, group: str | None) -> None:
        """A group that is not there would refuse all calls of its account."""
        known = None if self._store.groups is None else self._store.groups()
        if known is not None and group is not None and group not in known:
            names = ", ".join(sorted(known)) or "none"
            raise FieldError(
                f"'{group[:100]}' is no group of this gateway's catalog, which has: {names}.",
                "group",
            )

    async def _must_exist(self, account: str | None, key: str | None) -> None:
        """Refuse to report on whom there is not: an empty report would look like no use."""
        if account is not None:
            await self._find(account)
        if key is not None and await self._store.keys.get(key) is None:
            raise CommandError(f"No key has the id '{key}'. See: gateway keys list")

    async def _find(self, account: str) -> Account:
        found = await self._store.accounts.find(account)
        if found is None:
            raise self._no_account(account)
        return found

    def _no_account(self, account: str) -> CommandError:
        return CommandError(
            f"No account has the id or name '{account}'. See: gateway accounts list"
        )

    async def _shown(self, account: Account) -> Any:
        balance = await self._store.books.balance(account.n)
        return {
            **account_view(account),
            "balance": dollars(balance.wallet + balance.held),
            "held": dollars(balance.held),
            "charged": dollars(balance.revenue),
        }

    async def note(self, actor: str, act: str, subject: str, detail: Any = None) -> None:
        """Write down what an admin did elsewhere than in the database."""
        await self._note(actor, act, subject, detail)

    async def _note(
        self, actor: str, act: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        await self._store.database.write(
            "INSERT INTO audit (at, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)",
            (
                int(self._store.clock.time() * 1000),
                actor,
                act,
                subject,
                msgspec.json.encode(detail or {}).decode(),
            ),
        )

    def by_name(self) -> Mapping[str, Command]:
        """The commands, by the names under which the socket takes them."""
        return {
            "keys.create": self.create_key,
            "keys.revoke": self.revoke_key,
            "keys.list": self.list_keys,
            "accounts.create": self.create_account,
            "accounts.change": self.change_account,
            "accounts.list": self.list_accounts,
            "accounts.show": self.account,
            "accounts.topup": self.top_up,
            "accounts.adjust": self.adjust,
            "usage": self.usage,
            "calls": self.calls,
            "receipt": self.receipt,
        }


def _nanos(amount: str, field: str) -> int:
    """An amount in decimal dollars; a refusal names the field."""
    try:
        return nanos_of(amount)
    except ValueError as error:
        raise FieldError(str(error), field) from None


def _preferences(given: Mapping[str, Any] | None) -> str | None:
    """A key's preferences as they are kept, once they are known to be good ones."""
    if not given:
        return None
    kept = msgspec.json.encode(given)
    try:
        defaults_of(kept)
    except Fault as fault:
        raise FieldError(fault.message, fault.param or "provider") from None
    return kept.decode()
