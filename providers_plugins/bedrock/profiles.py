"""The vendor's shared files, where operators keep their logins under names."""

from __future__ import annotations

from configparser import Error, RawConfigParser

Profiles = dict[str, dict[str, str]]


def profiles_of(credentials: bytes | None, config: bytes | None) -> Profiles:
    """All profiles of both files; what the credentials file says of one goes first."""
    found: Profiles = {}
    for name, members in _sections(config).items():
        found.setdefault(name.removeprefix("profile ").strip(), {}).update(members)
    for name, members in _sections(credentials).items():
        found.setdefault(name.strip(), {}).update(members)
    return found


def _sections(raw: bytes | None) -> Profiles:
    """A file's sections; a file that is none has none, and nothing of it is ever told."""
    parser = RawConfigParser(default_section="", strict=False, allow_no_value=True)
    try:
        parser.read_string((raw or b"").decode())
    except (Error, ValueError):
        return {}
    return {
        name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()
    }
