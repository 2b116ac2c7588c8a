"""Pictures from the generate wire and by predict, at either home."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.domain import Credential, Encoded
from gateway.errors import INVALID_REQUEST, UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Answered, Call, Reply
from providers_plugins.google import GOOGLE, VERTEX
from tests.adapters.images.painted import (
    B64,
    NOW,
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

STUDIO = "https://generativelanguage.googleapis.com/v1beta"
CLOUD = "https://aiplatform.googleapis.com/v1"
LOGGED_IN = Credential("c", {"access_token": "ya29.canary", "project": "p-1"})
PRO, FLASH, FIRST = "gemini-3-pro-image", "gemini-3.1-flash-image", "gemini-2.5-flash-image"
IMAGEN = "imagen-3.0-generate-002"
USAGE = {
    "promptTokenCount": 22,
    "candidatesTokenCount": 1216,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "thoughtsTokenCount": 179,
    "totalTokenCount": 1417,
}


def asked(model: str = PRO, *files: Any, **members: Any) -> Call:
    return call(model, *files, base=STUDIO, **members)


def on_cloud(model: str = PRO, *files: Any, **members: Any) -> Call:
    return call(model, *files, base=CLOUD, region="global", **members)


def wrote(given: Call, adapter: Adapter = GOOGLE) -> tuple[Any, tuple[str, ...]]:
    request = sent(adapter, given, LOGGED_IN) if adapter is VERTEX else sent(adapter, given)
    return body_of(request), request.adapted


def refused(given: Call, adapter: Adapter = GOOGLE) -> str | None:
    with pytest.raises(Fault) as caught:
        sent(adapter, given, LOGGED_IN)
    assert caught.value.kind is INVALID_REQUEST
    return caught.value.param


def made(*data: str, usage: Any = USAGE, finish: str = "STOP", thought: bool = False) -> Any:
    parts: list[Any] = [{"text": "here it is"}]
    if thought:
        parts.append({"inlineData": {"mimeType": "image/png", "data": "draft"}, "thought": True})
    parts += [{"inlineData": {"mimeType": "image/jpeg", "data": one}} for one in data]
    candidate = {"content": {"parts": parts}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": usage}


def test_a_prompt_is_one_turn() -> None:
    """The plainest call, at both homes."""
    request = sent(GOOGLE, asked())
    assert request.url == f"{STUDIO}/models/{PRO}:generateContent"
    assert dict(request.headers)["x-goog-api-key"] == "sk-canary-secret"
    plain = {
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"]},
    }
    assert body_of(request) == plain
    assert (request.adapted, request.translated) == ((), True)
    request = sent(VERTEX, on_cloud(), LOGGED_IN)
    assert request.url == (
        f"{CLOUD}/projects/p-1/locations/global/publishers/google/models/{PRO}:generateContent"
    )
    assert body_of(request) == plain


@pytest.mark.parametrize(
    ("size", "config", "lost", "label"),
    [
        ("1024x1024", {"aspectRatio": "1:1", "imageSize": "1K"}, (), "1k"),
        ("1536x1024", {"aspectRatio": "3:2", "imageSize": "1K"}, ("size",), "1k"),
        ("1024x1536", {"aspectRatio": "2:3", "imageSize": "1K"}, ("size",), "1k"),
        ("1792x1024", {"aspectRatio": "16:9", "imageSize": "1K"}, ("size",), "1k"),
        ("2048x2048", {"aspectRatio": "1:1", "imageSize": "2K"}, (), "2k"),
        ("4096x4096", {"aspectRatio": "1:1", "imageSize": "4K"}, (), "4k"),
        ("3840x2160", {"aspectRatio": "16:9", "imageSize": "4K"}, ("size",), "4k"),
        ("4k", {"imageSize": "4K"}, (), "4k"),
        ("16:9", {"aspectRatio": "16:9"}, (), "1k"),
        ("auto", None, (), "1k"),
    ],
)
def test_sizes(size: str, config: Any, lost: tuple[str, ...], label: str) -> None:
    """Pixels become a shape and one of three sizes, by which the picture is priced."""
    body, adapted = wrote(asked(size=size))
    assert body["generationConfig"].get("imageConfig") == config
    assert adapted == lost
    expects = GOOGLE.operations["images"].expects
    assert expects is not None
    assert (expects(asked(size=size, n=2)).size, expects(asked(size=size, n=2)).images) == (
        label,
        2,
    )
    _, reply = replied(GOOGLE, asked(size=size), made(B64))
    assert reply.usage is not None
    assert (reply.usage.size, reply.usage.images) == (label, 1)


def test_the_first_model_has_one_size() -> None:
    """What is no larger than that is a shape alone; larger is another picture."""
    body, _ = wrote(asked(FIRST, size="1536x1024"))
    assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "3:2"}
    assert refused(asked(FIRST, size="2048x2048")) == "size"
    assert refused(asked(FIRST, size="4K")) == "size"


@pytest.mark.parametrize("size", ["huge", "4096x1024", "8192x8192", "12x", "0x0", "99x9999"])
def test_no_such_size(size: str) -> None:
    """A shape that there is not would be another picture."""
    assert refused(asked(size=size)) == "size"


def test_what_cannot_be_said_is_named_or_refused() -> None:
    """Losses by the client's names; what makes another picture is refused."""
    given = asked(quality="high", style="vivid", moderation="low", user="u", odd=1, seed=7,
                  aspect_ratio="21:9", output_format="webp")  # fmt: skip
    body, adapted = wrote(given)
    assert body["generationConfig"]["seed"] == 7
    assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "21:9"}
    assert adapted == ("quality", "style", "moderation", "user", "odd", "output_format")
    idle = asked(quality="auto", background="opaque", moderation="auto", partial_images=0)
    assert wrote(idle)[1] == ()
    assert refused(asked(background="transparent")) == "background"


