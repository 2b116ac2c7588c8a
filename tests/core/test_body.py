"""A request body is one strict JSON object whose bytes stay the client's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import MAX_DEPTH, JsonBody, check_depth
from gateway.errors import INVALID_REQUEST, Fault

REFUSED = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "string": b'"{}"',
    "array": b"[]",
    "array of objects": b'[{"model":"a"}]',
    "bom": b'\xef\xbb\xbf{"a":1}',
    "nul before": b'\x00{"a":1}',
    "nul after": b'{"a":1}\x00',
    "nul in string": b'{"a":"\x00"}',
    "raw newline in string": b'{"a":"\n"}',
    "raw newline in key": b'{"a\n":1}',
    "latin-1 in value": b'{"a":"\xe9"}',
    "latin-1 in key": b'{"\xe9":1}',
    "latin-1 deep in unknown": b'{"a":{"b":["\xff"]}}',
    "latin-1 after": b'{"a":1}\xff',
    "cut utf-8": b'{"a":"\xf0\x9f\x98"}',
    "overlong utf-8": b'{"a":"\xc0\xaf"}',
    "utf-8 surrogate": b'{"a":"\xed\xa0\x80"}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "escaped lone surrogate": rb'{"a":"\ud800"}',
    "escaped lone low surrogate": rb'{"a":["\udc00x"]}',
    "lone surrogate in key": rb'{"\ud800":1}',
    "bad escape": rb'{"a":"\x"}',
    "bad hex": rb'{"a":"\u00zz"}',
    "trailing brace": b'{"a":1}}',
    "trailing word": b'{"a":1} x',
    "second object": b"{}{}",
    "trailing comma": b'{"a":1,}',
    "leading comma": b'{,"a":1}',
    "no colon": b'{"a" 1}',
    "no value": b'{"a":}',
    "cut": b'{"a":1',
    "cut string": b'{"a":"',
    "single quotes": b"{'a':1}",
    "bare key": b"{a:1}",
    "comment": b"{/**/}",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "bare point": b'{"a":1.}',
    "vertical tab": b'{"a":1\x0b}',
    "no-break space": b'{"a":\xc2\xa01}',
}
DUPLICATES = {
    "plain": b'{"model":"a","model":"b"}',
    "equal values": b'{"model":1,"model":1}',
    "apart": b'{"model":1,"x":2,"model":1}',
    "escaped second": rb'{"model":1,"\u006dodel":2}',
    "escaped first": rb'{"mod\u0065l":1,"model":2}',
    "both escaped": rb'{"\u006dodel":1,"m\u006fdel":1}',
    "prefix of the later": b'{"model":1,"model":12}',
    "prefix of the earlier": b'{"model":12,"model":1}',
    "fraction": b'{"model":1,"model":1.5}',
    "exponent": b'{"model":1e5,"model":1}',
    "spaced": b'{ "model" : 1 , "model" : 12 }',
    "empty": b'{"model":"","model":""}',
    "strings": b'{"model":"ab","model":"a"}',
    "objects": b'{"model":{},"model":{"a":1}}',
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_not_one_strict_object_is_refused(raw: bytes) -> None:
    """Anything but one strict JSON object in UTF-8 is a 400."""
    with pytest.raises(Fault) as caught:
        JsonBody.parse(raw)
    assert caught.value.kind is INVALID_REQUEST
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("at", range(len(b'{"a":"\xc3\xa9","b":[{"c":"\xe2\x82\xac"}]}')))
def test_a_stray_byte_anywhere_is_refused(at: int) -> None:
    """0xFF at any place of a good body is a 400."""
    good = b'{"a":"\xc3\xa9","b":[{"c":"\xe2\x82\xac"}]}'
    with pytest.raises(Fault):
        JsonBody.parse(good[:at] + b"\xff" + good[at:])


def test_utf8_is_checked_across_slices() -> None:
    """A character that straddles two slices of the check is good; a cut one is not."""
    for pad in range((1 << 20) - 8, (1 << 20) + 2):
        raw = b'{"a":"' + b"x" * pad + "€".encode() + b'"}'
        assert JsonBody.parse(raw).raw is raw
        with pytest.raises(Fault):
            JsonBody.parse(raw.replace("€".encode(), b"\xe2\x82"))


@pytest.mark.parametrize("raw", DUPLICATES.values(), ids=DUPLICATES)
def test_duplicate_members_are_refused_by_name(raw: bytes) -> None:
    """Two members of one name are a 400 that names it, however the name is spelled."""
    with pytest.raises(Fault) as caught:
        JsonBody.parse(raw)
    assert caught.value.param == "model"


def test_a_long_duplicate_name_is_not_echoed_whole() -> None:
    """The refusal shows the start of a long name only."""
    name = b"k" * 100_000
    with pytest.raises(Fault) as caught:
        JsonBody.parse(b'{"' + name + b'":1,"' + name + b'":1}')
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("depth", [10, 100, 127, 128, 129, 1_000, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("name", [b"messages", b"unknown"])
@pytest.mark.parametrize("closed", [True, False])
def test_depth_ladder(
    depth: int, opening: bytes, closing: bytes, name: bytes, closed: bool
) -> None:
    """Nesting up to the limit passes, beyond it is a 400; unclosed is always a 400."""
    inner = opening * (depth - 1) + b"1" + (closing * (depth - 1) if closed else b"")
    raw = b'{"' + name + b'":' + inner + b"}"
    if closed and depth <= MAX_DEPTH:
        assert JsonBody.parse(raw).get(name.decode()) == inner
        return
    with pytest.raises(Fault) as caught:
        JsonBody.parse(raw)
    if depth > MAX_DEPTH:
        assert "nested deeper" in caught.value.message


@pytest.mark.parametrize(
    "before",
    [
        rb"x\n",
        rb"\\",
        rb"\"",
        rb"\\\"",
        rb"\\\\",
        rb"\t\"",
        rb"\/",
        rb"\u005b",
        b"",
        rb"\n\n",
        b"[",
        b"{",
    ],
)
def test_brackets_in_strings_do_not_count(before: bytes) -> None:
    """Whatever escape ends one string, brackets inside the next are text."""
    JsonBody.parse(b'{"a":"' + before + b'","b":"' + b"[{" * 500 + b'","c":[[]]}')
    with pytest.raises(Fault, match="deeper"):
        JsonBody.parse(b'{"a":"' + before + b'","b":' + b"[" * 200 + b"]" * 200 + b"}")


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def test_wide_and_deep_together() -> None:
    """A wide tree at the limit passes; one level more anywhere in it does not."""
    leaf = b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2)
    JsonBody.parse(b'{"a":[' + b",".join([b"[]", leaf] * 300) + b"]}")
    with pytest.raises(Fault, match="deeper"):
        JsonBody.parse(b'{"a":[' + b",".join([b"[]", leaf] * 300 + [b"[" + leaf + b"]"]) + b"]}")


SPACE = st.text(" \t\r\n", max_size=3)
NAME = st.text(max_size=6) | st.sampled_from(
    ["model", "messages", "a\\b", 'a"b', "é", "😀", "\x00"]
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """A body with whitespace anywhere, and its members' values as they stand in it."""
    members: dict[str, bytes] = {}
    pieces = []
    for name, value in draw(st.dictionaries(NAME, VALUE, max_size=5)).items():
        if any("\ud800" <= c <= "\udfff" for c in repr(name) + name):
            continue
        separators = (
            draw(st.sampled_from([",", ", ", " ,\n"])),
            draw(st.sampled_from([":", " :\t"])),
        )
        ascii_only = draw(st.booleans())
        try:
            written = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        key = json.dumps(name, ensure_ascii=draw(st.booleans()))
        members[name] = written
        space = [draw(SPACE).encode() for _ in range(4)]
        pieces.append(space[0] + key.encode() + space[1] + b":" + space[2] + written + space[3])
    raw = b"{" + (b",".join(pieces) or draw(SPACE).encode()) + b"}"
    return draw(SPACE).encode() + raw + draw(SPACE).encode(), members


