"""Which Python `scripts/setup` makes the environment with; the Pythons are scripts that say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts/setup"
# Told to rank itself it prints its line; told to make an environment it makes one of its own kind.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-c import pip") exit 0 ;;
"-c "*) {rank} ;;
"-m venv") {venv} && mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "$0" > made-by ;;
"-m pip") echo pip >> installed ;;
esac
"""
OLD = "echo That is Python 3.9. >&2; exit 1"
REAL = f'exec "{sys.executable}" "$@"'


def ranked(profiled: bool, version: int) -> str:
    return f'echo "{int(profiled)} {version} $0"'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, root / "scripts/setup")
    for name in ("setup.cfg", "pyproject.toml"):
        (root / name).write_text(name)
    return root


def a_python(root: Path, place: str, name: str, rank: str, venv: str = "true") -> Path:
    path = root.parent / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON.format(rank=rank, venv=venv))
    path.chmod(0o700)
    return path


def set_up(
    root: Path, *places: str, at: Path | None = None, extras: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    tools = root.parent / "tools"
    tools.mkdir(exist_ok=True)
    for tool in (
        "bash",
        "cat",
        "cksum",
        "cp",
        "dirname",
        "grep",
        "mkdir",
        "mv",
        "rm",
        "sh",
        "sort",
    ):
        found = shutil.which(tool)
        assert found is not None, tool
        (tools / tool).unlink(missing_ok=True)
        (tools / tool).symlink_to(found)
    path = os.pathsep.join([*(str(root.parent / place) for place in places), str(tools)])
    return subprocess.run(
        ["bash", str(root / "scripts/setup"), *extras.split()],
        cwd=at or root,
        env={"PATH": path, **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_one_built_with_profiles_is_taken_before_a_newer_and_nearer(checkout: Path) -> None:
    a_python(checkout, "near", "python3.13", ranked(False, 3_013_001))
    a_python(checkout, "far", "python3", ranked(True, 3_011_002))
    far = a_python(checkout, "far", "python3.11", ranked(True, 3_011_002))
    done = set_up(checkout, "near", "far")
    assert done.returncode == 0, done.stderr
    assert (checkout / "made-by").read_text().strip() == str(far)
    assert f"Python: {far} (" in done.stderr


def test_of_equals_the_newest_is_taken(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.11", ranked(True, 3_011_009))
    newest = a_python(checkout, "bin", "python3", ranked(True, 3_014_000))
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_010))
    assert set_up(checkout, "bin").returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(newest)


def test_one_that_cannot_make_environments_is_passed_over(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001), venv="false")
    other = a_python(checkout, "bin", "python3.11", ranked(False, 3_011_007))
    assert set_up(checkout, "bin").returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(other)


def test_the_one_that_is_named_is_taken(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001))
    named = a_python(checkout, "elsewhere", "python", ranked(False, 3_011_007))
    assert set_up(checkout, "bin", PYTHON=str(named)).returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(named)


def test_the_named_one_and_no_other_is_tried(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001))
    named = a_python(checkout, "elsewhere", "python", ranked(False, 3_011_007), venv="false")
    done = set_up(checkout, "bin", PYTHON=str(named))
    assert done.returncode == 1
    assert "No environment could be made" in done.stderr
    assert not (checkout / "made-by").exists()


@pytest.mark.parametrize("rank", [OLD, "exit 127"])
def test_a_named_one_that_is_too_old_or_no_python_is_said(checkout: Path, rank: str) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001))
    named = a_python(checkout, "elsewhere", "python", rank)
    done = set_up(checkout, "bin", PYTHON=str(named))
    assert done.returncode == 1
    assert f"needs Python 3.11 or newer; {named} is not" in done.stderr
    assert not (checkout / "made-by").exists()


def test_a_named_one_is_found_from_where_its_namer_is(checkout: Path) -> None:
    named = a_python(checkout, "elsewhere", "python", ranked(False, 3_011_007))
    done = set_up(checkout, at=named.parent, PYTHON="./python")
    assert done.returncode == 0, done.stderr
    assert "elsewhere/./python" in (checkout / "made-by").read_text()


def test_nothing_half_made_is_left(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001), venv="mkdir .venv && false")
    done = set_up(checkout, "bin")
    assert done.returncode == 1
    assert not (checkout / ".venv").exists()


def test_an_environment_without_pip_is_not_taken_away(checkout: Path) -> None:
    """Other tools make them so on purpose, where none could be made here."""
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001), venv="false")
    own = a_python(checkout, "checkout/.venv/bin", "python", "exit 0")
    own.write_text(own.read_text().replace('"-c import pip") exit 0', '"-c import pip") exit 1'))
    done = set_up(checkout, "bin")
    assert done.returncode == 1
    assert f"{checkout}/.venv has no pip" in done.stderr
    assert own.exists()


def test_a_real_one_ranks_itself(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.13", ranked(False, 3_010_000))
    real = a_python(checkout, "bin", "python3.11", REAL)
    done = set_up(checkout, "bin")
    assert done.returncode == 0, done.stderr
    assert (checkout / "made-by").read_text().strip() == str(real)


def test_none_that_is_new_enough_is_said(checkout: Path) -> None:
    a_python(checkout, "bin", "python3", OLD)
    done = set_up(checkout, "bin")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


def test_a_second_time_nothing_is_made_or_installed(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001))
    assert set_up(checkout, "bin").returncode == 0
    (checkout / "made-by").unlink()
    assert set_up(checkout, "bin").returncode == 0
    assert not (checkout / "made-by").exists()
    assert (checkout / "installed").read_text() == "pip\n"


def test_a_narrower_call_has_what_a_wider_one_brought(checkout: Path) -> None:
    """It asks nobody for anything: there may be no network any more."""
    a_python(checkout, "bin", "python3.12", ranked(True, 3_012_001))
    for extras, times in (("test dev", 1), ("", 1), ("dev", 1), ("docs", 2), ("docs test", 2)):
        assert set_up(checkout, "bin", extras=extras).returncode == 0
        assert (checkout / "installed").read_text() == "pip\n" * times
    (checkout / "setup.cfg").write_text("other")
    assert set_up(checkout, "bin").returncode == 0
    assert (checkout / "installed").read_text() == "pip\n" * 3
