"""The gateway with a ledger that writes nothing: what its durable writes cost is the difference.

Run as `python -m bench_lib.unwritten serve ...`. All else of a call's money is done as ever: what
it may cost is set aside, and what it has cost is worked out. For the bench alone; nothing that is
served here is charged.
"""

from __future__ import annotations

import asyncio

from gateway.cli import main
from gateway.store.ledger import Commit, GroupCommit, Row


def taken_for_durable(_ledger: GroupCommit, _row: Row, _alone: bool = False) -> Commit:
    """An entry that nobody writes, and nobody waits for."""
    commit: Commit = asyncio.get_running_loop().create_future()
    commit.set_result(None)
    return commit


if __name__ == "__main__":
    GroupCommit.post = taken_for_durable
    main()
