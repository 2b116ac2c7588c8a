"""The conformance kit as an author runs it: an option of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.adapters.kit_newt import installed


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder of its own, as an author runs it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip


def test_through_pytest(tmp_path: Path) -> None:
    """`pytest --gateway-adapter` runs it for an installed package, and reports rules in words."""
    installed(tmp_path, "from gateway.sdk import compatible\nADAPTER = compatible('newt')\n")
    done = run_pytest(tmp_path, "--gateway-adapter", "newt", "--gateway-adapter", "sim")
    assert done.returncode == 0, done.stdout
    assert "newt: chat: splits_are_exact" in done.stdout
    assert "sim: chat: build_is_pure" in done.stdout


def test_a_failure_through_pytest(tmp_path: Path) -> None:
    """A broken rule fails the run with its number and a remedy, without the kit's stack."""
    installed(
        tmp_path,
        "import time\nfrom gateway.sdk import *\n"
        "def build(call, credential):\n"
        "    time.sleep(0)\n"
        "    return UpstreamRequest('POST', call.base_url, bearer(credential), b'{}')\n"
        "ADAPTER = Adapter('newt', {'chat': Operation(build)})\n",
    )
    done = run_pytest(tmp_path, "--gateway-adapter", "newt")
    assert done.returncode == 1
    assert "Rule 1 of docs/adapters.md is broken: build uses time.sleep." in done.stdout
    assert "To mend it:" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_the_option(tmp_path: Path) -> None:
    """Whoever does not ask for the kit gets none of it, nor its modules."""
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_it():\n    assert 'gateway.sdk.testing.suite' not in sys.modules\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 1


def test_samples_from_a_folder(tmp_path: Path) -> None:
    """Files in `--gateway-samples` are samples like those in the module."""
    (tmp_path / "s").mkdir()
    wrong = {"operation": "chat", "name": "odd", "stream": 'data: {"choices":[]}\n\n'}
    (tmp_path / "s" / "odd.json").write_text(json.dumps([wrong]))
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "s")
    assert done.returncode == 1
    assert (
        "Rule 5 of docs/adapters.md is broken: 'odd' is whole, and never complete." in done.stdout
    )


def test_samples_that_are_not_there(tmp_path: Path) -> None:
    """A folder that was named and is not there is an error, not an empty one."""
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "nowhere")
    assert done.returncode == 4
    assert "there is no folder nowhere" in done.stdout + done.stderr


def test_a_sample_that_cannot_be_read(tmp_path: Path) -> None:
    """It is said, and not passed over."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "odd.json").write_text('{"operation": "chat", "strem": "x"}')
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "s")
    assert done.returncode == 1
    assert "strem" in done.stdout
