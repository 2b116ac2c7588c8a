"""What the standard library does that nobody expects is kept out by name."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAPS = {
    # On Python 3.11 it answers with what came in the moment it was cancelled, and the cancellation
    # is lost: a loop that waits so cannot be stopped. `asyncio.timeout` has no such moment.
    "asyncio.wait_for(": "use `async with asyncio.timeout(...)`",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_no_trap(trap: str) -> None:
    """Not in the gateway's own code."""
    files = [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "providers_plugins").rglob("*.py")]
    assert files
    found = [str(path.relative_to(ROOT)) for path in files if trap in path.read_text()]
    assert not found, TRAPS[trap]
