"""Imports run one way, and no provider's name stands where only contracts may."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("gateway", "providers_plugins")

# Each room may import itself, what stands above it in this list, and nothing else of ours.
LAYERS: list[set[str]] = [
    {"gateway"},  # the version alone
    {"gateway.errors", "gateway.domain"},
    {"gateway.core"},
    {"gateway.schemas"},
    {"gateway.catalog", "gateway.settings"},
    {"gateway.sdk", "gateway.ports"},
    {
        "gateway.store",
        "gateway.upstream",
        "gateway.plugins",
        "gateway.pipeline",
        "providers_plugins",
    },
    {"gateway.observe"},
    {"gateway.web"},
    {
        "gateway.server",
        "gateway.cli",
        "gateway.commands",
        "gateway.arguments",
        "gateway.calling",
        "gateway.first_run",
        "gateway.tasking",
    },
]
# Rooms of one layer that do not see each other.
APART = LAYERS[6]

AIOHTTP_WEB_ROOMS = {"gateway.web", "gateway.server"}
PROVIDERS = re.compile(
    r"(?i)\b(anthropic|bedrock|gemini|vertex|minimax|moonshot|deepseek|zhipu|qwen|alibaba|xai|mistral|cohere|groq)\b"
)

# Test files that are longer than the others may be, until they are split.
LONG_TESTS = {"tests/store/test_storage_faults.py"}


def files() -> list[Path]:
    return sorted(path for top in CODE for path in (ROOT / top).rglob("*.py"))


def suite() -> list[Path]:
    return sorted(
        path
        for path in (ROOT / "tests").rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in LONG_TESTS
    )


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] == "providers_plugins" or len(parts) == 1 else ".".join(parts[:2])


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module in CODE}
    return found


def layer_of(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    raise AssertionError(f"{room} has no place in LAYERS")


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_imports_point_one_way(path: Path) -> None:
    """A room imports only rooms above it; rooms apart do not see each other."""
    room = room_of(module_of(path))
    for name in imports_of(path):
        if name.split(".")[0] not in CODE:
            continue
        target = room_of(name)
        if target in {room, "gateway"} or target.startswith("gateway.__"):
            continue
        if room == "gateway" and not name.startswith("gateway."):
            continue
        try:
            where = layer_of(target)
        except AssertionError:
            continue  # a name imported from the top package, not a room
        assert where <= layer_of(room), f"{module_of(path)} imports {name}"
        if {room, target} <= APART:
            raise AssertionError(f"{module_of(path)} and {name} must not see each other")


def test_plugins_import_the_sdk_alone() -> None:
    """Our own adapters need no more of the gateway than a stranger's may use."""
    for path in files():
        if path.parts[len(ROOT.parts)] != "providers_plugins":
            continue
        ours = {name for name in imports_of(path) if name.split(".")[0] == "gateway"}
        assert all(n in {"gateway", "gateway.sdk", "gateway.sdk.talk"} for n in ours), path


def test_aiohttp_web_stays_at_the_edge() -> None:
    """No room but the edge and the composition knows the server library."""
    for path in files():
        if room_of(module_of(path)) in AIOHTTP_WEB_ROOMS:
            continue
        text = path.read_text()
        assert "aiohttp.web" not in text, path
        assert "from aiohttp import web" not in text, path


def test_no_provider_is_named_in_the_gateway() -> None:
    """Providers are data and plugins; the gateway's own code treats all alike."""
    for path in (ROOT / "gateway").rglob("*.py"):
        named = PROVIDERS.findall(path.read_text())
        assert not named, f"{path.name} names {named}"


def test_core_is_pure() -> None:
    """The core never waits and asks nobody for the time."""
    banned = {"asyncio", "time", "os", "socket", "random", "secrets", "threading", "aiohttp"}
    for path in (ROOT / "gateway" / "core").rglob("*.py"):
        assert not imports_of(path) & banned, path
        assert not [
            n
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, (ast.Await, ast.AsyncFunctionDef))
        ], path


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_sizes(path: Path) -> None:
    """Files stay near 400 lines and functions near 50."""
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", suite(), ids=module_of)
def test_sizes_of_tests(path: Path) -> None:
    """A file of tests stays near 400 lines: a longer one is about more than one subject."""
    assert path.read_text().count("\n") <= 450


def test_importing_the_package_is_quiet() -> None:
    """No module warns or prints when it is imported."""
    modules = sorted(module_of(path) for path in files() if path.name != "__main__.py")
    code = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *modules],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout + done.stderr == b""
