"""The command line. Rooms are imported by the command that needs them, so that help is instant."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from gateway import __version__, settings
from gateway.arguments import (
    are_networks,
    catalog_option,
    db_option,
    is_a_number,
    is_given,
    json_option,
    moment_of,
    one_line,
    prefix_option,
    shown,
    state_of,
)
from gateway.commands.accounts import accounts, adjust, topup
from gateway.commands.common import fail, print_json, print_table, run_command
from gateway.commands.ledger import ledger, receipt, usage
from gateway.domain import SCOPES

if TYPE_CHECKING:
    from gateway.catalog.compile import Catalog
    from gateway.observe.logs import Log
    from gateway.server import Server


@click.group(
    context_settings={"auto_envvar_prefix": "GATEWAY", "help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """One OpenAI-compatible API in front of every major model provider."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")


@main.command()
@catalog_option
@db_option
@click.option("--host", default=settings.DEFAULT_HOST, show_default=True, callback=is_given)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=settings.DEFAULT_PORT, show_default=True
)
@click.option(
    "--drain",
    type=click.FloatRange(0, 86_400),
    callback=is_a_number,
    default=settings.DEFAULT_DRAIN,
    show_default=True,
    help="Seconds that open calls get to finish after SIGTERM.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default=None,
    help="Default: text for a terminal, JSON lines else.",
)
@click.option("--max-connections", type=click.IntRange(1), default=10_000, show_default=True)
@click.option(
    "--ledger-sync",
    type=click.Choice(["full", "normal"]),
    default="full",
    show_default=True,
    help="normal: quicker; the last moments may be lost with the machine's power.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    callback=are_networks,
    help="An address or network whose X-Forwarded-For is believed; repeatable.",
)
@prefix_option
@click.pass_obj
def serve(
    greet: Callable[[Server], None] | None,
    catalog: Path | None,
    db: Path,
    host: str,
    port: int,
    drain: float,
    log_format: str | None,
    max_connections: int,
    ledger_sync: Literal["full", "normal"],
    trusted_proxies: tuple[str, ...],
    prefix: str,
) -> None:
    """Run the gateway."""
    from gateway.catalog.load import CatalogError
    from gateway.observe.logs import Log, to_descriptor
    from gateway.plugins import PluginConflict
    from gateway.server import run
    from gateway.store.database import StoreError

    style: Any = log_format or ("text" if sys.stdout.isatty() else "json")
    chosen = settings.Settings(
        catalog=_catalog_path(catalog),
        db=db,
        host=host,
        port=port,
        drain=drain,
        log_format=style,
        key_prefix=prefix,
        max_connections=max_connections,
        ledger_sync=ledger_sync,
        trusted_proxies=trusted_proxies,
    )
    log = Log(to_descriptor(sys.stdout.fileno()), style)

    def ready(server: Server) -> None:
        _announce(server, log, quiet=greet is not None)
        if greet is not None:
            greet(server)

    try:
        if run(chosen, log, ready):
            fail("Some charges could not be written; the log has each of them.")
    except (CatalogError, StoreError, PluginConflict) as error:
        fail(str(error))
    except UnicodeError:
        fail(f"Cannot listen on {host}:{port}: '{host}' is no name of a host.")
    except OSError as error:
        fail(f"Cannot listen on {host}:{port}: {error.strerror or error}.")
    finally:
        log.close()


def _announce(server: Server, log: Log, quiet: bool) -> None:
    """Say where it listens, what it cannot do, and on a new database, once, the admin's key."""
    log.event(
        "info",
        "listening",
        url=f"http://{url_host(server.settings.host)}:{server.port}",
        version=__version__,
        catalog=server.settings.catalog.name,
        revision=server.catalog.revision,
        routes=len(server.catalog.current.routes),
    )
    if server.first_admin_key is not None and not quiet:
        click.echo(
            f"Admin key, shown this once: {server.first_admin_key}\n"
            "It calls every model and may do everything at /admin/v1.",
            err=True,
        )
    for name, problem in server.plugins.failures.items():
        reason = server.plugins.reasons.get(name)
        more = {} if reason is None else {"reason": reason}
        log.event("warning", "adapter_unavailable", adapter=name, problem=problem, **more)


@main.command()
@catalog_option
@json_option
def check(catalog: Path | None, as_json: bool) -> None:
    """Check a catalog file and say everything that is wrong with it."""
    path = _catalog_path(catalog)
    loaded = _load(path, as_json)
    from gateway.plugins import PluginConflict, Plugins

    plugins = Plugins()
    try:
        plugins.load({provider.adapter for provider in loaded.providers.values()})
    except PluginConflict as error:
        if as_json:
            print_json({"ok": False, "problems": [str(error)]})
            sys.exit(1)
        fail(str(error))
    without = sorted(
        provider.name
        for provider in loaded.providers.values()
        if provider.needs_credential and not provider.credentials
    )
    summary = {
        "ok": True,
        "revision": loaded.revision,
        "models": len(loaded.models),
        "routes": len(loaded.routes),
        "providers": len(loaded.providers),
        "without_credential": without,
        "adapters_unavailable": plugins.failures,
    }
    if as_json:
        print_json(summary)
        return
    click.echo(
        f"{path} is good: {len(loaded.models)} models, {len(loaded.routes)} routes, "
        f"{len(loaded.providers)} providers (revision {loaded.revision})."
    )
    if without:
        click.echo(f"No credential yet for: {', '.join(without)}. Their routes answer 503.")
    for name in plugins.failures:
        users = [p.name for p in loaded.providers.values() if p.adapter == name]
        routes = sum(route.provider.adapter == name for route in loaded.routes.values())
        click.echo(
            f"The adapter '{name}' {plugins.in_words(name)}. "
            f"Provider {', '.join(users)}: {routes} routes answer 501."
        )


