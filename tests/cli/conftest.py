"""A database, a catalog, and a checkout whose set-up is done."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import ROOT
from tests.harness import catalog_text


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "gateway.sqlite")


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    path = tmp_path / "catalog.yaml"
    path.write_text(catalog_text("http://127.0.0.1:9/v1"))
    return str(path)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of scripts/run whose set-up is already done, by this environment."""
    root = tmp_path / "check out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "run", root / "scripts")
    (root / "scripts" / "setup").write_text("#!/bin/sh\n")
    (root / "scripts" / "setup").chmod(0o755)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
    (root / ".venv" / "bin" / "python").chmod(0o755)
    shutil.copy(ROOT / "catalog.yaml", root)
    return root
