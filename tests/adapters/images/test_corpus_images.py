"""Recorded traffic of pictures: requests are written as recorded, answers counted as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core.body import JsonBody
from gateway.core.money.checks import problem_of
from gateway.domain import Credential
from gateway.sdk import Adapter, Call, Reply
from providers_plugins import openrouter, xai
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.openai import ADAPTER as OPENAI
from tests import recorded

pytestmark = recorded.needs_corpus

ADAPTERS: dict[str, Adapter] = {
    "gemini": GOOGLE,
    "openai": OPENAI,
    "openrouter": openrouter.ADAPTER,
    "vertex": VERTEX,
    "xai": xai.ADAPTER,
}
PAINTED = [case for name in ADAPTERS for case in recorded.cases(name, "image")]
SPOKEN = [case for name in ("gemini", "vertex") for case in recorded.cases(name, "image_chat")]
KEY = Credential("c", {"api_key": "sk-canary", "access_token": "t", "project": "PROJECT"})


def request_of(case: Path) -> dict[str, Any]:
    path = case / "request.json"
    found = json.loads(path.read_bytes()) if path.exists() else {"prompt": "a cat"}
    assert isinstance(found, dict)
    return found


def call_for(case: Path, body: dict[str, Any]) -> Call:
    meta = recorded.meta(case)
    host, _, path = str(meta["url"]).partition("/")
    edits = "images" in body
    base = f"https://{host}/{path.split('/images')[0]}"
    return Call(
        "image_edits" if edits else "images",
        meta["model"] or "gpt-image-1",
        base,
        JsonBody.parse(json.dumps(body).encode()),
    )


def asked(case: Path) -> dict[str, Any]:
    """What a client of ours says for the request that was recorded."""
    body = request_of(case)
    given = body.pop("input_references", None) or body.pop("images", None)
    if given:
        urls = [one.get("image_url") or one["url"] for one in given]
        body["images"] = [
            {"image_url": one["url"] if isinstance(one, dict) else one} for one in urls
        ]
    return body


@recorded.parameters(PAINTED)
def test_written_as_recorded(case: Path) -> None:
    """The request that was recorded is what is sent for the same call in OpenAI's words."""
    call = call_for(case, asked(case))
    adapter = ADAPTERS[case.parts[-3]]
    request = adapter.operations[call.operation].build(call, KEY)
    assert request.url == "https://" + str(recorded.meta(case)["url"])
    written, expected = json.loads(request.body), request_of(case)
    assert written.pop("model") == call.upstream
    expected.pop("model", None)
    if "size" in expected and case.parts[-3] == "openai":
        assert written["size"] == expected["size"]
    assert written == expected
    assert request.adapted == ()


@recorded.parameters(PAINTED)
def test_whole(case: Path) -> None:
    """The answer's own bytes; as many pictures as there are, and the tokens it tells."""
    call = call_for(case, asked(case))
    parse = ADAPTERS[case.parts[-3]].operations[call.operation].parse
    assert callable(parse)
    raw = recorded.response_file(case).read_bytes()
    reply = parse(call, 200, {}, raw)
    assert isinstance(reply, Reply)
    assert reply.body == raw
    told = json.loads(raw)
    counts = told.get("usage", {})
    usage = reply.usage
    if usage is None:
        assert "usage" not in told
        return
    assert usage.images == len(told["data"])
    assert usage.input == counts.get("input_tokens", counts.get("prompt_tokens", 0))
    assert usage.output == counts.get("output_tokens", counts.get("completion_tokens", 0))
    details = counts.get("input_tokens_details") or {}
    assert usage.image_input == details.get("image_tokens", 0)
    assert usage.image_output == usage.output
    assert problem_of(usage) == ""


@recorded.parameters(SPOKEN)
def test_pictures_of_a_talk(case: Path) -> None:
    """Answers of models that talk, as answers to calls for pictures."""
    model = recorded.meta(case)["model"]
    call = Call("images", model, "https://host.example", JsonBody.parse(b'{"prompt":"a cat"}'))
    adapter = ADAPTERS[case.parts[-3]]
    parse = adapter.operations["images"].parse
    assert callable(parse)
    raw = recorded.response_file(case).read_bytes()
    reply = parse(call, 200, {}, raw)
    assert isinstance(reply, Reply)
    told = json.loads(raw)
    parts = told["candidates"][0]["content"]["parts"]
    inline = [part["inlineData"] for part in parts if not part.get("thought")]
    answer = json.loads(reply.body)
    assert [one["b64_json"] for one in answer["data"]] == [one["data"] for one in inline]
    assert f"image/{answer['output_format']}" == inline[0]["mimeType"]
    counts = told["usageMetadata"]
    usage = reply.usage
    assert usage is not None
    assert (usage.input, usage.images) == (counts["promptTokenCount"], len(inline))
    assert usage.image_output == counts["candidatesTokensDetails"][0]["tokenCount"]
    assert problem_of(usage) == ""


@recorded.parameters(SPOKEN)
def test_said_in_a_talk(case: Path) -> None:
    """The same answers in a conversation: the pictures are beside the words, and are counted."""
    model = recorded.meta(case)["model"]
    call = Call("chat", model, "https://host.example", JsonBody.parse(b"{}"))
    wire = ADAPTERS[case.parts[-3]].wire
    assert wire is not None
    answer = wire.read(call, {}, recorded.response_file(case).read_bytes())
    assert answer.usage is not None
    assert (answer.usage.images, answer.usage.size) == (1, "1k")
