"""`gateway call`: a small streaming client of a running gateway. Cold path, so aiohttp's client."""

from __future__ import annotations

from typing import Any, TextIO

import aiohttp
import msgspec

from gateway.core import sse

_DONE = b"[DONE]"


class CallFailed(Exception):  # noqa: N818 - said to a person as it is
    """The call did not succeed; the text says why."""


async def ask(url: str, key: str, model: str, prompt: str, as_json: bool, out: TextIO) -> None:
    """Send one prompt; text streams to `out`, or the whole answer is printed as JSON."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": not as_json,
    }
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    address = url.rstrip("/") + "/chat/completions"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.post(address, json=body, headers=headers, allow_redirects=False) as reply,
        ):
            if reply.status != 200 or as_json:
                await _print_whole(reply, out)
            else:
                await _print_stream(reply, out)
    except aiohttp.ClientConnectionError:
        raise CallFailed(f"No gateway answers at {url}. Start one with: gateway serve") from None


async def _print_whole(reply: aiohttp.ClientResponse, out: TextIO) -> None:
    raw = await reply.read()
    if reply.status != 200:
        raise CallFailed(f"{reply.status}: {_message(raw)}")
    out.write(raw.decode() + "\n")


async def _print_stream(reply: aiohttp.ClientResponse, out: TextIO) -> None:
    splitter = sse.Splitter()
    async for data in reply.content.iter_any():
        for event in splitter.feed(data):
            payload = sse.data_of(event)
            if payload is None or payload == _DONE:
                continue
            chunk = msgspec.json.decode(payload, type=dict[str, Any])
            if chunk.get("error"):
                out.write("\n")
                raise CallFailed(_message(payload))
            out.write(_text(chunk))
            out.flush()
    out.write("\n")


def _text(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _message(raw: bytes) -> str:
    try:
        return str(msgspec.json.decode(raw)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "The answer was not one of the gateway's."