def test_the_cloud_can_be_told_the_format() -> None:
    """What is lost at one home is said at the other."""
    body, adapted = wrote(on_cloud(output_format="jpeg", output_compression=85), VERTEX)
    assert body["generationConfig"]["imageConfig"] == {
        "imageOutputOptions": {"mimeType": "image/jpeg", "compressionQuality": 85}
    }
    assert adapted == ()
    given = asked(output_format="jpeg", output_compression=85)
    assert wrote(given)[1] == ("output_format", "output_compression")


def test_files_go_where_they_belong() -> None:
    """Each in base64 inside the JSON, never held: the pieces are the files themselves."""
    files = (file("image[]"), file("image[]", "b.webp", "application/octet-stream"))
    given = asked(PRO, *files, prompt='turn it " green \\ \n')
    request = sent(GOOGLE, given)
    encoded = [piece for piece in request.pieces if isinstance(piece, Encoded)]
    assert [piece.file for piece in encoded] == list(files)
    assert body_of(request)["contents"][0]["parts"] == [
        {"text": 'turn it " green \\ \n'},
        {"inlineData": {"mimeType": "image/png", "data": B64}},
        {"inlineData": {"mimeType": "image/webp", "data": B64}},
    ]


def test_addresses() -> None:
    """`data:` addresses are inlined; https ones are for the provider to fetch."""
    images = [{"image_url": f"data:image/webp;base64,{B64}"}, {"image_url": "https://a/b.jpg"}]
    body, _ = wrote(asked(operation="image_edits", images=images))
    assert body["contents"][0]["parts"][1:] == [
        {"inlineData": {"mimeType": "image/webp", "data": B64}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a/b.jpg"}},
    ]


def test_edits_that_are_none() -> None:
    """Without a picture, with a mask, or with a file that is not here."""
    assert refused(asked(operation="image_edits")) == "image"
    assert refused(asked(PRO, file(), file("mask"))) == "mask"
    good = [{"image_url": f"data:image/png;base64,{B64}"}]
    mask = {"image_url": f"data:image/png;base64,{B64}"}
    assert refused(asked(operation="image_edits", images=good, mask=mask)) == "mask"
    missing = [*good, {"file_id": "file-1"}]
    assert refused(asked(operation="image_edits", images=missing)) == "images[1]"
    plain = [{"image_url": "http://a/b.png"}]
    assert refused(asked(operation="image_edits", images=plain)) == "images[0]"


def test_the_pictures_of_an_answer() -> None:
    """All that are no drafts, with what they used."""
    body, reply = replied(GOOGLE, asked(), made(B64, "two", thought=True))
    assert body["data"] == [{"b64_json": B64}, {"b64_json": "two"}]
    assert (body["created"], body["output_format"]) == (int(NOW), "jpeg")
    assert body["usage"]["output_tokens"] == 1395
    assert body["usage"]["output_tokens_details"]["image_tokens"] == 1120
    usage = reply.usage
    assert usage is not None
    assert (usage.images, usage.input, usage.output, usage.image_output) == (2, 22, 1395, 1120)
    body, _ = replied(GOOGLE, asked(response_format="url"), made(B64))
    assert body["data"] == [{"url": f"data:image/jpeg;base64,{B64}"}]


def test_one_picture_a_request() -> None:
    """More are asked for side by side; those that fail are missing, and cost nothing."""
    given = asked(n=4, size="4K")
    further = parsed(GOOGLE, given, made(B64))
    requests = requests_of(further)
    assert [body_of(one) for one in requests] == [body_of(sent(GOOGLE, given))] * 3
    assert all(dict(one.headers)["x-goog-api-key"] == "sk-canary-secret" for one in requests)
    body, reply = brought(
        further,
        Answered(200, {}, JsonBody.parse(b'{"candidates":[]}').raw),
        Answered(429, {}, b"{}"),
        Answered(200, {}, _raw(made("two"))),
    )
    assert body["data"] == [{"b64_json": B64}, {"b64_json": "two"}]
    assert reply.usage is not None
    assert (reply.usage.images, reply.usage.size, reply.usage.output) == (2, "4k", 2790)


def _raw(body: Any) -> bytes:
    return json.dumps(body).encode()


def test_a_stream_is_told_at_once() -> None:
    """Where a provider does not stream pictures, each comes as one event."""
    given = asked(stream=True, n=2, size="1024x1024", partial_images=2)
    assert sent(GOOGLE, given).adapted == ("partial_images",)
    _, reply = _streamed(given)
    assert reply.content_type == "text/event-stream"
    assert reply.usage is not None
    assert reply.usage.images == 2
    events = events_of(reply.body)
    assert [one["type"] for one in events] == ["image_generation.completed"] * 2
    assert [one["b64_json"] for one in events] == [B64, "two"]
    assert [one["usage"]["output_tokens"] for one in events if "usage" in one] == [2790]
    edit = asked(PRO, file(), stream=True)
    reply = parsed(GOOGLE, edit, made(B64))  # type: ignore[assignment]
    assert events_of(reply.body)[0]["type"] == "image_edit.completed"


def _streamed(given: Call) -> tuple[Any, Reply]:
    further = parsed(GOOGLE, given, made(B64))
    reply = further.then((Answered(200, {}, _raw(made("two"))),))  # type: ignore[union-attr]
    assert isinstance(reply, Reply)
    return further, reply


@pytest.mark.parametrize(
    ("answer", "kind", "cause"),
    [
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, INVALID_REQUEST, "policy"),
        (made(finish="IMAGE_SAFETY"), INVALID_REQUEST, "policy"),
        (made(finish="NO_IMAGE"), UPSTREAM_ERROR, "no_picture"),
        (made(), UPSTREAM_ERROR, "no_picture"),
        ({"candidates": []}, UPSTREAM_ERROR, "no_picture"),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, None, "rate"),
        ([], None, ""),
        (b"<html>", UPSTREAM_ERROR, "unreadable_answer"),
    ],
)
def test_answers_without_a_picture(answer: Any, kind: Any, cause: str) -> None:
    """Held back by a filter, or a mishap: never an empty list."""
    with pytest.raises(Fault) as caught:
        parsed(GOOGLE, asked(), answer)
    assert kind is None or caught.value.kind is kind
    assert cause in caught.value.cause


