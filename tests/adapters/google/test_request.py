"""What a conversation becomes on this wire, and what is named as lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.errors import NO_UPSTREAM, Fault
from gateway.sdk import Adapter, Call, UpstreamRequest
from gateway.sdk.talk import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from providers_plugins.google import GOOGLE, VERTEX

BASE = "https://generativelanguage.googleapis.com/v1beta"
CLOUD = "https://aiplatform.googleapis.com/v1"
KEY = Credential("c", {"api_key": "AIzaCanary"})
LOGGED_IN = Credential("c", {"access_token": "ya29.canary", "project": "p-1"})
UNSIGNED = "skip_thought_signature_validator"


def sent(
    talk: Talk, adapter: Adapter = GOOGLE, credential: Credential = KEY, **call: Any
) -> tuple[UpstreamRequest, tuple[str, ...]]:
    losses = Losses()
    given = Call(
        "chat",
        talk.model,
        call.pop("base_url", BASE if adapter is GOOGLE else CLOUD),
        JsonBody.parse(b"{}"),
        stream=talk.stream,
        **call,
    )
    assert adapter.wire is not None
    return adapter.wire.build(given, credential, talk, losses), losses.names


def talk(*messages: Message, model: str = "gemini-2.5-flash", **more: Any) -> Talk:
    said = list(messages) or [Message("user", [Text("hi")])]
    return Talk("chat", model=model, messages=said, **more)


def written(given: Talk, adapter: Adapter = GOOGLE, **call: Any) -> tuple[Any, tuple[str, ...]]:
    credential = KEY if adapter is GOOGLE else LOGGED_IN
    request, lost = sent(given, adapter, credential, **call)
    return json.loads(request.body), lost


def test_the_plainest_call() -> None:
    """Nothing is said that the client did not say; the key is a header and never in the URL."""
    request, lost = sent(talk())
    assert request.url == f"{BASE}/models/gemini-2.5-flash:generateContent"
    assert dict(request.headers) == {
        "Content-Type": "application/json",
        "x-goog-api-key": "AIzaCanary",
    }
    assert request.body == b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
    assert (request.method, lost) == ("POST", ())


def test_a_stream_is_asked_for_as_events() -> None:
    """Without `alt=sse` the provider answers with one long array."""
    request, _ = sent(talk(stream=True))
    assert request.url == f"{BASE}/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_a_whole_conversation() -> None:
    """Roles, order, calls, results, signatures and files, each in its place."""
    body, lost = written(
        talk(
            Message("system", [Text("Be brief.")]),
            Message("user", [Text("Look"), Media("image", mime="image/png", data="aWNv")]),
            Message(
                "assistant",
                [
                    Thinking("hm", signature="s1", family="generate"),
                    Text("I look."),
                    Thinking(signature="s2", family="generate"),
                    ToolUse("c1", "look", '{"b": 1,"a":2.50}', signature="s3", family="generate"),
                    ToolUse("c2", "wait", ""),
                ],
            ),
            Message(
                "user",
                [
                    ToolResult("c1", [Text('{"found": 1e2}')]),
                    ToolResult("c2", [Text("done")], error=True),
                    Text("And?"),
                ],
            ),
            Message("assistant", [Refusal("No.")]),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Look"},
                {"inlineData": {"mimeType": "image/png", "data": "aWNv"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "s1"},
                {"text": "I look.", "thoughtSignature": "s2"},
                {
                    "functionCall": {"name": "look", "args": {"b": 1, "a": 2.5}, "id": "c1"},
                    "thoughtSignature": "s3",
                },
                {"functionCall": {"name": "wait", "args": {}, "id": "c2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "id": "c1", "response": {"found": 100.0}}},
                {"functionResponse": {"name": "wait", "id": "c2", "response": {"error": "done"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
        {"role": "model", "parts": [{"text": "No."}]},
    ]
    assert lost == ()


def test_json_that_travels_stays_the_bytes_it_came_as() -> None:
    """Schemas, arguments and results keep their order, their spaces and their numbers."""
    schema = b'{"type": "object",\n "properties":{"z":{"type":"number"},"a":{}}, "$defs":{}}'
    arguments = '{"z": 1.500e0, "a":"\\u00e9"}'
    request, _ = sent(
        talk(
            Message("assistant", [ToolUse("c", "f", arguments)]),
            Message("user", [ToolResult("c", [Text(' {"y": 1.0} ')])]),
            tools=[Tool("f", schema=schema)],
            format=Format("schema", "out", schema=schema),
            extra={"unknownMember": b'{"k" : 1.0}'},
        )
    )
    assert request.body.count(schema) == 2
    assert b'"parametersJsonSchema":' + schema in request.body
    assert b'"responseJsonSchema":' + schema in request.body
    assert arguments.encode() in request.body
    assert b'"response":{"y": 1.0}' in request.body
    assert b'"unknownMember":{"k" : 1.0}' in request.body


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("  ", {}),
        ("[1]", {"arguments": "[1]"}),
        ("{broken", {"arguments": "{broken"}),
        ("null", {"arguments": "null"}),
        ("[" * 5000, {"arguments": "[" * 5000}),
        ('{"a":' * 5000, {"arguments": '{"a":' * 5000}),
    ],
)
def test_arguments_that_are_no_object(arguments: str, args: dict[str, Any]) -> None:
    """The provider takes objects alone, and a history is not refused for its arguments."""
    body, _ = written(talk(Message("assistant", [ToolUse("c", "f", arguments)])))
    assert body["contents"][0]["parts"][0]["functionCall"]["args"] == args


def test_results_find_the_name_of_their_tool() -> None:
    """By their own, by the call's, or at worst the id."""
    body, _ = written(
        talk(
            Message("assistant", [ToolUse("c1", "f"), ToolUse("c2", "g")]),
            Message(
                "user",
                [ToolResult("c2"), ToolResult("c1", name="other"), ToolResult("unheard")],
            ),
        )
    )
    answers = [it["functionResponse"] for it in body["contents"][1]["parts"]]
    assert [it["name"] for it in answers] == ["g", "other", "unheard"]
    assert answers[0]["response"] == {"result": ""}