@main.command()
@catalog_option
@json_option
def models(catalog: Path | None, as_json: bool) -> None:
    """List every route of the catalog."""
    rows = [
        {
            "id": route.slug,
            "model": route.model.id,
            "kind": route.model.kind,
            "provider": route.provider.name,
            "context": route.context,
            "price": {name: str(value) for name, value in route.price.lines.items()},
        }
        for route in _load(_catalog_path(catalog), as_json).routes.values()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("ID", "KIND", "PROVIDER", "CONTEXT"),
            [(r["id"], r["kind"], r["provider"], r["context"] or "") for r in rows],
        )


@main.command()
@catalog_option
@json_option
def providers(catalog: Path | None, as_json: bool) -> None:
    """List the providers of the catalog and whether each has a credential."""
    loaded = _load(_catalog_path(catalog), as_json)
    rows = [
        {
            "id": provider.name,
            "adapter": provider.adapter,
            "credentials": len(provider.credentials),
            "routes": sum(r.provider.name == provider.name for r in loaded.routes.values()),
        }
        for provider in loaded.providers.values()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("ID", "ADAPTER", "CREDENTIALS", "ROUTES"),
            [tuple(row.values()) for row in rows],
        )


@main.group()
def keys() -> None:
    """Create, list and revoke client keys."""


@keys.command("create")
@click.argument("name")
@click.option("--allow", multiple=True, help="A model or pattern the key may use; repeatable.")
@click.option("--expires", default=None, help="A date, a time, or a span such as 12h or 30d.")
@click.option("--account", default="default", show_default=True, help="Who pays for its calls.")
@click.option("--rpm", type=click.IntRange(1), default=None, help="Requests a minute.")
@click.option("--tpm", type=click.IntRange(1), default=None, help="Tokens a minute.")
@click.option("--concurrency", type=click.IntRange(1), default=None, help="Calls at once.")
@click.option("--budget", default=None, help="Dollars the key may spend in a period.")
@click.option("--period", type=click.Choice(["none", "day", "week", "month"]), default="none")
@click.option("--ip", "ips", multiple=True, help="An address or network; repeatable.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Repeatable.")
@db_option
@prefix_option
@json_option
def create_key(
    name: str,
    allow: Sequence[str],
    expires: str | None,
    ips: Sequence[str],
    scopes: Sequence[str],
    db: Path,
    prefix: str,
    as_json: bool,
    **limits: Any,
) -> None:
    """Make a key. Its secret is shown this once."""
    if not one_line(name):
        fail("A key's name must be 1 to 200 characters on one line.")
    if not all(map(one_line, allow)):
        fail("An --allow pattern must be 1 to 200 characters on one line, such as 'gpt-*'.")
    try:
        expires_at = moment_of(expires)
    except ValueError as error:
        fail(str(error))
    wanted = {"name": name, "allow": list(allow), "expires_at": expires_at, **limits}
    wanted |= {"ips": list(ips)} | ({"scopes": list(scopes)} if scopes else {})
    made = run_command(db, "keys.create", wanted, prefix, may_make=True)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['key']}\n", nl=False)
        click.echo(f"Key '{name}' ({made['id']}) was made. It is not shown again.", err=True)


@keys.command("list")
@click.option("--account", default=None, help="Those of one account alone.")
@db_option
@json_option
def list_keys(account: str | None, db: Path, as_json: bool) -> None:
    """List the keys, without their secrets."""
    rows = run_command(db, "keys.list", {"account": account})
    if as_json:
        print_json(rows)
        return
    print_table(
        ("ID", "NAME", "ACCOUNT", "KEY", "CREATED", "STATE"),
        [
            (
                row["id"],
                row["name"],
                row["account"],
                row["prefix"] + "…",
                shown(row["created_at"], "%Y-%m-%d"),
                state_of(row),
            )
            for row in rows
        ],
    )


@keys.command("revoke")
@click.argument("key")
@db_option
@json_option
def revoke_key(key: str, db: Path, as_json: bool) -> None:
    """Revoke a key by its id or name; a running server refuses it at once."""
    if not one_line(key):
        fail("That is no key's id or name. See: gateway keys list")
    revoked = run_command(db, "keys.revoke", {"key": key})
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"Key '{revoked['name']}' ({revoked['id']}) is revoked.")


@main.command()
@click.argument("model")
@click.argument("prompt")
@click.option("--url", default="http://127.0.0.1:8080/v1", show_default=True)
@click.option("--key", default=None, help="Default: the environment's GATEWAY_KEY.")
@json_option
def call(model: str, prompt: str, url: str, key: str | None, as_json: bool) -> None:
    """Ask a model of a running gateway; the answer streams to the terminal."""
    from gateway.calling import CallFailed, ask

    secret = key or os.environ.get("GATEWAY_KEY", "")
    try:
        asyncio.run(ask(url, secret, model, prompt, as_json, sys.stdout))
    except CallFailed as error:
        fail(str(error))


def _catalog_path(given: Path | None) -> Path:
    if given is not None:
        return given
    here = Path("catalog.yaml")
    if here.is_file():
        return here
    from importlib import resources

    return Path(str(resources.files("gateway"))) / "default_catalog.yaml"


def _load(path: Path, as_json: bool) -> Catalog:
    from gateway.catalog.load import CatalogError, load

    try:
        return load(path, os.environ)
    except CatalogError as error:
        if as_json:
            print_json({"ok": False, "problems": str(error).splitlines()})
            sys.exit(1)
        fail(str(error))


def url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


for command in (accounts, topup, adjust, usage, ledger, receipt):
    main.add_command(command)


if __name__ == "__main__":
    main()
