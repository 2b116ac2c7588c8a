"""Pictures from hosts with words of their own: what is sent, what is lost, what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import INVALID_REQUEST, Fault
from gateway.sdk import Adapter, Answered, Call, Further, Reply
from providers_plugins import minimax, openrouter, xai, zhipu
from tests.adapters.images.painted import (
    B64,
    PNG,
    body_of,
    brought,
    call,
    events_of,
    file,
    parsed,
    replied,
    requests_of,
    sent,
)

MINIMAX, ZHIPU, XAI, OPENROUTER = (one.ADAPTER for one in (minimax, zhipu, xai, openrouter))
ALL = [MINIMAX, ZHIPU, XAI]
TWO = {"data": {"image_base64": [B64, "two"]}, "metadata": {"success_count": "2"},
       "base_resp": {"status_code": 0, "status_msg": "success"}}  # fmt: skip


def wrote(adapter: Adapter, given: Call) -> tuple[Any, tuple[str, ...]]:
    request = sent(adapter, given)
    return body_of(request), request.adapted


def refused(adapter: Adapter, given: Call) -> str | None:
    with pytest.raises(Fault) as caught:
        sent(adapter, given)
    assert caught.value.kind is INVALID_REQUEST
    return caught.value.param


@pytest.mark.parametrize("adapter", ALL, ids=lambda one: one.name)
def test_what_no_host_can_is_refused_or_named(adapter: Adapter) -> None:
    """A transparent background would be another picture; the rest is lost by name."""
    assert refused(adapter, call("m", background="transparent")) == "background"
    given = call("m", style="vivid", moderation="low", odd=1, output_format="webp", quality="low")
    assert set(wrote(adapter, given)[1]) == {
        "style", "moderation", "odd", "output_format", "quality",
    }  # fmt: skip
    idle = call("m", background="auto", moderation="auto", partial_images=0, size="auto")
    assert wrote(adapter, idle)[1] == ()
    assert refused(adapter, call("m", size="gigantic")) == "size"


def test_minimax() -> None:
    """Its own path; pixels as width and height, shapes as such; its own members go through."""
    given = call("image-01", n=2, size="1536x1024", seed=3, prompt_optimizer=True)
    request = sent(MINIMAX, given)
    assert request.url == "https://host.example/v1/image_generation"
    assert body_of(request) == {
        "model": "image-01",
        "prompt": "a cat",
        "n": 2,
        "response_format": "url",
        "width": 1536,
        "height": 1024,
        "seed": 3,
        "prompt_optimizer": True,
    }
    assert request.adapted == ()
    body, _ = wrote(MINIMAX, call("image-01", size="21:9", response_format="b64_json"))
    assert (body["aspect_ratio"], body["response_format"]) == ("21:9", "base64")
    assert refused(MINIMAX, call("image-01", n=10)) == "n"
    for size in ("4096x1024", "1000x1001", "256x256"):
        assert refused(MINIMAX, call("image-01", size=size)) == "size"
    assert "image_edits" not in MINIMAX.operations


def test_minimax_answers() -> None:
    """Pictures in either format, as many as came; failures inside a 200; none at all."""
    body, reply = replied(MINIMAX, call("image-01", n=3, response_format="b64_json"), TWO)
    assert body["data"] == [{"b64_json": B64}, {"b64_json": "two"}]
    assert reply.usage is not None
    assert (reply.usage.images, reply.usage.raw) == (2, b'{"success_count": "2"}')
    urls = {"data": {"image_urls": ["https://a.example/1.jpeg"]}, "base_resp": {"status_code": 0}}
    body, _ = replied(MINIMAX, call("image-01"), urls)
    assert body["data"] == [{"url": "https://a.example/1.jpeg"}]
    given = call("image-01", stream=True)
    assert wrote(MINIMAX, given)[0]["response_format"] == "base64"
    reply = parsed(MINIMAX, given, TWO)  # type: ignore[assignment]
    assert [one["b64_json"] for one in events_of(reply.body)] == [B64, "two"]
    for code, cause in (
        (1026, "content_policy"),
        (1002, "provider_rate_limit"),
        (1008, "credential_exhausted"),
    ):
        with pytest.raises(Fault) as caught:
            parsed(MINIMAX, call("m"), {"base_resp": {"status_code": code, "status_msg": "x"}})
        assert caught.value.cause == cause
    for none in ({"data": {}, "base_resp": {"status_code": 0}}, {"data": {"image_urls": []}}):
        with pytest.raises(Fault) as caught:
            parsed(MINIMAX, call("m"), none)
        assert caught.value.cause == "content_policy"
    for bad in (b"[]", b"<html>", {"data": 5}):
        with pytest.raises(Fault):
            parsed(MINIMAX, call("m"), bad)


def test_zhipu() -> None:
    """One picture a call; two qualities; sides in sixteens."""
    given = call("cogview-4", n=3, size="1344x768", quality="high", user="user-1234")
    request = sent(ZHIPU, given)
    assert request.url == "https://host.example/v1/images/generations"
    assert body_of(request) == {
        "model": "cogview-4",
        "prompt": "a cat",
        "size": "1344x768",
        "quality": "hd",
        "user_id": "user-1234",
    }
    assert request.adapted == ()
    assert wrote(ZHIPU, call("m", quality="low"))[1] == ("quality",)
    assert "quality" not in wrote(ZHIPU, call("m", quality="auto"))[0]
    for size in ("2048x2048", "1000x1000", "256x256", "16:9"):
        assert refused(ZHIPU, call("m", size=size)) == "size"


def test_zhipu_makes_one_at_a_time() -> None:
    """The rest is asked for beside, under the same login; what fails is missing."""
    given = call("cogview-4", n=3)
    further = parsed(ZHIPU, given, {"data": [{"url": "https://a.example/1.png"}]})
    requests = requests_of(further)
    assert [body_of(one) for one in requests] == [body_of(sent(ZHIPU, given))] * 2
    assert all(dict(one.headers)["Authorization"] == "Bearer sk-canary-secret" for one in requests)
    body, reply = brought(
        further,
        Answered(200, {}, b'{"data":[{"url":"https://a.example/2.png"}]}'),
        Answered(400, {}, b'{"error":{"code":"1301","message":"x"}}'),
    )
    assert body["data"] == [{"url": "https://a.example/1.png"}, {"url": "https://a.example/2.png"}]
    assert reply.usage is not None
    assert reply.usage.images == 2


def test_zhipu_in_base64() -> None:
    """What is only to be had elsewhere is fetched, without the login; also what came beside."""
    given = call("cogview-4", n=2, response_format="b64_json")
    first = parsed(ZHIPU, given, {"data": [{"url": "https://a.example/1.png"}]})
    assert isinstance(first, Further)
    second = first.then((Answered(200, {}, b'{"data":[{"url":"https://a.example/2.png"}]}'),))
    assert [(one.url, one.headers) for one in requests_of(second)] == [
        ("https://a.example/1.png", ()),
        ("https://a.example/2.png", ()),
    ]
    body, reply = brought(
        second, Answered(200, {"content-type": "image/jpeg"}, PNG), Answered(404, {}, b"")
    )
    assert body["data"] == [{"b64_json": B64}]
    assert body["output_format"] == "jpeg"
    assert reply.usage is not None
    assert reply.usage.images == 1
    stream = parsed(ZHIPU, call("m", stream=True), {"data": [{"url": "https://a.example/1.png"}]})
    assert isinstance(stream, Further)
    told = stream.then((Answered(200, {}, PNG),))
    assert isinstance(told, Reply)
    assert events_of(told.body)[0]["b64_json"] == B64


def test_zhipu_failures() -> None:
    """A code inside an answer means what it means in conversations; an empty list is the filter."""
    with pytest.raises(Fault) as caught:
        parsed(ZHIPU, call("m"), {"error": {"code": "1301", "message": "unsafe"}})
    assert caught.value.cause == "content_policy"
    with pytest.raises(Fault) as caught:
        parsed(ZHIPU, call("m"), {"data": [], "content_filter": [{"role": "user", "level": 0}]})
    assert caught.value.cause == "content_policy"
    for bad in (b"[]", b"<html>", {"data": 5}):
        with pytest.raises(Fault):
            parsed(ZHIPU, call("m"), bad)


@pytest.mark.parametrize(
    ("size", "said", "lost"),
    [
        ("1024x1024", {"aspect_ratio": "1:1", "resolution": "1k"}, ()),
        ("2048x2048", {"aspect_ratio": "1:1", "resolution": "2k"}, ()),
        ("1536x1024", {"aspect_ratio": "3:2", "resolution": "1k"}, ("size",)),
        ("16:9", {"aspect_ratio": "16:9"}, ()),
        ("2K", {"resolution": "2k"}, ()),
    ],
)
def test_xai_sizes(size: str, said: dict[str, str], lost: tuple[str, ...]) -> None:
    """Shapes and one of two resolutions."""
    body, adapted = wrote(XAI, call("grok-imagine-image", size=size))
    assert body == {"model": "grok-imagine-image", "prompt": "a cat", **said}
    assert adapted == lost
    assert refused(XAI, call("m", size="4096x4096")) == "size"


def test_xai_edits_are_json() -> None:
    """Files go in base64; a mask is not to be had."""
    request = sent(XAI, call("grok-imagine-image", file(), n=2))
    assert request.url == "https://host.example/v1/images/edits"
    assert body_of(request) == {
        "model": "grok-imagine-image",
        "prompt": "a cat",
        "n": 2,
        "images": [{"type": "image_url", "url": f"data:image/png;base64,{B64}"}],
    }
    assert refused(XAI, call("m", file(), file("mask"))) == "mask"
    assert refused(XAI, call("m", operation="image_edits")) == "image"


def test_xai_answers() -> None:
    """It counts no tokens: pictures are counted. It does not stream: events are made of it."""
    answer = {"data": [{"url": "https://a.example/1.jpeg", "mime_type": "image/jpeg"}],
              "usage": {"cost_in_usd_ticks": 200000000}}  # fmt: skip
    body, reply = replied(XAI, call("m"), answer)
    assert body == answer
    assert reply.usage is not None
    assert (reply.usage.images, reply.usage.problem) == (1, "")
    given = call("m", stream=True)
    written, adapted = wrote(XAI, given)
    assert (written["response_format"], "stream" in written, adapted) == ("b64_json", False, ())
    told = parsed(XAI, given, {"data": [{"b64_json": B64}], "usage": {"cost_in_usd_ticks": 2}})
    assert isinstance(told, Reply)
    assert told.content_type == "text/event-stream"
    assert events_of(told.body)[0]["b64_json"] == B64


def test_openrouter() -> None:
    """One path; pictures to begin from are references; other members go through."""
    request = sent(OPENROUTER, call("google/x", n=2, aspect_ratio="16:9", response_format="url"))
    assert request.url == "https://host.example/v1/images"
    assert body_of(request) == {
        "model": "google/x", "prompt": "a cat", "n": 2, "aspect_ratio": "16:9",
    }  # fmt: skip
    request = sent(OPENROUTER, call("google/x", file()))
    assert body_of(request)["input_references"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}
    ]
    assert refused(OPENROUTER, call("m", file(), file("mask"))) == "mask"
    usage = {"prompt_tokens": 1125, "completion_tokens": 1120, "total_tokens": 2245,
             "completion_tokens_details": {"image_tokens": 1120}}  # fmt: skip
    answer = {"data": [{"b64_json": B64, "media_type": "image/jpeg"}], "usage": usage}
    body, reply = replied(OPENROUTER, call("m", response_format="url"), answer)
    assert body["data"] == [{"url": f"data:image/jpeg;base64,{B64}"}]
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.image_output, reply.usage.images) == (1125, 1120, 1)