@given(bodies())
def test_members_agree_with_the_standard_parser(body: tuple[bytes, dict[str, bytes]]) -> None:
    """Names, order, raw values and decoded values are those json.loads finds."""
    raw, members = body
    parsed = JsonBody.parse(raw)
    expected = json.loads(raw)
    assert parsed.names() == list(expected)
    assert {name: parsed.get(name) for name in parsed.names()} == members
    for name, value in expected.items():
        assert name in parsed
        assert parsed.value(name) == value


@given(bodies(), st.data())
def test_replacing_changes_only_the_named_bytes(
    body: tuple[bytes, dict[str, bytes]], data: st.DataObject
) -> None:
    """What is not named keeps its bytes, its place and the whitespace around it."""
    raw, members = body
    parsed = JsonBody.parse(raw)
    new = data.draw(st.sampled_from([b'"x"', b"[1, 2.0]", b'{"}":"{"}', b"null"]))
    if members:
        name = data.draw(st.sampled_from(sorted(members)))
        changed = JsonBody.parse(parsed.replace({name: new}).raw)
        start = parsed._spans[name][0]
        assert changed.raw == raw[:start] + new + raw[start + len(members[name]) :]
        assert parsed.raw_with(name, new) == changed.raw
    added = parsed.replace({"added member": new})
    assert parsed.raw_with("added member", new) == added.raw
    assert JsonBody.parse(added.raw).get("added member") == new
    kept = raw[: raw.rindex(b"}")].rstrip(b" \t\r\n")
    assert added.raw.startswith(kept)
    assert parsed.raw is raw