def test_results_stand_together() -> None:
    """The provider wants as many in the turn as there were calls."""
    body, _ = written(
        talk(
            Message("assistant", [ToolUse("c1", "f"), ToolUse("c2", "g")]),
            Message("user", [ToolResult("c1")]),
            Message("user", [ToolResult("c2"), Text("so?")]),
            Message("user", [ToolResult("c3")]),
        )
    )
    assert [len(turn["parts"]) for turn in body["contents"]] == [2, 2, 1, 1]


def test_the_cloud_knows_no_ids_of_calls() -> None:
    """They are left out there, on both sides."""
    said = talk(
        Message("assistant", [ToolUse("c1", "f")]), Message("user", [ToolResult("c1", [Text("x")])])
    )
    for adapter, ids in ((GOOGLE, 2), (VERTEX, 0)):
        request, _ = sent(said, adapter, KEY)
        assert request.body.count(b'"id":"c1"') == ids


@pytest.mark.parametrize(
    ("model", "marked"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.1-flash-lite", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("gemini-2.0-flash", False),
    ],
)
def test_a_lost_signature(model: str, marked: bool) -> None:
    """Later models refuse an unsigned call: its place is taken by the documented value, once."""
    calls = [ToolUse("a", "f"), ToolUse("b", "g")]
    body, lost = written(talk(Message("assistant", calls), model=model))
    first, second = body["contents"][0]["parts"]
    assert first.get("thoughtSignature") == (UNSIGNED if marked else None)
    assert "thoughtSignature" not in second
    assert lost == ()
    signed = [ToolUse("a", "f"), ToolUse("b", "g", signature="s", family="generate")]
    body, _ = written(talk(Message("assistant", signed), model=model))
    assert [p.get("thoughtSignature") for p in body["contents"][0]["parts"]] == [None, "s"]


