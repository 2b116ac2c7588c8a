"""Pictures on OpenAI's wire: the client's own bytes, forms as forms, events split anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import INVALID_REQUEST, Fault
from gateway.sdk import Adapter, Answered, Call, Further, Quirks, Reply, Translator, compatible
from providers_plugins.openai import ADAPTER
from tests.adapters.images.painted import (
    B64,
    BOUNDARY,
    KEY,
    PNG,
    brought,
    call,
    events_of,
    file,
    parsed,
    plain,
    replied,
    requests_of,
    sent,
)

HOST = compatible(
    "host",
    operations=("chat", "images", "image_edits"),
    quirks=Quirks(rename={"n": "num"}, drop=frozenset({"style"}), headers=(("x-a", "b"),)),
)
USAGE = {
    "input_tokens": 76,
    "input_tokens_details": {"image_tokens": 64, "text_tokens": 12},
    "output_tokens": 120,
    "output_tokens_details": {"image_tokens": 120, "text_tokens": 0},
    "total_tokens": 196,
}
MADE = {
    "created": 1,
    "background": "opaque",
    "data": [{"b64_json": B64}, {"b64_json": B64, "revised_prompt": "two"}],
    "output_format": "webp",
    "quality": "low",
    "size": "1536x1024",
    "usage": USAGE,
}


def test_a_request_passes_as_it_came() -> None:
    """Only the model's name changes; members that nobody knows go through."""
    given = call("gpt-image-1", n=2, size="1536x1024", background="transparent", odd={"a": 1})
    request = sent(ADAPTER, given)
    assert request.url == "https://host.example/v1/images/generations"
    assert dict(request.headers)["Authorization"] == "Bearer sk-canary-secret"
    assert request.body == given.body.raw.replace(b'"slug"', b'"gpt-image-1"')
    assert request.adapted == ()


def test_the_format_of_the_answer_is_no_word_of_these_models() -> None:
    """They refuse it by name, and give base64 anyway; the first models know it."""
    for wanted in ("url", "b64_json"):
        request = sent(ADAPTER, call("gpt-image-1", response_format=wanted))
        assert b"response_format" not in request.body
        assert request.adapted == ()
        request = sent(ADAPTER, call("dall-e-2", response_format=wanted))
        assert json.loads(request.body)["response_format"] == wanted


def test_an_edit_by_addresses_stays_json() -> None:
    """What the client wrote is what is sent."""
    images = [{"image_url": "https://a.example/b.png"}, {"file_id": "file-1"}]
    given = call("gpt-image-2", operation="image_edits", images=images, mask={"file_id": "file-2"})
    request = sent(ADAPTER, given)
    assert request.url.endswith("/images/edits")
    assert request.pieces == ()
    assert request.body == given.body.raw.replace(b'"slug"', b'"gpt-image-2"')


def test_a_form_stays_a_form() -> None:
    """Fields as text, files as themselves under the client's names, parted by our own boundary."""
    files = (file("image[]"), file("image[]", "b.webp", "image/webp"), file("mask"))
    given = call("gpt-image-1", *files, n=2, stream=True, tags=["x", "y"], none=None)
    request = sent(ADAPTER, given)
    assert dict(request.headers)["Content-Type"] == f"multipart/form-data; boundary={BOUNDARY}"
    assert [piece for piece in request.pieces if not isinstance(piece, bytes)] == list(files)
    parts = b"".join(map(plain, request.pieces)).split(f"--{BOUNDARY}".encode())
    assert parts[-1] == b"--\r\n"
    said = [part.partition(b"\r\n\r\n") for part in parts[1:-1]]
    fields = [
        (head.decode().split('name="')[1].split('"')[0], value.removesuffix(b"\r\n"))
        for head, _, value in said
    ]
    assert fields == [
        ("model", b"gpt-image-1"),
        ("prompt", b"a cat"),
        ("n", b"2"),
        ("stream", b"true"),
        ("tags[]", b"x"),
        ("tags[]", b"y"),
        ("image[]", PNG),
        ("image[]", PNG),
        ("mask", PNG),
    ]
    assert b'filename="b.webp"\r\nContent-Type: image/webp' in said[-2][0]


def test_usage_and_count_are_read() -> None:
    """The answer's bytes pass; tokens of pictures are counted apart."""
    raw = json.dumps(MADE).encode()
    reply = parsed(ADAPTER, call("gpt-image-1", n=2), raw)
    assert isinstance(reply, Reply)
    assert reply.body is raw
    usage = reply.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.image_input, usage.image_output) == (76, 120, 64, 120)
    assert (usage.images, usage.size, usage.problem) == (2, "1536x1024", "")
    assert json.loads(usage.raw) == USAGE


def test_what_is_put_out_is_pictures_where_nothing_else_is_said() -> None:
    """Older answers have no details of the output."""
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    _, reply = replied(ADAPTER, call("gpt-image-1"), {"data": [{"b64_json": B64}], "usage": usage})
    assert reply.usage is not None
    assert (reply.usage.image_output, reply.usage.image_input) == (7, 0)


