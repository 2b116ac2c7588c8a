"""The fake of hosts that speak OpenAI's chat wire."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_upstream import Request
from tests.matrix.family import Event, Family, data_url, sse
from tests.matrix.said import Said, Told


class Chat(Family):
    """OpenAI's chat wire, as most hosts speak it."""

    name = "chat"
    adapter = "openai-compatible"
    signs = False

    def base(self, root: str) -> str:
        return root + "/v1"

    def usage(self, said: Said) -> dict[str, Any]:
        return {
            "prompt_tokens": said.input,
            "completion_tokens": said.output,
            "total_tokens": said.input + said.output,
            "prompt_tokens_details": {"cached_tokens": said.cached},
            "completion_tokens_details": {"reasoning_tokens": said.reasoning},
        }

    def finish(self, said: Said) -> str:
        return {"tool": "tool_calls"}.get(said.stop, said.stop)

    def whole(self, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(said.text) or None}
        if said.thinking:
            message["reasoning_content"] = "".join(said.thinking)
        if said.tools:
            message["tool_calls"] = [
                {"id": t.id, "type": "function",
                 "function": {"name": t.name, "arguments": t.arguments}} for t in said.tools
            ]  # fmt: skip
        choice = {"index": 0, "message": message, "finish_reason": self.finish(said)}
        top = {"id": "c1", "object": "chat.completion", "created": 7, "model": "up-model"}
        return {**top, "choices": [choice], "usage": self.usage(said)}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        top = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "up-model"}
        return sse({**top, "choices": [choice]})

    def events(self, said: Said) -> list[Event]:
        out = [self._chunk({"role": "assistant", "content": ""})]
        out += [self._chunk({"reasoning_content": piece}) for piece in said.thinking]
        out += [self._chunk({"content": piece}) for piece in said.text]
        for index, tool in enumerate(said.tools):
            start = {"name": tool.name, "arguments": ""}
            call = {"index": index, "id": tool.id, "type": "function", "function": start}
            out.append(self._chunk({"tool_calls": [call]}))
            for piece in tool.pieces:
                more = {"index": index, "function": {"arguments": piece}}
                out.append(self._chunk({"tool_calls": [more]}))
        out.append(self._chunk({}, self.finish(said)))
        top = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "up-model"}
        out.append(sse({**top, "choices": [], "usage": self.usage(said)}))
        out.append(b"data: [DONE]\n\n")
        return out

    def broken(self) -> Event:
        return sse({"error": {"message": "Overloaded just now", "type": "server_error"}})

    def refusal(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        error = {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}
        return 429, {"error": error}, [("Retry-After", "7")]

    def told(self, request: Request) -> Told:
        body = request.json()
        told = Told(model=body["model"], stream=body.get("stream", False))
        told.secret = (request.header("authorization") or "").removeprefix("Bearer ")
        told.max_tokens = body.get("max_completion_tokens") or body.get("max_tokens")
        for tool in body.get("tools", []):
            told.tools[tool["function"]["name"]] = tool["function"]["parameters"]
        for message in body["messages"]:
            self._message(told, message)
        return told

    def _message(self, told: Told, message: dict[str, Any]) -> None:
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        if message["role"] in ("system", "developer"):
            told.system += text
        elif message["role"] == "tool":
            told.results.append(text)
        elif message["role"] == "user":
            told.user += text
            for part in parts:
                if part["type"] == "image_url":
                    told.picture = data_url(part["image_url"]["url"])
        for call in message.get("tool_calls", []):
            function = call["function"]
            told.calls.append((function["name"], json.loads(function["arguments"])))
