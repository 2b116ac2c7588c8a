"""Usage is read in every known spelling, and nothing odd in it becomes a figure."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.usage import decode_head, openai_usage, reasoning_outside, usage_of
from gateway.domain import Usage

SPELLINGS = {
    "openai": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 1},
        },
        Usage(10, 5, 4, 0, 3, 2, 1),
    ),
    "responses": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(10, 5, 4, 0, 3),
    ),
    "deepseek": (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8},
        Usage(10, 5, 8),
    ),
    "moonshot": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 6},
        Usage(10, 5, 6),
    ),
    "written": (
        {"prompt_tokens": 10, "prompt_tokens_details": {"cache_write_tokens": 7}},
        Usage(10, 0, 0, 7),
    ),
    "embeddings": ({"prompt_tokens": 10, "total_tokens": 10}, Usage(10)),
    "null details": ({"prompt_tokens": 1, "prompt_tokens_details": None}, Usage(1)),
    "empty": ({}, Usage(problem="it has no count of tokens")),
}
ODD = [
    -1,
    -(1 << 70),
    1 << 53,
    1 << 63,
    1 << 64,
    10**30,
    1e308,
    1.5,
    "5",
    "",
    None,
    True,
    False,
    [],
    [5],
    {},
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(ODD[:8]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "prompt_tokens",
                    "completion_tokens",
                    "total_tokens",
                    "prompt_tokens_details",
                    "completion_tokens_details",
                    "cached_tokens",
                    "reasoning_tokens",
                    "usage",
                    "choices",
                    "error",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def sane(usage: Usage) -> bool:
    figures = (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning)
    return all(type(n) is int and 0 <= n < 1 << 55 for n in (*figures, usage.audio_input))


@pytest.mark.parametrize(("given_", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_known_spellings(given_: dict[str, object], expected: Usage) -> None:
    """Each provider's spelling gives the same figures, and the object itself is kept."""
    raw = json.dumps(given_).encode()
    usage = openai_usage(raw)
    assert usage.raw == raw
    assert msgspec.structs.replace(usage, raw=b"") == expected


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "prompt_tokens_details"])
def test_odd_figures_count_as_absent(odd: object, name: str) -> None:
    """Negative, huge, fractional, textual, boolean and nested figures are no figures."""
    raw = json.dumps({"prompt_tokens": 7, "completion_tokens": 3} | {name: odd}).encode()
    expected = {"prompt_tokens": 7, "completion_tokens": 3} | {name: 0}
    usage = openai_usage(raw)
    assert (usage.input, usage.output, usage.cached) == (
        expected["prompt_tokens"],
        expected["completion_tokens"],
        0,
    )
    if name != "prompt_tokens_details":
        assert usage.problem == ("" if odd is None else f"'{name}' is not a count")


@pytest.mark.parametrize(
    ("total", "problem"),
    [(10, ""), (12, ""), (None, ""), (11, "'total_tokens' is 11, not 10"), (9, "is 9, not 10")],
)
def test_totals_must_add_up(total: int | None, problem: str) -> None:
    """A total is input and output, with or without the reasoning that some hosts count apart."""
    raw = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": total}
    raw |= {"completion_tokens_details": {"reasoning_tokens": 2}}
    found = openai_usage(json.dumps(raw).encode()).problem
    assert found.endswith(problem)
    assert bool(found) == bool(problem)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((10, 5, 90, 105, 0), (10, 95)),
        ((10, 95, 90, 105, 0), (10, 95)),
        ((10, 5, 0, 15, 0), (10, 5)),
        ((10, 5, 90, None, 0), (10, 95)),
        ((10, 5, 0, 15, 40), (50, 5)),
        ((50, 5, 0, 55, 40), (50, 5)),
    ],
)
def test_reasoning_outside_the_completion(
    figures: tuple[int, ...], expected: tuple[int, int]
) -> None:
    """The provider's total tells whether reasoning is inside; cached beyond the input is added."""
    prompt, answer, reasoning, total, cached = figures
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    found = reasoning_outside(json.dumps(usage).encode())
    assert (found.input, found.output) == expected
    assert found.cached <= found.input


@given(st.binary(max_size=80))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    """Bytes that are no usage object are no usage."""
    assert sane(openai_usage(raw))
    assert sane(reasoning_outside(raw))


@given(JSON)
def test_no_json_makes_it_raise(value: object) -> None:
    """Any JSON at all gives sane figures."""
    raw = json.dumps(value).encode()
    assert sane(openai_usage(raw))
    assert sane(reasoning_outside(raw))


@pytest.mark.parametrize("deep", [b'{"a":' + b"[" * 100_000, b"[" * 100_000, b'{"a":' * 5_000])
def test_deep_nesting_is_no_usage(deep: bytes) -> None:
    """Nesting beyond the decoder's reach is no usage, not an error."""
    assert openai_usage(deep) == Usage(raw=deep, problem="it cannot be read")
    assert reasoning_outside(deep) == Usage(raw=deep, problem="it cannot be read")


def test_where_usage_stands() -> None:
    """On the answer first, else in a choice; null and other types are none."""
    top, inner = b'{"prompt_tokens":1}', b'{"prompt_tokens":2}'
    both = b'{"choices":[{"usage":' + inner + b'}],"usage":' + top + b"}"
    assert usage_of(decode_head(both)) == top
    assert usage_of(decode_head(both.replace(b'"usage":' + top, b'"usage":null'))) == inner
    for other in (b"null", b"5", b'"x"', b"[]"):
        assert usage_of(decode_head(b'{"choices":[],"usage":' + other + b"}")) is None


def test_reasoning_outside_of_bytes_that_are_no_text() -> None:
    """A figure may stand beside a name that is not UTF-8: such an object is not billed from."""
    usage = reasoning_outside(b'{"prompt_tokens":7,"completion_tokens":5,"x\xff":1}')
    assert usage.problem


@pytest.mark.parametrize(("total", "output"), [(15, 5), (22, 12), (None, 5)])
def test_reasoning_beside_the_answer(total: int | None, output: int) -> None:
    """A total that only adds up with it says that the provider counts it apart: so it is output."""
    details = {"reasoning_tokens": 7} if output == 12 else {"reasoning_tokens": 3}
    raw = {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": details}
    if total is not None:
        raw["total_tokens"] = total
    usage = openai_usage(json.dumps(raw).encode())
    assert (usage.output, usage.problem) == (output, "")
    assert usage.reasoning == details["reasoning_tokens"]
