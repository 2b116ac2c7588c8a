"""Starts the provider and the gateway, sends the load, kills, starts again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from torture_lib.clients import Clients

PRICES = {"input_per_mtok": "0.3333", "cached_input_per_mtok": "0.0411", "output_per_mtok": "1.23"}
_CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}}}
providers:
  p: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{port}/v1", credentials: [{{name: a, api_key: "sk-upstream-secret"}}]}}
models:
  m:
    name: M
    vendor: V
    kind: chat
    context: 100000
    capabilities: [streaming]
    routes: {{m: {{provider: p, upstream: m, price: {prices}}}}}
"""  # noqa: E501
_START = 20.0
_STOP = 20.0
# Accounts, their top-ups in dollars, and how many keys each has. The second soon runs dry.
ACCOUNTS = (("rich", "1000", 4), ("poor", "0.003", 2))


class Torture:
    """One run in one folder, which keeps everything that the checker reads."""

    def __init__(self, folder: Path, seed: int, longest: float, most: int) -> None:
        self._folder = folder
        self._seed = seed
        self._chance = random.Random(seed)
        self._longest = longest
        self._most = most
        self._secrets: list[str] = []
        self._starts = (folder / "starts.jsonl").open("a")
        self._client_log = (folder / "clients.jsonl").open("a")
        self._gateway: asyncio.subprocess.Process | None = None
        self._round = 0

    async def run(self, rounds: int, syscalls: list[int]) -> None:
        """All rounds, then one that ends in order."""
        command = [
            sys.executable,
            "-m",
            "torture_lib.upstream",
            str(self._folder / "upstream.jsonl"),
        ]
        provider = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            port = int(await _line(provider))
            text = _CATALOG.format(port=port, prices=json.dumps(PRICES))
            (self._folder / "catalog.yaml").write_text(text)
            (self._folder / "prices.json").write_text(json.dumps(PRICES))
            for _ in range(rounds):
                await self._killed_at_random()
            for number in syscalls:
                await self._killed_at_syscall(number)
            await self._stopped_in_order()
        finally:
            if self._gateway is not None and self._gateway.returncode is None:
                self._gateway.kill()
            provider.kill()
            await provider.wait()

    async def _killed_at_random(self) -> None:
        port = await self._start()
        assert port is not None
        load = asyncio.create_task(self._load(port))
        await asyncio.sleep(0.02 + self._chance.random() * self._longest)
        assert self._gateway is not None
        self._gateway.send_signal(signal.SIGKILL)
        await self._gateway.wait()
        await load

    async def _killed_at_syscall(self, number: int) -> None:
        inject = f"inject=pwrite64,fdatasync:signal=KILL:when={number}"
        port = await self._start("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64,fdatasync", "-e", inject)  # fmt: skip  # noqa: E501
        if port is not None:
            await self._load(port)
        assert self._gateway is not None
        if self._gateway.returncode is None:  # too few writes for this number
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._gateway.pid, signal.SIGKILL)
        await self._gateway.wait()

    async def _stopped_in_order(self) -> None:
        port = await self._start()
        assert port is not None
        load = asyncio.create_task(self._load(port))
        await asyncio.sleep(self._longest)
        assert self._gateway is not None
        self._gateway.terminate()
        code = await asyncio.wait_for(self._gateway.wait(), _STOP)
        await load
        if code != 0:
            raise SystemExit(f"the gateway ended with {code} when it was told to stop")

    async def _start(self, *prefix: str) -> int | None:
        """A gateway that listens; None if it was killed before it did."""
        self._round += 1
        gateway = Path(sys.executable).with_name("gateway")
        with (self._folder / "gateway.log").open("ab") as log:
            self._gateway = await asyncio.create_subprocess_exec(
                *prefix, str(gateway), "serve", "--catalog", str(self._folder / "catalog.yaml"),
                "--db", str(self._folder / "gateway.sqlite"), "--port", "0", "--drain", "5",
                "--log-format", "json",
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        port = await asyncio.wait_for(self._listening(), _START)
        if port is None:
            if not prefix:
                raise SystemExit("the gateway did not start; see gateway.log")
            return None
        drain = asyncio.create_task(_to_nowhere(self._gateway))
        drain.add_done_callback(lambda _: None)
        try:
            await self._mark(port)
            if not self._secrets:
                await self._open_accounts()
        except (OSError, asyncio.IncompleteReadError):
            if not prefix:
                raise
            return None
        return port

    async def _listening(self) -> int | None:
        assert self._gateway is not None
        while line := await _line(self._gateway):
            fact = json.loads(line)
            if fact.get("event") == "listening":
                return int(fact["url"].rpartition(":")[2])
        return None

    async def _mark(self, port: int) -> None:
        """Note which of the ledger's starts this round is: every answer's id names it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()
        found = head.partition("x-request-id: req_")[2][:16]
        self._starts.write(json.dumps({"round": self._round, "token": found}) + "\n")
        self._starts.flush()

    async def _open_accounts(self) -> None:
        for name, dollars, keys in ACCOUNTS:
            await self._command("accounts.create", {"name": name})
            await self._command("accounts.topup", {"account": name, "amount": dollars})
            for number in range(keys):
                wanted = {"name": f"{name} {number}", "account": name}
                self._secrets.append((await self._command("keys.create", wanted))["key"])

    async def _command(self, do: str, arguments: dict[str, Any]) -> Any:
        path = str(self._folder / "gateway.sqlite.sock")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(json.dumps({"do": do, "with": arguments}).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        return answer["ok"]

    async def _load(self, port: int) -> None:
        seed = self._seed * 1_000_003 + self._round
        log = self._client_log
        await Clients(port, self._secrets, self._round, log, seed, self._most).run()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def _to_nowhere(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass


def have_strace() -> bool:
    """Whether kills at syscalls can be had on this machine."""
    return shutil.which("strace") is not None
