"""`scripts/run`: `gateway serve`, with a first key and a line to copy when the database is new."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway import cli, settings

_FIRST_KEY = "first"

_WELCOME = """
Isthmus Gateway serves {url}
First API key:  {key}

Try it in another terminal (no account, no network needed):

  curl {url}/chat/completions \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "echo", "messages": [{{"role": "user", "content": "Hello, isthmus"}}]}}'

Models: {url}/models    Status: {root}/api/status    Stop with Ctrl-C.
The key is shown this once; make more with: gateway keys create NAME
"""

_AGAIN = """
Isthmus Gateway serves {url}
{db} already has keys. Make another with: gateway keys create NAME --db {db}
Then try it in another terminal:

  curl {url}/chat/completions \\
    -H 'Authorization: Bearer KEY' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "echo", "messages": [{{"role": "user", "content": "Hello, isthmus"}}]}}'
"""


def main(arguments: list[str]) -> None:
    """Make the first key if there is none, say how to use it, and serve."""
    with cli.serve.make_context(
        "gateway serve", list(arguments), auto_envvar_prefix="GATEWAY_SERVE"
    ) as context:
        given = context.params
    root = f"http://{cli.url_host(given['host'])}:{given['port']}"
    key = asyncio.run(_first_key(given["db"], given["prefix"]))
    text = _AGAIN if key is None else _WELCOME
    print(text.format(url=f"{root}/v1", root=root, key=key, db=given["db"]), flush=True)  # noqa: T201
    cli.serve.main(list(arguments), prog_name="gateway serve", auto_envvar_prefix="GATEWAY_SERVE")


async def _first_key(db: Path, prefix: str) -> str | None:
    from gateway.store.control import CommandError, run
    from gateway.store.database import StoreError

    clock = settings.SystemClock()
    try:
        if await run(db, "keys.list", {}, prefix=prefix, clock=clock):
            return None
        made = await run(db, "keys.create", {"name": _FIRST_KEY}, prefix=prefix, clock=clock)
    except (CommandError, StoreError) as error:
        cli.fail(str(error))
    return str(made["key"])


if __name__ == "__main__":
    main(sys.argv[1:])
