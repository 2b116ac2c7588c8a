"""What a body asks for beside tokens, however it is spelled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.extras import NAMES, TELLING, extras_of, places_of
from gateway.errors import Fault

TALKS = ("chat", "messages", "responses", "completions")


def body_of(**members: Any) -> JsonBody:
    return JsonBody.parse(json.dumps(members).encode())  # with blanks, as this writes it


ASKED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"service_tier": "priority"}, ("service_tier",)),
    ({"service_tier": "scale"}, ("service_tier",)),
    ({"service_tier": 7}, ("service_tier",)),
    ({"serviceTier": {"type": "priority"}}, ("service_tier",)),
    ({"speed": "fast"}, ("speed",)),
    ({"performanceConfig": {"latency": "optimized"}}, ("speed",)),
    ({"inference_geo": "us"}, ("inference_geo",)),
    ({"web_search_options": {}}, ("web_search",)),
    ({"search_parameters": {"mode": "auto"}}, ("web_search",)),
    ({"enable_search": True}, ("web_search",)),
    ({"plugins": [{"id": "web"}]}, ("web_search",)),
    ({"cached_content": "cachedContents/x"}, ("stored",)),
    ({"guardrailConfig": {"guardrailIdentifier": "g"}}, ("stored",)),
    ({"prompt": {"id": "pmpt_1"}}, ("stored",)),
    ({"container": "container_1"}, ("stored",)),
    ({"container": {"id": "container_1"}}, ("stored",)),
    ({"speed": "fast", "service_tier": "priority"}, ("service_tier", "speed")),
]
TOOLS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"type": "web_search"}, ("web_search",)),
    ({"type": "web_search_preview_2025_03_11"}, ("web_search",)),
    ({"type": "web_search_20250305", "name": "web_search"}, ("web_search",)),
    ({"type": "x_search"}, ("web_search",)),
    ({"type": "google_search"}, ("web_search",)),
    ({"googleSearch": {}}, ("web_search",)),
    ({"type": "", "googleMaps": {}}, ("web_search",)),
    ({"type": None, "google_search_retrieval": {}}, ("web_search",)),
    ({"type": "builtin_function", "function": {"name": "$web_search"}}, ("web_search",)),
    ({"type": "file_search", "vector_store_ids": ["vs_1"]}, ("file_search", "stored")),
    ({"fileSearch": {"fileSearchStoreNames": ["x"]}}, ("file_search", "stored")),
    ({"retrieval": {"vertexRagStore": {}}}, ("file_search", "stored")),
    ({"type": "other", "vector_store_ids": ["vs_1"]}, ("stored",)),
    ({"type": "code_interpreter", "container": {"type": "auto"}}, ("code_interpreter",)),
    ({"type": "code_interpreter", "container": "cntr_1"}, ("code_interpreter", "stored")),
    (
        {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}},
        ("code_interpreter", "stored"),
    ),
    ({"type": "code_execution_20250825", "name": "code_execution"}, ("code_interpreter",)),
    ({"type": "shell", "environment": {"type": "container_auto"}}, ("code_interpreter",)),
    (
        {"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}},
        ("code_interpreter", "stored"),
    ),
    ({"type": "image_generation"}, ("image_generation",)),
]  # fmt: skip
HARMLESS: list[dict[str, Any]] = [
    {"service_tier": value}
    for value in (None, "auto", "default", "standard", "standard_only", "flex")
] + [
    {"speed": "standard"},
    {"inference_geo": None},
    {"inference_geo": "global"},
    {"web_search_options": None},
    {"enable_search": False},
    {"plugins": []},
    {"prompt": "once"},
    {"prompt": ["once", "twice"]},
    {"prompt": {"variables": {}}},
    {"container": None},
    {"container": {}},
    {"tools": None},
    {"tools": []},
    {"tools": "web_search"},
    {"tools": [None, 1, "web_search", [{"type": "web_search"}]]},
    {"messages": [{"role": "user", "content": "web_search", "service_tier": "priority"}]},
]
FREE_TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "web_search", "parameters": {"type": "object"}}},
    {"type": "function", "name": "web_search", "parameters": {}},
    {"name": "web_search", "input_schema": {"type": "object"}},
    {"type": "custom", "name": "file_search"},
    {"type": "web_fetch_20250910", "name": "web_fetch"},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"type": "computer_20250124", "name": "computer"},
    {"type": "memory_20250818", "name": "memory"},
    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    {"type": "mcp", "server_url": "https://x.example"},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "file", "vector_store_ids": []},
]


@pytest.mark.parametrize("operation", TALKS)
@pytest.mark.parametrize(("members", "names"), ASKED)
def test_what_is_asked(operation: str, members: dict[str, Any], names: tuple[str, ...]) -> None:
    """In every dialect: what one of them does not know passes on in translation too."""
    assert extras_of(operation, body_of(model="m", **members)) == names
    assert extras_of("speech", body_of(model="m", **members)) == ()


@pytest.mark.parametrize("operation", TALKS)
@pytest.mark.parametrize(("tool", "names"), TOOLS)
def test_what_a_tool_is(operation: str, tool: dict[str, Any], names: tuple[str, ...]) -> None:
    """By its type, or by the member that it consists of; the first that asks is named."""
    function = {"type": "function", "name": "f"}
    places = places_of(operation, body_of(tools=[function, "x", tool, tool]))
    assert places == dict.fromkeys(names, "tools[2]")
    assert extras_of(operation, body_of(tools=tool)) == names


@pytest.mark.parametrize("operation", TALKS)
@pytest.mark.parametrize("members", [*HARMLESS, *({"tools": [tool]} for tool in FREE_TOOLS)])
def test_what_is_none(operation: str, members: dict[str, Any]) -> None:
    assert extras_of(operation, body_of(model="m", **members)) == ()


def escaped(text: str) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"'


@pytest.mark.parametrize(("members", "names"), ASKED)
def test_escapes_hide_no_member(members: dict[str, Any], names: tuple[str, ...]) -> None:
    raw = ",".join(f"{escaped(name)}:{json.dumps(value)}" for name, value in members.items())
    assert extras_of("chat", JsonBody.parse(b'{"model":"m",' + raw.encode() + b"}")) == names


@pytest.mark.parametrize(("tool", "names"), TOOLS)
def test_escapes_hide_no_tool(tool: dict[str, Any], names: tuple[str, ...]) -> None:
    """Neither in its members' names nor in its type."""
    said = ",".join(
        f" {escaped(name)} :\n{escaped(value) if isinstance(value, str) else json.dumps(value)}"
        for name, value in tool.items()
    )
    raw = f'{{"\\u0074ools": [ {{{said}}} ]}}'
    assert extras_of("responses", JsonBody.parse(raw.encode())) == names