def test_tokens_that_are_not_told_are_not_known() -> None:
    """A model that is counted by the token has no usage without them; others are counted whole."""
    answer = {"data": [{"b64_json": B64}]}
    assert replied(ADAPTER, call("gpt-image-1"), answer)[1].usage is None
    usage = replied(ADAPTER, call("dall-e-3"), {"data": [{"url": "https://x/y"}]})[1].usage
    assert usage is not None
    assert (usage.images, usage.problem) == (1, "")


def test_an_address_of_what_comes_in_base64() -> None:
    """`url` gets an address that holds the picture."""
    given = call("gpt-image-1", response_format="url")
    body, reply = replied(ADAPTER, given, MADE)
    assert body["data"] == [
        {"url": f"data:image/webp;base64,{B64}"},
        {"url": f"data:image/webp;base64,{B64}", "revised_prompt": "two"},
    ]
    assert (body["size"], body["quality"], body["background"]) == ("1536x1024", "low", "opaque")
    assert body["usage"] == USAGE
    assert reply.usage is not None
    assert reply.usage.output == 120


def test_base64_of_what_comes_as_an_address() -> None:
    """The gateway fetches it, without the login; what cannot be fetched is not answered with."""
    given = call("other", response_format="b64_json")
    answer = {"data": [{"url": "https://c.example/1"}, {"url": "https://c.example/2"}]}
    further = parsed(HOST, given, answer)
    assert isinstance(further, Further)
    assert [(one.method, one.url, one.headers) for one in requests_of(further)] == [
        ("GET", "https://c.example/1", ()),
        ("GET", "https://c.example/2", ()),
    ]
    body, _ = brought(further, Answered(200, {}, PNG), Answered(404, {}, b"gone"))
    assert body["data"] == [{"b64_json": B64}]
    assert body["output_format"] == "png"
    with pytest.raises(Fault) as caught:
        brought(further, Answered(404, {}, b""), Answered(200, {}, b""))
    assert caught.value.cause == "media_not_fetched"


@pytest.mark.parametrize(
    "url",
    [
        "http://c.example/1",
        "https://169.254.169.254/latest",
        "https://[::1]/1",
        "https://[::ffff:10.0.0.1]/1",
        "https://127.1/1",
        "https://2130706433/1",
        "https://10.0.0.0x1/1",
        "https://localhost/1",
        "https://metadata.google.internal/1",
        "https://user@c.example/1",
        "https://c.example:8443/1",
        "https://host.example:99999/",
        "https://[/1",
        "file:///etc/passwd",
        "x",
    ],
)
def test_what_is_not_fetched(url: str) -> None:
    """No provider's answer sends the gateway into its own network."""
    given = call("other", response_format="b64_json")
    with pytest.raises(Fault) as caught:
        parsed(HOST, given, {"data": [{"url": url}]})
    assert caught.value.cause == "bad_answer"
    own = parsed(HOST, given, {"data": [{"url": "https://host.example/kept/1"}]})
    assert requests_of(own)[0].url == "https://host.example/kept/1"


def test_nothing_made_is_the_filter() -> None:
    """An empty list is no answer, and neither is anything else without one."""
    with pytest.raises(Fault) as caught:
        parsed(ADAPTER, call("gpt-image-1"), {"created": 1, "data": []})
    assert (caught.value.kind, caught.value.cause) == (INVALID_REQUEST, "content_policy")
    for body in (b"{}", b"[]", b"<html>", b'{"data":[{"b64_json":5}]}', b'{"data":5}'):
        with pytest.raises(Fault):
            parsed(ADAPTER, call("gpt-image-1"), body)
    with pytest.raises(Fault, match="no such"):
        parsed(HOST, call("m"), {"error": {"message": "no such size"}})


def test_a_declared_host_is_served() -> None:
    """`compatible` makes both operations, with the host's quirks in JSON and in forms."""
    request = sent(HOST, call("m", n=2, style="vivid"))
    assert json.loads(request.body) == {"model": "m", "prompt": "a cat", "num": 2}
    assert request.adapted == ("style",)
    assert ("x-a", "b") in request.headers
    request = sent(HOST, call("m", file(), n=2, style="vivid"))
    written = b"".join(map(plain, request.pieces))
    assert b'name="num"\r\n\r\n2\r\n' in written
    assert b"style" not in written
    assert request.adapted == ("style",)
    assert ("x-a", "b") in request.headers
    request = sent(HOST, call("m", stream=True))
    assert "stream_options" not in json.loads(request.body)


def test_what_is_expected() -> None:
    """As many as asked for, of the size asked for, also where a form says so in text."""
    for adapter, given in (
        (ADAPTER, call("gpt-image-1", n=3, size="1536x1024")),
        (HOST, call("m", file(), n="3", size="1536x1024")),
    ):
        expects = adapter.operations[given.operation].expects
        assert expects is not None
        assert (expects(given).images, expects(given).size) == (3, "1536x1024")
    expects = ADAPTER.operations["images"].expects
    assert expects is not None
    assert (expects(call("m", size="auto")).size, expects(call("m")).images) == ("", 1)


# --- streams ---


