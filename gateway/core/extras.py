"""What a request asks for that a provider bills beside the tokens, or that lies in its account.

Nothing is decoded before one look at the body's names says that there may be something to find.
What is found is found for every dialect alike: where a body is translated, members that no reader
knows pass on to the provider, and so does another dialect's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, get_args

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody, check_values
from gateway.errors import Fault

Extra = Literal[
    "service_tier",
    "speed",
    "inference_geo",
    "web_search",
    "file_search",
    "code_interpreter",
    "image_generation",
    "stored",
]
NAMES: tuple[Extra, ...] = get_args(Extra)
STORED: Extra = "stored"
# What is a matter of money alone. What lies in the provider's account is somebody's.
BILLED = frozenset(NAMES) - {STORED}

_TALKS = frozenset(("chat", "messages", "responses", "completions"))
# What any of these members may say without asking for more than the usual.
_USUAL = (None, False, "", "auto", "default", "standard", "standard_only", "flex", "on_demand")
_OFF: tuple[Any, ...] = (None, False, [])
_MEMBERS: tuple[tuple[str, Extra, tuple[Any, ...]], ...] = (
    ("service_tier", "service_tier", _USUAL),
    ("serviceTier", "service_tier", (*_USUAL, {"type": "default"}, {"type": "flex"})),
    ("speed", "speed", _USUAL),
    ("performanceConfig", "speed", (*_USUAL, {"latency": "standard"})),
    ("inference_geo", "inference_geo", (*_USUAL, "global")),
    ("web_search_options", "web_search", _OFF),
    ("search_parameters", "web_search", (*_OFF, {"mode": "off"})),
    ("enable_search", "web_search", _OFF),
    ("plugins", "web_search", _OFF),
    ("cached_content", "stored", (None, "")),
    ("cachedContent", "stored", (None, "")),
    ("guardrailConfig", "stored", _OFF),
)
# A tool is known by the first of these words in its type, whatever underscores and dates are about
# it. What costs tokens alone is not here: functions, fetching, shells, editors, memory.
_TOOLS: tuple[tuple[str, Extra | None], ...] = (
    ("toolsearch", None),  # among the request's own tools
    ("filesearch", "file_search"),
    ("collectionssearch", "file_search"),
    ("searchretrieval", "web_search"),
    ("retrieval", "file_search"),
    ("search", "web_search"),
    ("maps", "web_search"),
    ("builtinfunction", "web_search"),
    ("codeinterpreter", "code_interpreter"),
    ("codeexecution", "code_interpreter"),
    ("imagegeneration", "image_generation"),
)
TELLING = frozenset(("tools", "prompt", "container", *(name for name, _, _ in _MEMBERS)))

# What is longer than this says more than any harmless word, and is not decoded to be told so.
_LONGEST_WORD = 1_000
_MOST_TOOLS = 1_000
_MOST_MEMBERS = 50  # of a tool without a type


class _Tool(Struct, gc=False):
    """What is asked of a tool. Any value may stand there; the last of two counts, as in the hosts'
    own readers."""

    type: Raw = Raw()
    name: Raw = Raw()
    function: Raw = Raw()
    vector_store_ids: Raw = Raw()
    container: Raw = Raw()
    environment: Raw = Raw()


class _Place(Struct, gc=False):
    """Where something lies: a prompt, a container, the environment of a shell."""

    type: Raw = Raw()
    id: Raw = Raw()
    container_id: Raw = Raw()
    file_ids: Raw = Raw()


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_place = msgspec.json.Decoder(_Place).decode
_decode_names = msgspec.json.Decoder(dict[str, Raw]).decode
_UNREADABLE = (ValueError, RecursionError)  # a number past all ranges is JSON all the same
_FUNCTION = Raw(b'"function"')
_NOWHERE = _Place()
_OPENING, _QUOTE = b'{"'


def extras_of(operation: str, body: JsonBody) -> tuple[str, ...]:
    """The names of what a body asks for, each once."""
    return tuple(places_of(operation, body))


def places_of(operation: str, body: JsonBody) -> Mapping[str, str]:
    """What a body asks for, and by which member first."""
    found: dict[str, str] = {}
    if operation in _TALKS and body.has_any(TELLING):
        for name, place in _asked(body):
            found.setdefault(name, place)
    return found


def _asked(body: JsonBody) -> Iterator[tuple[Extra, str]]:
    for member, name, harmless in _MEMBERS:
        said = body.get(member)
        if said is not None and _value(said) not in harmless:
            yield name, member
    # A prompt that is text is what completions are made of.
    if _says(_place(body.get("prompt")).id):
        yield STORED, "prompt"
    if _says(body.get("container")):
        yield STORED, "container"
    tools = body.get("tools")
    if tools is not None:
        yield from _of_tools(tools)


def _of_tools(raw: bytes) -> Iterator[tuple[Extra, str]]:
    try:
        check_values(raw)
        tools = _list(raw)
    except Fault:
        tools = None
    if tools is None or len(tools) > _MOST_TOOLS:
        # Nobody offers so many. They are not looked through, and may be anything.
        yield from ((name, "tools") for name in NAMES)
        return
    for at, one in enumerate(tools):
        try:
            tool = _decode_tool(one)
        except _UNREADABLE:  # no object
            continue
        if tool.type != _FUNCTION:
            for name in _of_tool(tool, one):
                yield name, f"tools[{at}]"


def _list(raw: bytes) -> list[Raw]:
    if raw[:1] == b"[":
        return _decode_list(raw)
    return [Raw(raw)]  # some hosts take one that is in no list


def _of_tool(tool: _Tool, raw: Raw) -> Iterator[Extra]:
    kind = _value(tool.type) if tool.type else None
    if tool.type and kind is ...:
        return  # no host knows a type that is so long, or that is no text at all
    kinds: Iterable[str] = (kind,) if isinstance(kind, str) and kind else ()
    if not kinds and not tool.name and not tool.function:  # {"hostedTool": {}}
        kinds = islice(_decode_names(raw), _MOST_MEMBERS)
    for one in kinds:
        name = _hosted(one)
        if name is not None:
            yield name
        if name == "file_search":  # whose files these are, each host says in words of its own
            yield STORED
    if _says(tool.vector_store_ids):
        yield STORED
    yield from _where_it_runs(tool)


def _where_it_runs(tool: _Tool) -> Iterator[Extra]:
    """A container by its name is somebody's, as are the files put into a new one."""
    if str(_value(_place(tool.environment).type or b"null")).startswith("container"):
        yield "code_interpreter"
    if tool.container and memoryview(tool.container)[0] == _QUOTE:
        yield STORED
    for place in (_place(tool.container), _place(tool.environment)):
        if _says(place.container_id) or _says(place.file_ids):
            yield STORED


def _hosted(kind: str) -> Extra | None:
    plain = kind.replace("_", "").replace("-", "").lower()
    for word, name in _TOOLS:
        if word in plain:
            return name
    return None


def _place(raw: bytes | Raw | None) -> _Place:
    """An object that may name what lies somewhere; anything else is like an empty one."""
    return _decode_place(raw) if raw and memoryview(raw)[0] == _OPENING else _NOWHERE


def _says(raw: bytes | Raw | None) -> bool:
    """Whether there is anything in a value."""
    return bool(raw) and _value(raw or b"") not in (None, False, "", [], {})


def _value(raw: bytes | Raw) -> Any:
    """What is said. What is too long, or what no type can hold, is like nothing harmless."""
    if len(raw) > _LONGEST_WORD:
        return ...
    try:
        return msgspec.json.decode(raw)
    except _UNREADABLE:
        return ...