def test_signatures_of_others_do_not_come_here() -> None:
    """Nor do their thoughts; both are named."""
    body, lost = written(
        talk(
            Message(
                "assistant",
                [
                    Thinking("secret", signature="x", family="messages"),
                    Text("said"),
                    ToolUse("c", "f", signature="y", family="responses"),
                ],
            ),
            model="gemini-3-flash",
        )
    )
    parts = body["contents"][0]["parts"]
    assert [list(part) for part in parts] == [["text"], ["functionCall", "thoughtSignature"]]
    assert parts[1]["thoughtSignature"] == UNSIGNED
    assert lost == ("thinking", "signature")


def test_files_in_results() -> None:
    """Later models take them inside the result, earlier ones beside it."""
    said = [
        Message("assistant", [ToolUse("c", "f")]),
        Message(
            "user",
            [ToolResult("c", [Text("see"), Media("image", mime="image/png", data="aWNv")])],
        ),
    ]
    file = {"inlineData": {"mimeType": "image/png", "data": "aWNv"}}
    late, _ = written(talk(*said, model="gemini-3-flash"))
    assert late["contents"][1]["parts"][0]["functionResponse"]["parts"] == [file]
    assert len(late["contents"]) == 2
    early, _ = written(talk(*said))
    assert "parts" not in early["contents"][1]["parts"][0]["functionResponse"]
    assert early["contents"][2] == {"role": "user", "parts": [file]}


@pytest.mark.parametrize(
    ("media", "part", "lost"),
    [
        (
            Media("document", mime="application/pdf", data="cGRm", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "cGRm"}},
            ("filename",),
        ),
        (
            Media("audio", data="d2F2", mime="audio/wav"),
            {"inlineData": {"mimeType": "audio/wav", "data": "d2F2"}},
            (),
        ),
        (
            Media("image", url="data:image/webp;base64,aWNv", detail="high"),
            {"inlineData": {"mimeType": "image/webp", "data": "aWNv"}},
            ("detail",),
        ),
        (
            Media("image", url="https://x.example/a/b.PNG?c=d", detail="auto"),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a/b.PNG?c=d"}},
            (),
        ),
        (
            Media("image", url="https://youtu.be/lCdaVNyHtjU"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/lCdaVNyHtjU"}},
            (),
        ),
        (
            Media("video", url="gs://bucket/v"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/v"}},
            (),
        ),
        (
            Media("document", file_id="files/abc"),
            {"fileData": {"fileUri": f"{BASE}/files/abc"}},
            (),
        ),
        (
            Media("document", text="plain", context="c", cite=True, cache="5m"),
            {"text": "plain"},
            ("cache_control", "citations", "context"),
        ),
    ],
)
def test_files(media: Media, part: dict[str, Any], lost: tuple[str, ...]) -> None:
    """Inline, by reference, or as words."""
    body, named = written(talk(Message("user", [media])))
    assert body["contents"][0]["parts"] == [part]
    assert named == lost


def test_the_cloud_takes_names_of_files() -> None:
    """So nothing is lost there."""
    media = Media("document", mime="application/pdf", data="cGRm", name="a.pdf")
    body, lost = written(talk(Message("user", [media])), VERTEX)
    assert body["contents"][0]["parts"][0]["inlineData"]["displayName"] == "a.pdf"
    assert lost == ()


@pytest.mark.parametrize(
    "media",
    [
        Media("image", url="http://x.example/a.png"),
        Media("image", url="file:///etc/passwd"),
        Media("image", url="https://[::1"),
        Media("image", url="data:image/png,notbase64"),
        Media("document", file_id="file-of-another"),
        Media("image"),
    ],
)
def test_files_that_cannot_be_sent_are_refused(media: Media) -> None:
    """A question about a picture without the picture is another question."""
    with pytest.raises(Fault) as caught:
        sent(talk(Message("user", [media])))
    assert caught.value.kind.status == 400


def test_settings() -> None:
    """Each by its own name; false and zero are said too."""
    body, lost = written(
        talk(
            max_tokens=5,
            temperature=0.0,
            top_p=0.5,
            top_k=3,
            stop=["a", "b"],
            seed=0,
            n=1,
            presence_penalty=-1.0,
            frequency_penalty=0.0,
            format=Format("json"),
            service_tier="flex",
            logprobs=False,
        )
    )
    assert body["generationConfig"] == {
        "maxOutputTokens": 5,
        "temperature": 0.0,
        "topP": 0.5,
        "topK": 3,
        "stopSequences": ["a", "b"],
        "seed": 0,
        "presencePenalty": -1.0,
        "frequencyPenalty": 0.0,
        "responseMimeType": "application/json",
    }
    assert body["serviceTier"] == "flex"
    assert lost == ()


def test_what_has_no_word_here_is_named() -> None:
    """By the client's own names."""
    _, lost = written(
        talk(
            Message("user", [Text("x", cache="5m")], name="ann"),
            Message("assistant", [Foreign("messages", "server_tool_use", b"{}")]),
            n=2,
            logit_bias=b'{"1":2}',
            logprobs=True,
            top_logprobs=3,
            user="u",
            metadata=b'{"a":"b"}',
            verbosity="low",
            cache_key="k",
            parallel=False,
            service_tier="scale",
            tools=[
                Tool("f", cache="1h"),
                Tool("g", custom=True),
                Foreign("chat", "web_search", b'{"type":"web_search"}'),
            ],
            extra={"store": b"true", "contents": b"[]", "audio": b"null"},
        )
    )
    assert set(lost) == {
        "name", "cache_control", "server_tool_use", "n", "logit_bias", "logprobs", "top_logprobs",
        "user", "metadata", "verbosity", "prompt_cache_key", "parallel_tool_calls", "service_tier",
        "tools.custom", "tools.web_search", "store", "contents",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "strict", "config"),
    [
        (None, None, None),
        (None, True, {"mode": "VALIDATED"}),
        (ToolChoice("auto"), None, {"mode": "AUTO"}),
        (ToolChoice("none"), True, {"mode": "NONE"}),
        (ToolChoice("any"), None, {"mode": "ANY"}),
        (ToolChoice("tool", "f"), None, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choice_of_tools(choice: ToolChoice | None, strict: bool | None, config: Any) -> None:
    """Modes, and a forced one by its name."""
    body, _ = written(talk(tools=[Tool("f", "does", strict=strict)], choice=choice))
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "description": "does"}]}]
    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})


