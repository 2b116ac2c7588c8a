"""The fakes of Amazon Bedrock: Converse, and InvokeModel."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any
from urllib.parse import unquote

from tests.fake_upstream import Request
from tests.matrix.family import SECRET, Event, Family
from tests.matrix.messages import Messages
from tests.matrix.said import Said, Told


def frame(kind: str, payload: dict[str, Any], message: str = "event") -> bytes:
    """One message of AWS' event stream."""
    label = ":event-type" if message == "event" else ":exception-type"
    named = {":message-type": message, label: kind, ":content-type": "application/json"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value))
        + value.encode() for name, value in named.items()
    )  # fmt: skip
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return start + struct.pack("!I", binascii.crc32(start))


class Converse(Family):
    """Bedrock's Converse, for models of every maker."""

    name = "bedrock"
    adapter = "bedrock"
    credentials = f'{{name: main, access_key: "AKIDEXAMPLE", secret_key: "{SECRET}"}}'
    options = "{region: us-east-1}"
    upstream = "us.amazon.nova-pro-v1:0"
    media = "application/vnd.amazon.eventstream"

    def _usage(self, said: Said) -> dict[str, Any]:
        return {
            "inputTokens": said.input - said.cached,
            "cacheReadInputTokens": said.cached,
            "cacheWriteInputTokens": 0,
            "outputTokens": said.output,
            "totalTokens": said.input + said.output,
        }

    def _stop(self, said: Said) -> str:
        return {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}[said.stop]

    def whole(self, said: Said) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if said.thinking:
            thought = {"text": "".join(said.thinking), "signature": said.signature}
            content.append({"reasoningContent": {"reasoningText": thought}})
        if said.text:
            content.append({"text": "".join(said.text)})
        for tool in said.tools:
            use = {"toolUseId": tool.id, "name": tool.name, "input": json.loads(tool.arguments)}
            content.append({"toolUse": use})
        message = {"role": "assistant", "content": content}
        return {"output": {"message": message}, "stopReason": self._stop(said),
                "usage": self._usage(said), "metrics": {"latencyMs": 5}}  # fmt: skip

    def events(self, said: Said) -> list[Event]:
        out = [frame("messageStart", {"role": "assistant"})]
        index = 0

        def delta(change: dict[str, Any]) -> None:
            out.append(frame("contentBlockDelta", {"contentBlockIndex": index, "delta": change}))

        def stop() -> None:
            nonlocal index
            out.append(frame("contentBlockStop", {"contentBlockIndex": index}))
            index += 1

        if said.thinking:
            for piece in said.thinking:
                delta({"reasoningContent": {"text": piece}})
            delta({"reasoningContent": {"signature": said.signature}})
            stop()
        if said.text:
            for piece in said.text:
                delta({"text": piece})
            stop()
        for tool in said.tools:
            start = {"toolUse": {"toolUseId": tool.id, "name": tool.name}}
            out.append(frame("contentBlockStart", {"contentBlockIndex": index, "start": start}))
            for piece in tool.pieces:
                delta({"toolUse": {"input": piece}})
            stop()
        out.append(frame("messageStop", {"stopReason": self._stop(said)}))
        out.append(frame("metadata", {"usage": self._usage(said), "metrics": {"latencyMs": 5}}))
        return out

    def broken(self) -> Event:
        said = {"message": "Overloaded just now"}
        return frame("serviceUnavailableException", said, "exception")

    def refusal(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        lines = [("x-amzn-errortype", "ThrottlingException"), ("Retry-After", "7")]
        return 429, {"message": "Slow down"}, lines

    def told(self, request: Request) -> Told:
        model, _, method = request.path.removeprefix("/model/").partition("/")
        assert "Credential=AKIDEXAMPLE/" in (request.header("authorization") or "")
        told = Told(model=unquote(model), stream=method == "converse-stream")
        told.secret = SECRET
        assert method in ("converse", "converse-stream")
        body = request.json()
        told.max_tokens = body.get("inferenceConfig", {}).get("maxTokens")
        told.system = "".join(part["text"] for part in body.get("system", []))
        for tool in body.get("toolConfig", {}).get("tools", []):
            spec = tool["toolSpec"]
            told.tools[spec["name"]] = spec["inputSchema"]["json"]
        for message in body["messages"]:
            for part in message["content"]:
                self._part(told, message["role"], part)
        return told

    def _part(self, told: Told, role: str, part: dict[str, Any]) -> None:
        if "image" in part:
            told.picture = part["image"]["source"]["bytes"]
        elif "toolUse" in part:
            told.calls.append((part["toolUse"]["name"], part["toolUse"]["input"]))
        elif "toolResult" in part:
            told.results.append("".join(p.get("text", "") for p in part["toolResult"]["content"]))
        elif "text" in part and role == "user":
            told.user += part["text"]


class Invoke(Converse):
    """Bedrock's InvokeModel, for clients that speak the Messages dialect to Anthropic's models."""

    name = "bedrock-invoke"
    upstream = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

    def whole(self, said: Said) -> dict[str, Any]:
        return Messages().whole(said)

    def events(self, said: Said) -> list[Event]:
        return [
            frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})
            for event in Messages().objects(said)
        ]

    def told(self, request: Request) -> Told:
        model, _, method = request.path.removeprefix("/model/").partition("/")
        body = request.json()
        assert "model" not in body
        assert "stream" not in body
        assert body["anthropic_version"] == "bedrock-2023-05-31"
        assert method in ("invoke", "invoke-with-response-stream")
        told = Messages().read(body)
        told.model, told.stream = unquote(model), method != "invoke"
        told.secret = SECRET
        return told
