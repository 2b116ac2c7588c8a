"""The fake of Anthropic."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_upstream import Request
from tests.matrix.family import Event, Family, sse
from tests.matrix.said import Said, Told


class Messages(Family):
    """Anthropic's wire."""

    name = "messages"
    adapter = "anthropic"
    upstream = "claude-sonnet-4-5"

    def usage(self, said: Said) -> dict[str, Any]:
        return {
            "input_tokens": said.input - said.cached,
            "cache_read_input_tokens": said.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": said.output,
        }

    def _stop(self, said: Said) -> str:
        return {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}[said.stop]

    def _blocks(self, said: Said) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        if said.thinking:
            blocks.append({"type": "thinking", "thinking": "".join(said.thinking),
                           "signature": said.signature})  # fmt: skip
        if said.text:
            blocks.append({"type": "text", "text": "".join(said.text)})
        blocks += [
            {"type": "tool_use", "id": tool.id, "name": tool.name,
                           "input": json.loads(tool.arguments)}
            for tool in said.tools
        ]  # fmt: skip
        return blocks

    def whole(self, said: Said) -> dict[str, Any]:
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": self.upstream,
            "content": self._blocks(said), "stop_reason": self._stop(said), "stop_sequence": None,
            "usage": self.usage(said),
        }  # fmt: skip

    def objects(self, said: Said) -> list[dict[str, Any]]:
        begun = {**self.whole(said), "content": [], "stop_reason": None}
        begun["usage"] = {**self.usage(said), "output_tokens": 1}
        out: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if said.thinking:
            deltas: list[dict[str, Any]] = [
                {"type": "thinking_delta", "thinking": piece} for piece in said.thinking
            ]
            deltas.append({"type": "signature_delta", "signature": said.signature})
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        if said.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in said.text]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for tool in said.tools:
            start = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in ("", *tool.pieces)]
            blocks.append((start, deltas))
        for index, (start, deltas) in enumerate(blocks):
            out.append({"type": "content_block_start", "index": index, "content_block": start})
            if index == 0:
                out.append({"type": "ping"})
            out += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
            out.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": self._stop(said), "stop_sequence": None}
        usage = {"output_tokens": said.output}
        out.append({"type": "message_delta", "delta": delta, "usage": usage})
        out.append({"type": "message_stop"})
        return out

    def events(self, said: Said) -> list[Event]:
        return [sse(event, event["type"]) for event in self.objects(said)]

    def _error(self, kind: str, text: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": text}}

    def broken(self) -> Event:
        return sse(self._error("overloaded_error", "Overloaded just now"), "error")

    def refusal(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        return 429, self._error("rate_limit_error", "Slow down"), [("retry-after", "7")]

    def told(self, request: Request) -> Told:
        assert request.path == "/v1/messages"
        assert request.header("anthropic-version")
        told = self.read(request.json())
        told.secret = request.header("x-api-key")
        return told

    def read(self, body: dict[str, Any]) -> Told:
        told = Told(model=body.get("model", ""), stream=body.get("stream", False))
        system = body.get("system") or ""
        told.system = system if isinstance(system, str) else "".join(b["text"] for b in system)
        told.max_tokens = body["max_tokens"]
        for tool in body.get("tools", []):
            told.tools[tool["name"]] = tool["input_schema"]
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for block in blocks:
                self._block(told, message["role"], block)
        return told

    def _block(self, told: Told, role: str, block: dict[str, Any]) -> None:
        if block["type"] == "text" and role == "user":
            told.user += block["text"]
        elif block["type"] == "image":
            told.picture = block["source"]["data"]
        elif block["type"] == "tool_use":
            told.calls.append((block["name"], block["input"]))
        elif block["type"] == "tool_result":
            content = block["content"]
            told.results.append(
                content if isinstance(content, str) else "".join(b["text"] for b in content)
            )
