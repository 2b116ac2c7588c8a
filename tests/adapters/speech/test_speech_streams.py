"""Sound in the events of hosts becomes the client's bytes or events, however it is split."""

from __future__ import annotations

import io
import tracemalloc
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.sound import riff
from gateway.errors import INVALID_REQUEST, RATE_LIMIT_EXCEEDED, UPSTREAM_ERROR
from gateway.sdk import Translator
from tests.adapters.speech import hosts
from tests.adapters.speech.hosts import (
    ALL,
    HOSTS,
    SOUND,
    TIME,
    Host,
    call,
    heard,
    run,
    translator,
)

by_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)


def spoken(host: Host, *pieces: bytes, **members: object) -> tuple[Translator, bytes]:
    one = translator(host.adapter, call(host.upstream, **members))
    return one, run(one, *(pieces or (host.stream,)))


@by_host
def test_samples(host: Host) -> None:
    one, made = spoken(host, response_format="pcm")
    assert made == SOUND
    assert one.complete
    assert one.fault is None


@by_host
def test_a_wav_file(host: Host) -> None:
    """Its header has no length, since nobody knows it yet."""
    one, made = spoken(host, response_format="wav")
    assert made == riff.header() + SOUND
    with wave.open(io.BytesIO(made)) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (1, 2, 24_000)
        assert read.readframes(1 << 20) == SOUND
    assert one.complete


@by_host
@pytest.mark.parametrize("container", ["pcm", "wav"])
def test_events(host: Host, container: str) -> None:
    """The WAV header stands in the first of them."""
    _, made = spoken(host, response_format=container, stream_format="sse")
    sound, done = heard(made)
    assert sound == (b"" if container == "pcm" else riff.header()) + SOUND
    told = {"input_tokens": 11, "output_tokens": 111, "total_tokens": 122}
    assert done.get("usage") == (told if "gemini" in host.upstream else None)


@by_host
@pytest.mark.parametrize("events", [None, "sse"])
def test_split_at_every_byte(host: Host, events: str | None) -> None:
    """Byte by byte, and cut once at each of many places, it is the same."""
    _, whole = spoken(host, response_format="wav", stream_format=events)
    single = (host.stream[n : n + 1] for n in range(len(host.stream)))
    one, made = spoken(host, *single, response_format="wav", stream_format=events)
    assert made == whole
    usage = one.usage
    for at in range(1, len(host.stream), 487):
        one, made = spoken(
            host, host.stream[:at], host.stream[at:], response_format="wav", stream_format=events
        )
        assert (made, one.complete, one.usage) == (whole, True, usage)


@by_host
def test_a_stream_that_is_cut_is_not_complete(host: Host) -> None:
    """At any place but within what follows the last event's own end mark."""
    for at in range(0, len(host.stream) - 40, 997):
        one, made = spoken(host, host.stream[:at], response_format="pcm")
        assert not one.complete
        assert SOUND.startswith(made)


@by_host
def test_sound_comes_as_soon_as_its_event_is_whole(host: Host) -> None:
    one = translator(host.adapter, call(host.upstream, response_format="pcm"))
    first = host.stream.index(b"\n\n") + 2 if b"\r\n" not in host.stream else 0
    first = first or host.stream.index(b"\r\n\r\n") + 4
    assert len(one.feed(host.stream[:first])) >= len(hosts.PIECES[0])


def test_what_each_host_counts() -> None:
    counted = {name: spoken(host, response_format="pcm")[0].usage for name, host in HOSTS.items()}
    gemini = counted["gemini"]
    assert gemini is not None
    assert (gemini.input, gemini.output, gemini.audio_output) == (11, 111, 111)
    assert gemini.milliseconds == TIME
    minimax = counted["minimax"]
    assert minimax is not None
    assert (minimax.characters, minimax.milliseconds) == (26, 512)
    alibaba = counted["alibaba"]
    assert alibaba is not None
    assert (alibaba.characters, alibaba.milliseconds) == (12, TIME)
    zhipu = counted["zhipu"]
    assert zhipu is not None
    assert (zhipu.characters, zhipu.milliseconds) == (0, TIME)


