"""The meter changes one thing in a stream and reads the same from it however it was split."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import sse
from gateway.core.meter import StreamMeter
from tests.pieces import ODD_PIECES

USAGE = b'{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}'
ROLE = b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
TEXT = b'{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}],"usage":null}'
TRAP = (
    b'{"choices":[{"index":0,"delta":{"content":"\\n\\ndata: [DONE]\\n\\n'
    b' \\"usage\\":{\\"prompt_tokens\\":99} \\"error\\" \\"finish_reason\\":\\"stop\\"'
    b' {\\"error\\":{\\"message\\":\\"no\\"}}"},"finish_reason":null}]}'
)
STOP = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
STOP_WITH_USAGE = STOP[:-1] + b',"usage":' + USAGE + b"}"
CHOICE_USAGE = STOP[:-3] + b',"usage":' + USAGE + b"}]}"
ASKED = b'{"id":"x","choices":[],"usage":' + USAGE + b"}"
NULL_CHOICES = b'{"choices":null,"usage":' + USAGE + b"}"
ERROR = b'{"error":{"message":"overloaded","type":"server_error","code":"busy"}}'
DONE = b"[DONE]"


def stream(*payloads: bytes, end: bytes = b"\n", head: bytes = b"data: ") -> bytes:
    return b"".join(head + payload + end + end for payload in payloads)


GOLDEN = {
    "lf": stream(ROLE, TEXT, STOP, ASKED, DONE),
    "crlf": stream(ROLE, TEXT, STOP, ASKED, DONE, end=b"\r\n"),
    "cr": stream(ROLE, TEXT, STOP, ASKED, DONE, end=b"\r"),
    "mixed": stream(ROLE)
    + stream(TEXT, end=b"\r\n")
    + stream(STOP, ASKED, end=b"\r")
    + stream(DONE),
    "bom": sse.BOM + stream(ROLE, STOP, ASKED, DONE),
    "comments": b": keep-alive\n\n"
    + stream(ROLE)
    + b": x\ndata: "
    + STOP
    + b"\n\n: y\n\n"
    + stream(ASKED, DONE),
    "no space": stream(ROLE, TEXT, STOP, ASKED, DONE, head=b"data:"),
    "multi-line": b'data: {"choices":[],\ndata: "usage":' + USAGE + b"}\n\n" + stream(STOP, DONE),
    "named": b"event: chunk\nid: 1\ndata: " + ASKED + b"\n\n" + stream(STOP, DONE),
    "done twice": stream(ROLE, STOP, ASKED, DONE, DONE),
    "data after done": stream(ROLE, STOP, DONE, TEXT, ASKED),
    "not json": stream(ROLE, b"nonsense", b"{", b"\xff\xfe", b"1", b"[]", STOP, ASKED, DONE),
    "trap": stream(TRAP, STOP, ASKED, DONE),
    "usage with the last choice": stream(ROLE, TEXT, STOP_WITH_USAGE, DONE),
    "usage in a choice": stream(ROLE, TEXT, CHOICE_USAGE, DONE),
    "usage twice": stream(ROLE, STOP_WITH_USAGE, ASKED, DONE),
    "null choices": stream(ROLE, STOP, NULL_CHOICES, DONE),
    "error": stream(ROLE, TEXT, ERROR, DONE),
    "unicode": stream('{"choices":[{"delta":{"content":"é😀"}}]}'.encode(), STOP, ASKED, DONE),
    "unterminated": stream(ROLE, STOP, ASKED) + b"data: [DONE]",
    "unterminated usage": stream(ROLE, STOP) + b"data: " + ASKED,
    "empty": b"",
}


def run(pieces: list[bytes], hide: bool) -> tuple[bytes, object, bool, str | None, int]:
    meter = StreamMeter(hide_usage=hide)
    out = b"".join(map(meter.feed, pieces)) + meter.finish()
    cause = meter.fault.message if meter.fault else None
    return out, meter.usage, meter.complete, cause, meter.events


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_split_at_every_byte(golden: bytes, hide: bool) -> None:
    """Output, usage, completeness, fault and event count do not depend on the split."""
    whole = run([golden], hide)
    for at in range(len(golden) + 1):
        assert run([golden[:at], golden[at:]], hide) == whole
    assert run([golden[at : at + 1] for at in range(len(golden))], hide) == whole


@settings(max_examples=60)
@given(st.sampled_from(sorted(GOLDEN)), st.booleans(), st.data())
def test_random_splits(name: str, hide: bool, data: st.DataObject) -> None:
    """The same for many splits at once."""
    golden = GOLDEN[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(golden)), max_size=12)))
    edges = [0, *cuts, len(golden)]
    pieces = [golden[a:b] for a, b in itertools.pairwise(edges)]
    assert run(pieces, hide) == run([golden], hide)


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_shown_streams_pass_byte_for_byte(golden: bytes) -> None:
    """When the client asked for usage, what comes out is what came in."""
    assert run([golden], False)[0] == golden


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_hiding_takes_out_the_usage_chunk_alone(golden: bytes) -> None:
    """Without the usage chunk the rest is byte for byte the provider's, and usage is still read."""
    events = [*(splitter := sse.Splitter()).feed(golden), splitter.rest()]
    kept = b""
    for event in events:
        try:
            chunk = json.loads(sse.data_of(event) or b"")
        except ValueError:
            chunk = None
        alone = isinstance(chunk, dict) and not chunk.get("choices") and chunk.get("usage")
        kept += b"" if alone else event
    shown, hidden = run([golden], False), run([golden], True)
    assert hidden[0] == kept
    assert hidden[1:] == shown[1:]


