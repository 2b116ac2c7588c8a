"""Adapters by strangers: installed with pip, found by entry point, unable to harm others."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway.plugins import PluginConflict, Plugins
from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.rawclient import ask, chat, request

ROOT = Path(__file__).parents[1]
PARROT = Path(__file__).parent / "third_party" / "parrot"

CATALOG = """
version: 1
providers:
  jungle: {{adapter: parrot, base_url: "{url}", credentials: [{{name: main, api_key: squawk}}]}}
models:
  parrot:
    {{name: Parrot, vendor: Jungle, kind: chat, routes: {{parrot: {{provider: jungle, upstream: p,
     price: {{input_per_mtok: "1", output_per_mtok: "1"}}}}}}}}
"""


def pip(python: Path, *arguments: str) -> None:
    """Run pip in an environment; skip, and say why, where its index is out of reach."""
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot reach its index")
    assert done.returncode == 0, done.stderr


async def speak(exchange: Exchange) -> None:
    """The parrot's own wire: a word a line, then the count."""
    asked = exchange.request.json()
    assert exchange.request.header("X-Parrot-Key") == "squawk"
    words = asked["say"].split()
    lines = "".join(f"{word}\n" for word in words) + f"#{len(words)}\n"
    await exchange.send(head(200, [("Content-Length", str(len(lines)))]))
    for letter in lines.encode():
        await exchange.send(bytes([letter]))


async def run(*command: str | Path) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_a_stranger_is_served(tmp_path: Path) -> None:
    """In a fresh environment two `pip install`s and a catalog are all it takes."""
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "venv", tmp_path / "venv"], check=True
    )
    bin_ = tmp_path / "venv" / "bin"
    await asyncio.to_thread(pip, bin_ / "python", str(ROOT), str(PARROT))
    async with FakeUpstream(speak) as fake:
        catalog, db = tmp_path / "catalog.yaml", str(tmp_path / "g.sqlite")
        catalog.write_text(CATALOG.format(url=fake.url))
        checked = json.loads(await run(bin_ / "gateway", "check", "--catalog", catalog, "--json"))
        assert checked["adapters_unavailable"] == {}
        made = json.loads(await run(bin_ / "gateway", "keys", "create", "k", "--db", db, "--json"))
        process = await asyncio.create_subprocess_exec(
            bin_ / "gateway", "serve", "--catalog", catalog, "--db", db, "--port", "0",
            stdout=asyncio.subprocess.PIPE, cwd=tmp_path,
        )  # fmt: skip
        assert process.stdout is not None
        port = int(json.loads(await process.stdout.readline())["url"].rsplit(":", 1)[1])
        body = chat(model="parrot", messages=[{"role": "user", "content": "pretty polly"}])
        plain = (await ask(port, request(body, made["key"]))).json()
        assert plain["choices"][0]["message"]["content"] == "pretty polly"
        answer = await ask(port, request(body | {"stream": True}, made["key"]))
        assert answer.clean
        events = [line[6:] for line in answer.body.decode().split("\n\n") if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert "".join(delta.get("content", "") for delta in deltas) == "pretty polly "
        process.terminate()
        out, _ = await process.communicate()
        calls = [json.loads(line) for line in out.splitlines() if b'"event":"call"' in line]
        assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == [(2, 2)] * 2


def test_the_wheel_is_the_tree(tmp_path: Path) -> None:
    """The built wheel holds every file of ours that git holds, and no other."""
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if built.returncode and "No matching distribution" in built.stderr:
        pytest.skip("pip cannot reach its index")
    assert built.returncode == 0, built.stderr
    listed = subprocess.run(
        ["git", "ls-files", "gateway", "providers_plugins"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        shipped = wheel.read("gateway/default_catalog.yaml")
    assert names == set(listed.stdout.split())
    assert shipped == (ROOT / "catalog.yaml").read_bytes()
    assert not [name for name in names if name.endswith(".pth")]


def offered(*pairs: tuple[str, str]) -> list[EntryPoint]:
    return [EntryPoint(name, value, "gateway.providers") for name, value in pairs]


def test_two_claims_to_one_name() -> None:
    """An adapter that shadows another would get its credentials: both are refused."""
    entries = offered(("openai", "a:ADAPTER"), ("x", "x:ADAPTER"), ("openai", "b:ADAPTER"))
    plugins = Plugins(discover=lambda: entries)
    with pytest.raises(PluginConflict, match="2 packages"):
        plugins.load(["openai"])
    assert plugins.adapters == {}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('no')", "did not load: RuntimeError"),
        ("import sys; sys.exit(3)", "did not load: SystemExit"),
        ("ADAPTER = {}", "is a dict"),
        ("ADAPTER_ = 1", "did not load: AttributeError"),
        ("from gateway.sdk import Adapter\nADAPTER = Adapter('x', {})", "declares no operations"),
        (
            "from gateway.sdk import Adapter\nADAPTER = Adapter('x', {'chat': 1})",
            "operation 'chat'",
        ),
        (
            "from gateway.sdk import Adapter\nADAPTER = Adapter('x', {'c': 1}, contract=9)",
            "contract 9",
        ),
    ],
)
def test_bad_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    """One that does not load is named with its reason; the others load."""
    (tmp_path / "bad_adapter.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bad_adapter", raising=False)
    entries = offered(("bad", "bad_adapter:ADAPTER"), ("sim", "providers_plugins.sim:ADAPTER"))
    plugins = Plugins(discover=lambda: entries)
    plugins.load(["bad", "sim", "absent"])
    assert set(plugins.adapters) == {"sim"}
    assert told in plugins.failures["bad"]
    assert plugins.failures["absent"] == "is not installed"
