"""docs/adapters.md says what is so: its rules are the kit's, its names the SDK's."""

from __future__ import annotations

import re
from pathlib import Path

import gateway.sdk
from gateway.sdk import Adapter, Call, Operation, Usage
from gateway.sdk.testing import Sample
from gateway.sdk.testing.subject import Saying

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "adapters.md").read_text()


def section(title: str) -> str:
    """What stands under a heading."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_rules_have_numbers() -> None:
    """Each rule that the kit can name stands in the document, and they are numbered through."""
    numbers = [int(one) for one in re.findall(r"(?m)^(\d+)\. \*\*", section("The rules"))]
    assert numbers == list(range(1, len(numbers) + 1))
    named: set[int] = set()
    for path in (ROOT / "gateway" / "sdk" / "testing").glob("*.py"):
        named |= {int(one) for one in re.findall(r"Broken\(\s*(\d+),", path.read_text())}
    assert named
    assert named <= set(numbers)


def test_names_are_listed() -> None:
    """All that the SDK offers, and no more."""
    table = section("Reference").split("`gateway.sdk` offers:")[1].split("`gateway.sdk.talk`")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == set(gateway.sdk.__all__)


def test_fields_are_named() -> None:
    """Fields of the contract's values are all in the reference, those of samples in the kit's."""
    reference, kit = section("Reference"), section("The conformance kit")
    for kind in (Adapter, Operation, Call, Usage):
        for name in kind.__struct_fields__:
            assert re.search(rf"\b{name}\b", reference), f"{kind.__name__}.{name}"
    for kind in (Sample, Saying):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in kit, f"{kind.__name__}.{name}"


def test_the_example_runs() -> None:
    """The declared adapter is one."""
    (code,) = re.findall(r"```python\n(.*?)```", section("A host that speaks OpenAI's wire"), re.S)
    made: dict[str, object] = {}
    exec(code, made)
    assert isinstance(made["ADAPTER"], Adapter)