def test_the_rate_that_a_host_tells_stands_in_the_header() -> None:
    for stream, adapter in ((hosts.gemini(rate=16_000), ALL["google"]),
                            (hosts.zhipu(rate=16_000), ALL["zhipu"])):  # fmt: skip
        made = run(translator(adapter, call(response_format="wav")), stream)
        assert made == riff.header(rate=16_000) + SOUND


def test_tokens_of_a_kind_nobody_names_are_sound() -> None:
    stream = hosts.gemini().replace(b"candidatesTokensDetails", b"somethingElse")
    one = translator(ALL["google"], call())
    run(one, stream)
    assert one.usage is not None
    assert one.usage.audio_output == 111


@pytest.mark.parametrize("fmt", ["mp3", "flac"])
def test_a_host_that_makes_files_has_them_passed(fmt: str) -> None:
    one = translator(ALL["minimax"], call(response_format=fmt))
    assert run(one, hosts.minimax()) == SOUND


# --- failures ---

FAILURES = {
    "minimax rate": ("minimax", b'data: {"base_resp":{"status_code":1002,"status_msg":"x"}}\n\n',
                     RATE_LIMIT_EXCEEDED),
    "minimax without a frame": ("minimax", b'{"base_resp":{"status_code":2013,"status_msg":"x"}}',
                                INVALID_REQUEST),
    "zhipu": ("zhipu", b'data: {"error":{"code":"1302","message":"slow down"}}\n\n',
              RATE_LIMIT_EXCEEDED),
    "zhipu's filter": ("zhipu", b'data: {"choices":[{"finish_reason":"sensitive"}]}\n\n',
                       INVALID_REQUEST),
    "alibaba": ("alibaba", b'event:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter",'
                b'"message":"voice","request_id":"r"}\n\n', INVALID_REQUEST),
    "alibaba rate": ("alibaba", b'data:{"code":"Throttling.RateQuota","message":"m"}\n\n',
                     RATE_LIMIT_EXCEEDED),
    "gemini": ("google", b'data: {"error":{"code":429,"message":"m","status":'
               b'"RESOURCE_EXHAUSTED"}}\r\n\r\n', RATE_LIMIT_EXCEEDED),
    "gemini's filter": ("google", b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n',
                        INVALID_REQUEST),
    "gemini that ends in nothing": ("google",
        b'data: {"candidates":[{"finishReason":"OTHER","index":0}]}\n\n', UPSTREAM_ERROR),
    "gemini that says nothing": ("google",
        b'data: {"candidates":[{"finishReason":"STOP","index":0}]}\n\n', UPSTREAM_ERROR),
    "no code": ("google", b'data: {"candidates":[{"content":{"parts":[{"inlineData":{"data":'
                b'"!!!!"}}]}}]}\n\n', UPSTREAM_ERROR),
    "no hex": ("minimax", b'data: {"data":{"audio":"0g","status":1}}\n\n', UPSTREAM_ERROR),
    "no JSON": ("zhipu", b"data: {{\n\n", UPSTREAM_ERROR),
    "no JSON either": ("alibaba", b"data: [1]\n\n", UPSTREAM_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("events", [None, "sse"])
def test_a_failure_before_any_sound_is_a_fault(name: str, events: str | None) -> None:
    vendor, stream, kind = FAILURES[name]
    one = translator(ALL[vendor], call(response_format="pcm", stream_format=events))
    assert run(one, stream, b"" if stream.startswith(b"{") else hosts.DONE) == b""
    assert one.fault is not None
    assert one.fault.kind is kind
    assert one.usage is None


@pytest.mark.parametrize("name", [name for name in FAILURES if "nothing" not in name])
def test_a_failure_after_sound_ends_it(name: str) -> None:
    """What has been heard stays; nothing follows."""
    vendor, stream, _ = FAILURES[name]
    host = next(host for host in HOSTS.values() if host.adapter is ALL[vendor])
    blank = b"\r\n\r\n" if b"\r\n\r\n" in host.stream else b"\n\n"
    first = host.stream[: host.stream.index(blank) + len(blank)]
    one = translator(host.adapter, call(host.upstream, response_format="pcm"))
    made = run(one, first, stream, host.stream)
    assert made == hosts.PIECES[0]
    assert one.fault is not None


# --- events that are longer than anybody keeps ---


def long_gemini(sound: bytes) -> bytes:
    return hosts.gemini((sound,))


def escaped(sound: bytes) -> bytes:
    return hosts.gemini((sound,)).replace(b"/", b"\\/").replace(b"=", b"\\u003d")


LONG = bytes(range(251)) * 9000


@pytest.mark.parametrize("make", [long_gemini, escaped])
@pytest.mark.parametrize("size", [1, 1 << 12, 1 << 16, 1 << 30])
def test_sound_in_one_long_event(make, size: int) -> None:
    """It is handed on as it comes; rate, usage and end are read as of any other."""
    stream = make(LONG)
    pieces = [stream[n : n + size] for n in range(0, len(stream), size)]
    if size < 1 << 10:  # a byte at a time where it is hard: at the beginning and the end
        ends = len(stream) - 2000
        pieces = [stream[n : n + 1] for n in range(2000)] + [stream[2000:ends]]
        pieces += [stream[n : n + 1] for n in range(ends, len(stream))]
    one = translator(ALL["google"], call(response_format="wav"))
    made = run(one, *pieces)
    assert made == riff.header() + LONG
    assert one.complete
    assert one.usage is not None
    assert one.usage.output == 111


def test_sound_in_many_parts_of_a_long_event() -> None:
    """Other long strings beside it are no sound."""
    coded = hosts.b64(LONG[:90_000])
    sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": coded}}
    few = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": hosts.b64(b"few")}}
    parts = [sound, {"text": "", "thoughtSignature": "A" * 5000}, sound, sound] * 4
    body = {"candidates": [{"content": {"parts": [*parts, few]}, "finishReason": "STOP"}]}
    one = translator(ALL["google"], call(response_format="pcm"))
    assert run(one, hosts.event(body)) == LONG[:90_000] * 12 + b"few"
    assert one.complete


def test_the_rate_of_a_long_event() -> None:
    one = translator(ALL["google"], call(response_format="wav"))
    assert run(one, hosts.gemini((LONG,), rate=16_000)) == riff.header(rate=16_000) + LONG


def test_all_the_sound_again_in_a_long_event_is_left_out() -> None:
    pieces = tuple(LONG[n : n + 50_000] for n in range(0, len(LONG), 50_000))
    one = translator(ALL["minimax"], call(response_format="pcm"))
    stream = hosts.minimax(pieces, again=True)
    assert run(one, *(stream[n : n + 9000] for n in range(0, len(stream), 9000))) == LONG
    assert one.complete
    assert one.usage is not None
    assert one.usage.characters == 26


def test_all_the_sound_at_once_in_a_long_event_is_heard() -> None:
    one = translator(ALL["minimax"], call(response_format="pcm"))
    stream = hosts.minimax((LONG,), only=True)
    assert run(one, *(stream[n : n + 9000] for n in range(0, len(stream), 9000))) == LONG
    assert one.complete


def test_long_events_are_not_kept() -> None:
    """Seven megabytes of sound in one event take much less."""
    stream = hosts.gemini((bytes(7 << 20),))
    one = translator(ALL["google"], call(response_format="pcm"))
    pieces = [stream[n : n + 65_536] for n in range(0, len(stream), 65_536)]
    heard_bytes = 0
    tracemalloc.start()
    for piece in pieces:
        heard_bytes += len(one.feed(piece))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert heard_bytes == 7 << 20
    assert peak < 4 << 20


@pytest.mark.parametrize("junk", [b'data: {"a":' + b"1" * 3_000_000, b"data: " + b"x" * 3_000_000,
    b'data: {"a":"' + b"A" * 3_000_001 + b'","b":"' + b'"' * 3_000_000])  # fmt: skip
def test_long_events_that_hold_no_sound_are_given_up(junk: bytes) -> None:
    one = translator(ALL["google"], call())
    run(one, *(junk[n : n + 65_536] for n in range(0, len(junk), 65_536)), b"\n\n")
    assert one.fault is not None or not one.complete


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_hostile_streams_raise_nothing(data: st.DataObject) -> None:
    host = data.draw(st.sampled_from(list(HOSTS.values())))
    stream = bytearray(host.stream[-3000:])
    for _ in range(data.draw(st.integers(1, 6))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    spoken(host, bytes(stream), response_format="wav", stream_format="sse")