# --- by predict ---


def test_predict() -> None:
    """Up to four at once, with the settings of this family."""
    given = on_cloud(IMAGEN, n=3, size="1280x896", negative_prompt="dogs", seed=5,
                     output_format="jpeg", output_compression=80)  # fmt: skip
    request = sent(VERTEX, given, LOGGED_IN)
    assert request.url.endswith(f"/publishers/google/models/{IMAGEN}:predict")
    body, adapted = wrote(given, VERTEX)
    assert body == {
        "instances": [{"prompt": "a cat"}],
        "parameters": {
            "sampleCount": 3,
            "includeRaiReason": True,
            "aspectRatio": "4:3",
            "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80},
            "negativePrompt": "dogs",
            "seed": 5,
            "addWatermark": False,
        },
    }
    assert adapted == ()
    for size, ratio in (("1792x1024", "16:9"), ("1536x1024", "4:3"), ("1024x1536", "3:4")):
        body, adapted = wrote(on_cloud(IMAGEN, size=size, quality="high"), VERTEX)
        assert body["parameters"]["aspectRatio"] == ratio
        assert adapted == ("size", "quality")
    assert refused(on_cloud(IMAGEN, size="2048x512"), VERTEX) == "size"
    assert refused(on_cloud(IMAGEN, background="transparent"), VERTEX) == "background"


