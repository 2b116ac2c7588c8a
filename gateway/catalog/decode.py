"""Plain values to the schema's structs. The happy path is one call into msgspec; only a file
that fails it is walked field by field, so that every problem is found and not just the first."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec
from msgspec.structs import fields

from gateway.catalog.problems import Path, Report, near_miss
from gateway.catalog.schema import File

T = TypeVar("T", bound=msgspec.Struct)

_BAD = object()
_PLAIN: dict[object, str] = {
    str: "must be text; put it in quotes",
    bool: "must be true or false",
}


def decode(root: dict[str, Any], report: Report) -> File:
    """The typed file. With problems in the report it is a best effort, fit only for more checks."""
    try:
        return msgspec.convert(root, File)
    except (msgspec.ValidationError, RecursionError):
        return _struct(File, root, (), report)


def _struct(cls: type[T], value: object, path: Path, report: Report) -> T:
    if not isinstance(value, dict):
        report.add(path, "must be a mapping")
        value = {}
    known = {info.name for info in fields(cls)}
    for key in value:
        if key not in known:
            report.add((*path, key), f"unknown key{near_miss(str(key), known)}")
    values: dict[str, Any] = {}
    for info in fields(cls):
        here = (*path, info.name)
        if info.name in value:
            decoded = _value(info.type, value[info.name], here, report)
            if decoded is not _BAD:
                values[info.name] = decoded
                continue
        elif info.required:
            report.add(here, "is missing")
        if info.required:
            values[info.name] = _blank(info.type)
    return cls(**values)


def _value(kind: object, value: object, path: Path, report: Report) -> object:
    if report.has(path):
        return _BAD
    kind = _member_for(kind, value)
    origin = typing.get_origin(kind)
    if origin is dict:
        return _dict(typing.get_args(kind), value, path, report)
    if origin is list:
        return _list(typing.get_args(kind)[0], value, path, report)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind, value, path, report)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        report.add(path, _expectation(kind, value))
        return _BAD


def _member_for(kind: object, value: object) -> object:
    """The member of a union that the value's form asks for; other types as they are."""
    if typing.get_origin(kind) not in (Union, types.UnionType):
        return kind
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    for member in members:
        is_struct = isinstance(member, type) and issubclass(member, msgspec.Struct)
        if isinstance(value, dict) and (is_struct or typing.get_origin(member) is dict):
            return member
        if isinstance(value, list) and typing.get_origin(member) is list:
            return member
        if isinstance(value, bool) and member is bool:
            return member
    return members[0]


def _dict(kinds: tuple[Any, ...], value: object, path: Path, report: Report) -> object:
    if not isinstance(value, dict):
        report.add(path, "must be a mapping")
        return _BAD
    result = {}
    for key, entry in value.items():
        here = (*path, key)
        try:
            msgspec.convert(key, kinds[0])
        except msgspec.ValidationError:
            report.add(here, f"this key {_expectation(kinds[0], key)}")
        decoded = _value(kinds[1], entry, here, report)
        if decoded is not _BAD:
            result[key] = decoded
    return result


def _list(kind: object, value: object, path: Path, report: Report) -> object:
    if not isinstance(value, list):
        report.add(path, "must be a list")
        return _BAD
    entries = [_value(kind, entry, (*path, at), report) for at, entry in enumerate(value)]
    return [entry for entry in entries if entry is not _BAD]


def _expectation(kind: object, value: object) -> str:
    """What the field wants, as the rest of a sentence."""
    if typing.get_origin(kind) is Annotated:
        for extra in typing.get_args(kind)[1:]:
            if isinstance(extra, msgspec.Meta) and extra.description:
                return str(extra.description)
    if typing.get_origin(kind) is Literal:
        choices = [_written(choice) for choice in typing.get_args(kind)]
        guess = near_miss(value, choices) if isinstance(value, str) and len(choices) > 1 else ""
        return f"must be {' or '.join(choices)}{guess}"
    return _PLAIN.get(kind, "has the wrong form")


def _written(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _blank(kind: object) -> object:
    """A harmless stand-in for a required value that is missing or bad."""
    if typing.get_origin(kind) is dict:
        return {}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{info.name: _blank(info.type) for info in fields(kind) if info.required})
    return 1 if kind in (Literal[1],) else ""
