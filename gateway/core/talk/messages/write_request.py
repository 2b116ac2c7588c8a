"""A request on the Messages wire, written from the form.

What a client of the same dialect said is written as it was said; the rest of this module is about
what others mean, and what a model on this wire takes of it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.core.talk.fitting import passed_on
from gateway.core.talk.messages.effort import add_thinking
from gateway.core.talk.messages.parts import Block, BlockWriter
from gateway.core.talk.messages.schemas import fitting
from gateway.core.talk.messages.traits import Traits, traits_of
from gateway.core.talk.messages.wire import DIALECT, cache_control
from gateway.core.talk.model import Losses, Message, Talk, Tool
from gateway.errors import invalid

MAX_TOKENS: Final = 8_192  # where neither the client nor the caller says how much
_ANY_SCHEMA: Final = msgspec.Raw(b'{"type":"object"}')
_FREE_TEXT: Final = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
)
Body = dict[str, Any]


def write_request(
    talk: Talk,
    losses: Losses,
    *,
    max_tokens: int = MAX_TOKENS,
    traits: Traits | None = None,
) -> bytes:
    """The whole body. `max_tokens` is what is asked for when the client says nothing.

    `traits` are the model's, by default by its name in `talk.model`.
    """
    traits = traits or traits_of(talk.model)
    same = talk.dialect == DIALECT
    blocks = BlockWriter(talk.dialect, losses)
    body: Body = {"model": talk.model}
    body["max_tokens"] = talk.max_tokens
    if talk.max_tokens is None:
        body["max_tokens"] = min(max_tokens, traits.max_output)
    _add_conversation(body, talk, blocks)
    _add_tools(body, talk, losses)
    _add_format(body, talk, traits, losses)
    thinks = add_thinking(body, talk, traits, losses)
    _add_sampling(body, talk, losses, taken=same or (traits.sampling and not thinks))
    _add_choice(body, talk, losses, forced=same or not thinks)
    _add_rest(body, talk, losses)
    return msgspec.json.encode(body)


def _add_conversation(body: Body, talk: Talk, blocks: BlockWriter) -> None:
    """The system's words in front are their own member; the turns alternate."""
    messages = talk.messages
    start = 0
    while start < len(messages) and messages[start].role == "system":
        start += 1
    system = [block for message in messages[:start] for block in blocks.content(message)]
    if system:
        body["system"] = _shortest(system)
    same = talk.dialect == DIALECT
    turns: list[Body] = []
    for message in messages[start:]:
        _add_turn(turns, message, blocks.content(message), same=same)
    for turn in turns if not same else ():
        if turn["role"] == "user":
            turn["content"].sort(key=_is_no_result)
    if not turns and not same:
        raise invalid(
            "No message is left to send: this route needs one of the user's, "
            "and takes text, pictures and documents.",
            "messages",
        )
    body["messages"] = turns


def _add_turn(turns: list[Body], message: Message, content: list[Block], *, same: bool) -> None:
    """One turn, or more of the last one; a later word of the system's is said by the user."""
    if not content and not same:
        return
    role = "user" if message.role == "system" and not same else message.role
    if turns and turns[-1]["role"] == role and not same:
        turns[-1]["content"] += content
    else:
        turns.append({"role": role, "content": content})


def _is_no_result(block: Block) -> bool:
    return not (isinstance(block, dict) and block.get("type") == "tool_result")


def _shortest(content: list[Block]) -> str | list[Block]:
    """Plain words as a string."""
    only = content[0]
    if len(content) == 1 and isinstance(only, dict) and only.keys() == {"type", "text"}:
        return str(only["text"])
    return content


def _add_tools(body: Body, talk: Talk, losses: Losses) -> None:
    tools: list[Any] = []
    for index, tool in enumerate(talk.tools):
        if isinstance(tool, Tool):
            tools.append(_tool(tool, losses))
        elif tool.dialect == DIALECT:
            tools.append(msgspec.Raw(tool.raw))
        else:
            losses.lose(f"tools[{index}]")
    if tools:
        body["tools"] = tools


