"""`gateway call`: a small streaming client of a running gateway. Cold path, so aiohttp's client."""

from __future__ import annotations

from typing import Any, TextIO

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from gateway.core import sse

_DONE = b"[DONE]"
_FOREIGN = "The answer was not one of the gateway's. Is --url the base URL of a gateway?"
_BROKEN = "The connection broke before the answer was complete."


class CallFailed(Exception):  # noqa: N818 - said to a person as it is
    """The call did not succeed; the text says why."""


class _Said(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Said | None = None
    message: _Said | None = None


class _Answer(Struct):
    """What is read of a whole answer or of a chunk of one."""

    choices: list[_Choice] | None = None
    error: Any = None

    @property
    def text(self) -> str:
        if not self.choices:
            return ""
        said = self.choices[0].delta or self.choices[0].message
        return said.content or "" if said is not None else ""


async def ask(url: str, key: str, model: str, prompt: str, as_json: bool, out: TextIO) -> None:
    """Send one prompt; text streams to `out`, or the whole answer is printed as JSON."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": not as_json,
    }
    address, headers = _address(url), _headers(key)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.post(address, json=body, headers=headers, allow_redirects=False) as reply,
        ):
            if reply.status != 200:
                raise CallFailed(_refusal(reply.status, await reply.read(), key))
            if as_json:
                _print_whole(await reply.read(), out)
            elif reply.content_type == "text/event-stream":
                await _print_stream(reply, out)
            else:  # the provider does not stream
                out.write(_read(await reply.read()).text + "\n")
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, UnicodeError):
        raise CallFailed(f"No gateway answers at {url}. Start one with: gateway serve") from None
    except aiohttp.ClientError:
        raise CallFailed(_BROKEN) from None


def _address(url: str) -> URL:
    try:
        address = URL(url.rstrip("/") + "/chat/completions")
    except ValueError:
        address = URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise CallFailed(f"'{url}' is no address of a gateway; write http://127.0.0.1:8080/v1.")
    if address.user is not None or address.password is not None:
        raise CallFailed("Give the key with --key or GATEWAY_KEY, not inside --url.")
    return address


def _headers(key: str) -> dict[str, str]:
    key = key.strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise CallFailed("The key holds characters that no key has. Copy it again.")
    return {"Authorization": f"Bearer {key}"}


def _refusal(status: int, raw: bytes, key: str) -> str:
    hint = " Give a key with --key or GATEWAY_KEY." if status == 401 and not key.strip() else ""
    return f"{status}: {_message(raw)}{hint}"


def _print_whole(raw: bytes, out: TextIO) -> None:
    _read(raw)
    out.write(raw.decode() + "\n")


async def _print_stream(reply: aiohttp.ClientResponse, out: TextIO) -> None:
    splitter = sse.Splitter()
    complete = False
    try:
        async for data in reply.content.iter_any():
            for event in splitter.feed(data):
                payload = sse.data_of(event)
                complete = complete or payload == _DONE
                if payload is None or payload == _DONE:
                    continue
                chunk = _read(payload)
                if chunk.error:
                    raise CallFailed(_message(payload))
                out.write(chunk.text)
                out.flush()
    finally:
        out.write("\n")
    if not complete:
        raise CallFailed(_BROKEN)


def _read(raw: bytes) -> _Answer:
    try:
        return msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CallFailed(_FOREIGN) from None


def _message(raw: bytes) -> str:
    try:
        return str(msgspec.json.decode(raw)["error"]["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return _FOREIGN
