"""gateway backup: a copy of the database to keep elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.arguments import db_option, json_option
from gateway.commands.common import fail, no_database, print_json


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@db_option
@json_option
def backup(file: Path, db: Path, as_json: bool) -> None:
    """Copy the database to FILE as it stands now, whether or not a server is at work on it."""
    from gateway.store.backup import back_up
    from gateway.store.database import StoreError

    if not db.is_file():
        fail(no_database(db))
    try:
        size = back_up(db, file)
    except StoreError as error:
        fail(str(error))
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        click.echo(f"{file}: {size:,} bytes. To prove it: gateway ledger verify --db {file}")
