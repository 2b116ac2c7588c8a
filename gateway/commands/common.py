"""What the command groups share: running a command, printing its answer, refusing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway import settings


def run_command(
    db: Path,
    do: str,
    arguments: dict[str, Any],
    prefix: str = settings.KEY_PREFIX,
    *,
    may_make: bool = False,
) -> Any:
    """Run a command in the server at work on the file, or on the file itself."""
    from gateway.store.commands import CommandError
    from gateway.store.control import run
    from gateway.store.database import StoreError

    if not may_make and not db.exists():
        fail(no_database(db))
    try:
        return asyncio.run(run(db, do, arguments, prefix=prefix, clock=settings.SystemClock()))
    except (CommandError, StoreError) as error:
        fail(str(error))


def no_database(db: Path) -> str:
    """What to do where the file is not there."""
    return f"There is no database at {db}. Name one with --db, or make it: gateway serve"


def print_json(value: Any) -> None:
    """One JSON value, for a script."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())


def print_table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Columns for a person."""
    cells = [head, *[tuple("" if cell is None else str(cell) for cell in row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def money(amount: str) -> str:
    """Decimal dollars as people write them, the sign before the $."""
    return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"


def allowance(amount: str | None, period: str) -> str:
    """What may be spent in a period, or a dash."""
    if amount is None:
        return "-"
    return money(amount) + ("" if period == "none" else f" a {period}")


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with 1."""
    click.echo(message, err=True)
    sys.exit(1)
