"""What others were recorded to ask of Converse, the adapter asks as well: each request is read back
into a conversation, plainly, and must be written the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.sdk.talk import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Talk,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from providers_plugins.bedrock import WIRE
from tests import recorded
from tests.adapters.bedrock.calls import KEY, call

pytestmark = recorded.needs_corpus

MIMES = {
    "png": "image/png", "jpeg": "image/jpeg", "pdf": "application/pdf", "mp4": "video/mp4",
}  # fmt: skip
# Without a recorded request there is nothing to compare.
WITHOUT_REQUEST = {
    "vercel-ai-amazon-bedrock-amazon-bedrock-json-tool-with-answer.1-0",
    "vercel-ai-amazon-bedrock-amazon-bedrock-reasoning-0",
}
# Members that no client of the gateway's dialects has words for.
UNSAYABLE = ("guardContent", "systemTool")


def cases() -> list[Path]:
    found = recorded.cases("bedrock", "chat", "chat_stream", "error")
    return [
        case
        for case in found
        if recorded.meta(case)["api"] == "converse" and case.name not in WITHOUT_REQUEST
    ]


def part_of(block: dict[str, Any]) -> Any:
    ((kind, said),) = block.items()
    if kind == "text":
        return Text(said)
    if kind == "toolUse":
        return ToolUse(said["toolUseId"], said["name"], json.dumps(said["input"]))
    if kind == "toolResult":
        error = said.get("status") == "error"
        return ToolResult(said["toolUseId"], [part_of(b) for b in said["content"]], error=error)
    if kind in ("image", "document", "video"):
        source = said["source"]
        return Media(
            kind, MIMES[said["format"]], source.get("bytes", ""),
            url=source.get("s3Location", {}).get("uri", ""), name=said.get("name", ""),
            cite=said.get("citations", {}).get("enabled", False),
        )  # fmt: skip
    return Foreign("other", kind, b"{}")


def message_of(said: dict[str, Any]) -> Message:
    parts: list[Any] = []
    for block in said["content"]:
        if "cachePoint" in block:
            parts[-1].cache = block["cachePoint"].get("ttl", "5m")
        else:
            parts.append(part_of(block))
    return Message(said["role"], parts)


def tool_of(said: dict[str, Any]) -> Any:
    if "toolSpec" not in said:
        return Foreign("other", "systemTool", b"{}")
    spec = said["toolSpec"]
    schema = json.dumps(spec["inputSchema"]["json"]).encode()
    return Tool(spec["name"], spec.get("description"), schema, spec.get("strict"))


def talk_of(asked: dict[str, Any]) -> Talk:
    talk = Talk("messages")
    for block in asked.get("system", ()):
        talk.messages.append(Message("system", [Text(block["text"])]))
    talk.messages += [message_of(said) for said in asked["messages"]]
    config = asked.get("inferenceConfig") or {}
    talk.max_tokens, talk.temperature = config.get("maxTokens"), config.get("temperature")
    talk.stop = config.get("stopSequences", [])
    tools = asked.get("toolConfig", {})
    talk.tools = [tool_of(said) for said in tools.get("tools", ())]
    for mode in tools.get("toolChoice", {}):
        talk.choice = ToolChoice(mode)
    if "outputConfig" in asked:
        wanted = asked["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        talk.format = Format(
            "schema", wanted["name"], wanted["schema"].encode(),
            description=wanted.get("description", ""),
        )  # fmt: skip
    talk.service_tier = asked.get("serviceTier", {}).get("type", "")
    for name in ("guardrailConfig", "performanceConfig"):
        if name in asked:
            talk.extra[name] = json.dumps(asked[name]).encode()
    think(talk, asked.get("additionalModelRequestFields") or {})
    return talk


def think(talk: Talk, fields: dict[str, Any]) -> None:
    """The model's own fields, by the gateway's words for them where it has some."""
    thinking = fields.pop("thinking", {})
    talk.thinking = {"enabled": "on"}.get(thinking.get("type"), thinking.get("type", ""))
    talk.budget, talk.summary = thinking.get("budget_tokens"), thinking.get("display", "")
    config = fields.pop("reasoningConfig", {})
    talk.effort = (
        fields.pop("output_config", {}).get("effort")
        or fields.pop("reasoning_effort", None)
        or config.get("maxReasoningEffort", "")
    )
    talk.top_k = fields.pop("inferenceConfig", {}).get("topK")
    talk.extra |= {name: json.dumps(value).encode() for name, value in fields.items()}


def settled(asked: dict[str, Any]) -> dict[str, Any]:
    """A request less what goes without saying, and what clients have no words for."""
    found = {name: value for name, value in asked.items() if value}
    tools = found.get("toolConfig", {})
    if tools.get("toolChoice") == {"auto": {}}:
        del tools["toolChoice"]
    if tools:
        tools["tools"] = [tool for tool in tools["tools"] if "systemTool" not in tool]
    if tools and not tools["tools"]:
        del found["toolConfig"]
    merged: list[dict[str, Any]] = []
    for message in found["messages"]:
        content = [block for block in message["content"] if "guardContent" not in block]
        for block in content:
            if block.get("toolResult", {}).get("status") == "success":
                del block["toolResult"]["status"]
        if content and merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] += content
        elif content:
            merged.append({"role": message["role"], "content": content})
    found["messages"] = merged
    for block in (block for message in merged for block in message["content"]):
        for media in block.get("toolResult", {}).get("content", [block]):
            if "document" in media:
                media["document"].setdefault("name", "document")
    return {name: value for name, value in found.items() if value}


@recorded.parameters(cases())
def test_asked(case: Path) -> None:
    asked = json.loads((case / "request.json").read_bytes())
    meta = recorded.meta(case)
    stream = meta["url"].endswith("converse-stream")
    talk = talk_of(json.loads((case / "request.json").read_bytes()))
    talk.stream = stream
    losses = Losses()
    the_call = call(meta["model"], stream=stream, region=meta["url"].split(".")[1])
    request = WIRE.build(the_call, KEY, talk, losses)
    assert json.loads(request.body) == settled(asked)
    raw = (case / "request.json").read_text()
    assert len(losses.names) == sum(word in raw for word in UNSAYABLE), losses.names
    assert request.url.replace("%3A", ":") == "https://" + meta["url"].replace("%3A", ":")
