"""Recorded chat traffic, read into the form and written again, says what it said."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.core.talk.chat import Reader, Writer, read_request, write_request
from gateway.core.talk.chat.answer import read_answer, write_answer
from gateway.core.talk.events import Broke, Ended, Event, Used
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.model import Losses
from tests import recorded

PROVIDERS = (
    *("openai", "azure", "groq", "mistral", "deepseek", "xai", "zhipu", "alibaba", "openrouter"),
    *("cerebras", "crusoe", "huggingface", "ollama", "llamacpp", "perplexity", "snowflake"),
    *("together", "venice"),
)
EVERY_BYTE_UNDER = 8192
ASKED = JsonBody.parse(b'{"model":"m","messages":[],"stream_options":{"include_usage":true}}')

# Another wire: this host's own chat, without choices.
NATIVE = {
    "openllmetry-opentelemetry-instrumentation-ollama-test_chat-test_ollama_chat_legacy-0",
    "openllmetry-opentelemetry-instrumentation-ollama-test_chat-test_ollama_async_streaming-76b81114-0",
}
# The host tells of a failure in the middle of the stream.
BROKEN = {
    "req_llm-groq-meta_llama_llama_4_scout_17b_16e_instruct-object_streaming-0",
    "pydantic-ai-test_groq-test_tool_use_failed_error_streaming_with_text-0",
    "pydantic-ai-test_openrouter-test_openrouter_stream_error-0",
}
# Clients that leave `tool_call_id` out: the result is the first unanswered call's.
WITHOUT_IDS = {
    "req_llm-zai-glm_4_5_flash-tool_round_trip_2-0",
    "req_llm-zai-glm_4_5v-tool_round_trip_2-0",
    "req_llm-zai_coder-glm_4_5_air-tool_round_trip_2-0",
}
FINISH = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}

pytestmark = recorded.needs_corpus


def is_native(case: Path) -> bool:
    """Rig's recordings of this host are all of its own wire."""
    return case.name in NATIVE or case.name.startswith("rig-ollama-")


EVERY = [case for name in PROVIDERS for case in recorded.cases(name, "chat", "chat_stream")]
OURS = [case for case in EVERY if not is_native(case)]
WHOLE = [case for case in OURS if case.parts[-2] == "chat"]
STREAMS = [case for case in OURS if case.parts[-2] == "chat_stream"]
REQUESTS = [case for case in WHOLE + STREAMS if (case / "request.json").exists()]

UNBROKEN = [case for case in STREAMS if case.name not in BROKEN]


def streamed(case: Path) -> bytes:
    """A recorded stream; one that lost its frames is framed again."""
    file = recorded.response_file(case)
    if file.suffix == ".sse":
        return file.read_bytes()
    lines = [line for line in file.read_bytes().splitlines() if line.strip()]
    return b"".join(b"data: " + line + b"\n\n" for line in [*lines, b"[DONE]"])


def values(stream: bytes) -> list[dict[str, Any]]:
    """A stream's JSON values, by nothing but its lines."""
    lines = [line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line and line != b"[DONE]"]


def said(message: dict[str, Any], into: dict[str, Any]) -> None:
    """Add a message's or a delta's words to what was said before."""
    content = message.get("content")
    for piece in content if isinstance(content, list) else [{"text": content or ""}]:
        into["text"] += piece.get("text") or ""
        into["reasoning"] += "".join(item["text"] for item in piece.get("thinking") or ())
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    details = message.get("reasoning_details") or ()
    if not reasoning:
        reasoning = "".join(item.get("text") or item.get("summary") or "" for item in details)
    into["reasoning"] += reasoning
    into["sealed"] += [item["data"] for item in details if item.get("data")]
    into["signature"] += "".join(item.get("signature") or "" for item in details)
    into["refusal"] += message.get("refusal") or ""
    for item in message.get("annotations") or ():
        if item["type"] == "url_citation":
            found = item["url_citation"]
            into["sources"].append((found["url"], found["title"], found["start_index"]))
    into["images"] += [item["image_url"]["url"] for item in message.get("images") or ()]
    audio = message.get("audio") or {}
    into["audio"] += audio.get("data") or ""
    for position, call in enumerate(message.get("tool_calls") or ()):
        index = call.get("index", position) if into["streamed"] else len(into["tools"])
        tool = into["tools"].setdefault(index, ["", "", ""])
        function = call.get("function") or {}
        tool[0] = tool[0] or call.get("id") or ""
        tool[1] = tool[1] or function.get("name") or ""
        tool[2] += function.get("arguments") or ""
    if (message.get("function_call") or {}).get("name"):
        function = message["function_call"]
        into["tools"].setdefault(0, [None, function["name"], ""])[2] += function["arguments"]


def nothing(*, stream: bool) -> dict[str, Any]:
    words = dict.fromkeys(("text", "reasoning", "refusal", "audio", "signature"), "")
    lists: dict[str, Any] = {"sources": [], "sealed": [], "images": [], "tools": {}}
    return {**words, **lists, "finish": None, "usage": None, "streamed": stream}


