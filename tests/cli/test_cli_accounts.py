"""`gateway accounts`: what is shown of them, and a file that somebody else writes to."""

from __future__ import annotations

import json
import sqlite3

import pytest

from gateway.store import database
from tests.cli.terminal import invoke


def test_an_account_shows_what_it_was_told(db: str) -> None:
    """A change can be seen in its answer: group, credit and limit, where there are any."""
    plain = invoke("accounts", "create", "acme", "--db", db)
    assert plain.output.endswith("0 charged so far.\n")
    terms = ["--group", "paid", "--credit", "10", "--spend-limit", "5", "--period", "day"]
    changed = invoke("accounts", "set", "acme", *terms, "--db", db)
    assert changed.output.endswith(" With group paid, credit $10, limit $5 a day.\n")
    assert invoke("accounts", "show", "acme", "--db", db).output == changed.output


def test_what_an_account_owes(db: str) -> None:
    """An amount below zero has its sign before the dollar."""
    assert invoke("accounts", "create", "acme", "--credit", "5", "--db", db).exit_code == 0
    owes = invoke("adjust", "acme", "-1.90", "--memo", "broken promise", "--db", db)
    assert "active: -$1.9, 0 of it held" in owes.output


def test_the_ledger_as_one_array(db: str) -> None:
    """`--json` is one JSON value also where there is a line for each entry otherwise."""
    assert invoke("accounts", "create", "acme", "--db", db).exit_code == 0
    assert json.loads(invoke("ledger", "export", "--json", "--db", db).stdout) == []
    for amount in ("1", "2"):
        invoke("topup", "acme", amount, "--db", db)
    lines = invoke("ledger", "export", "--db", db).stdout.splitlines()
    rows = json.loads(invoke("ledger", "export", "--json", "--db", db).stdout)
    assert [row["wallet"] for row in rows] == ["1", "2"]
    assert [json.loads(line) for line in lines] == rows


def test_a_file_that_is_being_written_to(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and so is what to do."""
    assert invoke("accounts", "create", "acme", "--db", db).exit_code == 0
    monkeypatch.setattr(database, "_PATIENT", "PRAGMA busy_timeout = 50")
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = invoke("accounts", "set", "acme", "--name", "b", "--db", db)
    other.close()
    assert result.exit_code == 1
    assert "gateway.sqlite cannot be used: database is locked. " in result.output
    assert "try again" in result.output
