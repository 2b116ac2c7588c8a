"""The shapes of requests in the chat dialect, as msgspec reads them."""

from __future__ import annotations

from msgspec import Raw, Struct

from gateway.core.talk.chat.parts import NOTHING, CallPart, CustomPart, Detail, FunctionPart


class CacheControl(Struct, gc=False):
    type: str | None = None
    ttl: str | None = None


class Content(Struct, gc=False):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Raw = NOTHING
    video_url: Raw = NOTHING
    input_audio: Raw = NOTHING
    file: Raw = NOTHING
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: Raw = NOTHING


class Url(Struct, gc=False):
    url: str = ""
    detail: str | None = None


class Audio(Struct, gc=False):
    data: str = ""
    format: str = ""


class File(Struct, gc=False):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Said(Struct, gc=False):
    role: str
    content: Raw = NOTHING
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    tool_call_id: str | None = None
    function_call: FunctionPart | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None


class ToolPart(Struct, gc=False):
    type: str = "function"
    function: FunctionPart | None = None
    custom: CustomPart | None = None
    cache_control: CacheControl | None = None


class Schema(Struct, gc=False):
    name: str = ""
    schema: Raw = NOTHING
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct, gc=False):
    type: str = "text"
    json_schema: Schema | None = None


class Allowed(Struct, gc=False):
    mode: str = "auto"


class Choice(Struct, gc=False):
    type: str = "function"
    name: str | None = None
    function: FunctionPart | None = None
    custom: CustomPart | None = None
    allowed_tools: Allowed | None = None


class Reasoning(Struct, gc=False):
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    summary: str | None = None
    type: str | None = None
    budget_tokens: int | None = None
