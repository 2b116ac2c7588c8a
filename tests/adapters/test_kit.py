"""The conformance kit: our own adapters pass it, and so does whatever keeps the rules."""

from __future__ import annotations

import time
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Adapter, Operation, Quirks, StreamMeter, compatible
from gateway.sdk.testing import Broken, Unfit, load, of, verdicts
from tests.adapters.kit_newt import broken, build, installed, newt

ROOT = Path(__file__).parents[2]

declared = ConfigParser()
declared.read(ROOT / "setup.cfg")
OURS = [
    line.split("=")[0].strip()
    for line in declared["options.entry_points"]["gateway.providers"].split("\n")
    if line.strip()
]


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name: str) -> None:
    """Every adapter that this package declares keeps every rule."""
    found = verdicts(load(name))
    assert {check: str(one) for check, one in found.items() if isinstance(one, Broken)} == {}
    assert sum(one is None for one in found.values()) >= 8


def test_a_wire_of_its_own_passes() -> None:
    """All that can be asked of it holds."""
    found = verdicts(newt())
    assert {n: str(o) for n, o in found.items() if isinstance(o, Broken)} == {}
    unfit = {n for n, one in found.items() if isinstance(one, Unfit)}
    assert unfit == {"chat: members_stay"}


def test_a_clock_taken_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from time import time` is found as well."""
    installed(
        tmp_path,
        "from time import monotonic as now\nfrom gateway.sdk import *\n"
        "def build(call, credential):\n"
        "    now()\n"
        "    body = adapted(call, Quirks()).raw\n"
        "    return UpstreamRequest('POST', call.base_url, bearer(credential), body)\n"
        "ADAPTER = Adapter('olm', {'chat': Operation(build)})\n",
        "olm",
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = broken(load("olm"))
    assert {one.rule for one in found.values()} == {1}
    assert time.monotonic() > 0  # and everything is back in its place


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        ({}, "it is a dict"),
        (Adapter("x", {}), "declares no operations"),
        (Adapter("x", {"chat": 1}), "is no Operation"),  # type: ignore[dict-item]
        (Adapter("x", {"chat": Operation(build)}, contract=9), "contract 9"),
        (Adapter("x", {"chat": Operation(build, parse=7)}), "can't be called"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_adapter(adapter: Any, told: str) -> None:
    """It fails one check, and nothing else is asked of it."""
    (found,) = verdicts(of("x", adapter)).values()
    assert isinstance(found, Broken)
    assert found.rule == 11
    assert told in str(found)


def test_quirks_do_not_offend() -> None:
    """What `compatible` can declare keeps all rules."""
    quirks = Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        drop=frozenset({"logit_bias"}),
        default={"safety": b'"low"'},
        clamp={"temperature": (0.0, 1.0)},
        roles={"developer": "system"},
        stream_usage=False,
    )
    assert broken(of("teal", compatible("teal", quirks=quirks))) == {}
    assert StreamMeter(hide_usage=True).complete is False
