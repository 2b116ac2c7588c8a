"""gateway keys: create, list, revoke, and derive narrower ones offline."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.arguments import (
    db_option,
    json_option,
    moment_of,
    one_line,
    prefix_option,
    shown,
    state_of,
)
from gateway.commands.common import allowance, fail, print_json, print_table, run_command
from gateway.domain import SCOPES


@click.group()
def keys() -> None:
    """Create, list and revoke client keys."""


@keys.command("create")
@click.argument("name")
@click.option("--allow", multiple=True, help="A model or pattern the key may use; repeatable.")
@click.option("--expires", default=None, help="A date, a time, or a span such as 12h or 30d.")
@click.option("--account", default="default", show_default=True, help="Who pays for its calls.")
@click.option("--rpm", type=click.IntRange(1), default=None, help="Requests a minute.")
@click.option("--tpm", type=click.IntRange(1), default=None, help="Tokens a minute.")
@click.option("--concurrency", type=click.IntRange(1), default=None, help="Calls at once.")
@click.option("--budget", default=None, help="Dollars the key may spend in a period.")
@click.option("--period", type=click.Choice(["none", "day", "week", "month"]), default="none")
@click.option("--ip", "ips", multiple=True, help="An address or network; repeatable.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Repeatable.")
@click.option(
    "--fidelity",
    type=click.Choice(["adapt", "strict"]),
    default="adapt",
    help="strict: refuse what a provider cannot be told in full.",
)
@click.option(
    "--provider",
    default=None,
    metavar="JSON",
    help='What it wants of routing, as requests say it: \'{"data_collection": "deny"}\'.',
)
@db_option
@prefix_option
@json_option
def create_key(
    name: str,
    allow: Sequence[str],
    expires: str | None,
    ips: Sequence[str],
    scopes: Sequence[str],
    provider: str | None,
    db: Path,
    prefix: str,
    as_json: bool,
    **limits: Any,
) -> None:
    """Make a key. Its secret is shown this once."""
    if not one_line(name):
        fail("A key's name must be 1 to 200 characters on one line.")
    if not all(map(one_line, allow)):
        fail("An --allow pattern must be 1 to 200 characters on one line, such as 'gpt-*'.")
    try:
        expires_at = moment_of(expires)
    except ValueError as error:
        fail(str(error))
    wanted = {"name": name, "allow": list(allow), "expires_at": expires_at, **limits}
    wanted |= {"ips": list(ips)} | ({"scopes": list(scopes)} if scopes else {})
    wanted["provider"] = None if provider is None else _object(provider)
    made = run_command(db, "keys.create", wanted, prefix, may_make=True)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['key']}\n", nl=False)
        click.echo(f"Key '{name}' ({made['id']}) was made. It is not shown again.", err=True)


@keys.command("list")
@click.option("--account", default=None, help="Those of one account alone.")
@db_option
@json_option
def list_keys(account: str | None, db: Path, as_json: bool) -> None:
    """List the keys, without their secrets."""
    rows = run_command(db, "keys.list", {"account": account})
    if as_json:
        print_json(rows)
        return
    print_table(
        ("ID", "NAME", "ACCOUNT", "KEY", "BUDGET", "CREATED", "STATE"),
        [
            (
                row["id"],
                row["name"],
                row["account"],
                row["prefix"] + "…",
                allowance(row["budget"], row["period"]),
                shown(row["created_at"], "%Y-%m-%d"),
                state_of(row),
            )
            for row in rows
        ],
    )


@keys.command("revoke")
@click.argument("key")
@db_option
@json_option
def revoke_key(key: str, db: Path, as_json: bool) -> None:
    """Revoke a key by its id or name; a running server refuses it at once."""
    if not one_line(key):
        fail("That is no key's id or name. See: gateway keys list")
    revoked = run_command(db, "keys.revoke", {"key": key})
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"Key '{revoked['name']}' ({revoked['id']}) is revoked.")


@keys.command("derive")
@click.option("--id", "key_id", default=None, help="The key's id; a derived one has it inside.")
@click.option("--allow", multiple=True, help="A model or pattern it may use; repeatable.")
@click.option("--budget", default=None, help="Dollars it may spend in all.")
@click.option("--expires", default=None, help="A date, a time, or a span such as 12h or 30d.")
@click.option("--session", default=None, help="The one session it is for.")
@prefix_option
@json_option
def derive_key(
    key_id: str | None,
    allow: Sequence[str],
    budget: str | None,
    expires: str | None,
    session: str | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Make a narrower key from GATEWAY_KEY, or from the key on standard input; offline."""
    from gateway.core.derived import DerivedKeyError, derive, ids_of, parse
    from gateway.core.money.amounts import nanos_of

    secret = os.environ.get("GATEWAY_KEY") or sys.stdin.readline().strip()
    if not secret:
        fail("Give the key to derive from in GATEWAY_KEY, or on standard input.")
    if not (allow or budget or expires or session):
        fail("A derived key is narrower by something: --allow, --budget, --expires or --session.")
    try:
        if budget is not None and nanos_of(budget) < 0:
            fail("A budget is zero or more.")
        made = derive(
            secret, prefix, key_id, secrets.token_bytes(16), secrets.token_bytes(32),
            models=list(allow) or None, budget=budget, expires=moment_of(expires), session=session,
        )  # fmt: skip
    except (ValueError, DerivedKeyError) as error:
        fail(str(error))
    token = parse(made.encode(), prefix)
    child = f"{token.key_id}.{ids_of(token)[-1]}"
    if as_json:
        print_json({"id": child, "key": made, "parent": token.key_id})
    else:
        click.echo(made)
        click.echo(f"It can be revoked alone: gateway keys revoke {child}", err=True)


def _object(text: str) -> dict[str, Any]:
    """The JSON object that stands in an option."""
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        fail(f"--provider is a JSON object, such as '{{\"zdr\": true}}': {error}.")
    return found
