"""gateway usage, ledger, receipt: what was used, and the proof of what it cost."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from gateway.arguments import db_option, json_option, past_moment_of
from gateway.commands.common import fail, no_database, print_json, print_table, run_command

_BY = ["hour", "day", "key", "account", "model", "route", "provider"]
_SINCE = "A date, a time, or a span back from now such as 24h or 30d."


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    try:
        return past_moment_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


since_option = click.option("--since", default=None, callback=_moment, help=_SINCE)
until_option = click.option("--until", default=None, callback=_moment, help=_SINCE)


@click.command()
@click.option("--by", multiple=True, type=click.Choice(_BY), default=("day",), show_default=True)
@since_option
@until_option
@click.option("--account", default=None)
@click.option("--key", default=None, help="A key's id.")
@db_option
@json_option
def usage(
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    account: str | None,
    key: str | None,
    db: Path,
    as_json: bool,
) -> None:
    """Show calls, tokens and cost."""
    wanted = {"by": list(by), "since": since, "until": until, "account": account, "key": key}
    rows = run_command(db, "usage", wanted)
    if as_json:
        print_json(rows)
        return
    sums = ("calls", "failed", "flagged", "input_tokens", "output_tokens", "cost")
    head = (*by, *sums)
    print_table(
        tuple(name.replace("_", " ").upper() for name in head),
        [tuple(_cell(name, row[name]) for name in head) for row in rows],
    )


@click.group()
def ledger() -> None:
    """Prove, list and export what was charged."""


@ledger.command("verify")
@db_option
@json_option
def verify_ledger(db: Path, as_json: bool) -> None:
    """Prove from the file alone that every charge adds up; ends with 1 if anything does not."""
    import msgspec

    from gateway.core.money.amounts import dollars
    from gateway.store.database import StoreError
    from gateway.store.verify import verify

    if not db.exists():
        fail(no_database(db))
    try:
        verdict = verify(db)
    except StoreError as error:
        fail(str(error))
    if as_json:
        money = {"charged": dollars(verdict.charged), "held": dollars(verdict.held)}
        print_json({**msgspec.to_builtins(verdict), **money, "ok": not verdict.wrong})
    else:
        for problem in verdict.problems:
            click.echo(problem)
        if verdict.wrong > len(verdict.problems):
            click.echo(f"... and {verdict.wrong - len(verdict.problems)} more.")
        state = f"{verdict.wrong} problems" if verdict.wrong else "all adds up"
        click.echo(
            f"{verdict.entries} entries, {verdict.calls} settled calls, {verdict.open_calls} open "
            f"({verdict.open_tasks} tasks), {verdict.accounts} accounts, "
            f"${dollars(verdict.charged)} charged, {verdict.recovered} recovered, "
            f"{verdict.flagged} flagged: {state}."
        )
    sys.exit(1 if verdict.wrong else 0)


@ledger.command("flagged")
@click.option("--flag", default="any", help="One reason alone, such as no_usage.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--after", default=None, help="Go on from an earlier page's cursor.")
@db_option
@json_option
def flagged(flag: str, limit: int, after: str | None, db: Path, as_json: bool) -> None:
    """List calls that were not simply charged as their provider counted."""
    _calls(db, {"flag": flag, "limit": limit, "after": after}, as_json)


@ledger.command("calls")
@click.option("--account", default=None)
@click.option("--key", default=None)
@click.option("--model", default=None)
@click.option("--route", default=None)
@click.option("--provider", default=None)
@click.option("--status", type=int, default=None)
@since_option
@until_option
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--after", default=None, help="Go on from an earlier page's cursor.")
@db_option
@json_option
def list_calls(db: Path, as_json: bool, since: int | None, **wanted: Any) -> None:
    """List settled calls, newest first."""
    _calls(db, {**wanted, "since": since or 0}, as_json)


@ledger.command("export")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl")
@since_option
@until_option
@db_option
@json_option
def export(form: str, since: int | None, until: int | None, db: Path, as_json: bool) -> None:
    """Write every entry to the standard output."""
    import sqlite3

    from gateway.store.calls import export_file

    if not db.is_file():
        fail(no_database(db))
    try:
        rows = export_file(db, since or 0, until)
        if as_json:
            _write_array(rows)
        else:
            _write(rows, form)
    except sqlite3.Error as error:
        fail(f"{db} cannot be read: {error}.")


@click.group()
def receipt() -> None:
    """Show and recompute what a call cost."""


@receipt.command("show")
@click.argument("request_id")
@db_option
@json_option
def show_receipt(request_id: str, db: Path, as_json: bool) -> None:
    """Show a call's receipt."""
    found = run_command(db, "receipt", {"request": request_id})
    if as_json:
        print_json(found)
        return
    for line in found["lines"]:
        click.echo(
            f"{line['quantity']:>12} {line['unit']:<12} {line['name']:<28} "
            f"at ${line['price']:<10} ${line['amount']}"
        )
    click.echo(
        f"{'':>12} charged ${found['charged']}" + (f" ({found['flag']})" if found["flag"] else "")
    )


@receipt.command("verify")
@click.argument("request_id")
@db_option
@json_option
def verify_receipt(request_id: str, db: Path, as_json: bool) -> None:
    """Recompute a call's receipt from its price row; ends with 1 if it does not hold."""
    found = run_command(db, "receipt", {"request": request_id})
    problems = found["problems"]
    if as_json:
        print_json({"ok": not problems, "problems": problems, "charged": found["charged"]})
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{request_id}: ${found['charged']}, " + ("wrong." if problems else "it holds."))
    sys.exit(1 if problems else 0)


def _calls(db: Path, wanted: dict[str, Any], as_json: bool) -> None:
    found = run_command(db, "calls", wanted)
    if as_json:
        print_json(found["calls"])
        return
    head = ("id", "at", "key", "route", "status", "flag", "input_tokens", "output_tokens", "cost")
    print_table(
        tuple(name.replace("_", " ").upper() for name in head),
        [tuple(_cell(name, row[name]) for name in head) for row in found["calls"]],
    )
    if found["after"] is not None:
        click.echo(f"More: --after {found['after']}", err=True)


def _write(rows: Iterable[dict[str, Any]], form: str) -> None:
    import msgspec

    from gateway.store.calls import harmless

    writer: Any = None
    for row in rows:
        if form == "jsonl":
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(sys.stdout, row.keys(), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: harmless(value) for name, value in row.items()})


def _write_array(rows: Iterable[dict[str, Any]]) -> None:
    """One JSON array, written as it is read: a ledger may be larger than memory."""
    import msgspec

    before = "["
    for row in rows:
        sys.stdout.write(before + msgspec.json.encode(row).decode())
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[" else "]\n")


def _cell(name: str, value: Any) -> Any:
    from gateway.arguments import shown

    if name == "at":
        return shown(int(value), "%Y-%m-%d %H:%M:%S")
    if name == "hour":
        return shown(int(value), "%Y-%m-%d %H:00")
    return shown(int(value), "%Y-%m-%d") if name == "day" else value
