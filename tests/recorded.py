"""Where recorded traffic lies, and how tests read it. A test of it is in a file `test_corpus*.py`,
and its parameter is named `case`: so it is counted in the summary's table.

Recordings live outside the repository: ISTHMUS_CORPUS names their folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(os.environ.get("ISTHMUS_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"no recorded traffic in {CORPUS}; set ISTHMUS_CORPUS"
)


def cases(provider: str, *operations: str) -> list[Path]:
    """The recorded cases of a provider's operations, in a stable order."""
    return [
        case
        for operation in operations
        for case in sorted((CORPUS / provider / operation).glob("*"))
        if (case / "meta.json").exists()
    ]


def case_id(case: Path) -> str:
    return "/".join(case.parts[-3:])


def parameters(found: list[Path]) -> Any:
    return pytest.mark.parametrize("case", found, ids=case_id)


def meta(case: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((case / "meta.json").read_bytes())
    return read


def response_file(case: Path) -> Path:
    (found,) = case.glob("response.*")
    return found
