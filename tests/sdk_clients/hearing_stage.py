"""The shipped catalog before a scripted provider: each route's own wire, at its own price."""

from __future__ import annotations

from pathlib import Path

from gateway.core.multipart import Event, Parser, PartBegun, PartData
from tests.fake_upstream import Exchange, Request, head

ROOT = Path(__file__).parents[2]
KEYS = (
    "OPENAI_API_KEY", "GEMINI_API_KEY", "VERTEX_API_KEY", "ZHIPU_API_KEY", "DASHSCOPE_API_KEY",
    "COHERE_API_KEY", "GROQ_API_KEY", "AWS_BEARER_TOKEN_BEDROCK",
)  # fmt: skip
HOSTS = {
    "https://api.openai.com/v1": "/openai",
    "https://generativelanguage.googleapis.com/v1beta": "/studio",
    "https://aiplatform.googleapis.com": "/cloud",
    "${ZHIPU_BASE_URL:-https://open.bigmodel.cn/api/paas/v4}": "/zhipu",
    "${DASHSCOPE_BASE_URL:-https://dashscope-intl.aliyuncs.com/compatible-mode/v1}":
        "/alibaba/compatible-mode/v1",
    "https://api.cohere.com": "/cohere",
    "https://api.groq.com/openai/v1": "/groq",
    "https://bedrock-runtime.${AWS_REGION:-us-east-1}.amazonaws.com": "/bedrock",
}  # fmt: skip


def shipped(url: str) -> str:
    """The shipped catalog with keys, its providers all at this address, each at a path."""
    text = (ROOT / "catalog.yaml").read_text()
    for host, path in HOSTS.items():
        assert host in text, host
        text = text.replace(host, url + path)
    for name in KEYS:
        text = text.replace("${" + name + "}", "sk-upstream-secret-0001")
    return text


def wav(milliseconds: int) -> bytes:
    """So much silence, at 8,000 bytes a second."""
    size = milliseconds * 8
    return (
        b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data" + size.to_bytes(4, "little")
    ) + bytes(size)


def form_of(request: Request) -> list[tuple[str, bytes]]:
    """The parts of a form, in their order."""
    boundary = (request.header("Content-Type") or "").partition("boundary=")[2]
    parser = Parser(boundary.encode())
    events: list[Event] = parser.feed(request.body)
    parser.end()
    parts: list[tuple[str, bytes]] = []
    for event in events:
        if isinstance(event, PartBegun):
            parts.append((event.name, b""))
        elif isinstance(event, PartData):
            parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
    return parts


async def says(exchange: Exchange, body: bytes, kind: str) -> None:
    """A whole answer of any kind."""
    lines = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    await exchange.send(head(200, lines) + body)
