"""Every recorded request of this wire, said in the form by a plain reading, is written so again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.sdk import Adapter, Call
from gateway.sdk.talk import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from providers_plugins.google import GOOGLE, VERTEX
from tests import recorded

pytestmark = recorded.needs_corpus

ADAPTERS: dict[str, Adapter] = {"gemini": GOOGLE, "vertex": VERTEX}
UNSIGNED = "skip_thought_signature_validator"
KIND = {"image": "image", "audio": "audio", "video": "video"}
SAID = {
    "maxOutputTokens": "max_tokens", "temperature": "temperature", "topP": "top_p",
    "topK": "top_k", "stopSequences": "stop", "seed": "seed",
    "presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty",
}  # fmt: skip


def requests() -> list[Path]:
    """All that ask this wire for an answer, whether they were answered or refused."""
    found = [
        case
        for name in ADAPTERS
        for case in recorded.cases(name, "chat", "chat_stream", "image_chat", "error")
    ]
    return [
        case
        for case in found
        if (case / "request.json").exists() and "enerateContent" in recorded.meta(case)["url"]
    ]


def camel(value: Any, inside: str = "") -> Any:
    """Both spellings are taken; what only travels is left as it is."""
    if isinstance(value, list):
        return [camel(it, inside) for it in value]
    if not isinstance(value, dict):
        return value
    if inside in ("args", "response", "parameters", "parametersJsonSchema", "schema"):
        return value
    found = {}
    for given, it in value.items():
        name = re.sub(r"_(\w)", lambda match: match[1].upper(), given)
        found[name] = camel(it, "schema" if "Schema" in name else name)
    return {name: it for name, it in found.items() if it is not None}


def part_of(part: dict[str, Any]) -> Any:
    signature = part.get("thoughtSignature", "")
    family = "generate" if signature else ""
    if "functionCall" in part:
        told = part["functionCall"]
        arguments = json.dumps(told.get("args", {}))
        return ToolUse(
            told.get("id", ""), told["name"], arguments, signature=signature, family=family
        )
    if "functionResponse" in part:
        told = part["functionResponse"]
        parts: list[Text | Media] = [Text(json.dumps(told["response"]))]
        parts += [part_of(it) for it in told.get("parts", [])]
        return ToolResult(told.get("id", ""), parts, name=told["name"])
    if "inlineData" in part or "fileData" in part:
        blob = part.get("inlineData") or part["fileData"]
        mime = blob.get("mimeType", "")
        kind: Any = KIND.get(mime.partition("/")[0], "document")
        return Media(kind, mime, blob.get("data", ""), blob.get("fileUri", ""))
    if part.get("thought"):
        return Thinking(part["text"], signature, family="generate")
    if "text" in part:
        return Text(part["text"])
    return Foreign("generate", next(iter(part)), json.dumps(part).encode())


def message_of(content: dict[str, Any]) -> Message:
    parts = []
    for part in content.get("parts", []):
        parts.append(part_of(part))
        if isinstance(parts[-1], Text | Media) and "thoughtSignature" in part:
            parts.append(Thinking(signature=part["thoughtSignature"], family="generate"))
    return Message("assistant" if content.get("role") == "model" else "user", parts)


def talk_of(body: dict[str, Any], model: str) -> Talk:
    talk = Talk("generate", model=model)
    if "systemInstruction" in body:
        talk.messages.append(Message("system", message_of(body["systemInstruction"]).parts))
    talk.messages += map(message_of, body["contents"])
    config = dict(body.get("generationConfig", {}))
    if config.get("candidateCount") != 1:
        config.pop("candidateCount", None)
    for name, ours in SAID.items():
        if name in config:
            setattr(talk, ours, config.pop(name))
    if config.get("responseMimeType") == "application/json":
        del config["responseMimeType"]
        schema = config.pop("responseJsonSchema", None)
        raw = json.dumps(schema).encode() if schema is not None else b""
        talk.format = Format("schema" if schema else "json", schema=raw)
    for tool in body.get("tools", []):
        for told in tool.get("functionDeclarations", []):
            schema = told.get("parametersJsonSchema") or told.get("parameters")
            raw = json.dumps(schema).encode() if schema is not None else b""
            talk.tools.append(Tool(told["name"], told.get("description"), raw))
        native = {name: it for name, it in tool.items() if name != "functionDeclarations"}
        if native:
            talk.tools.append(Foreign("generate", "", json.dumps(native).encode()))
    told = dict(body.get("toolConfig", {}))
    calling = told.get("functionCallingConfig", {})
    if (
        calling.get("mode") in ("AUTO", "NONE", "ANY")
        and b"Declarations" in json.dumps(body.get("tools", [])).encode()
        and not set(calling) - {"mode", "allowedFunctionNames"}
    ):
        del told["functionCallingConfig"]
        names = calling.get("allowedFunctionNames") or []
        mode: Any = "tool" if len(names) == 1 else calling["mode"].lower()
        talk.choice = ToolChoice(mode, names[0] if len(names) == 1 else "")
    talk.extra = {
        name: json.dumps(it).encode()
        for name, it in body.items()
        if name not in ("contents", "systemInstruction", "tools", "generationConfig", "toolConfig")
    }
    for name, rest in (("generationConfig", config), ("toolConfig", told)):
        if rest:
            talk.extra[name] = json.dumps(rest).encode()
    return talk


def plain(part: dict[str, Any]) -> dict[str, Any]:
    """A part without what says no more than its absence, and what the form has no word for."""
    return {
        name: it
        for name, it in part.items()
        if it is not False and it != UNSIGNED and name != "videoMetadata"
    }


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Turns as one row of parts, without ids, and schemas under one name."""
    row = []
    if body.get("generationConfig", {}).get("candidateCount", 1) != 1:
        del body["generationConfig"]["candidateCount"]  # one answer is what is paid for
    for content in body.pop("contents"):
        for part in map(plain, content.get("parts", [])):
            for name in ("functionCall", "functionResponse"):
                if name in part:
                    part[name] = {"args": {}, "parts": [], **part[name], "id": None}
            if part != {"text": ""}:
                row.append((content.get("role", "user"), part))
    results = {at: p for at, p in enumerate(row) if "functionResponse" in p[1]}
    body["contents"] = row if not results else sorted(row, key=str)
    for tool in body.get("tools", []):
        for told in tool.get("functionDeclarations", []):
            told["schema"] = told.pop("parametersJsonSchema", told.pop("parameters", None))
    if "systemInstruction" in body:
        body["systemInstruction"] = [plain(it) for it in body["systemInstruction"]["parts"]]
    body["tools"] = sorted(
        json.dumps({name: it}, sort_keys=True)
        for tool in body.get("tools", [])
        for name, it in tool.items()
    )
    return {name: it for name, it in body.items() if it not in ({}, [])}


@recorded.parameters(requests())
def test_written_as_recorded(case: Path) -> None:
    """Contents, tools, settings and what only travels."""
    wanted = camel(json.loads((case / "request.json").read_bytes()))
    for name in ("contents", "tools"):  # one alone needs no list
        if isinstance(wanted.get(name), dict):
            wanted[name] = [wanted[name]]
    adapter = ADAPTERS[case.parts[-3]]
    assert adapter.wire is not None
    model = recorded.meta(case)["model"] or "gemini-2.5-flash"
    losses = Losses()
    talk = talk_of(wanted, model)
    call = Call("chat", model, "https://u.example", JsonBody.parse(b"{}"), stream=False)
    request = adapter.wire.build(call, Credential("c", {"api_key": "k"}), talk, losses)
    built = comparable(json.loads(request.body))
    wanted = comparable(wanted)
    assert losses.names == ()
    for name in wanted:
        assert built.get(name) == wanted[name], name
    assert built.keys() == wanted.keys()