def _tool(tool: Tool, losses: Losses) -> Body | msgspec.Raw:
    if tool.own is not None and tool.own.dialect == DIALECT:
        for name in tool.own.names:
            losses.keep(name)
        return msgspec.Raw(tool.own.raw)
    written: Body = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.custom:
        written["input_schema"] = _FREE_TEXT
        if tool.format:
            losses.lose("tools.format")
    else:
        written["input_schema"] = msgspec.Raw(tool.schema) if tool.schema else _ANY_SCHEMA
    if tool.strict is not None:
        written["strict"] = tool.strict
    if tool.cache:
        written["cache_control"] = cache_control(tool.cache)
    return written


def _add_choice(body: Body, talk: Talk, losses: Losses, *, forced: bool) -> None:
    """Which tools may be called; a model that thinks can't be made to call one."""
    if talk.dialect != DIALECT and "tools" not in body:
        return
    written: Body = {}
    choice = talk.choice
    if choice is not None and choice.mode in ("any", "tool") and not forced:
        losses.lose("tool_choice")
        choice = None
    if choice is not None:
        written["type"] = choice.mode
        if choice.mode == "tool":
            written["name"] = choice.name
    said = talk.parallel is not None and (talk.dialect == DIALECT or not talk.parallel)
    if said and written.get("type") != "none":
        written.setdefault("type", "auto")
        written["disable_parallel_tool_use"] = not talk.parallel
    if written:
        body["tool_choice"] = written


def _add_sampling(body: Body, talk: Talk, losses: Losses, *, taken: bool) -> None:
    """Temperature and its kin; only a client of the same dialect may send them together."""
    same = talk.dialect == DIALECT
    asked = {"temperature": talk.temperature, "top_p": talk.top_p, "top_k": talk.top_k}
    for name, value in asked.items():
        if value is None:
            continue
        if not taken or (name == "top_p" and not same and talk.temperature is not None):
            if not (name == "temperature" and value == 1):
                losses.lose(name)
            continue
        body[name] = value
    if not same and body.get("temperature", 0) > 1:
        body["temperature"] = 1
        losses.lose("temperature")
    if talk.stop:
        stop = talk.stop if same else [words for words in talk.stop if words.strip()]
        if len(stop) < len(talk.stop):
            losses.lose("stop")
        if stop:
            body["stop_sequences"] = stop


def _add_format(body: Body, talk: Talk, traits: Traits, losses: Losses) -> None:
    asked = talk.format
    if asked is None:
        return
    same = talk.dialect == DIALECT
    name = "text.format" if talk.dialect == "responses" else "response_format"
    if asked.kind != "schema" or not asked.schema or not (traits.schema or same):
        losses.lose(name)
        return
    schema, dropped = (asked.schema, ()) if same else fitting(asked.schema)
    for word in dropped:
        losses.lose(f"{name}.schema.{word}")
    form = {"type": "json_schema", "schema": msgspec.Raw(schema)}
    body["output_config"] = {"format": form}


def _add_rest(body: Body, talk: Talk, losses: Losses) -> None:
    _add_user(body, talk, losses)
    tier = talk.service_tier
    if talk.dialect != DIALECT:
        tier = {"auto": "auto", "default": "standard_only"}.get(tier, "")
        if talk.service_tier and not tier:
            losses.lose("service_tier")
        _lose_unsaid(talk, losses)
    if tier:
        body["service_tier"] = tier
    if talk.stream:
        body["stream"] = True
    for name, raw in passed_on(talk, DIALECT, losses).items():
        if name not in body:
            body[name] = msgspec.Raw(raw)


def _add_user(body: Body, talk: Talk, losses: Losses) -> None:
    if talk.metadata and talk.dialect == DIALECT:
        body["metadata"] = msgspec.Raw(talk.metadata)
        return
    if talk.metadata:
        losses.lose("metadata")
    if talk.user:
        body["metadata"] = {"user_id": talk.user}


def _lose_unsaid(talk: Talk, losses: Losses) -> None:
    """What this wire has no word for; asking for the default is no loss."""
    unsaid = {
        "n": talk.n not in (None, 1),
        "seed": talk.seed is not None,
        "presence_penalty": bool(talk.presence_penalty),
        "frequency_penalty": bool(talk.frequency_penalty),
        "logit_bias": talk.logit_bias not in (b"", b"{}", b"null"),
        "logprobs": bool(talk.logprobs),
        "top_logprobs": bool(talk.top_logprobs),
        "verbosity": bool(talk.verbosity),
        "prompt_cache_key": bool(talk.cache_key),
    }
    for name, said in unsaid.items():
        if said:
            losses.lose(name)
