"""Every command explains itself, and every mistake is explained."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.store.keys import DEFAULT_PREFIX
from tests.cli.terminal import ENVIRON, GATEWAY, invoke


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["check"], ["models"], ["providers"], ["keys"], ["keys", "create"],
     ["keys", "list"], ["keys", "revoke"], ["call"]],
)  # fmt: skip
def test_help(command: list[str]) -> None:
    """Every command explains itself."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    "command",
    ["keys list", "accounts list", "topup a 5", "usage", "ledger verify", "ledger export"],
)
def test_a_database_that_is_not_there(tmp_path: Path, command: str) -> None:
    """Who stands in the wrong folder is told what to do, and no file is made there."""
    db = tmp_path / "none.sqlite"
    result = invoke(*command.split(), "--db", str(db))
    assert result.exit_code == 1
    assert "--db" in result.output
    assert not db.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "k", "--expires", "someday"],
        ["keys", "create", "k", "--provider", "{"],
        ["keys", "create", "k", "--provider", '{"zdr": 1}'],
        ["keys", "create", "k", "--expires", "999999999d"],
        ["keys", "create", "k", "--expires", "99999999999d"],
        ["keys", "create", "k", "--expires", ""],
        ["keys", "create", "k", "--expires", "0d"],
        ["keys", "create", "k", "--expires", "-3d"],
        ["keys", "create", "k", "--expires", "5s"],
        ["keys", "create", "k", "--expires", "\u0663d"],
        ["keys", "create", "k", "--expires", "2001-01-01"],
        ["keys", "create", "k", "--expires", "0001-01-01"],
        ["keys", "create", "k", "--expires", "9999-12-31T23:59-23:00"],
        ["keys", "create", "k", "--allow", ""],
        ["keys", "create", "two\nlines"],
        ["keys", "create", "\x1b[31mred"],
        ["keys", "create", "\udcff"],
        ["keys", "revoke", "\udcff"],
        ["keys", "revoke", ""],
        ["keys", "create", "  "],
        ["keys", "create", "n" * 300],
        ["keys", "revoke", "nobody"],
        ["topup", "default", "-5"],
        ["usage", "--account", "nobody"],
        ["usage", "--key", "key_none"],
        ["ledger", "calls", "--account", "nobody"],
        ["keys", "list", "--account", "nobody"],
    ],
)
def test_mistakes_are_explained(db: str, arguments: list[str]) -> None:
    """A mistake is one sentence and exit code 1, never a traceback."""
    result = invoke(*arguments, "--db", db)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(result.output.strip().splitlines()) == 1
    assert DEFAULT_PREFIX not in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["servve"], "Did you mean 'serve'?"),
        (["keys", "creat"], "Did you mean 'create'?"),
        (["serve", "--prot", "1"], "'--port'"),
        (["serve", "--port", "99999"], "99999 is not in the range"),
        (["serve", "--port", "http"], "'http' is not a valid integer"),
        (["serve", "--drain", "nan"], "'nan' is not a number"),
        (["serve", "--drain", "-1"], "-1"),
        (["serve", "--host", ""], "0.0.0.0"),
        (["serve", "--log-format", "xml"], "'xml'"),
        (["serve", "--db", "."], "is a directory"),
        (["keys", "list", "--db", ""], "does not name a file"),
        (["keys", "list", "--db", "/"], "is a directory"),
        (["check", "--catalog", ""], "does not name a file"),
        (["check", "--catalog", "/"], "is a directory"),
        (["keys", "create", "k", "--prefix", ""], "1 to 32"),
        (["keys", "create", "k", "--prefix", "a\nb"], "1 to 32"),
        (["keys", "create", "k", "--prefix", "cl\u00e9"], "1 to 32"),
        (["keys", "create"], "NAME"),
        (["call", "echo"], "PROMPT"),
    ],
)
def test_misspelt_commands(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be meant is refused with exit code 2 and a word on what can; nothing is made."""
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_closes(db: str) -> None:
    """A reader that has seen enough is no error worth a traceback."""
    with subprocess.Popen(
        [*GATEWAY, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRON
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