def test_escapes_spoil_nothing_harmless() -> None:
    raw = f'{{"service_tier":{escaped("auto")}}}'
    assert extras_of("chat", JsonBody.parse(raw.encode())) == ()


ODD = ["web_search", "container", "priority", "\ud800", "", "auto"]
FIELDS = ["type", "name", "function", "vector_store_ids", "container", "environment", "id"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(ODD) | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(sorted(TELLING)) | st.text(), VALUES, max_size=6),
    st.sampled_from((*TALKS, "images", "")),
    st.booleans(),
)
def test_no_body_breaks_it(members: dict[str, Any], operation: str, plain: bool) -> None:
    """Whatever is JSON has an answer, and the answer is of known names."""
    try:
        body = JsonBody.parse(json.dumps(members, ensure_ascii=plain).encode(errors="replace"))
    except Fault:
        return
    assert set(extras_of(operation, body)) <= set(NAMES)


@pytest.mark.parametrize("many", [1_001, 600_000])
def test_more_tools_than_anybody_has_may_be_anything(many: int) -> None:
    """They are not read one by one: that would keep everybody else waiting."""
    raw = b'{"tools":[' + b",".join([b"{}"] * many) + b"]}"
    assert places_of("chat", JsonBody.parse(raw)) == dict.fromkeys(NAMES, "tools")
    few = b'{"tools":[' + b",".join([b"{}"] * 1_000) + b"]}"
    assert extras_of("chat", JsonBody.parse(few)) == ()


def test_a_long_value_is_not_harmless() -> None:
    """Nor is it decoded; a long type is no host's, and a tool of many members neither."""
    many: Any = [[]] * 10_000
    assert extras_of("chat", body_of(plugins=many, service_tier=" " * 9_000)) == (
        "service_tier",
        "web_search",
    )
    tools = [{"type": "x" * 9_000}, {str(at): many for at in range(9)}]
    assert extras_of("chat", body_of(tools=tools, prompt={"variables": many})) == ()
    assert extras_of("chat", body_of(prompt={"variables": many, "id": "p"})) == ("stored",)
    assert extras_of("messages", body_of(container={"skills": many})) == ("stored",)
    long = [{"type": "code_interpreter", "container": "c" * 9_000}]
    assert extras_of("responses", body_of(tools=long)) == ("code_interpreter", "stored")


@pytest.mark.parametrize("said", ["1e999", "[" * 100 + "]" * 100])
def test_what_no_type_can_hold_is_not_harmless(said: str) -> None:
    """Wherever it stands, it raises nothing."""
    raw = f'{{"service_tier":{said},"tools":[{{"type":{said},"container":{{"id":{said}}}}}]}}'
    assert extras_of("chat", JsonBody.parse(raw.encode())) == ("service_tier",)