def test_predictions() -> None:
    """What a filter held back is missing; all of it is a refusal that says why."""
    answer = {
        "predictions": [
            {"mimeType": "image/png", "bytesBase64Encoded": B64, "prompt": "a fine cat"},
            {"raiFilteredReason": "code 58061214"},
        ]
    }
    body, reply = replied(VERTEX, on_cloud(IMAGEN, n=2), answer)
    assert body["data"] == [{"b64_json": B64, "revised_prompt": "a fine cat"}]
    assert "usage" not in body
    assert reply.usage is not None
    assert (reply.usage.images, reply.usage.size) == (1, "")
    with pytest.raises(Fault, match="58061214") as caught:
        parsed(VERTEX, on_cloud(IMAGEN), {"predictions": answer["predictions"][1:]})
    assert caught.value.cause == "content_policy"
    for empty in ({}, {"predictions": []}):
        with pytest.raises(Fault):
            parsed(VERTEX, on_cloud(IMAGEN), empty)


def test_more_than_four() -> None:
    """The rest are asked for beside: no request for more than there may be."""
    given = on_cloud(IMAGEN, n=10)
    assert wrote(given, VERTEX)[0]["parameters"]["sampleCount"] == 4
    further = parsed(VERTEX, given, {"predictions": [{"bytesBase64Encoded": B64}]})
    counts = [body_of(one)["parameters"]["sampleCount"] for one in requests_of(further, LOGGED_IN)]
    assert counts == [4, 2]


def test_edits_by_predict() -> None:
    """By the model that edits, at the cloud; others of this family edit none."""
    request = sent(VERTEX, on_cloud(IMAGEN, file()), LOGGED_IN)
    assert request.url.endswith("/models/imagen-3.0-capability-001:predict")
    assert body_of(request) == {
        "instances": [
            {
                "prompt": "a cat",
                "referenceImages": [
                    {
                        "referenceType": "REFERENCE_TYPE_RAW",
                        "referenceId": 1,
                        "referenceImage": {"bytesBase64Encoded": B64},
                    }
                ],
            }
        ],
        "parameters": {
            "sampleCount": 1,
            "includeRaiReason": True,
            "editMode": "EDIT_MODE_DEFAULT",
        },
    }
    assert refused(on_cloud("imagen-4.0-generate-001", file()), VERTEX) == "model"
    assert refused(asked(IMAGEN, file())) == "model"
    assert refused(on_cloud(IMAGEN, file(), file("mask")), VERTEX) == "mask"
    far = [{"image_url": "https://a/b.png"}]
    assert refused(on_cloud(IMAGEN, operation="image_edits", images=far), VERTEX) == "images"
