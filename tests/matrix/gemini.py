"""The fakes of Google's two homes of one wire."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_upstream import Request
from tests.matrix.family import Event, Family, sse
from tests.matrix.said import Said, Told


class Gemini(Family):
    """Google's wire on AI Studio."""

    name = "google"
    adapter = "google"
    upstream = "gemini-2.5-flash"

    def base(self, root: str) -> str:
        return root + "/v1beta"

    def _usage(self, said: Said) -> dict[str, Any]:
        return {
            "promptTokenCount": said.input,
            "cachedContentTokenCount": said.cached,
            "candidatesTokenCount": said.output - said.reasoning,
            "thoughtsTokenCount": said.reasoning,
            "totalTokenCount": said.input + said.output,
        }

    def _finish(self, said: Said) -> str:
        return "MAX_TOKENS" if said.stop == "length" else "STOP"

    def _body(self, parts: list[dict[str, Any]], said: Said, finish: str = "") -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": self._usage(said),
                "modelVersion": self.upstream, "responseId": "resp-1"}  # fmt: skip

    def _calls(self, said: Said) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for tool in said.tools:
            call = {"id": tool.id, "name": tool.name, "args": json.loads(tool.arguments)}
            parts.append({"functionCall": call})
        if parts:
            parts[0]["thoughtSignature"] = "c2lnbmVk"
        return parts

    def whole(self, said: Said) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        if said.thinking:
            parts.append({"text": "".join(said.thinking), "thought": True})
        if said.text:
            part = {"text": "".join(said.text)}
            parts.append(part | ({"thoughtSignature": said.signature} if said.signature else {}))
        return self._body(parts + self._calls(said), said, self._finish(said))

    def events(self, said: Said) -> list[Event]:
        parts: list[dict[str, Any]] = [{"text": p, "thought": True} for p in said.thinking]
        parts += [{"text": piece} for piece in said.text]
        out = [sse(self._body([part], said)) for part in parts]
        calls = self._calls(said)
        if calls:
            out.append(sse(self._body(calls, said)))
        out.append(sse(self._body([{"text": ""}], said, self._finish(said))))
        return out

    def broken(self) -> Event:
        error = {"code": 503, "message": "Overloaded just now", "status": "UNAVAILABLE"}
        return sse({"error": error})

    def refusal(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        error = {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED",
                 "details": [retry]}  # fmt: skip
        return 429, {"error": error}, []

    def told(self, request: Request) -> Told:
        path, _, query = request.path.partition("?")
        model, _, method = path.rpartition("/")[2].partition(":")
        stream = method == "streamGenerateContent"
        assert method in ("generateContent", "streamGenerateContent")
        assert not stream or query == "alt=sse"
        told = Told(model=model, stream=stream)
        told.secret = request.header("x-goog-api-key")
        body = request.json()
        told.max_tokens = body.get("generationConfig", {}).get("maxOutputTokens")
        for part in body.get("systemInstruction", {}).get("parts", []):
            told.system += part["text"]
        for tool in body.get("tools", []):
            for one in tool["functionDeclarations"]:
                told.tools[one["name"]] = one.get("parametersJsonSchema") or one.get("parameters")
        for content in body["contents"]:
            for part in content["parts"]:
                self._part(told, content["role"], part)
        return told

    def _part(self, told: Told, role: str, part: dict[str, Any]) -> None:
        if "inlineData" in part:
            told.picture = part["inlineData"]["data"]
        elif "functionCall" in part:
            told.calls.append((part["functionCall"]["name"], part["functionCall"]["args"]))
        elif "functionResponse" in part:
            told.results.append(json.dumps(part["functionResponse"]["response"]))
        elif role == "user":
            told.user += part["text"]


class Vertex(Gemini):
    """The same wire on Vertex, with an express key."""

    name = "vertex"
    adapter = "vertex"

    def base(self, root: str) -> str:
        return root
