"""gateway plugin: begin a package with an adapter, list what is installed, try one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import click

from gateway.arguments import json_option
from gateway.commands.common import fail, print_json, print_table

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_MAX_NAME = 40


@click.group()
def plugin() -> None:
    """Adapters for providers, by anybody."""


@plugin.command("new")
@click.argument("name")
@click.option(
    "--wire",
    type=click.Choice(["chat", "own"]),
    default="chat",
    show_default=True,
    help="chat: the host speaks OpenAI's wire. own: it has one of its own.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=None,
    help="Where to write it. Default: NAME-adapter, here.",
)
def new(name: str, wire: Literal["chat", "own"], directory: Path | None) -> None:
    """Write a package with an adapter NAME that passes the conformance kit."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        fail(
            f"'{name}' is no name for an adapter: lower-case letters and digits, words joined by "
            f"'-', a letter first, at most {_MAX_NAME} characters."
        )
    taken = [one for one in _installed() if one["name"] == name]
    if taken:
        fail(
            f"An adapter '{name}' is installed already, by {taken[0]['package']}. Two of one name "
            "are refused by the gateway: choose another."
        )
    folder = directory or Path(f"{name}-adapter")
    if folder.exists() or folder.is_symlink():
        fail(f"{folder} exists already: nothing was written.")
    try:
        _write(folder, name, wire)
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror or error}.")
    click.echo(
        f"Wrote {folder}. Next:\n  cd {folder}\n  pip install -e '.[test]'\n"
        f"  pytest --gateway-adapter {name}"
    )


def _write(folder: Path, name: str, wire: str) -> None:
    from importlib import resources
    from string import Template

    module = f"{name.replace('-', '_')}_adapter"
    files = {
        "setup.cfg": "setup.cfg",
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{wire}.py": f"{module}.py",
        f"{wire}_test.py": f"tests/test_{module}.py",
        f"{wire}_sample.json": "tests/samples/hello.json",
    }
    words = {
        "name": name,
        "title": name.replace("-", " ").title(),
        "module": module,
        "env": f"{name.replace('-', '_').upper()}_API_KEY",
    }
    templates = resources.files("gateway") / "templates" / "plugin"
    (folder / "tests" / "samples").mkdir(parents=True)
    for template, path in files.items():
        text = (templates / f"{template}.tmpl").read_text(encoding="utf-8")
        (folder / path).write_text(Template(text).substitute(words), encoding="utf-8")


@plugin.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the installed adapters, and whether each can be used."""
    rows = _looked_at(_installed())
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NAME", "PACKAGE", "VERSION", "CONTRACT", "OPERATIONS", "STATE"),
        [
            (
                row["name"],
                row["package"],
                row["version"],
                row["contract"],
                ", ".join(row["operations"]),
                row["state"],
            )
            for row in rows
        ],
    )


@plugin.command("check")
@click.argument("name")
@json_option
def check(name: str, as_json: bool) -> None:
    """Load the adapter NAME as the gateway would; ends with 1 where it cannot be used."""
    rows = _looked_at([one for one in _installed() if one["name"] == name])
    if not rows:
        names = ", ".join(sorted({one["name"] for one in _installed()}))
        fail(f"No installed package offers an adapter '{name}'. There are: {names}.")
    if as_json:
        print_json(rows[0])
    bad = [row for row in rows if row["state"] != "loads"]
    if bad:
        fail(f"The adapter '{name}' of {bad[0]['package']} {bad[0]['state']}.")
    if not as_json:
        click.echo(f"The adapter '{name}' of {rows[0]['package']} loads.")


def _installed() -> list[dict[str, Any]]:
    """Every adapter on offer and the package it comes from; nothing is loaded."""
    from importlib.metadata import entry_points

    from gateway.plugins import GROUP

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entry_points(group=GROUP):
        package = entry.dist
        found[entry.name, entry.value] = {
            "name": entry.name,
            "package": package.name if package is not None else "?",
            "version": package.version if package is not None else "?",
        }
    return [found[key] for key in sorted(found)]


def _looked_at(offered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with what loading each of them shows."""
    from gateway.plugins import PluginConflict, Plugins

    rows: list[dict[str, Any]] = []
    for one in offered:
        name = one["name"]
        plugins = Plugins()
        try:
            plugins.load([name])
        except PluginConflict as conflict:
            state = f"is refused: {conflict}"
        else:
            state = "loads" if name in plugins.adapters else plugins.in_words(name)
        adapter = plugins.adapters.get(name)
        rows.append(
            {
                **one,
                "contract": adapter.contract if adapter is not None else None,
                "operations": sorted(adapter.operations) if adapter is not None else [],
                "wire": adapter is not None and adapter.wire is not None,
                "state": state,
            }
        )
    return rows
