"""A gateway whose one adapter makes all sorts of things, and forms to send it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from gateway.sdk import (
    Adapter,
    Answered,
    Call,
    Credential,
    Encoded,
    Further,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    form,
)
from gateway.sdk.compatible import bearer
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.rawclient import Answer, ask, request

MORE = """
  minutes: {name: Minutes, vendor: Fake, kind: speech, routes: {minute-slug: {provider: fake, upstream: m, price: {per_minute: "0.06"}}}}
  voice: {name: Voice, vendor: Fake, kind: speech, routes: {voice-slug: {provider: fake, upstream: v, price: {per_mchar: "15.00"}}}}
  spare-ears:
    name: Spare
    vendor: Fake
    kind: transcription
    routes:
      spare-one: {provider: fake, upstream: e1, price: {per_minute: "0.006"}}
"""  # noqa: E501
TURNED = {"Content-Type": "audio/mpeg"}


def paint(call: Call, credential: Credential) -> UpstreamRequest:
    """A host that takes its pictures in base64."""
    pieces: tuple[object, ...] = (b'{"model":"i","pictures":["',)
    for number, file in enumerate(call.files):
        pieces += (b'","' if number else b"", Encoded(file))
    body = (*pieces, b'"]}')
    return UpstreamRequest(
        "POST",
        f"{call.base_url}/paint",
        bearer(credential),
        pieces=body,  # type: ignore[arg-type]
    )


def once_more(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Further:
    """A host that makes one picture a request."""
    first = json.loads(body)["picture"]

    def more(credential: Credential) -> UpstreamRequest:
        return UpstreamRequest("POST", f"{call.base_url}/paint", bearer(credential), b"{}")

    def then(brought: tuple[Answered, ...]) -> Reply:
        pictures = [first, *(json.loads(one.body)["picture"] for one in brought)]
        data = [{"b64_json": picture} for picture in pictures]
        return Reply(json.dumps({"data": data}).encode(), Usage(images=len(pictures)))

    return Further((more,) * (call.body.value("n") - 1), then)


def hear(call: Call, credential: Credential) -> UpstreamRequest:
    """A host that takes forms."""
    kind, pieces = form(
        call,
        [("model", call.upstream), ("language", call.body.value("language") or "")],
        [("file", file) for file in call.files],
    )
    headers = (("Authorization", f"Bearer {credential.api_key}"), ("Content-Type", kind))
    return UpstreamRequest("POST", f"{call.base_url}/hear", headers, pieces=pieces)


def text_of(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """What was heard, as it was said."""
    return Reply(body)


def speak(call: Call, credential: Credential) -> UpstreamRequest:
    """A host that answers with sound."""
    return UpstreamRequest("POST", f"{call.base_url}/speak", bearer(credential), call.body.raw)


ADAPTER = Adapter(
    "openai-compatible",
    {
        "images": Operation(paint, once_more),
        "image_edits": Operation(paint, once_more),
        "transcriptions": Operation(hear, text_of),
        "speech": Operation(speak, media=lambda _call, headers: headers.get("content-type")),
    },
)


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    """A gateway whose one adapter makes all sorts of things."""
    text = catalog_text(fake.url + "/v1") + MORE
    two = '{name: main, api_key: "sk-upstream-secret-0001"}, {name: spare, api_key: "sk-two-0002"}'
    text = text.replace('{name: main, api_key: "sk-upstream-secret-0001"}', two)
    async with running(tmp_path, text=text) as running_gateway:
        adapters = running_gateway.server.site.services.adapters
        adapters["openai-compatible"] = ADAPTER  # type: ignore[index]
        yield running_gateway


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


def parts(fields: dict[str, str], files: dict[str, bytes]) -> tuple[str, bytes]:
    """A form as clients send it, its file in front of what says where it goes."""
    body = b""
    for name, data in files.items():
        body += b'--b\r\nContent-Disposition: form-data; name="%b"; filename="a.wav"\r\n' % (
            name.encode()
        )
        body += b"Content-Type: audio/wav\r\n\r\n" + data + b"\r\n"
    for name, value in fields.items():
        body += b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
            name.encode(),
            value.encode(),
        )
    return "multipart/form-data; boundary=b", body + b"--b--\r\n"


async def send_form(
    gateway: Gateway, path: str, fields: dict[str, str], files: dict[str, bytes], **more: str
) -> Answer:
    """Post a form and read the answer."""
    kind, body = parts(fields, files)
    raw = request(body, gateway.key, path=path, headers={"Content-Type": kind} | more)
    return await ask(gateway.server.port, raw)


def wav(milliseconds: int) -> bytes:
    """So much silence, at 8,000 bytes a second."""
    size = milliseconds * 8
    return (
        b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data" + size.to_bytes(4, "little")
    ) + bytes(size)
