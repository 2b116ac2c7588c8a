"""Keys by command: made, listed, revoked, and obeyed by a running server at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gateway.arguments import state_of
from gateway.store.keys import DEFAULT_PREFIX
from tests.cli.terminal import invoke, run, serving


def test_keys_from_birth_to_death(db: str) -> None:
    """Create prints the secret once; list and revoke never do."""
    made = json.loads(invoke("keys", "create", "app", "--db", db, "--json").stdout)
    assert made["key"].startswith(DEFAULT_PREFIX)
    assert made["id"].startswith("key_")
    plain = invoke("keys", "create", "other", "--db", db)
    assert plain.stdout.strip().startswith(DEFAULT_PREFIX)
    listed = invoke("keys", "list", "--db", db, "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["app", "other"]
    table = invoke("keys", "list", "--db", db)
    assert "active" in table.output
    revoked = invoke("keys", "revoke", "app", "--db", db)
    assert "revoked" in revoked.output
    again = json.loads(invoke("keys", "revoke", made["id"], "--db", db, "--json").stdout)
    assert again["revoked_at"] is not None
    by_name = invoke("keys", "revoke", "app", "--db", db)  # the name is free for another
    assert by_name.exit_code == 1
    assert "none that is not yet revoked has it for its name" in by_name.output
    for result in (listed, table, revoked):
        assert made["key"] not in result.output


@pytest.mark.parametrize(
    ("when", "state"),
    [("30d", ""), ("12h", ""), ("90m", ""), ("2w", ""), ("2999-01-01", "2999-01-01 00:00"),
     ("2999-01-01T10:00+02:00", "2999-01-01 08:00"), ("2999-01-01T10:00Z", "2999-01-01 10:00"),
     ("9999-12-31T23:59", "9999-12-31 23:59")],
)  # fmt: skip
def test_expiry(db: str, when: str, state: str) -> None:
    """Dates, times and spans are understood; where no zone is given, as UTC."""
    assert invoke("keys", "create", "k", "--expires", when, "--db", db).exit_code == 0
    assert f"until {state}" in invoke("keys", "list", "--db", db).output


def test_budgets_are_listed(db: str) -> None:
    """A list of keys says what each may spend."""
    invoke("keys", "create", "free", "--db", db)
    invoke("keys", "create", "paid", "--budget", "2.50", "--period", "week", "--db", db)
    head, free, paid = invoke("keys", "list", "--db", db).output.splitlines()
    place = head.index("BUDGET")
    assert free[place:].split()[0] == "-"
    assert paid[place:].startswith("$2.5 a week ")


def test_states_of_keys() -> None:
    """The list can show any moment a database may hold."""
    key: dict[str, Any] = {"revoked_at": None, "expires_at": None}
    assert state_of(key) == "active"
    assert state_of(key | {"expires_at": 1}) == "expired 1970-01-01 00:00"
    assert state_of(key | {"expires_at": 1 << 62}) == "until 9999-12-31 23:59"
    assert state_of(key | {"revoked_at": 1}) == "revoked"


def test_a_running_server_obeys(catalog: str, db: str) -> None:
    """Keys made and revoked by command take effect in the server at once."""
    with serving("--catalog", catalog, "--db", db, "--port", "0") as url:
        made = json.loads(run("keys", "create", "app", "--db", db, "--json").stdout)
        narrow = json.loads(
            run("keys", "create", "n", "--allow", "fake-*", "--db", db, "--json").stdout
        )
        base = ["--url", f"{url}/v1", "--key", made["key"]]
        assert invoke("call", "echo", "one two three", *base).output == "one two three\n"
        refused = invoke("call", "echo", "hi", *base[:3], narrow["key"])
        assert (refused.exit_code, refused.output[:4]) == (1, "403:")
        listed = json.loads(run("keys", "list", "--db", db, "--json").stdout)
        assert [row["name"] for row in listed] == ["admin", "app", "n"]
        assert [row["allow"] for row in listed] == [[], [], ["fake-*"]]
        taken = run("serve", "--db", db, "--catalog", catalog, "--port", "0")
        assert taken.returncode == 1
        assert "in use by another gateway process" in taken.stderr
        group = run("accounts", "create", "acme", "--group", "nope", "--db", db)
        assert (group.returncode, "'nope' is no group of" in group.stderr) == (1, True)
        run("keys", "revoke", "app", "--db", db)
        revoked = time.monotonic()
        refused = invoke("call", "echo", "hi", *base)
        assert (refused.exit_code, refused.output[:4]) == (1, "401:")
        assert time.monotonic() - revoked < 1
    assert len(json.loads(invoke("keys", "list", "--db", db, "--json").stdout)) == 3