def test_tools_of_the_providers_own() -> None:
    """In either spelling, with their settings as they came; a choice among none is lost."""
    body, lost = written(
        talk(
            tools=[
                Foreign("chat", "", b'{"googleSearch":{"timeRangeFilter":{}}}'),
                Foreign("chat", "url_context", b'{"type":"url_context"}'),
                Foreign("responses", "google_maps", b'{"type":"google_maps","enableWidget":true}'),
                Foreign("chat", "code_execution", b'{"type":"code_execution","code_execution":{}}'),
                Foreign("chat", "file_search", b'{"type":"file_search","vector_store_ids":[]}'),
                Foreign("chat", "", b'{"googleSearch":{},"evil":1}'),
                Foreign("chat", "", b"[]"),
                Foreign("chat", "x", b'{"type":[]}'),
            ],
            choice=ToolChoice("any"),
        )
    )
    assert body["tools"] == [
        {"googleSearch": {"timeRangeFilter": {}}},
        {"url_context": {}},
        {"google_maps": {"enableWidget": True}},
        {"code_execution": {}},
    ]
    assert set(lost) == {"tools.file_search", "tools", "tools.x", "tool_choice"}


@pytest.mark.parametrize(
    ("model", "asked", "config", "lost"),
    [
        ("gemini-2.5-flash", {}, None, ()),
        ("gemini-2.5-flash", {"effort": "none"}, {"thinkingBudget": 0}, ()),
        ("gemini-2.5-flash", {"thinking": "off"}, {"thinkingBudget": 0}, ()),
        ("gemini-2.5-pro", {"effort": "none"}, {"thinkingBudget": 128}, ("reasoning_effort",)),
        ("gemini-2.5-flash", {"effort": "low"}, (1024,), ()),
        ("gemini-2.5-flash", {"effort": "medium"}, (8192,), ()),
        ("gemini-2.5-flash", {"effort": "max"}, (24576,), ()),
        ("gemini-2.5-pro", {"effort": "xhigh"}, (32768,), ()),
        ("gemini-2.5-flash", {"thinking": "on", "budget": 2000}, (2000,), ()),
        ("gemini-2.5-flash", {"thinking": "on", "budget": 99999}, (24576,), ("budget_tokens",)),
        ("gemini-2.5-flash-lite", {"budget": 100}, (512,), ("budget_tokens",)),
        ("gemini-2.5-flash", {"thinking": "adaptive"}, (-1,), ()),
        ("gemini-2.5-flash", {"summary": "auto"}, {"includeThoughts": True}, ()),
        ("gemini-2.5-flash", {"summary": "omitted", "effort": "low"}, {"thinkingBudget": 1024}, ()),
        ("gemini-3-flash-preview", {"effort": "minimal"}, ("MINIMAL",), ()),
        ("gemini-3-pro-preview", {"effort": "minimal"}, ("LOW",), ()),
        ("gemini-3-pro-preview", {"effort": "medium"}, ("HIGH",), ()),
        ("gemini-3.1-pro-preview", {"effort": "medium"}, ("MEDIUM",), ()),
        ("gemini-3-flash", {"effort": "none"}, {"thinkingLevel": "MINIMAL"}, ("reasoning_effort",)),
        ("gemini-3-flash", {"thinking": "off"}, {"thinkingLevel": "MINIMAL"}, ("thinking",)),
        ("gemini-3-flash", {"thinking": "on", "budget": 9000}, ("MEDIUM",), ("budget_tokens",)),
        ("gemini-3-flash", {"thinking": "adaptive"}, {"includeThoughts": True}, ()),
        ("gemini-2.0-flash", {"effort": "high"}, None, ("reasoning_effort",)),
        ("gemini-2.0-flash", {"effort": "none"}, None, ()),
        ("gemini-2.5-flash-image", {"effort": "low"}, None, ("reasoning_effort",)),
    ],
)
def test_thinking(model: str, asked: dict[str, Any], config: Any, lost: tuple[str, ...]) -> None:
    """A budget for models of the second generation, a level for those after."""
    body, named = written(talk(model=model, **asked))
    if isinstance(config, tuple):
        name = "thinkingLevel" if isinstance(config[0], str) else "thinkingBudget"
        config = {"includeThoughts": True, name: config[0]}
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert named == lost


