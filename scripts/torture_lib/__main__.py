"""scripts/torture: see --help."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from torture_lib.checker import check
from torture_lib.driver import Torture, have_strace


def main() -> None:
    """Run and check; exit 1 when anything does not add up."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds of load a round")
    parser.add_argument("--calls", type=int, default=2_000, help="at most so many a round")
    parser.add_argument("--syscalls", default="", help="FROM:TO[:STEP]: kill at these writes")
    parser.add_argument("--folder", type=Path, default=None, help="where to keep the evidence")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    syscalls = list(range(*map(int, options.syscalls.split(":")))) if options.syscalls else []
    if syscalls and not have_strace():
        print("SKIPPED: kills at syscalls need strace, which is not installed", flush=True)
        syscalls = []
    print(f"seed {seed}, evidence in {folder}", flush=True)
    torture = Torture(folder, seed, options.longest, options.calls)
    asyncio.run(torture.run(options.rounds, syscalls))
    problems, counts = check(folder)
    for name, count in counts.items():
        print(f"{name:36} {count}")
    for problem in problems[:50]:
        print(f"WRONG: {problem}")
    if problems:
        print(f"{len(problems)} things do not add up; seed {seed}, evidence in {folder}")
        sys.exit(1)
    print("All of it adds up.")


if __name__ == "__main__":
    main()
