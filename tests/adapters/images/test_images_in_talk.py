"""A conversation with a model of pictures: the last prompt is a request, the answer a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.errors import INVALID_REQUEST, Fault
from gateway.sdk import Adapter, Call, Operation, Reply, UpstreamRequest
from gateway.sdk.dialects import serving
from providers_plugins import minimax, xai, zhipu
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.openai import ADAPTER as OPENAI
from tests.adapters.images.painted import B64, KEY, NOW, body_of

USAGE = {"input_tokens": 9, "output_tokens": 30, "total_tokens": 39}
MADE = {"data": [{"b64_json": B64}, {"b64_json": "two"}], "output_format": "webp",
        "size": "1024x1024", "usage": USAGE}  # fmt: skip
CAT = {"role": "user", "content": "a cat"}
LOOK = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}


def op(adapter: Adapter, model: str, kind: str = "image") -> Operation:
    found = serving(adapter, "chat", model, {}, kind)
    assert found is not None
    return found


def talk(model: str, *messages: Any, stream: bool = False, **members: Any) -> Call:
    body = {"model": "slug", "messages": list(messages) or [CAT], **members}
    raw = json.dumps(body).encode()
    return Call("chat", model, "https://h/v1", JsonBody.parse(raw), stream, now=NOW, id="call-1")


def sent(adapter: Adapter, given: Call) -> UpstreamRequest:
    return op(adapter, given.upstream).build(given, KEY)


def test_the_last_prompt_is_what_is_asked() -> None:
    """Members of pictures go along; what a picture has no use for is lost by name."""
    given = talk(
        "gpt-image-1",
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a dog"},
        {"role": "assistant", "content": "no"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "cat"}],
        },
        modalities=["image", "text"],
        quality="low",
        temperature=0.5,
        max_tokens=50,
        tools=[{"type": "function", "function": {"name": "f"}}],
        image_config={"aspect_ratio": "16:9", "image_size": "1536x1024"},
        stream=True,
        stream_options={"include_usage": True},
    )
    request = sent(OPENAI, given)
    assert request.url == "https://h/v1/images/generations"
    assert body_of(request) == {
        "model": "gpt-image-1",
        "prompt": "a\ncat",
        "quality": "low",
        "aspect_ratio": "16:9",
        "size": "1536x1024",
    }
    assert set(request.adapted) == {"messages", "tools", "temperature"}
    assert request.translated is True


def test_pictures_in_the_prompt_are_to_be_edited() -> None:
    """Where the host edits; else they are refused, not left out."""
    turn = {"role": "user", "content": [{"type": "text", "text": "turn it green"}, LOOK]}
    request = sent(OPENAI, talk("gpt-image-1", turn))
    assert request.url.endswith("/images/edits")
    assert body_of(request)["images"] == [{"image_url": f"data:image/png;base64,{B64}"}]
    assert sent(xai.ADAPTER, talk("grok-imagine", turn)).url.endswith("/images/edits")
    for adapter, model in ((minimax.ADAPTER, "image-01"), (zhipu.ADAPTER, "cogview-4")):
        with pytest.raises(Fault) as caught:
            sent(adapter, talk(model, turn))
        assert (caught.value.kind, caught.value.param) == (INVALID_REQUEST, "messages")


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": ""},
        {"role": "user", "content": [LOOK]},
        {"role": "system", "content": "a cat"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]},
    ],
)
def test_a_turn_that_asks_for_no_picture(turn: Any) -> None:
    """It is refused, and the messages are named."""
    with pytest.raises(Fault) as caught:
        sent(OPENAI, talk("gpt-image-1", turn))
    assert (caught.value.kind, caught.value.param) == (INVALID_REQUEST, "messages")


def test_the_answer_is_a_message() -> None:
    """With the pictures beside its words, as `data:` addresses in their order."""
    given = talk("gpt-image-1")
    parse = op(OPENAI, "gpt-image-1").parse
    assert callable(parse)
    reply = parse(given, 200, {}, json.dumps(MADE).encode())
    assert isinstance(reply, Reply)
    answer = json.loads(reply.body)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["images"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{data}"}, "index": at}
        for at, data in enumerate((B64, "two"))
    ]
    assert (answer["object"], answer["created"]) == ("chat.completion", int(NOW))
    assert answer["usage"]["completion_tokens"] == 30
    assert reply.usage is not None
    assert (reply.usage.images, reply.usage.size, reply.usage.image_output) == (2, "1024x1024", 30)


def test_an_address_stays_one() -> None:
    """What a host says by address is told by address."""
    parse = op(zhipu.ADAPTER, "cogview-4").parse
    assert callable(parse)
    reply = parse(talk("cogview-4"), 200, {}, b'{"data":[{"url":"https://a/1.png"}]}')
    assert isinstance(reply, Reply)
    (image,) = json.loads(reply.body)["choices"][0]["message"]["images"]
    assert image["image_url"]["url"] == "https://a/1.png"
    assert reply.usage is not None
    assert reply.usage.images == 1


def told(raw: bytes, **members: Any) -> tuple[list[Any], Any]:
    """The chunks of a stream whose host answers at once, however its bytes are cut."""
    stream = op(OPENAI, "gpt-image-1").stream
    assert callable(stream)
    made = stream(talk("gpt-image-1", stream=True, **members))
    out = b"".join(made.feed(raw[at : at + 9]) for at in range(0, len(raw), 9)) + made.finish()
    lines = [line[6:] for line in out.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines], made


def test_a_stream_is_one_delta() -> None:
    """The pictures in a delta each, then the end."""
    chunks, made = told(json.dumps(MADE).encode(), stream_options={"include_usage": True})
    assert made.complete
    assert chunks[-1] == "[DONE]"
    assert chunks[-2]["usage"]["completion_tokens"] == 30
    choices = [chunk["choices"][0] for chunk in chunks[:-2]]
    images = [image for one in choices for image in one["delta"].get("images", ())]
    assert [image["index"] for image in images] == [0, 1]
    assert images[0]["image_url"]["url"] == f"data:image/webp;base64,{B64}"
    assert [one["finish_reason"] for one in choices if one["finish_reason"]] == ["stop"]
    assert made.usage.images == 2
    assert made.produced == 0


def test_a_stream_of_nothing_breaks() -> None:
    """A filter's refusal and a cut answer are failures."""
    for raw in (b'{"data":[]}', json.dumps(MADE).encode()[:40], b""):
        chunks, made = told(raw)
        assert made.fault is not None
        assert not made.complete
        assert "[DONE]" not in chunks