def test_members_that_go_through() -> None:
    """The provider's own members, in either spelling; inside ours, the client's word wins."""
    body, lost = written(
        talk(
            max_tokens=5,
            effort="low",
            tools=[Tool("f")],
            choice=ToolChoice("any"),
            extra={
                "safety_settings": b'[{"category":"c","threshold":"t"}]',
                "cachedContent": b'"cachedContents/x"',
                "labels": b'{"a":"b"}',
                "modalities": b'["text","image"]',
                "generationConfig": b'{"maxOutputTokens":9,"candidateCount":8,'
                b'"imageConfig":{"aspectRatio":"1:1"},'
                b'"thinkingConfig":{"thinkingBudget":7}}',
                "toolConfig": b'{"functionCallingConfig":{"streamFunctionCallArguments":true}}',
            },
        )
    )
    assert body["safetySettings"] == [{"category": "c", "threshold": "t"}]
    assert body["cachedContent"] == "cachedContents/x"
    assert body["labels"] == {"a": "b"}
    assert body["generationConfig"] == {
        "maxOutputTokens": 5,  # money is set aside for the client's own ceiling, and one answer
        "responseModalities": ["TEXT", "IMAGE"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 7},
        "imageConfig": {"aspectRatio": "1:1"},
    }
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "streamFunctionCallArguments": True}
    }
    assert lost == ("generationConfig.maxOutputTokens", "generationConfig.candidateCount")


@pytest.mark.parametrize(
    "extra",
    [{"generationConfig": b"[]"}, {"toolConfig": b"7"}, {"modalities": b'"text"'}],
)
def test_members_of_the_wrong_type_are_refused(extra: dict[str, bytes]) -> None:
    """They would have to be added to."""
    with pytest.raises(Fault) as caught:
        sent(talk(extra=extra))
    assert caught.value.param == next(iter(extra))


