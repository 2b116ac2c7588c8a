"""The official SDKs, one for each dialect, behind one face: what they send, what they hear."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai

from tests.matrix.said import PICTURE, TOOLS, Heard, Tool
from tests.official import anthropic_client, openai_client

SYSTEM = "Be brief."
ASK = "Hi there"
URL = f"data:image/png;base64,{PICTURE}"


class Client(ABC):
    """One dialect, spoken by its own SDK."""

    name: str
    refused: type[Exception]
    lost: tuple[type[Exception], ...]

    def __init__(self, root: str, key: str, model: str) -> None:
        self.root, self.key, self.model = root, key, model

    @abstractmethod
    def request(self, *, tools: bool = False, picture: bool = False) -> dict[str, Any]: ...

    @abstractmethod
    def again(self, heard: Heard, results: dict[str, str]) -> dict[str, Any]:
        """The next turn: what was heard goes back, with the results of the tools it asked for."""

    @abstractmethod
    async def plain(self, request: dict[str, Any]) -> Heard: ...

    @abstractmethod
    async def stream(self, request: dict[str, Any], seen: list[str] | None = None) -> Heard: ...

    @abstractmethod
    def close(self) -> Any: ...


class ChatClient(Client):
    name = "chat"
    refused = openai.RateLimitError
    lost = (openai.APIError,)

    def __init__(self, root: str, key: str, model: str) -> None:
        super().__init__(root, key, model)
        self.sdk = openai_client(root + "/v1", key, max_retries=0)

    def request(self, *, tools: bool = False, picture: bool = False) -> dict[str, Any]:
        content: Any = ASK
        if picture:
            image = {"type": "image_url", "image_url": {"url": URL}}
            content = [{"type": "text", "text": ASK}, image]
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": "developer", "content": SYSTEM},
                {"role": "user", "content": content},
            ],
            "max_completion_tokens": 900,
        }
        if tools:
            asked["tools"] = [
                {"type": "function",
                 "function": {"name": name, "description": text, "parameters": schema}}
                for name, (text, schema) in TOOLS.items()
            ]  # fmt: skip
        return asked

    def again(self, heard: Heard, results: dict[str, str]) -> dict[str, Any]:
        asked = self.request(tools=True)
        message = heard.final.choices[0].message
        asked["messages"].append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            content = results[call.function.name]
            asked["messages"].append({"role": "tool", "tool_call_id": call.id, "content": content})
        return asked

    async def plain(self, request: dict[str, Any]) -> Heard:
        made = await self.sdk.chat.completions.create(**request)
        return self._heard(made)

    async def stream(self, request: dict[str, Any], seen: list[str] | None = None) -> Heard:
        options: Any = {"include_usage": True}
        async with self.sdk.chat.completions.stream(**request, stream_options=options) as stream:
            try:
                async for event in stream:
                    if seen is not None and event.type == "content.delta":
                        seen.append(event.delta)
                return self._heard(await stream.get_final_completion())
            except (
                openai.LengthFinishReasonError
            ) as cut:  # the helper's word for an answer cut short
                return self._heard(cut.completion)

    def _heard(self, made: Any) -> Heard:
        choice = made.choices[0]
        message = choice.message
        return Heard(
            text=message.content or "",
            thinking=getattr(message, "reasoning_content", None) or "",
            tools=[(c.function.name, c.function.arguments) for c in message.tool_calls or []],
            stop={"tool_calls": "tool"}.get(choice.finish_reason, choice.finish_reason),
            input=made.usage.prompt_tokens if made.usage else 0,
            cached=made.usage.prompt_tokens_details.cached_tokens if made.usage else 0,
            output=made.usage.completion_tokens if made.usage else 0,
            final=made,
        )

    def close(self) -> Any:
        return self.sdk.close()


class LostError(Exception):
    """An error event, which this SDK hands on like any other."""


class ResponsesClient(Client):
    name = "responses"
    refused = openai.RateLimitError
    lost = (openai.APIError, LostError)

    def __init__(self, root: str, key: str, model: str) -> None:
        super().__init__(root, key, model)
        self.sdk = openai_client(root + "/v1", key, max_retries=0)

    def request(self, *, tools: bool = False, picture: bool = False) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "input_text", "text": ASK}]
        if picture:
            content.append({"type": "input_image", "image_url": URL, "detail": "auto"})
        asked: dict[str, Any] = {
            "model": self.model,
            "instructions": SYSTEM,
            "input": [{"role": "user", "content": content}],
            "max_output_tokens": 900,
        }
        if tools:
            asked["tools"] = [
                {"type": "function", "name": name, "description": text, "parameters": schema,
                 "strict": False} for name, (text, schema) in TOOLS.items()
            ]  # fmt: skip
        return asked

    def again(self, heard: Heard, results: dict[str, str]) -> dict[str, Any]:
        asked = self.request(tools=True)
        asked["input"] += [item.model_dump(exclude_none=True) for item in heard.final.output]
        for item in heard.final.output:
            if item.type == "function_call":
                output = results[item.name]
                asked["input"].append(
                    {"type": "function_call_output", "call_id": item.call_id, "output": output}
                )
        return asked

    async def plain(self, request: dict[str, Any]) -> Heard:
        return self._heard(await self.sdk.responses.create(**request))

    async def stream(self, request: dict[str, Any], seen: list[str] | None = None) -> Heard:
        async with self.sdk.responses.stream(**request) as stream:
            number = -1
            async for event in stream:
                if event.type == "error":
                    raise LostError(event.message)
                assert event.sequence_number == number + 1, event
                number = event.sequence_number
                if seen is not None and event.type == "response.output_text.delta":
                    seen.append(event.delta)
                if event.type == "response.incomplete":  # the helper knows no such end
                    return self._heard(event.response)
            return self._heard(await stream.get_final_response())

    def _heard(self, made: Any) -> Heard:
        tools = [(o.name, o.arguments) for o in made.output if o.type == "function_call"]
        thinking = [
            part.text
            for o in made.output
            if o.type == "reasoning"
            for part in [*o.summary, *(o.content or [])]
        ]
        cut = made.status == "incomplete"
        if cut:
            assert made.incomplete_details.reason == "max_output_tokens"
        return Heard(
            text=made.output_text,
            thinking="".join(thinking),
            tools=tools,
            stop="length" if cut else "tool" if tools else "stop",
            input=made.usage.input_tokens if made.usage else 0,
            cached=made.usage.input_tokens_details.cached_tokens if made.usage else 0,
            output=made.usage.output_tokens if made.usage else 0,
            final=made,
        )

    def close(self) -> Any:
        return self.sdk.close()


class MessagesClient(Client):
    name = "messages"
    refused = anthropic.RateLimitError
    lost = (anthropic.APIError,)

    def __init__(self, root: str, key: str, model: str) -> None:
        super().__init__(root, key, model)
        self.sdk = anthropic_client(root, key, max_retries=0)

    def request(self, *, tools: bool = False, picture: bool = False) -> dict[str, Any]:
        content: Any = ASK
        if picture:
            source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
            content = [{"type": "image", "source": source}, {"type": "text", "text": ASK}]
        asked: dict[str, Any] = {
            "model": self.model,
            "system": SYSTEM,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 900,
        }
        if tools:
            asked["tools"] = [
                {"name": name, "description": text, "input_schema": schema}
                for name, (text, schema) in TOOLS.items()
            ]
        return asked

    def again(self, heard: Heard, results: dict[str, str]) -> dict[str, Any]:
        asked = self.request(tools=True)
        content = [block.model_dump(exclude_none=True) for block in heard.final.content]
        asked["messages"].append({"role": "assistant", "content": content})
        asked["messages"].append(
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": block.id,
                     "content": results[block.name]}
                    for block in heard.final.content
                    if block.type == "tool_use"
                ],
            }
        )  # fmt: skip
        return asked

    async def plain(self, request: dict[str, Any]) -> Heard:
        return self._heard(await self.sdk.messages.create(**request))

    async def stream(self, request: dict[str, Any], seen: list[str] | None = None) -> Heard:
        async with self.sdk.messages.stream(**request) as stream:
            async for event in stream:
                if seen is not None and event.type == "text":
                    seen.append(event.text)
            return self._heard(await stream.get_final_message())

    def _heard(self, made: Any) -> Heard:
        usage = made.usage
        cached = usage.cache_read_input_tokens or 0
        written = usage.cache_creation_input_tokens or 0
        stop = {"end_turn": "stop", "tool_use": "tool", "max_tokens": "length"}
        return Heard(
            text="".join(b.text for b in made.content if b.type == "text"),
            thinking="".join(b.thinking for b in made.content if b.type == "thinking"),
            tools=[(b.name, json.dumps(b.input)) for b in made.content if b.type == "tool_use"],
            stop=stop.get(made.stop_reason, made.stop_reason),
            input=usage.input_tokens + cached + written,
            cached=cached,
            output=usage.output_tokens,
            final=made,
        )

    def close(self) -> Any:
        return self.sdk.close()


CLIENTS: dict[str, type[Client]] = {
    client.name: client for client in (ChatClient, ResponsesClient, MessagesClient)
}


@asynccontextmanager
async def client_of(dialect: str, root: str, key: str, model: str) -> AsyncIterator[Client]:
    """An SDK that speaks this dialect."""
    made = CLIENTS[dialect](root, key, model)
    try:
        yield made
    finally:
        await made.close()


def same_tools(heard: list[tuple[str, str]], said: tuple[Tool, ...]) -> bool:
    """The same calls in the same order, arguments compared as values."""
    mine = [(name, json.loads(arguments)) for name, arguments in heard]
    return mine == [(tool.name, json.loads(tool.arguments)) for tool in said]


assert base64.b64decode(PICTURE).startswith(b"\x89PNG")
