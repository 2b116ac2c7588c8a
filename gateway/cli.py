"""The command line. Rooms are imported by the command that needs them, so that help is instant."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway import __version__, settings
from gateway.arguments import (
    are_networks,
    catalog_option,
    db_option,
    is_a_number,
    is_given,
    json_option,
    prefix_option,
)
from gateway.commands.accounts import accounts, adjust, topup
from gateway.commands.backup import backup
from gateway.commands.common import fail, print_json, print_table
from gateway.commands.keys import keys
from gateway.commands.ledger import ledger, receipt, usage
from gateway.commands.plugin import plugin

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
@click.option(
    "--responses-memory",
    type=click.IntRange(0, 65_536),
    default=settings.DEFAULT_RESPONSES_MEMORY,
    show_default=True,
    help="MiB for responses that previous_response_id may name; 0 keeps none.",
)
@click.option(
    "--media",
    metavar="DIR",
    default=None,
    help="Where files of videos and music are kept; default: a folder beside the database. "
    "off: they are passed through from their providers.",
)
@click.option(
    "--media-keep",
    type=click.FloatRange(0, 87_600),
    callback=is_a_number,
    default=settings.DEFAULT_MEDIA_KEEP,
    show_default=True,
    help="Hours that such a file can be had.",
)
@click.option(
    "--media-file",
    type=click.IntRange(0, 1_048_576),
    default=settings.DEFAULT_MEDIA_FILE,
    show_default=True,
    help="MiB that one file may have; a larger one is passed through.",
)
@click.option(
    "--media-room",
    type=click.IntRange(0, 1_073_741_824),
    default=settings.DEFAULT_MEDIA_ROOM,
    show_default=True,
    help="MiB that all of them may have; what comes when it is full is passed through.",
)
@click.option(
    "--task-deadline",
    type=click.FloatRange(1, 604_800),
    callback=is_a_number,
    default=settings.DEFAULT_TASK_DEADLINE,
    show_default=True,
    help="Seconds after which work that is not done is given up.",
)
@click.option(
    "--task-poll",
    type=(click.FloatRange(0.01, 3_600), click.FloatRange(0.01, 3_600)),
    default=settings.DEFAULT_TASK_POLL,
    show_default=True,
    help="Seconds before a provider is first asked how far its work is, and the most later on.",
)
@prefix_option
@click.pass_obj
def serve(
    greet: Callable[[Server], None] | None,
    /,
    catalog: Path | None,
    db: Path,
    log_format: str | None,
    prefix: str,
    **others: Any,
) -> None:
    """Run the gateway."""
    from gateway.catalog.load import CatalogError
    from gateway.observe.logs import Log, to_descriptor
    from gateway.plugins import PluginConflict
    from gateway.server import run
    from gateway.store.database import StoreError

    style: Any = log_format or ("text" if sys.stdout.isatty() else "json")
    # The other options have the names of the settings that they are.
    chosen = settings.Settings(
        catalog=_catalog_path(catalog), db=db, log_format=style, key_prefix=prefix, **others
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
        fail(f"Cannot listen on {chosen.host}:{chosen.port}: '{chosen.host}' is no name of a host.")
    except OSError as error:
        fail(_why_not(error, chosen))
    finally:
        log.close()


def _why_not(error: OSError, chosen: settings.Settings) -> str:
    """What the system refused at the start: a file that has a name, else to listen."""
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    where = f"Cannot listen on {chosen.host}:{chosen.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: another program does. Stop it, or choose another --port."
    return f"{where}: {error.strerror or error}."


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
        routes_without_a_key=_open_to_all(server.catalog.current),
    )
    if server.first_admin_key is not None and not quiet:
        click.echo(
            f"Admin key, shown this once: {server.first_admin_key}\n"
            "It calls every model and may do everything at /admin/v1.",
            err=True,
        )
    for name in (*server.plugins.failures, *server.plugins.loading):
        server.log_unavailable(name)


def _open_to_all(catalog: Catalog) -> int:
    """How many routes answer who sends no key: some may use an operator's own credential."""
    if catalog.anonymous is None:
        return 0
    group = catalog.anonymous.group
    return sum(
        route.price.free and group.allows(route.slug) and route.provider.configured
        for route in catalog.routes.values()
    )


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
        provider.name for provider in loaded.providers.values() if not provider.configured
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
    """List the providers of the catalog and whether each has a credential; -: it needs none."""
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
            [
                tuple((row if one.needs_credential else row | {"credentials": "-"}).values())
                for row, one in zip(rows, loaded.providers.values(), strict=True)
            ],
        )


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


for command in (keys, accounts, topup, adjust, usage, ledger, receipt, backup, plugin):
    main.add_command(command)


if __name__ == "__main__":
    main()