def test_instructions_in_odd_places() -> None:
    """Later ones are turns; alone they are a turn; models that know none get them first."""
    body, _ = written(
        talk(
            Message("system", [Text("a")]),
            Message("user", [Text("b")]),
            Message("system", [Text("c")]),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "a"}]}
    assert [it["parts"][0]["text"] for it in body["contents"]] == ["b", "c"]
    alone, _ = written(talk(Message("system", [Text("a")])))
    assert alone == {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    open_model, _ = written(
        talk(Message("system", [Text("a")]), Message("user", [Text("b")]), model="gemma-3-27b-it")
    )
    assert "systemInstruction" not in open_model
    assert [it["parts"][0]["text"] for it in open_model["contents"]] == ["a", "b"]


def test_parts_of_this_wire_go_back_as_they_came() -> None:
    """Code that ran, and the signature beside it."""
    raw = b'{"executableCode":{"code":"1 + 1","language":"PYTHON"},"thoughtSignature":"s"}'
    request, lost = sent(talk(Message("assistant", [Foreign("generate", "executableCode", raw)])))
    assert raw in request.body
    assert lost == ()


@pytest.mark.parametrize(
    ("region", "model", "url"),
    [
        (
            None,
            "gemini-2.5-flash",
            f"{CLOUD}/projects/p-1/locations/global/publishers/google/models/",
        ),
        (
            "europe-west4",
            "gemini-2.5-flash",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4/"
            "publishers/google/models/",
        ),
        (
            "eu",
            "gemini-2.5-flash",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu/"
            "publishers/google/models/",
        ),
    ],
)
def test_places_of_the_cloud(region: str | None, model: str, url: str) -> None:
    """The host follows the location; the token is a header."""
    request, _ = sent(talk(model=model), VERTEX, LOGGED_IN, region=region)
    assert request.url == f"{url}{model}:generateContent"
    assert dict(request.headers)["Authorization"] == "Bearer ya29.canary"
    assert "ya29" not in request.url


def test_other_models_and_hosts_of_the_cloud() -> None:
    """Tuned endpoints, full names, private hosts, express keys; nothing breaks out of the path."""

    def url(model: str, credential: Credential = LOGGED_IN, **call: Any) -> str:
        return sent(talk(model=model), VERTEX, credential, **call)[0].url

    place = f"{CLOUD}/projects/p-1/locations/global"
    assert url("endpoints/123") == f"{place}/endpoints/123:generateContent"
    assert url("publishers/x/models/y") == f"{place}/publishers/x/models/y:generateContent"
    full = "projects/q/locations/us-east1/endpoints/9"
    assert url(full) == f"{CLOUD}/{full}:generateContent"
    mine = url("m", base_url="https://private.example/v1", region="us-east1")
    assert mine.startswith("https://private.example/v1/projects/p-1/locations/us-east1/")
    assert url("m", KEY) == f"{CLOUD}/publishers/google/models/m:generateContent"
    assert url("m?key=1#x").endswith("/models/m%3Fkey%3D1%23x:generateContent")
    other = url("m", options={"project": "p-2", "location": "us"})
    assert "/projects/p-2/locations/us/" in other


def test_the_clouds_tier_is_a_header() -> None:
    """Its body knows no such member."""
    request, _ = sent(talk(service_tier="priority"), VERTEX, LOGGED_IN)
    assert dict(request.headers)["X-Vertex-AI-LLM-Shared-Request-Type"] == "priority"
    assert b"serviceTier" not in request.body


@pytest.mark.parametrize("secrets", [{}, {"access_token": "t"}, {"project": "p"}])
def test_a_credential_that_lacks_something(secrets: dict[str, str]) -> None:
    """No call is sent that could only be refused."""
    with pytest.raises(Fault) as caught:
        sent(talk(), VERTEX, Credential("c", secrets))
    assert caught.value.kind is NO_UPSTREAM
