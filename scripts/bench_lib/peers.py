"""What is measured: each peer knows whether it is here, how it is configured and started."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench_lib import wire

LIBRARY = Path(__file__).resolve().parent.parent
ROOT = LIBRARY.parent


class AbsentError(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Setting:
    """Where one run happens."""

    directory: Path
    upstream: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.upstream}/v1"


@dataclass(frozen=True)
class Launch:
    """How to start a peer on a port."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class Peer:
    """One proxy. `heavy` divides the number of streams that it is asked to carry."""

    name = ""
    title = ""
    heavy = 1
    patience = 10.0
    forwards = True
    translates = False  # serves clients of a dialect that the provider does not speak

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.directory = setting.directory / self.name
        self.headers: dict[str, str] = {"Authorization": "Bearer sk-bench"}
        self.version = "?"

    def prepare(self) -> None:
        """Find the program and write what all its runs share; AbsentError when it cannot be."""

    def launch(self, port: int) -> Launch:
        """The command of one run."""
        raise NotImplementedError

    def write(self, name: str, text: str) -> Path:
        """Write one configuration file of this peer."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / name
        path.write_text(text)
        return path


def find(program: str, hint: str) -> str:
    """The path of a program, /usr/sbin included; AbsentError with a hint otherwise."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise AbsentError(f"{program} is not installed ({hint})")
    return path