@pytest.mark.parametrize("chunk", [STOP_WITH_USAGE, CHOICE_USAGE], ids=["beside", "inside"])
def test_usage_with_a_choice_stays(chunk: bytes) -> None:
    """A chunk that carries an answer is never taken out, and its usage is read."""
    out, usage, *_ = run([stream(chunk)], True)
    assert out == stream(chunk)
    assert (usage.input, usage.output, usage.raw) == (7, 3, USAGE)


def test_text_in_strings_confuses_nothing() -> None:
    """Usage, errors and end marks inside a content string are text."""
    meter = StreamMeter(hide_usage=True)
    assert meter.feed(stream(TRAP)) == stream(TRAP)
    assert (meter.usage, meter.complete, meter.fault, meter.done) == (None, False, None, False)


@pytest.mark.parametrize(
    "form", [stream(ERROR), stream(ERROR, end=b"\r\n"), b"event: error\n" + stream(ERROR)]
)
def test_an_error_in_the_stream_is_noticed(form: bytes) -> None:
    """An error object inside a 200 stream is a fault with the provider's code."""
    meter = StreamMeter(hide_usage=True)
    assert meter.feed(stream(ROLE) + form) == stream(ROLE) + form
    assert meter.fault is not None
    assert meter.fault.cause == "error_in_answer"
    assert meter.fault.provider.code == "busy"
    assert not meter.complete


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_cut_stream_is_not_complete(end: bytes) -> None:
    """Cut at any byte, a stream is complete only once its end mark has come whole."""
    before, last = stream(ROLE, TEXT, TRAP, TEXT, end=end), stream(STOP, ASKED, DONE, end=end)
    for at in range(len(before) + len(b"data: ") + len(STOP)):
        assert run([(before + last)[:at]], False)[2] is False, at
    for at in range(len(before) + len(b"data: ") + len(STOP), len(before + last) + 1):
        assert run([(before + last)[:at]], False)[2] is True, at


def test_running_usage_is_no_end() -> None:
    """Usage repeated in every chunk of an answer doesn't make a cut stream complete."""
    running = TEXT.replace(b'"usage":null', b'"usage":' + USAGE)
    _, usage, complete, *_ = run([stream(ROLE, running, running)], True)
    assert usage.input == 7
    assert complete is False
    assert run([stream(running, ASKED)], True)[2] is True


def test_an_empty_finish_reason_is_no_end() -> None:
    """Some hosts write an empty finish_reason in every chunk."""
    assert (
        run([stream(TEXT.replace(b'"finish_reason":null', b'"finish_reason":""'))], False)[2]
        is False
    )


def test_a_half_event_of_a_cut_stream_is_withheld() -> None:
    """No half line stands in front of the error event the client will get."""
    assert run([stream(ROLE) + b'data: {"choices":[{"del'], False)[0] == stream(ROLE)


@pytest.mark.parametrize("piece", [1 << 14, 1 << 20, 1 << 24])
def test_an_event_over_a_mebibyte(piece: int) -> None:
    """A huge event passes whole; it is not read, what follows is."""
    huge = b'{"choices":[{"delta":{"content":"' + b"x" * (2 << 20) + b'"},"finish_reason":"stop"}]}'
    whole = stream(ROLE, huge) + stream(ASKED)
    meter = StreamMeter(hide_usage=True)
    out = b"".join(meter.feed(whole[at : at + piece]) for at in range(0, len(whole), piece))
    assert out + meter.finish() == stream(ROLE, huge)
    assert meter.usage.output == 3
    cut = StreamMeter(hide_usage=True)
    for at in range(0, len(stream(huge)), piece):
        cut.feed(stream(huge)[at : at + piece])
    assert cut.complete is False


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"data: ", b"\n\n", ROLE, ASKED, ERROR])))
def test_no_bytes_make_it_raise(pieces: list[bytes]) -> None:
    """Whatever comes, feeding raises nothing and the split does not matter."""
    whole = b"".join(pieces)
    assert run(pieces, True) == run([whole], True)


EDGES = (
    *ODD_PIECES,
    stream(TEXT, TEXT),
    stream(TEXT[:-1] + b',"error":null}'),
    stream(TEXT.replace(b'"usage":null', b'"usage":' + USAGE)),
    stream(TEXT.replace(b'"usage":null', b'"usage":[]')),
    stream(TEXT.replace(b"null},", b'null,"usage":null},', 1)),
    stream(TEXT.replace(b"hi", b"x" * 2000)),
    stream(TEXT.replace(b"hi", b"x" * 985), TEXT.replace(b"hi", b"x" * 986)),
    stream(b'{"choices":[{"text":"' + b"y" * 1200 + b'"}]}'),
    stream(b'{"choices":[{"text":"once"},{"text":"twice"}]}'),
    stream(b'{"choices":[{"delta":{"annotations":"' + b"z" * 2000 + b'"}}]}'),
    stream(b'{"choices":[{}]}', b'{"choices":[]}', b'{"choices":\r[{}]}'),
    stream(b'{"choices":[{"delta":{"content":"\xff"},"finish_reason":null}]}'),
)


def event_by_event(stream: bytes, hide: bool) -> tuple[object, ...]:
    """One call of the meter for each event, as the parser of events cuts them."""
    splitter = sse.Splitter()
    return run([*splitter.feed(stream), splitter.rest()], hide)


@given(
    st.lists(st.sampled_from([*GOLDEN.values(), *EDGES]) | st.binary(max_size=9), max_size=9),
    st.booleans(),
)
def test_many_events_in_one_piece(parts: list[bytes], hide: bool) -> None:
    """They are told apart as the parser of events does it."""
    whole = b"".join(parts)
    assert run([whole], hide) == event_by_event(whole, hide)
