"""The shipped catalog with every provider of pictures played by one scripted host."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fake_upstream import Exchange, FakeUpstream, Request
from tests.harness import Gateway
from tests.money import charges, entries

B64 = "iVBORw0KGgpyZXN0"
PNG = b"\x89PNG\r\n\x1a\nrest"
HOSTS = {
    "https://api.openai.com/v1": "/openai",
    "https://generativelanguage.googleapis.com/v1beta": "/google",
    "https://aiplatform.googleapis.com/v1": "/vertex/v1",
    "${MINIMAX_BASE_URL:-https://api.minimax.io/v1}": "/minimax",
    "${ZHIPU_BASE_URL:-https://open.bigmodel.cn/api/paas/v4}": "/zhipu",
}
KEYS = ("OPENAI_API_KEY", "GEMINI_API_KEY", "VERTEX_API_KEY", "MINIMAX_API_KEY", "ZHIPU_API_KEY")
TOKENS = {
    "input_tokens": 76,
    "input_tokens_details": {"image_tokens": 64, "text_tokens": 12},
    "output_tokens": 120,
    "output_tokens_details": {"image_tokens": 120, "text_tokens": 0},
    "total_tokens": 196,
}
GEMINI_TOKENS = {
    "promptTokenCount": 5,
    "candidatesTokenCount": 1120,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "totalTokenCount": 1125,
}


def shipped(url: str) -> str:
    """Our own catalog, its providers at this address, their keys in place."""
    text = (Path(__file__).parents[2] / "catalog.yaml").read_text()
    for host, path in HOSTS.items():
        assert host in text
        text = text.replace(host, url + path)
    for name in KEYS:
        assert f"${{{name}}}" in text
        text = text.replace(f"${{{name}}}", f"key-of-{name.lower()}")
    return text


def openai(*data: str, **more: Any) -> dict[str, Any]:
    return {"created": 1, "data": [{"b64_json": one} for one in data], "size": "1024x1024",
            "quality": "low", "background": "opaque", "output_format": "png", "usage": TOKENS,
            **more}  # fmt: skip


def gemini(data: str = B64, words: str = "") -> dict[str, Any]:
    parts: list[Any] = [{"text": words}] if words else []
    parts.append({"inlineData": {"mimeType": "image/png", "data": data}})
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}],
            "usageMetadata": GEMINI_TOKENS, "modelVersion": "m", "responseId": "r"}  # fmt: skip


def imagen(*data: str) -> dict[str, Any]:
    return {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": one} for one in data]}


def minimax(*data: str) -> dict[str, Any]:
    return {"id": "i", "data": {"image_base64": list(data)}, "metadata": {"success_count": "1"},
            "base_resp": {"status_code": 0, "status_msg": "success"}}  # fmt: skip


def zhipu(url: str) -> dict[str, Any]:
    return {"created": 1, "data": [{"url": url}]}


Answering = Callable[[Request], Any]


def answers(*said: Any) -> Any:
    """One answer after the other; the last one for ever. A status is an error of that kind."""
    left = list(said)

    async def handler(exchange: Exchange) -> None:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, int):
            await exchange.send_json(one, {"error": {"message": "no", "code": one}})
        elif isinstance(one, bytes):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
            await exchange.send(head % len(one) + one)
        else:
            await exchange.send_json(200, one)

    return handler


def parts_of(request: Request) -> list[tuple[dict[str, str], bytes]]:
    """A form, read without any code of the gateway's."""
    kind = request.header("Content-Type") or ""
    found = re.fullmatch(r"multipart/form-data; boundary=(\S+)", kind)
    assert found, kind
    assert request.header("Content-Length") == str(len(request.body))
    mark = b"--" + found[1].encode()
    first, *parts, last = request.body.split(mark)
    assert (first, last) == (b"", b"--\r\n")
    read = []
    for part in parts:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = dict(re.findall(r'(\w+)="([^"]*)"', head.decode()))
        for line in head.decode().split("\r\n"):
            if line.lower().startswith("content-type:"):
                told["type"] = line.partition(":")[2].strip()
        read.append((told, body.removesuffix(b"\r\n")))
    return read


def bodies(fake: FakeUpstream) -> list[Any]:
    return [json.loads(request.body) for request in fake.requests if request.body]


async def charged(gateway: Gateway) -> list[int]:
    """What each call cost, by the ledger."""
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    return charges(entries(gateway.server.settings.db))