def output(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What a short command prints, on either stream; AbsentError when it fails."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AbsentError(f"{Path(argv[0]).name}: {error}") from error
    text = done.stdout.strip() or done.stderr.strip()
    if done.returncode:
        raise AbsentError(
            f"`{' '.join(argv[1:4])} ...` failed: {done.stderr.strip()[-300:] or text}"
        )
    return text


class Bare(Peer):
    """The floor of the edge alone."""

    name = "bare"
    title = "bare aiohttp, no upstream"
    forwards = False

    def prepare(self) -> None:
        self.version = "aiohttp " + output(
            sys.executable, "-c", "import aiohttp; print(aiohttp.__version__)"
        )

    def launch(self, port: int) -> Launch:
        return Launch(
            [sys.executable, "-m", "bench_lib.bare", str(port)], {"PYTHONPATH": str(LIBRARY)}
        )


class Caddy(Peer):
    """reverse_proxy with enough idle upstream connections for the load, flushing at once."""

    name = "caddy"
    title = "Caddy reverse_proxy"
    CONFIG = """{{
\tadmin off
\tauto_https off
}}
http://127.0.0.1:{port} {{
\tbind 127.0.0.1
\treverse_proxy 127.0.0.1:{upstream} {{
\t\tflush_interval -1
\t\ttransport http {{
\t\t\tkeepalive_idle_conns_per_host 1024
\t\t}}
\t}}
}}
"""

    def prepare(self) -> None:
        self.program = find("caddy", "apt-get install caddy, or --install as root")
        self.version = output(self.program, "version").split()[0]

    def launch(self, port: int) -> Launch:
        config = self.write(
            f"Caddyfile-{port}", self.CONFIG.format(port=port, upstream=self.setting.upstream)
        )
        env = {
            "GOMAXPROCS": "1",
            "HOME": str(self.directory),
            "XDG_DATA_HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
        }
        return Launch([self.program, "run", "--config", str(config), "--adapter", "caddyfile"], env)


class Nginx(Peer):
    """proxy_pass, one worker, HTTP/1.1 with keep-alive to the upstream, no buffering."""

    name = "nginx"
    title = "nginx proxy_pass"
    CONFIG = """{user}daemon off;
pid {dir}/nginx-{port}.pid;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  keepalive_requests 100000000;
  upstream bench {{
    server 127.0.0.1:{upstream};
    keepalive 1024; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""

    def prepare(self) -> None:
        self.program = find("nginx", "apt-get install nginx, or --install as root")
        self.version = output(self.program, "-v").rpartition("/")[2]

    def launch(self, port: int) -> Launch:
        files = min(65536, os.sysconf("SC_OPEN_MAX"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = self.write(
            f"nginx-{port}.conf",
            self.CONFIG.format(
                user=user,
                dir=self.directory,
                port=port,
                upstream=self.setting.upstream,
                files=files,
                connections=files - 100,
            ),
        )
        return Launch([self.program, "-e", "stderr", "-c", str(config)])


class Gateway(Peer):
    """Isthmus Gateway with its real ledger and a real key."""

    name = "gateway"
    translates = True
    title = "Isthmus Gateway"
    CATALOG = """version: 1
providers:
  bench:
    adapter: openai-compatible
    base_url: {base_url}
    max_connections: 20000
    credentials: [{{name: main, api_key: x}}]
models:
  bench: {{name: Bench, vendor: Bench, kind: chat, context: 100000, capabilities: [streaming], \
tier: balanced, routes: {{bench: {{provider: bench, upstream: bench, price: {price}}}}}}}
  hold: {{name: Hold, vendor: Bench, kind: chat, context: 100000, capabilities: [streaming], \
tier: balanced, routes: {{hold: {{provider: bench, upstream: hold, price: {price}}}}}}}
groups:
  bench: {{rpm: 1000000000, tpm: 1000000000, routes: "*"}}
"""
    PRICE = '{input_per_mtok: "1.00", output_per_mtok: "2.00"}'

    def __init__(self, setting: Setting, root: Path = ROOT) -> None:
        super().__init__(setting)
        self.root = root
        self.python = sys.executable
        self.env = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": ""}

    def prepare(self) -> None:
        if (
            not (self.root / "gateway/cli.py").is_file()
            and not (self.root / "gateway/cli/__init__.py").is_file()
        ):
            raise AbsentError("gateway/cli.py is not written yet")
        if importlib.util.find_spec("uvloop") is None:
            raise AbsentError("the interpreter of the bench has not the gateway's dependencies")
        self.catalog = self.write(
            "catalog.yaml", self.CATALOG.format(base_url=self.setting.base_url, price=self.PRICE)
        )
        self.database = self.directory / "bench.sqlite"
        self.cli = self.server = [self.python, "-m", "gateway.cli"]
        self.version = output(
            self.python,
            "-c",
            "import gateway; print(gateway.__version__)",
            cwd=self.root,
            env=self.env,
        )
        self.headers = {"Authorization": f"Bearer {self.create_key()}"}

    def create_key(self) -> str:
        """Create the key that the load uses."""
        data = ("--db", str(self.database), "--json")
        printed = output(
            *self.cli, "keys", "create", wire.MODEL, *data, cwd=self.root, env=self.env
        )
        return str(json.loads(printed)["key"])

    def launch(self, port: int) -> Launch:
        argv = [
            *self.server,
            "serve",
            "--catalog",
            str(self.catalog),
            "--db",
            str(self.database),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        return Launch(argv, self.env, self.root)


class Unwritten(Gateway):
    """The same with a ledger that writes nothing."""

    name = "unwritten"
    title = "the same, no ledger written"

    def prepare(self) -> None:
        super().prepare()
        self.server = [self.python, "-m", "bench_lib.unwritten"]
        self.env["PYTHONPATH"] = f"{self.root}{os.pathsep}{LIBRARY}"


class Distributed(Gateway):
    """The same in the distribution's interpreter, which is built with profiles as a rule."""

    name = "distributed"
    title = "the same, the system's Python"

    def __init__(self, setting: Setting, root: Path, venv: Path) -> None:
        super().__init__(setting, root)
        self.python = str(venv / "bin/python")

    def prepare(self) -> None:
        if not Path(self.python).exists():
            raise AbsentError("no environment of the system's Python here (--install makes one)")
        super().prepare()
        told = "import sys; print('on CPython', sys.version.split()[0])"
        self.version += " " + output(self.python, "-c", told)
