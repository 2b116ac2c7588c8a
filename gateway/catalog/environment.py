"""`${VAR}` and `${VAR:-default}` in the text values of a catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.catalog.problems import Path, Report

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_SECRET = frozenset(
    {"name", "weight", "tier", "rpm", "tpm", "concurrency", "models", "regions"}
)
# A service account is a JSON document: the one secret that may have lines.
_MULTILINE = frozenset({"service_account"})


class _Unset(Exception):  # noqa: N818 - a signal, not a fault
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def substitute(root: dict[str, Any], environ: Mapping[str, str], report: Report) -> None:
    """Fill the references in place; empty the secrets of credentials that are absent.

    An absent credential stays in the document, so that the rest of it is checked all the same.
    """
    providers = root.get("providers")
    if isinstance(providers, dict):
        for name, provider in providers.items():
            if isinstance(provider, dict) and isinstance(provider.get("credentials"), list):
                for at, entry in enumerate(provider["credentials"]):
                    if isinstance(entry, dict):
                        path: Path = ("providers", name, "credentials", at)
                        _credential(entry, path, environ, report)
    _fill(root, (), environ, report)


def _credential(
    entry: dict[str, Any], path: Path, environ: Mapping[str, str], report: Report
) -> None:
    secrets = {
        key: value
        for key, value in entry.items()
        if key not in _NOT_SECRET and isinstance(value, str)
    }
    if not secrets and len(entry.keys() - _NOT_SECRET) == 0:
        report.add(path, "has no secret: give an api_key, or what the adapter asks for")
    try:
        filled = {
            key: _expand(value, environ, (*path, key), report, empty_is_unset=True)
            for key, value in secrets.items()
        }
    except _Unset:
        filled = dict.fromkeys(secrets, "")
    entry.update(filled)
    for key, value in filled.items():
        if key not in _MULTILINE and _CONTROL.search(value):
            # Never the value itself: problems are logged.
            report.add((*path, key), "has a line break or another control character")


def _fill(
    value: dict[str, Any] | list[Any], path: Path, environ: Mapping[str, str], report: Report
) -> None:
    """Walk every container; the depth limit of the reader bounds the recursion."""
    place: Any = value
    entries: list[tuple[str | int, Any]] = list(
        value.items() if isinstance(value, dict) else enumerate(value)
    )
    for key, entry in entries:
        here = (*path, key)
        if isinstance(entry, dict | list):
            if not _holds_credentials(here):
                _fill(entry, here, environ, report)
        elif isinstance(entry, str) and "${" in entry:
            try:
                place[key] = _expand(entry, environ, here, report, empty_is_unset=False)
            except _Unset as unset:
                report.add(here, f"the environment variable {unset.name} is not set")


def _holds_credentials(path: Path) -> bool:
    return len(path) == 3 and path[0] == "providers" and path[2] == "credentials"


def _expand(
    text: str, environ: Mapping[str, str], path: Path, report: Report, *, empty_is_unset: bool
) -> str:
    """The text with its references filled; what a variable holds is not looked at again."""

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        value = environ.get(name)
        if value:
            return value
        if default is not None:
            return default
        if value is None or empty_is_unset:
            raise _Unset(name)
        return value

    if "${" in _REFERENCE.sub("", text):
        report.add(path, "has a malformed reference: write ${NAME} or ${NAME:-default}")
        return text
    return _REFERENCE.sub(replace, text)