def event(kind: str, **members: Any) -> bytes:
    told = {"type": kind, "b64_json": B64, "size": "1024x1024", "created_at": 1, **members}
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


PARTIAL = event("image_generation.partial_image", partial_image_index=0)
DONE = event("image_generation.completed", usage=USAGE)


def opened(adapter: Adapter = ADAPTER, **members: Any) -> Translator:
    given: Call = call("gpt-image-1", stream=True, **members)
    stream = adapter.operations[given.operation].stream
    assert callable(stream)
    return stream(given)


def played(pieces: list[bytes], **members: Any) -> tuple[Any, ...]:
    stream = opened(**members)
    out = b"".join(map(stream.feed, pieces)) + stream.finish()
    return out, stream.usage, stream.complete, stream.fault and stream.fault.cause


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_a_stream_passes_and_is_counted_however_it_is_split(kind: str) -> None:
    """Its own bytes; the usage is that of the picture that is complete."""
    raw = b": hi\r\n\r\n" + (PARTIAL + DONE).replace(b"image_generation", kind.encode())
    whole = played([raw])
    assert whole[0] == raw
    assert whole[2:] == (True, None)
    usage = whole[1]
    assert (usage.images, usage.size, usage.input, usage.image_output) == (1, "1024x1024", 76, 120)
    assert played([raw[at : at + 1] for at in range(len(raw))]) == whole
    for at in range(1, len(raw)):
        assert played([raw[:at], raw[at:]]) == whole


def test_a_cut_stream_is_not_complete() -> None:
    """A partial picture is none; cut anywhere before its end, the last event does not count."""
    assert played([PARTIAL])[1:] == (None, False, None)
    for at in range(len(PARTIAL), len(PARTIAL + DONE) - 2):
        out, usage, complete, _ = played([(PARTIAL + DONE)[:at]])
        assert (out, usage, complete) == (PARTIAL, None, False)
    assert played([(PARTIAL + DONE)[:-2]])[2] is True


def test_who_leaves_early_has_seen_a_picture() -> None:
    """While the stream goes on, a partial picture counts as one; when it breaks, as none."""
    stream = opened()
    assert stream.usage is None
    stream.feed(PARTIAL)
    usage = stream.usage
    assert usage is not None
    assert (usage.images, usage.output, usage.image_output) == (1, 1056, 1056)
    stream.feed(b'data: {"error":{"message":"no"}}\n\n')
    assert stream.usage is None


def test_several_pictures_add_up() -> None:
    """Each that is complete is one, with what it used."""
    _, usage, _, _ = played([DONE + DONE])
    assert (usage.images, usage.input, usage.output, usage.image_output) == (2, 152, 240, 240)


def test_a_failure_inside_a_stream() -> None:
    """It ends the stream, and nothing of it is passed on."""
    error = b'data: {"type":"error","error":{"message":"no","code":"moderation_blocked"}}\n\n'
    out, usage, complete, cause = played([PARTIAL + error + DONE])
    assert (out, usage, complete, cause) == (PARTIAL, None, False, "content_policy")
    assert played([error.replace(b"moderation_blocked", b"odd")])[3] == "error_in_answer"
    refusal = b'{"error":{"message":"no","code":"moderation_blocked"}}'
    fault = ADAPTER.operations["images"].fault(400, {}, refusal)
    assert (fault.kind, fault.cause) == (INVALID_REQUEST, "content_policy")


def test_a_picture_of_some_megabytes_is_one_event() -> None:
    """Far over what events of words may be; over all measure is a failure."""
    large = event("image_generation.completed", b64_json="A" * (3 << 20), usage=USAGE)
    out, usage, complete, _ = played([large[at : at + 65536] for at in range(0, len(large), 65536)])
    assert (out, complete, usage.images) == (large, True, 1)
    for beginning, most in ((b"data: ", 50), (b"<html>", 3)):
        stream = opened()
        stream.feed(beginning)
        for _ in range(most):
            stream.feed(b"A" * (1 << 20))
        assert stream.fault is not None
        assert not stream.complete


def test_a_host_that_answers_at_once_is_told_as_events() -> None:
    """Asked to stream, it sent the whole answer: one event for each picture."""
    stream = opened(HOST)
    raw = json.dumps(MADE, indent=1).encode()
    assert b"".join(stream.feed(raw[at : at + 7]) for at in range(0, len(raw), 7)) == b""
    events = events_of(stream.finish())
    assert [one["type"] for one in events] == ["image_generation.completed"] * 2
    assert [("usage" in one, one["b64_json"]) for one in events] == [(False, B64), (True, B64)]
    assert stream.complete
    assert stream.usage is not None
    assert stream.usage.images == 2
    for raw in (b'{"error":{"message":"no"}}', b"{}", b'{"data":[]}'):
        stream = opened(HOST)
        assert stream.feed(raw) + stream.finish() == b""
        assert stream.fault is not None


def test_no_secret_leaves_its_header() -> None:
    """The key stands in the headers alone."""
    request = sent(ADAPTER, call("gpt-image-1", file()))
    assert KEY.api_key not in request.url
    assert not any(KEY.api_key.encode() in plain(piece) for piece in request.pieces)
