"""`scripts/run`: `gateway serve`, with a first key and a line to copy when the database is new."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import cli

if TYPE_CHECKING:
    from gateway.server import Server

_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - said, not bound

_CURL = """
  curl {root}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "echo", "messages": [{{"role": "user", "content": "Hello, isthmus"}}]}}'
"""

_WELCOME = f"""
Isthmus Gateway serves {{root}}/v1
First API key:  {{key}}

Try it in another terminal (no account, no network needed):
{_CURL}
Models: {{root}}/v1/models    Status: {{root}}/api/status    Stop with Ctrl-C.
The key is shown this once, and may do everything; make more with: {{command}}
"""

_AGAIN = f"""
Isthmus Gateway serves {{root}}/v1
{{db}} already has keys. Make another with: {{command}}
Then try it in another terminal, with your key for KEY:
{_CURL}
"""


def main(arguments: list[str]) -> None:
    """Serve; once listening, show the first key if the database is new, and say how to use it."""
    cli.serve.main(
        arguments, prog_name="gateway serve", auto_envvar_prefix="GATEWAY_SERVE", obj=_greet
    )


def _greet(server: Server) -> None:
    chosen = server.settings
    host = cli.url_host(_REACHED_AT.get(chosen.host, chosen.host))
    key = server.first_admin_key
    text = (_AGAIN if key is None else _WELCOME).format(
        root=f"http://{host}:{server.port}",
        key=key or "KEY",
        db=chosen.db,
        command=f"{_program()} keys create NAME --db {shlex.quote(str(chosen.db.absolute()))}",
    )
    print(text, flush=True)  # noqa: T201


def _program() -> str:
    """The command beside this Python, by its bare name where that is the one a shell would run."""
    ours = Path(sys.executable).with_name("gateway")
    found = shutil.which("gateway")
    return "gateway" if found is not None and Path(found) == ours else shlex.quote(str(ours))


if __name__ == "__main__":
    main(sys.argv[1:])
