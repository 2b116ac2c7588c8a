"""Adapters by strangers: installed with pip, found by entry point, unable to harm others."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from gateway.plugins import PluginConflict, Plugins
from gateway.sdk import Adapter, Operation, Reply, UpstreamRequest
from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.harness import catalog_text, running
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


def pip(python: str | Path, *arguments: str | Path) -> None:
    """Run pip in an environment; skip, and say why, where its index is out of reach."""
    done = subprocess.run(
        [python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check",
         "--retries", "1", "--timeout", "20"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot reach its index")
    assert done.returncode == 0, done.stderr


def tracked(*folders: str) -> list[str]:
    """What git holds, or would hold after `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in listed.stdout.split() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the gateway and the parrot, built from clean copies of the tree."""
    folder = tmp_path_factory.mktemp("wheels")
    copy = folder / "tree"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    parrot = copy / PARROT.relative_to(ROOT)
    pip(sys.executable, "wheel", "--no-deps", "-w", folder, copy, parrot)
    return folder


async def speak(exchange: Exchange) -> None:
    """The parrot's own wire: a word a line, then the count."""
    asked = exchange.request.json()
    assert exchange.request.header("X-Parrot-Key") == "squawk"
    words = asked["say"].split()
    lines = "".join(f"{word}\n" for word in words) + f"#{len(words)}\n"
    await exchange.send(head(200, [("Content-Length", str(len(lines)))]))
    for letter in lines.encode():
        await exchange.send(bytes([letter]))


async def run(*command: str | Path, cwd: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=cwd
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_a_stranger_is_served(tmp_path: Path, wheels: Path) -> None:
    """In a fresh environment two `pip install`s and a catalog are all it takes."""
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "venv", tmp_path / "venv"], check=True
    )
    gateway = tmp_path / "venv" / "bin" / "gateway"
    await asyncio.to_thread(
        pip, gateway.with_name("python"), "install", *wheels.glob("*.whl")
    )  # fmt: skip
    shipped = json.loads(await run(gateway, "check", "--json", cwd=tmp_path))
    assert shipped["routes"] > 100
    async with FakeUpstream(speak) as fake:
        catalog, db = tmp_path / "catalog.yaml", str(tmp_path / "g.sqlite")
        catalog.write_text(CATALOG.format(url=fake.url))
        checked = json.loads(
            await run(gateway, "check", "--catalog", catalog, "--json", cwd=tmp_path)
        )
        assert (checked["ok"], checked["adapters_unavailable"]) == (True, {})
        made = json.loads(
            await run(gateway, "keys", "create", "k", "--db", db, "--json", cwd=tmp_path)
        )
        process = await asyncio.create_subprocess_exec(
            gateway, "serve", "--catalog", catalog, "--db", db, "--port", "0",
            stdout=asyncio.subprocess.PIPE, cwd=tmp_path,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            port = int(json.loads(await process.stdout.readline())["url"].rsplit(":", 1)[1])
            await speak_with(port, made["key"])
        finally:
            process.terminate()
            out, _ = await process.communicate()
        assert process.returncode == 0
        calls = [json.loads(line) for line in out.splitlines() if b'"event":"call"' in line]
        assert [(call["input_tokens"], call["output_tokens"]) for call in calls] == [(2, 2)] * 2
        assert [fake_call.path for fake_call in fake.requests] == ["/speak"] * 2


async def speak_with(port: int, key: str) -> None:
    """One plain call, one streamed."""
    body = chat(model="parrot", messages=[{"role": "user", "content": "pretty polly"}])
    plain = (await ask(port, request(body, key))).json()
    assert plain["choices"][0]["message"]["content"] == "pretty polly"
    assert plain["usage"]["total_tokens"] == 4
    answer = await ask(port, request(body | {"stream": True}, key))
    assert answer.clean
    events = [line[6:] for line in answer.body.decode().split("\n\n") if line]
    assert events.pop() == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content", "") for delta in deltas) == "pretty polly "


def test_the_wheel_is_the_tree(wheels: Path) -> None:
    """The built wheel holds every file of ours that git holds, and no other."""
    with zipfile.ZipFile(next(wheels.glob("isthmus_gateway-*.whl"))) as wheel:
        infos = wheel.infolist()
        shipped = wheel.read("gateway/default_catalog.yaml")
    names = {info.filename for info in infos if ".dist-info/" not in info.filename}
    assert names == set(tracked("gateway", "providers_plugins"))
    assert {"gateway/py.typed", "gateway/store/schema/0001_keys.sql"} <= names
    assert shipped == (ROOT / "catalog.yaml").read_bytes()
    assert not [info for info in infos if stat.S_ISLNK(info.external_attr >> 16)]
    assert not [info for info in infos if info.filename.endswith(".pth")]


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
    assert plugins.failures["absent"] == "not installed"


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the gateway find these adapters beside its own."""

    def offer(*pairs: tuple[str, str]) -> None:
        ours = offered(
            ("openai-compatible", "providers_plugins.compatible:GENERIC"),
            ("sim", "providers_plugins.sim:ADAPTER"),
        )
        monkeypatch.setattr(Plugins.__init__, "__defaults__", (lambda: ours + offered(*pairs),))

    return offer


async def ask_chat(port: int, key: str, **more: Any) -> Any:
    return await ask(port, request(chat(**more), key))


async def test_a_bad_adapter_takes_only_its_own_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offer: Callable[..., None]
) -> None:
    """An adapter that exits on import is named in the status; all else is served."""
    (tmp_path / "exiting_adapter.py").write_text("import sys\nsys.exit('sk-secret-0123456789abc')")
    monkeypatch.syspath_prepend(tmp_path)
    offer(("not-installed", "exiting_adapter:ADAPTER"))
    async with running(tmp_path) as gateway:
        port = gateway.server.port
        assert (await ask_chat(port, gateway.key, model="foreign-slug")).status == 501
        assert (await ask_chat(port, gateway.key, model="echo")).status == 200
        status = await ask(port, request(b"", None, path="/api/status", method="GET"))
        assert status.json()["adapters"]["failed"] == {"not-installed": "did not load: SystemExit"}
        assert "secret" not in gateway.server.plugins.reasons["not-installed"]


async def test_a_reload_that_brings_a_conflict_is_refused(
    tmp_path: Path, offer: Callable[..., None]
) -> None:
    """A catalog that names an adapter of two packages is refused; the old one serves."""
    text = catalog_text("http://127.0.0.1:9/v1")
    without = text.replace("adapter: not-installed", "adapter: sim")
    offer(("not-installed", "a:ADAPTER"), ("not-installed", "b:ADAPTER"))
    async with running(tmp_path, text=without) as gateway:
        gateway.catalog_path.write_text(text)
        await gateway.server.reload()
        status = await ask(
            gateway.server.port, request(b"", None, path="/api/status", method="GET")
        )
        assert "is offered by 2 packages" in status.json()["catalog"]["last_error"]
        assert (await ask_chat(gateway.server.port, gateway.key, model="echo")).status == 200


def build_nothing(_call: Any, _credential: Any) -> Any:
    return None


def build_badly(call: Any, _credential: Any) -> Any:
    return UpstreamRequest("POST", call.base_url + "/x", (("X", 7),), "text")  # type: ignore[arg-type]


def build_well(call: Any, _credential: Any) -> Any:
    return UpstreamRequest("POST", call.base_url + "/x", (), b"{}")


class Talker:
    """A translator that answers what it was told to."""

    def __init__(self, fed: Any, finished: Any = b"") -> None:
        self.usage = self.fault = None
        self.complete = True
        self._fed, self._finished = fed, finished

    def feed(self, _data: bytes) -> Any:
        if isinstance(self._fed, Exception):
            raise self._fed
        return self._fed

    def finish(self) -> Any:
        if isinstance(self._finished, Exception):
            raise self._finished
        return self._finished


def boom(*_: Any) -> Any:
    raise ZeroDivisionError


ROGUES: dict[str, tuple[Operation, bool]] = {
    "build raises": (Operation(boom), False),
    "build gives nothing": (Operation(build_nothing), False),
    "build gives wrong types": (Operation(build_badly), False),
    "parse raises": (Operation(build_well, parse=boom), False),
    "parse gives nothing": (Operation(build_well, parse=lambda *_: None), False),  # type: ignore[arg-type,return-value]
    "parse gives text": (Operation(build_well, parse=lambda *_: Reply("text")), False),  # type: ignore[arg-type]
    "stream raises": (Operation(build_well, stream=boom), True),
    "stream gives nothing": (Operation(build_well, stream=lambda _: None), True),  # type: ignore[arg-type,return-value]
    "feed raises": (Operation(build_well, stream=lambda _: Talker(KeyError("x"))), True),
    "feed gives text": (Operation(build_well, stream=lambda _: Talker("text")), True),
    "finish raises": (Operation(build_well, stream=lambda _: Talker(b"", KeyError("x"))), True),
}


@pytest.mark.parametrize("name", ROGUES)
async def test_an_adapter_that_breaks_its_contract(tmp_path: Path, name: str) -> None:
    """Its call fails, by status or by an error event; the next on another route is served."""
    operation, stream = ROGUES[name]
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        gateway.server.plugins.adapters["not-installed"] = Adapter("rogue", {"chat": operation})
        port = gateway.server.port
        failed = ask_chat(port, gateway.key, model="foreign-slug", stream=stream)
        answer = await asyncio.wait_for(failed, 2)
        assert answer.status in (500, 502) or (stream and answer.clean)
        told = json.loads(answer.body.removeprefix(b"data: "))["error"]
        assert told["code"] in ("internal_error", "upstream_error")
        assert (await ask_chat(port, gateway.key, model="echo")).status == 200


async def test_an_adapter_that_exits_in_a_call(tmp_path: Path) -> None:
    """sys.exit() in an adapter ends its call, not the gateway."""
    folder = tmp_path / "exiting-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: exiting\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[gateway.providers]\nparrot = exiting:ADAPTER\n")
    (tmp_path / "exiting.py").write_text(
        "import sys\nfrom gateway.sdk import Adapter, Operation\n"
        "ADAPTER = Adapter('x', {'chat': Operation(lambda *_: sys.exit(3))})\n"
    )
    catalog, db = tmp_path / "catalog.yaml", str(tmp_path / "g.sqlite")
    catalog.write_text(CATALOG.format(url="http://127.0.0.1:9"))
    gateway = [sys.executable, "-m", "gateway.cli"]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    made = json.loads(await run(*gateway, "keys", "create", "k", "--db", db, "--json", cwd=ROOT))
    process = await asyncio.create_subprocess_exec(
        *gateway, "serve", "--catalog", catalog, "--db", db, "--port", "0",
        stdout=asyncio.subprocess.PIPE, env=environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(json.loads(await process.stdout.readline())["url"].rsplit(":", 1)[1])
        answer = await ask_chat(port, made["key"], model="parrot")
        assert answer.status in (500, 502)
        ready = await ask(port, request(b"", None, path="/readyz", method="GET"))
        assert ready.status == 200
    finally:
        process.kill()
        await process.communicate()
