"""The fake of a model that is on the Responses API alone."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_upstream import Request
from tests.matrix.chat import Chat
from tests.matrix.family import Event, Family, data_url, sse
from tests.matrix.said import Said, Told


class Responses(Family):
    """A model that is on the Responses API alone."""

    name = "responses"
    adapter = "openai"
    route_options = "{api: responses}"

    def base(self, root: str) -> str:
        return root + "/v1"

    def _output(self, said: Said) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if said.thinking:
            summary = [{"type": "summary_text", "text": "".join(said.thinking)}]
            items.append({"id": "rs_1", "type": "reasoning", "summary": summary,
                          "encrypted_content": said.signature})  # fmt: skip
        if said.text:
            text = {"type": "output_text", "text": "".join(said.text), "annotations": []}
            items.append({"id": "msg_1", "type": "message", "role": "assistant",
                          "status": "completed", "content": [text]})  # fmt: skip
        items += [
            {"id": f"fc_{tool.id}", "type": "function_call", "call_id": tool.id,
                          "name": tool.name, "arguments": tool.arguments,
                          "status": "completed"}
            for tool in said.tools
        ]  # fmt: skip
        return items

    def whole(self, said: Said) -> dict[str, Any]:
        cut = said.stop == "length"
        return {
            "id": "resp_1", "object": "response", "created_at": 7, "model": "up-model",
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "error": None, "output": self._output(said), "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "metadata": {}, "temperature": 1.0, "top_p": 1.0,
            "instructions": None,
            "usage": {
                "input_tokens": said.input, "output_tokens": said.output,
                "input_tokens_details": {"cached_tokens": said.cached},
                "output_tokens_details": {"reasoning_tokens": said.reasoning},
                "total_tokens": said.input + said.output,
            },
        }  # fmt: skip

    def events(self, said: Said) -> list[Event]:
        begun = {**self.whole(said), "status": "in_progress", "output": [], "usage": None,
                 "incomplete_details": None}  # fmt: skip
        out: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(self._output(said)):
            out += self._item(said, index, item)
        final = self.whole(said)
        out.append({"type": f"response.{final['status']}", "response": final})
        numbered = [{**event, "sequence_number": n} for n, event in enumerate(out)]
        return [sse(event, event["type"]) for event in numbered]

    def _item(self, said: Said, index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
        at = {"output_index": index, "item_id": item["id"]}
        empty = {**item, "status": "in_progress"}
        pieces: list[dict[str, Any]] = []
        if item["type"] == "message":
            empty["content"] = []
            here = {**at, "content_index": 0}
            blank = {"type": "output_text", "text": "", "annotations": []}
            pieces.append({"type": "response.content_part.added", **here, "part": blank})
            pieces += [
                {"type": "response.output_text.delta", **here, "delta": piece, "logprobs": []}
                for piece in said.text
            ]
            pieces.append({"type": "response.output_text.done", **here, "logprobs": [],
                           "text": "".join(said.text)})  # fmt: skip
            part = item["content"][0]
            pieces.append({"type": "response.content_part.done", **here, "part": part})
        elif item["type"] == "function_call":
            empty["arguments"] = ""
            tool = next(tool for tool in said.tools if tool.id == item["call_id"])
            pieces += [
                {"type": "response.function_call_arguments.delta", **at, "delta": piece}
                for piece in tool.pieces
            ]
            pieces.append({"type": "response.function_call_arguments.done", **at,
                           "arguments": tool.arguments, "name": tool.name})  # fmt: skip
        else:
            empty["summary"] = []
            here = {**at, "summary_index": 0}
            blank = {"type": "summary_text", "text": ""}
            pieces.append({"type": "response.reasoning_summary_part.added", **here, "part": blank})
            pieces += [
                {"type": "response.reasoning_summary_text.delta", **here, "delta": piece}
                for piece in said.thinking
            ]
            whole = "".join(said.thinking)
            pieces.append({"type": "response.reasoning_summary_text.done", **here, "text": whole})
            pieces.append({"type": "response.reasoning_summary_part.done", **here,
                           "part": {"type": "summary_text", "text": whole}})  # fmt: skip
        started = {"type": "response.output_item.added", "output_index": index, "item": empty}
        ended = {"type": "response.output_item.done", "output_index": index, "item": item}
        return [started, *pieces, ended]

    def broken(self) -> Event:
        said = {"type": "error", "code": "server_error", "message": "Overloaded just now",
                "param": None, "sequence_number": 99}  # fmt: skip
        return sse(said, "error")

    refusal = Chat.refusal

    def told(self, request: Request) -> Told:
        assert request.path.endswith("/responses")
        body = request.json()
        told = Told(model=body["model"], stream=body.get("stream", False))
        told.secret = (request.header("authorization") or "").removeprefix("Bearer ")
        told.max_tokens = body.get("max_output_tokens")
        told.system = body.get("instructions") or ""
        for tool in body.get("tools", []):
            told.tools[tool["name"]] = tool["parameters"]
        items = body["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        for item in items:
            self._read(told, item)
        return told

    def _read(self, told: Told, item: dict[str, Any]) -> None:
        kind = item.get("type", "message")
        if kind == "function_call":
            told.calls.append((item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            output = item["output"]
            told.results.append(
                output if isinstance(output, str) else "".join(p.get("text", "") for p in output)
            )
        elif kind == "message":
            content = item["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            text = "".join(part.get("text", "") for part in parts)
            if item["role"] in ("system", "developer"):
                told.system += text
            elif item["role"] == "user":
                told.user += text
                for part in parts:
                    if part.get("type") == "input_image":
                        told.picture = data_url(part["image_url"])
