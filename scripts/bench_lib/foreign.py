"""The other LLM gateways: LiteLLM proxy (Python) and Portkey gateway (Node)."""

from __future__ import annotations

import json
from pathlib import Path

from bench_lib import wire
from bench_lib.peers import AbsentError, Launch, Peer, Setting, find, output


class LiteLLM(Peer):
    """`litellm --config`, one worker, a master key, no database, nothing fetched."""

    name = "litellm"
    title = "LiteLLM proxy"
    heavy = 10
    patience = 90.0

    def __init__(self, setting: Setting, venv: Path) -> None:
        super().__init__(setting)
        self.venv = venv

    def prepare(self) -> None:
        self.program = self.venv / "bin/litellm"
        if not self.program.is_file():
            raise AbsentError("no litellm there (--litellm-venv DIR, LITELLM_VENV, or --install)")
        self.version = output(
            str(self.venv / "bin/python"),
            "-c",
            "from importlib.metadata import version; print(version('litellm'))",
        )
        models = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{name}",
                    "api_base": self.setting.base_url,
                    "api_key": "x",
                    "input_cost_per_token": 1e-6,
                    "output_cost_per_token": 2e-6,
                },
            }
            for name in (wire.MODEL, wire.HOLD_MODEL)
        ]
        self.config = self.write(
            "config.yaml",
            json.dumps(
                {
                    "model_list": models,
                    "litellm_settings": {
                        "telemetry": False,
                        "request_timeout": 600,
                        "num_retries": 0,
                    },
                    "general_settings": {"master_key": "sk-bench"},
                }
            ),
        )

    def launch(self, port: int) -> Launch:
        argv = [
            str(self.program),
            "--config",
            str(self.config),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--num_workers",
            "1",
            "--telemetry",
            "False",
        ]
        env = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "NO_PROXY": "*",
            "PYTHONPATH": "",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "HOME": str(self.directory),
        }
        return Launch(argv, env, self.directory)


class Portkey(Peer):
    """`@portkey-ai/gateway` on Node, forced onto the loopback address by a preloaded line."""

    name = "portkey"
    title = "Portkey gateway"
    heavy = 4
    patience = 30.0
    SHIM = """const net = require('node:net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (options, ...rest) {
  if (typeof options === 'object' && options !== null && 'port' in options)
    return listen.call(this, { ...options, host: '127.0.0.1' }, ...rest);
  if (typeof options === 'number')
    return listen.call(this, options, '127.0.0.1', rest.find((x) => typeof x === 'function'));
  return listen.call(this, options, ...rest);
};
"""

    def __init__(self, setting: Setting, directory: Path) -> None:
        super().__init__(setting)
        self.package = directory / "node_modules/@portkey-ai/gateway"
        self.headers = {
            **self.headers,
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": setting.base_url,
        }

    def prepare(self) -> None:
        self.node = find("node", "apt-get install nodejs")
        self.script = self.package / "build/start-server.js"
        if not self.script.is_file():
            raise AbsentError("no @portkey-ai/gateway there (--portkey-dir DIR, or --install)")
        self.version = json.loads((self.package / "package.json").read_text())["version"]
        self.shim = self.write("loopback.cjs", self.SHIM)

    def launch(self, port: int) -> Launch:
        argv = [
            self.node,
            "--require",
            str(self.shim),
            str(self.script),
            f"--port={port}",
            "--headless",
        ]
        return Launch(argv, {"NODE_ENV": "production"}, self.directory)