def plain(found: Iterable[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
    """What a whole answer or a stream says, read without any of the gateway's code."""
    answer = nothing(stream=stream)
    for value in found:
        for choice in value.get("choices") or ():
            if choice.get("index"):
                continue
            said(choice.get("delta" if stream else "message") or {}, answer)
            answer["finish"] = choice.get("finish_reason") or answer["finish"]
            answer["usage"] = choice.get("usage") or answer["usage"]
        answer["usage"] = value.get("usage") or answer["usage"]
    answer["tools"] = list(answer["tools"].values())
    answer["usage"] = figures(answer["usage"])
    return answer


def figures(usage: dict[str, Any] | None) -> dict[str, int] | None:
    if usage is None:
        return None
    into = usage.get("prompt_tokens_details") or {}
    out = usage.get("completion_tokens_details") or {}
    output, thought = usage.get("completion_tokens", 0), out.get("reasoning_tokens") or 0
    if thought and usage.get("total_tokens") == usage["prompt_tokens"] + output + thought:
        output += thought  # xAI counts what was thought beside what was said
    return {
        "input": usage["prompt_tokens"],
        "output": output,
        "cached": into.get("cached_tokens")
        or usage.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or 0,
        "reasoning": thought,
    }


def assert_same(written: dict[str, Any], recording: dict[str, Any]) -> None:
    for name in ("text", "reasoning", "refusal", "sources", "images", "audio", "usage"):
        assert written[name] == recording[name], name
    assert written["sealed"] == recording["sealed"]
    assert written["signature"] == recording["signature"]
    assert len(written["tools"]) == len(recording["tools"])
    for ours, theirs in zip(written["tools"], recording["tools"], strict=True):
        assert ours[1:] == theirs[1:]
        assert ours[0] == theirs[0] or (not theirs[0] and ours[0])
    finish = FINISH[recording["finish"] or "stop"]
    if recording["tools"] and finish == "stop":
        finish = "tool_calls"
    assert written["finish"] == finish


def splits(stream: bytes, seed: str) -> list[list[bytes]]:
    """Whole, split at random, and byte by byte where that is quick."""
    chance = random.Random(seed)
    at = sorted(chance.sample(range(1, len(stream)), min(40, len(stream) - 1)))
    pieces = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
    found = [[stream], pieces]
    if len(stream) < EVERY_BYTE_UNDER:
        found.append([stream[i : i + 1] for i in range(len(stream))])
    return found


def events_of(pieces: list[bytes]) -> list[Event]:
    reader = Reader()
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + list(reader.finish())


def comparable(events: list[Event]) -> list[Any]:
    """Faults are alike when they say the same."""
    return [str(event.fault) if isinstance(event, Broke) else event for event in events]


@recorded.parameters(EVERY)
def test_left_out(case: Path) -> None:
    """What is left out is another wire, and nothing on this wire is."""
    ours = b'"choices"' in recorded.response_file(case).read_bytes()
    assert (ours or case.name in BROKEN) != is_native(case)


@recorded.parameters(WHOLE)
def test_whole_answer(case: Path) -> None:
    """Words, calls, thoughts, finish and usage of a recorded answer arrive."""
    raw = recorded.response_file(case).read_bytes()
    recording = plain([json.loads(raw)], stream=False)
    answer = read_answer(raw)
    assert_same(plain([json.loads(write_answer(ASKED, answer))], stream=False), recording)
    assert msgspec.structs.replace(answer, usage=None) == msgspec.structs.replace(
        read_answer(raw), usage=None
    )


@recorded.parameters(STREAMS)
def test_stream(case: Path) -> None:
    """A recorded stream says the same, however its bytes are split."""
    stream = streamed(case)
    recording = plain(values(stream), stream=True)
    whole = events_of([stream])
    for pieces in splits(stream, case.name):
        assert comparable(events_of(pieces)) == comparable(whole)
    translator = Interpreter(Reader(), Writer(ASKED))
    written = translator.feed(stream) + translator.finish()
    if case.name in BROKEN:
        assert isinstance(whole[-1], Broke)
        assert translator.fault is not None
        assert not translator.complete
        return
    assert isinstance(whole[-1], Ended)
    assert translator.complete
    assert written.endswith(b"data: [DONE]\n\n")
    assert_same(plain(values(written), stream=True), recording)


def is_end_mark(event: bytes) -> bool:
    """A finish reason, usage without choices, or the mark itself."""
    found = values(event)
    finished = any(choice.get("finish_reason") for v in found for choice in v.get("choices") or ())
    counted = any(not v.get("choices") and v.get("usage") for v in found)
    return finished or counted or b"[DONE]" in event


@recorded.parameters(UNBROKEN)
def test_cut_stream_never_ends(case: Path) -> None:
    """Before its end mark, no stream is complete."""
    stream = streamed(case)
    events = stream.split(b"\n\n")
    marked = next(number for number, event in enumerate(events) if is_end_mark(event))
    cut = b"\n\n".join(events[:marked]) + b"\n\n"
    assert not any(isinstance(event, Ended) for event in events_of([cut]))
    assert any(isinstance(event, Used) for event in events_of([stream])) == (
        plain(values(stream), stream=True)["usage"] is not None
    )


def turns(request: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a request's messages say, each thing apart, in order."""
    found: list[tuple[Any, ...]] = []
    for message in request["messages"]:
        role = {"developer": "system"}.get(message["role"], message["role"])
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        details = message.get("reasoning_details") or ()
        thought = thought or "".join(item.get("text") or "" for item in details)
        if thought:
            found.append(("thought", thought))
        content = message.get("content")
        if content is None:
            content = []
        elif isinstance(content, str):
            content = [{"type": "text", "text": content}] if content else []
        for part in content:
            if part["type"] == "thinking":
                found.append(("thought", "".join(item["text"] for item in part["thinking"])))
            else:
                found.append((role, message.get("tool_call_id"), *meaning(part)))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            found.append(("call", call["id"], function["name"], function["arguments"]))
    return found


def meaning(part: dict[str, Any]) -> tuple[Any, ...]:
    """A part's kind and what it holds, the same for a host's own spelling of it."""
    kind = part["type"]
    found = part.get(kind)
    if kind in ("file_url", "document_url"):
        url = found["url"] if isinstance(found, dict) else found
        data = url.rpartition(",")[2]
        return ("file", data, None)
    if kind == "file":
        return ("file", found.get("file_data", "").rpartition(",")[2], found.get("file_id"))
    if kind in ("image_url", "video_url"):
        return (kind, found["url"] if isinstance(found, dict) else found)
    return (kind, found)


KEPT = (
    *("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "user"),
    *("service_tier", "verbosity", "prompt_cache_key", "logit_bias", "metadata"),
    *("parallel_tool_calls", "reasoning_effort"),
)
# Members that arrive under other names, and where their meaning is compared.
SAID_OTHERWISE = {"functions", "function_call", "thinking", "reasoning", "response_format"}
SAID_OTHERWISE |= {"stop", "max_tokens", "n", "stream_options", "stream"}


@recorded.parameters(REQUESTS)
def test_request(case: Path) -> None:
    """A recorded request, read and written, asks for the same; what it can't is named."""
    raw = (case / "request.json").read_bytes()
    asked = json.loads(raw)
    losses = Losses()
    written = write_request(read_request(JsonBody.parse(raw), losses), losses, cache_marks=True)
    again = read_request(JsonBody.parse(raw), Losses())
    assert written == write_request(again, Losses(), cache_marks=True)
    told = json.loads(written)
    ours, theirs = turns(told), turns(asked)
    if case.name in WITHOUT_IDS:
        ours = [(item[0], None, *item[2:]) if item[0] == "tool" else item for item in ours]
    assert ours == theirs
    for name in KEPT:
        if asked.get(name) is not None and (name != "parallel_tool_calls" or asked.get("tools")):
            assert told[name] == asked[name], name
    ceiling = asked.get("max_completion_tokens") or asked.get("max_tokens")
    assert told.get("max_completion_tokens") == ceiling
    stop = asked.get("stop")
    assert told.get("stop") == ([stop] if isinstance(stop, str) else stop)
    same_format(asked.get("response_format"), told.get("response_format"))
    same_tools(asked, told)
    lost = {name.partition(".")[0] for name in losses.names}
    spoken = {name for name, value in asked.items() if value not in (None, [], {}, False)}
    assert spoken - SAID_OTHERWISE - told.keys() - lost == set()


def same_format(asked: dict[str, Any] | None, told: dict[str, Any] | None) -> None:
    if asked is None or asked["type"] == "text":
        assert told is None
    elif asked["type"] == "json_schema":
        assert told is not None
        wanted = {"name": "answer"} | asked["json_schema"]
        assert told["json_schema"] == {k: v for k, v in wanted.items() if v is not None}
        first, second = (json.dumps(said["json_schema"]["schema"]) for said in (asked, told))
        assert first == second
    else:
        assert told == asked


def same_tools(asked: dict[str, Any], told: dict[str, Any]) -> None:
    tools = [*(asked.get("tools") or ())]
    tools += [{"type": "function", "function": item} for item in asked.get("functions") or ()]
    assert [strip(tool) for tool in told.get("tools") or ()] == [strip(tool) for tool in tools]
    # Schemas are bytes that only travel: their members keep their order.
    assert schemas(told.get("tools") or []) == schemas(tools)
    choice = asked.get("tool_choice") or asked.get("function_call")
    if choice is None or not tools:
        return
    if isinstance(choice, dict):
        name = choice.get("name") or choice["function"]["name"]
        choice = {"type": "function", "function": {"name": name}}
    assert told["tool_choice"] == ("required" if choice == "any" else choice)


def schemas(tools: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(tool.get("function", {}).get("parameters")) for tool in tools]


def strip(tool: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, which say nothing."""
    function = {k: v for k, v in (tool.get("function") or {}).items() if v is not None}
    return {"type": "function", **tool, "function": function}
