"""What people write on the command line and read in its lists: options, moments, names."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway import settings

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,9})([mhdw])")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999, where calendars end


def _names_a_file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.name in ("", ".."):
        raise click.BadParameter(f"'{value}' does not name a file.")
    return value


def _can_begin_a_key(_: click.Context, __: click.Parameter, value: str) -> str:
    if _PREFIX.fullmatch(value) is None:
        raise click.BadParameter(
            "1 to 32 of A-Z, a-z, 0-9, dot, dash and underscore, a letter or digit first."
        )
    return value


def is_a_number(_: click.Context, __: click.Parameter, value: float) -> float:
    """NaN passes for being in every range."""
    if math.isnan(value):
        raise click.BadParameter("'nan' is not a number of seconds.")
    return value


def is_given(_: click.Context, __: click.Parameter, value: str) -> str:
    """An empty host would silently mean all of them."""
    if not value.strip():
        raise click.BadParameter(
            "it is empty; for all addresses of this machine say 0.0.0.0 or ::."
        )
    return value


def are_networks(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses, or networks of them."""
    for network in value:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise click.BadParameter(
                f"'{network}' is no address or network, such as 10.0.0.0/8."
            ) from None
    return value


catalog_option = click.option(
    "--catalog",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_names_a_file,
    default=None,
    help="The catalog file. Default: catalog.yaml here, else the one shipped with the gateway.",
)
db_option = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_names_a_file,
    default=settings.DEFAULT_DB,
    show_default=True,
    help="The database file; serve and create make it when it does not exist.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")
prefix_option = click.option(
    "--prefix",
    callback=_can_begin_a_key,
    default=settings.KEY_PREFIX,
    show_default=True,
    help="What new keys start with.",
)


def moment_of(value: str | None) -> int | None:
    """A moment to come, from a date, a date and time, or a span from now."""
    if value is None:
        return None
    now = datetime.now(UTC)
    span = _SPAN.fullmatch(value)
    try:
        if span is not None:
            moment = now + timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = int(moment.timestamp())
    except OverflowError:
        raise ValueError(f"'{value}' is too far away.") from None
    except ValueError:
        raise ValueError(
            f"'{value}' is no date, time or span; write 2027-01-31, 2027-01-31T12:00Z or 30d."
        ) from None
    if seconds > _LAST_MOMENT:
        raise ValueError(f"'{value}' is too far away.")
    if seconds <= now.timestamp():
        raise ValueError(f"'{value}' is not in the future, so the key would never work.")
    return seconds


def past_moment_of(value: str | None) -> int | None:
    """A moment gone by, from a date, a date and time, or a span back from now."""
    if value is None:
        return None
    span = _SPAN.fullmatch(value)
    try:
        if span is not None:
            moment = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp()))
    except (ValueError, OverflowError):
        raise ValueError(
            f"'{value}' is no date, time or span; write 2026-01-31, 2026-01-31T12:00Z or 30d."
        ) from None


def one_line(text: str) -> bool:
    """What can be shown in a table, and found again by typing it."""
    return bool(text.strip()) and len(text) <= 200 and text.isprintable()


def state_of(row: Mapping[str, Any]) -> str:
    """A key's state, for its line in the list."""
    if row["revoked_at"] is not None:
        return "revoked"
    expires = row["expires_at"]
    if expires is None:
        return "active"
    moment = shown(expires, "%Y-%m-%d %H:%M")
    return f"expired {moment}" if expires <= datetime.now(UTC).timestamp() else f"until {moment}"


def shown(seconds: int, form: str) -> str:
    """A moment in UTC; one that no calendar reaches is shown as the last that one does."""
    return datetime.fromtimestamp(min(seconds, _LAST_MOMENT), UTC).strftime(form)
