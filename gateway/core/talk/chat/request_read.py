"""Reads a chat client's request: its members one by one, each by its own reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody, decode_as
from gateway.core.talk.chat.messages_read import read_messages
from gateway.core.talk.chat.names import NAME, UNREADABLE
from gateway.core.talk.chat.thinking_read import read_reasoning, read_thinking
from gateway.core.talk.chat.tools_read import (
    read_choice,
    read_function_call,
    read_functions,
    read_tools,
)
from gateway.core.talk.model import Format, Losses, Talk
from gateway.core.usage import NOTHING
from gateway.errors import invalid

Read = Callable[[Talk, bytes, Losses], None]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "a string": (str,),
    "a number": (int, float),
    "an integer": (int,),
    "true or false": (bool,),
}
# Members that go straight into a field of the form, by the name that field has.
_PLAIN: Final[dict[str, tuple[str, str]]] = {
    "model": ("model", "a string"),
    "max_tokens": ("max_tokens", "an integer"),
    "max_completion_tokens": ("max_tokens", "an integer"),
    "temperature": ("temperature", "a number"),
    "top_p": ("top_p", "a number"),
    "top_k": ("top_k", "an integer"),
    "n": ("n", "an integer"),
    "seed": ("seed", "an integer"),
    "presence_penalty": ("presence_penalty", "a number"),
    "frequency_penalty": ("frequency_penalty", "a number"),
    "logprobs": ("logprobs", "true or false"),
    "top_logprobs": ("top_logprobs", "an integer"),
    "parallel_tool_calls": ("parallel", "true or false"),
    "reasoning_effort": ("effort", "a string"),
    "verbosity": ("verbosity", "a string"),
    "service_tier": ("service_tier", "a string"),
    "prompt_cache_key": ("cache_key", "a string"),
    "stream": ("stream", "true or false"),
}
# What no other wire can say. False and empty ask for nothing, so nothing is lost.
_LOST: Final = frozenset(
    {
        "audio",
        "moderation",
        "prediction",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
        "web_search_options",
    }
)
_NOTHING_ASKED: Final = frozenset({b"null", b"false", b"{}", b"[]", b'""'})


class _Schema(Struct):
    name: str = ""
    schema: msgspec.Raw = NOTHING
    strict: bool | None = None
    description: str | None = None


class _Format(Struct):
    type: str
    json_schema: _Schema | None = None


_decode_format = msgspec.json.Decoder(_Format)
_decode_stop = msgspec.json.Decoder(str | list[str])


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """What a chat client asks for. Members that nobody here knows go through as they are."""
    if "messages" not in body:
        raise invalid("'messages' is required.", "messages")
    talk = Talk(NAME)
    for name in body.names():
        raw = body.get(name) or b""
        try:
            _read(talk, body, name, raw, losses)
        except UNREADABLE:
            raise invalid(f"'{name}' cannot be read.", name) from None
    _settle_names(talk, body, losses)
    return talk


def _read(talk: Talk, body: JsonBody, name: str, raw: bytes, losses: Losses) -> None:
    if raw == b"null":
        return
    if name in _PLAIN:
        _read_plain(talk, body, name)
    elif name in _READERS:
        _READERS[name](talk, raw, losses)
    elif name not in _LOST:
        talk.extra[name] = raw
    elif raw not in _NOTHING_ASKED:
        losses.lose(name)


def _read_plain(talk: Talk, body: JsonBody, name: str) -> None:
    field, kind = _PLAIN[name]
    if name == "max_tokens" and body.get("max_completion_tokens") not in (None, b"null"):
        return  # the newer name wins
    value = body.value(name)
    types = _TYPES[kind]
    whole = bool not in types and isinstance(value, bool)
    if int in types and float not in types and isinstance(value, float) and value.is_integer():
        value = int(value)
    if whole or not isinstance(value, types):
        raise invalid(f"'{name}' must be {kind}.", name)
    setattr(talk, field, value)


def _read_stop(talk: Talk, raw: bytes, losses: Losses) -> None:
    found = _as("stop", raw, _decode_stop)
    talk.stop = [found] if isinstance(found, str) else found


def _read_format(talk: Talk, raw: bytes, losses: Losses) -> None:
    found: _Format = _as("response_format", raw, _decode_format)
    if found.type == "json_object":
        talk.format = Format("json")
    elif found.type == "json_schema" and found.json_schema is not None:
        schema = found.json_schema
        talk.format = Format(
            "schema",
            schema.name,
            bytes(schema.schema),
            schema.strict,
            schema.description or "",
        )
    elif found.type != "text":
        losses.lose("response_format")


def _read_modalities(talk: Talk, raw: bytes, losses: Losses) -> None:
    if msgspec.json.decode(raw) != ["text"]:
        losses.lose("modalities")


def _read_stream_options(talk: Talk, raw: bytes, losses: Losses) -> None:
    """`include_usage` is the writer's to honour; padding against eavesdroppers cannot be had."""
    options = msgspec.json.decode(raw)
    if isinstance(options, dict) and options.get("include_obfuscation") is True:
        losses.lose("stream_options.include_obfuscation")


def _read_logit_bias(talk: Talk, raw: bytes, losses: Losses) -> None:
    if raw not in _NOTHING_ASKED:
        talk.logit_bias = raw


def _read_metadata(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.metadata = raw


def _read_user(talk: Talk, raw: bytes, losses: Losses) -> None:
    """Read together with its other name, when both are known."""
    if not isinstance(msgspec.json.decode(raw), str):
        raise invalid("'user' and 'safety_identifier' must be strings.", "user")


def _settle_names(talk: Talk, body: JsonBody, losses: Losses) -> None:
    """Who the end user is has two names; the newer one wins."""
    newer, older = body.value("safety_identifier"), body.value("user")
    talk.user = newer or older or ""
    if newer and older and newer != older:
        losses.lose("user")


def _read_messages(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.messages = read_messages(raw, losses)


def _as(name: str, raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decode_as(raw, decoder)
    except Exception as error:
        raise invalid(f"'{name}' is not valid.", name) from error


_READERS: Final[dict[str, Read]] = {
    "messages": _read_messages,
    "tools": read_tools,
    "functions": read_functions,
    "tool_choice": read_choice,
    "function_call": read_function_call,
    "stop": _read_stop,
    "response_format": _read_format,
    "modalities": _read_modalities,
    "stream_options": _read_stream_options,
    "logit_bias": _read_logit_bias,
    "metadata": _read_metadata,
    "user": _read_user,
    "safety_identifier": _read_user,
    "reasoning": read_reasoning,
    "thinking": read_thinking,
}
