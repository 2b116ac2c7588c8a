"""Twenty kills under load, the proof from outside that the money adds up, and that it can fail."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
ROUNDS = 20


def torture(folder: Path, *options: str) -> str:
    """Run it as scripts/torture does, in the environment that the tests have."""
    done = subprocess.run(
        [sys.executable, "-m", "torture_lib", "--folder", str(folder), *options],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=95,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What twenty rounds leave behind."""
    folder = tmp_path_factory.mktemp("torture")
    out = torture(folder, "--rounds", str(ROUNDS), "--longest", "0.25", "--calls", "150")
    assert "All of it adds up." in out
    return folder


def test_the_money_adds_up(evidence: Path) -> None:
    """There were kills in the middle of calls, answers seen to the end, and no complaint."""
    check = checker()
    problems, counts = check(evidence)
    assert problems == []
    assert counts["settled with flag 1"] > ROUNDS
    assert counts["seen complete, 200"] > ROUNDS
    starts = (evidence / "starts.jsonl").read_text().splitlines()
    assert len(starts) == ROUNDS + 1


def test_at_a_few_writes(tmp_path: Path) -> None:
    """Killed at a write or a sync of the database itself."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    out = torture(tmp_path, "--rounds", "1", "--longest", "0.2", "--calls", "60",
                  "--syscalls", "3:43:20")  # fmt: skip
    assert "All of it adds up." in out


def checker() -> Callable[[Path], tuple[list[str], dict[str, int]]]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        from torture_lib.checker import check
    finally:
        sys.path.remove(str(SCRIPTS))
    return check


def test_the_checker_shares_no_code_with_the_gateway() -> None:
    """Nothing but the standard library."""
    text = (SCRIPTS / "torture_lib" / "checker.py").read_text()
    assert "gateway." not in text.replace('"gateway.sqlite"', "")


def sql(*statements: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with sqlite3.connect(folder / "gateway.sqlite") as connection:
            for name in ("entries_are_kept", "entries_are_final"):
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("DROP INDEX settled_once")
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return change


SOME = "(SELECT max(seq) FROM entries WHERE kind = 3 AND flag = 0 AND revenue > 0)"
RECOVERED = "(SELECT max(seq) FROM entries WHERE flag = 1 AND revenue > 0)"
COPIED = (
    "INSERT INTO entries (at, kind, account, call, wallet, held, revenue, source, status, flag)"
    " SELECT at, kind, account, call, wallet, held, revenue, source, status, flag FROM entries"
)


def executed_twice(folder: Path) -> None:
    path = folder / "upstream.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0]]) + "\n")


def executed_unknown(folder: Path) -> None:
    path = folder / "upstream.jsonl"
    fact = json.loads(path.read_text().splitlines()[0]) | {"user": "nobody"}
    path.write_text(path.read_text() + json.dumps(fact) + "\n")


def never_executed(folder: Path) -> None:
    (folder / "upstream.jsonl").write_text("")


def reported_more(folder: Path) -> None:
    path = folder / "upstream.jsonl"
    path.write_text(path.read_text().replace('"completion_tokens": 40', '"completion_tokens": 41'))


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (sql(f"DELETE FROM entries WHERE seq = {SOME}"), "0 settlements"),
        (sql(f"{COPIED} WHERE seq = {SOME}"), "2 settlements"),
        (
            sql(
                f"UPDATE entries SET revenue = revenue + 1, wallet = wallet - 1 WHERE seq = {SOME}"
            ),
            "was charged",
        ),
        (
            sql(f"UPDATE entries SET revenue = 1, wallet = -held - 1 WHERE seq = {RECOVERED}"),
            "was recovered at 1",
        ),
        (
            sql(f"DELETE FROM entries WHERE call = (SELECT call FROM entries WHERE seq = {SOME})"),
            "the ledger knows nothing of it",
        ),
        (sql("UPDATE balances SET wallet = wallet + 1, source = source - 1"), "kept balances"),
        (sql("UPDATE entries SET wallet = 1, source = -1 WHERE kind = 4"), "below its floor"),
        (sql("UPDATE rollups SET calls = calls + 1"), "roll-ups"),
        (executed_twice, "was executed 2 times"),
        (executed_unknown, "the ledger knows nothing of it"),
        (never_executed, "never reached the provider"),
        (reported_more, "reported were"),
    ],
)
def test_the_checker_sees(
    evidence: Path, tmp_path: Path, tamper: Callable[[Path], None], complaint: str
) -> None:
    """Each thing that it proves, it can also find broken."""
    folder = tmp_path / "copy"
    shutil.copytree(evidence, folder)
    tamper(folder)
    problems, _ = checker()(folder)
    assert any(complaint in problem for problem in problems), problems[:5]
