"""gateway accounts, topup, adjust: who pays, and the money that comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.arguments import db_option, json_option, one_line
from gateway.commands.common import (
    allowance,
    fail,
    money,
    print_json,
    print_table,
    run_command,
)

_PERIODS = click.Choice(["none", "day", "week", "month"])


@click.group()
def accounts() -> None:
    """Open, list and change accounts."""


@accounts.command("create")
@click.argument("name")
@click.option("--group", default=None, help="A group of the catalog. Without: every route.")
@click.option("--credit", default="0", show_default=True, help="Dollars it may go below zero.")
@click.option("--postpaid", is_flag=True, help="No wallet: billed afterwards, without an end.")
@click.option("--spend-limit", default=None, help="Dollars that may be spent in a period.")
@click.option("--period", type=_PERIODS, default="none", show_default=True)
@db_option
@json_option
def create(
    name: str,
    group: str | None,
    credit: str,
    postpaid: bool,
    spend_limit: str | None,
    period: str,
    db: Path,
    as_json: bool,
) -> None:
    """Open an account. It spends what is topped up, unless it is billed afterwards."""
    if not one_line(name):
        fail("An account's name must be 1 to 200 characters on one line.")
    wanted = {
        "name": name,
        "group": group,
        "credit": None if postpaid else credit,
        "spend_limit": spend_limit,
        "period": period,
    }
    _show(run_command(db, "accounts.create", wanted, may_make=True), as_json)


@accounts.command("list")
@db_option
@json_option
def list_accounts(db: Path, as_json: bool) -> None:
    """List the accounts and what they have."""
    rows = run_command(db, "accounts.list", {})
    if as_json:
        print_json(rows)
        return
    print_table(
        ("ID", "NAME", "GROUP", "BALANCE", "HELD", "CHARGED", "LIMIT", "STATUS"),
        [
            (
                row["id"], row["name"], row["group"] or "-", _balance(row), row["held"],
                row["charged"], allowance(row["spend_limit"], row["period"]), row["status"],
            )
            for row in rows
        ],
    )  # fmt: skip


@accounts.command("show")
@click.argument("account")
@db_option
@json_option
def show(account: str, db: Path, as_json: bool) -> None:
    """Show one account."""
    _show(run_command(db, "accounts.show", {"account": account}), as_json)


@accounts.command("set")
@click.argument("account")
@click.option("--name", default=None)
@click.option("--group", default=None, help="'-' takes it out of its group.")
@click.option("--credit", default=None, help="Dollars it may go below zero.")
@click.option("--postpaid", is_flag=True, help="Bill it afterwards, without an end.")
@click.option("--spend-limit", default=None, help="'-' takes the limit away.")
@click.option("--period", type=_PERIODS, default=None)
@click.option("--status", type=click.Choice(["active", "suspended"]), default=None)
@db_option
@json_option
def change(account: str, db: Path, as_json: bool, postpaid: bool, **given: str | None) -> None:
    """Change an account; a running server knows at once."""
    changes: dict[str, Any] = {
        name: None if value == "-" and name in ("group", "spend_limit") else value
        for name, value in given.items()
        if value is not None
    }
    if postpaid:
        changes["credit"] = None
    if not changes:
        fail("Nothing was given to change. See: gateway accounts set --help")
    wanted = {"account": account, "changes": changes}
    _show(run_command(db, "accounts.change", wanted), as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("account")
@click.argument("usd")
@click.option("--memo", default="", help="Why, for the ledger.")
@db_option
@json_option
def topup(account: str, usd: str, memo: str, db: Path, as_json: bool) -> None:
    """Bring money into an account."""
    wanted = {"account": account, "amount": usd, "memo": memo}
    _show(run_command(db, "accounts.topup", wanted), as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("account")
@click.argument("usd")
@click.option("--memo", required=True, help="Why, for the ledger.")
@db_option
@json_option
def adjust(account: str, usd: str, memo: str, db: Path, as_json: bool) -> None:
    """Correct an account by an amount above or below zero."""
    wanted = {"account": account, "amount": usd, "memo": memo}
    _show(run_command(db, "accounts.adjust", wanted), as_json)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    click.echo(
        f"Account '{row['name']}' ({row['id']}), {row['status']}: {_balance(row)}, "
        f"{row['held']} of it held, {row['charged']} charged so far.{_terms(row)}"
    )


def _terms(row: dict[str, Any]) -> str:
    """What the account was told beside its money, where it was."""
    terms = {
        "group": row["group"],
        "credit": money(row["credit"]) if row["credit"] not in (None, "0") else None,
        "limit": allowance(row["spend_limit"], row["period"]) if row["spend_limit"] else None,
    }
    told = ", ".join(f"{name} {value}" for name, value in terms.items() if value is not None)
    return f" With {told}." if told else ""


def _balance(row: dict[str, Any]) -> str:
    return money(row["balance"]) + (" (billed afterwards)" if row["credit"] is None else "")