def test_who_talks_is_talked_with() -> None:
    """A model that talks and paints is asked over its own wire; one that only paints is not."""
    request = sent(
        GOOGLE, talk("gemini-3-pro-image", CAT, {"role": "assistant", "content": "no"}, CAT)
    )
    assert request.url.endswith("/models/gemini-3-pro-image:generateContent")
    assert len(body_of(request)["contents"]) == 3
    place = {"region": "global", "base_url": "https://aiplatform.googleapis.com/v1"}
    given = structs.replace(talk("imagen-3.0-generate-002"), options={"project": "p"}, **place)
    request = op(VERTEX, given.upstream).build(given, Credential("c", {"access_token": "t"}))
    assert request.url.endswith("/imagen-3.0-generate-002:predict")
    assert op(OPENAI, "gpt-4o", "chat") is OPENAI.operations["chat"]


def test_one_picture_is_expected() -> None:
    """Of the size that is asked for, in either way of saying it."""
    for adapter, model, members, expected in (
        (OPENAI, "gpt-image-1", {"size": "1536x1024"}, (1, "1536x1024")),
        (minimax.ADAPTER, "image-01", {}, (1, "")),
        (GOOGLE, "gemini-3-pro-image", {}, (1, "1k")),
        (GOOGLE, "gemini-3-pro-image", {"image_config": {"image_size": "4K"}}, (1, "4k")),
        (
            GOOGLE,
            "gemini-3-pro-image",
            {"generationConfig": {"imageConfig": {"imageSize": "2K"}}},
            (1, "2k"),
        ),
        (
            GOOGLE,
            "gemini-3-pro-image",
            {
                "generation_config": {"image_config": {"image_size": "4K"}},
                "image_config": {"image_size": "1K"},
            },
            (1, "4k"),
        ),
        (GOOGLE, "gemini-3-pro-image", {"image_config": {"image_size": 5}}, (1, "1k")),
        (GOOGLE, "gemini-2.5-flash", {}, (0, "")),
        (xai.ADAPTER, "grok-imagine-image", {"resolution": "2k"}, (1, "2k")),
    ):
        expects = op(adapter, model).expects
        assert expects is not None
        usage = expects(talk(model, **members))
        assert (usage.images, usage.size) == expected


def test_the_configuration_of_a_picture_in_a_talk() -> None:
    """As other gateways' clients say it, it reaches the wire in its own words."""
    given = talk("gemini-3-pro-image", image_config={"aspect_ratio": "16:9", "image_size": "4K"})
    request = sent(GOOGLE, given)
    assert body_of(request)["generationConfig"]["imageConfig"] == {
        "aspectRatio": "16:9", "imageSize": "4K",
    }  # fmt: skip
    assert request.adapted == ()
    with pytest.raises(Fault) as caught:
        sent(GOOGLE, talk("gemini-3-pro-image", image_config=5))
    assert caught.value.param == "image_config"


def test_pictures_beside_words() -> None:
    """A client that asks for both says so to who can answer with both."""
    request = sent(GOOGLE, talk("gemini-3-pro-image", modalities=["image", "text"]))
    assert body_of(request)["generationConfig"] == {"responseModalities": ["IMAGE", "TEXT"]}
    assert request.adapted == ()
