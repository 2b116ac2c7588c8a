"""Which Python `scripts/setup` makes the environment with; the Pythons are scripts that say so."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts/setup"
# Told to rank itself it prints its line; told to make an environment it makes one of its own kind.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-c import sys") exit 0 ;;
"-c "*) [ -n "{rank}" ] && echo "{rank} $0" || exit 1 ;;
"-m venv") {venv} && mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "$0" > made-by ;;
"-m pip") echo pip >> installed ;;
esac
"""
PROFILED, PLAIN, OLD = "1", "0", ""


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
    path.parent.mkdir(exist_ok=True)
    path.write_text(PYTHON.format(rank=rank, venv=venv))
    path.chmod(0o700)
    return path


def set_up(root: Path, *places: str, **env: str) -> subprocess.CompletedProcess[str]:
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
        ["bash", "scripts/setup"],
        cwd=root,
        env={"PATH": path, **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_one_built_with_profiles_is_taken_before_a_newer_and_nearer(checkout: Path) -> None:
    a_python(checkout, "near", "python3.13", f"{PLAIN} 3.13.1")
    a_python(checkout, "far", "python3", f"{PROFILED} 3.11.2")
    far = a_python(checkout, "far", "python3.11", f"{PROFILED} 3.11.2")
    done = set_up(checkout, "near", "far")
    assert done.returncode == 0, done.stderr
    assert (checkout / "made-by").read_text().strip() == str(far)
    assert f"Python: {far} (3.11.2)" in done.stderr


def test_of_equals_the_newest_is_taken(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.11", f"{PROFILED} 3.11.9")
    newest = a_python(checkout, "bin", "python3", f"{PROFILED} 3.14.0")
    a_python(checkout, "bin", "python3.12", f"{PROFILED} 3.12.10")
    assert set_up(checkout, "bin").returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(newest)


def test_one_that_cannot_make_environments_is_passed_over(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", f"{PROFILED} 3.12.1", venv="false")
    other = a_python(checkout, "bin", "python3.11", f"{PLAIN} 3.11.7")
    assert set_up(checkout, "bin").returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(other)


def test_the_one_that_is_named_is_taken(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", f"{PROFILED} 3.12.1")
    named = a_python(checkout, "elsewhere", "python", f"{PLAIN} 3.11.7")
    assert set_up(checkout, "bin", PYTHON=str(named)).returncode == 0
    assert (checkout / "made-by").read_text().strip() == str(named)


def test_the_named_one_and_no_other_is_tried(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", f"{PROFILED} 3.12.1")
    named = a_python(checkout, "elsewhere", "python", f"{PLAIN} 3.11.7", venv="false")
    done = set_up(checkout, "bin", PYTHON=str(named))
    assert done.returncode == 1
    assert "venv module is missing" in done.stderr
    assert not (checkout / "made-by").exists()


def test_none_that_is_new_enough_is_said(checkout: Path) -> None:
    a_python(checkout, "bin", "python3", OLD)
    done = set_up(checkout, "bin")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


def test_a_second_time_nothing_is_made_or_installed(checkout: Path) -> None:
    a_python(checkout, "bin", "python3.12", f"{PROFILED} 3.12.1")
    assert set_up(checkout, "bin").returncode == 0
    (checkout / "made-by").unlink()
    assert set_up(checkout, "bin").returncode == 0
    assert not (checkout / "made-by").exists()
    assert (checkout / "installed").read_text() == "pip\n"