@given(bodies(), st.data())
def test_dropping_and_renaming_keep_the_other_values(
    body: tuple[bytes, dict[str, bytes]], data: st.DataObject
) -> None:
    """A dropped member is gone, a renamed one has its old value, and the others theirs."""
    raw, members = body
    if not members:
        return
    parsed = JsonBody.parse(raw)
    name = data.draw(st.sampled_from(sorted(members)))
    without = JsonBody.parse(parsed.replace({name: None}).raw)
    assert {n: without.get(n) for n in without.names()} == {
        n: v for n, v in members.items() if n != name
    }
    renamed = JsonBody.parse(parsed.rename({name: "a new name"}).raw)
    assert renamed.names() == [n if n != name else "a new name" for n in members]
    assert renamed.get("a new name") == members[name]


def test_a_taken_name_wins_over_a_renamed_one() -> None:
    """Renaming onto a member that is there drops the renamed one."""
    body = JsonBody.parse(b'{"new": 2, "old": 1, "x": 1.0}').rename({"old": "new"})
    assert body.raw == b'{"new":2,"x":1.0}'


def test_nothing_to_change_is_the_same_body() -> None:
    """A change that changes nothing returns the very same value."""
    body = JsonBody.parse(b'{"a": 1 }')
    assert body.replace({"a": b"1", "gone": None}) is body
    assert body.rename({"gone": "x"}) is body


@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]":,\\u0d8c1en tf\x00', max_size=40).map(str.encode)
)
def test_a_body_raises_faults_alone(raw: bytes) -> None:
    """Whatever the bytes, parsing gives a body or a Fault, and agrees with the standard parser."""
    try:
        parsed = JsonBody.parse(raw)
    except Fault:
        return
    assert parsed.names() == list(json.loads(raw))


@given(VALUE)
def test_depth_is_counted_exactly(value: object) -> None:
    """The check refuses what the standard parser finds deeper than the limit, and only that."""
    wrapped = MAX_DEPTH - 3
    raw = b'{"a":' + b"[" * wrapped + json.dumps(value).encode() + b"]" * wrapped + b"}"
    too_deep = 1 + wrapped + _depth(value) > MAX_DEPTH
    try:
        check_depth(raw)
    except Fault:
        assert too_deep
    else:
        assert not too_deep


HUGE = 32 << 20
HOSTILE = {
    "brackets": lambda: b"[" * HUGE,
    "open objects": lambda: b'{"a":' * (HUGE // 5),
    "closing": lambda: b"]" * HUGE,
    "closed nest": lambda: b'{"a":' + b"[" * (HUGE // 2) + b"]" * (HUGE // 2) + b"}",
    "combs": lambda: b'{"a":[' + (b"[" * 120 + b"1" + b"]" * 120 + b",") * (HUGE // 241) + b"1]}",
    "ladder": lambda: b"[[]" * (HUGE // 3),
    "long string": lambda: b'{"a":"' + b"[" * HUGE + b'"}',
    "escaped quotes": lambda: b'{"a":"' + b'\\"[' * (HUGE // 3) + b'"}',
    "backslashes": lambda: b'{"a":["' + b"\\" * HUGE + b'"' + b"[" * 200,
    "long name": lambda: b'{"' + b"k" * HUGE + b'":1}',
    "long escaped name": lambda: b'{"' + b"\\n" * (HUGE // 2) + b'":1}',
    "spaces": lambda: b'{"a":' + b" " * HUGE + b"1}",
    "open string": lambda: b'{"a":"' + b"x" * HUGE,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_huge_bodies_raise_faults_alone(make) -> None:
    """32 MiB of the worst that can be sent gives a body or a Fault."""
    raw = make()
    try:
        assert JsonBody.parse(raw).raw is raw
    except Fault as fault:
        if len(fault.message) >= 400:
            raise AssertionError("a refusal that long is an echo") from fault
