"""What is no conversation goes the same way: forms, bytes, further requests, units of money."""

from __future__ import annotations

import asyncio
import base64
import json
import os
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
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, catalog_text, running
from tests.money import charges, entries, payer
from tests.rawclient import Answer, RawClient, ask, request

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


async def test_a_form_is_sent_on_whole(gateway: Gateway, fake: FakeUpstream) -> None:
    """Byte for byte, under another boundary, with its length; charged by how long it sounds."""
    sound = wav(60_000)
    fake.handler = lambda exchange: exchange.send_json(200, {"text": "silence"})
    fields = {"model": "ears-slug", "language": "de"}
    answer = await send_form(gateway, "/v1/audio/transcriptions", fields, {"file": sound})
    assert (answer.status, answer.json()) == (200, {"text": "silence"})
    assert answer.header("x-gateway-cost") == "0.006000000"
    (sent,) = fake.requests
    boundary = (sent.header("Content-Type") or "").partition("boundary=")[2].encode()
    assert len(boundary) == 48
    assert sent.header("Content-Length") == str(len(sent.body))
    assert sent.body == (
        b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\ne\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="language"\r\n\r\nde\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n%b\r\n--%b--\r\n"
        % (boundary, boundary, boundary, sound, boundary)
    )


async def test_a_second_credential_gets_the_whole_file(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """A file can be sent as often as there are tries."""
    sound = os.urandom(600_000)

    async def handler(exchange: Exchange) -> None:
        failed = len(fake.requests) == 1
        await exchange.send_json(500 if failed else 200, {"text": "x"})

    fake.handler = handler
    answer = await send_form(
        gateway, "/v1/audio/transcriptions", {"model": "ears-slug"}, {"file": sound}
    )
    assert answer.status == 200
    first, second = fake.requests
    assert first.header("Authorization") != second.header("Authorization")
    assert sound in first.body
    assert sound in second.body


async def test_an_answer_may_come_before_all_is_sent(gateway: Gateway, fake: FakeUpstream) -> None:
    """A provider that refuses at once is not sent the rest; its connection is not used again."""
    seen = asyncio.Event()

    class Early(fake.connection_class):  # type: ignore[name-defined,misc]
        def data_received(self, data: bytes) -> None:
            if not seen.is_set():
                seen.set()
                body = b'{"error":{"message":"too large"}}'
                self.transport.pause_reading()
                self.transport.write(
                    head(413, [("Content-Type", "application/json"),
                        ("Content-Length", str(len(body)))]) + body
                )  # fmt: skip

    fake.connection_class = Early
    answer = await send_form(
        gateway, "/v1/audio/transcriptions", {"model": "ears-slug"}, {"file": bytes(20 << 20)}
    )
    assert answer.status in (400, 413)
    assert "too large" in answer.error["message"]
    assert all(
        count.idle == 0
        for count in gateway.server.site.services.upstream.stats().values()  # type: ignore[attr-defined]
    )


async def test_files_in_base64(gateway: Gateway, fake: FakeUpstream) -> None:
    """Where a host takes JSON, files are encoded as they are sent, however long they are."""
    fake.handler = lambda exchange: exchange.send_json(200, {"picture": "cA=="})
    for size in (0, 1, 2, 3, 100_000, 700_001):
        fake.requests.clear()
        picture = os.urandom(size)
        fields = {"model": "image-slug", "prompt": "p", "n": "1"}
        answer = await send_form(gateway, "/v1/images/edits", fields, {"image": picture})
        assert answer.status == 200, answer.body
        (told,) = fake.requests[0].json()["pictures"]
        assert base64.b64decode(told, validate=True) == picture


async def test_pictures_of_several_requests(gateway: Gateway, fake: FakeUpstream) -> None:
    """What one answer lacks is asked for; each picture made is charged."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(200, {"picture": str(len(fake.requests))})

    fake.handler = handler
    body = b'{"model":"image-slug","prompt":"p","n":3}'
    answer = await ask(
        gateway.server.port, request(body, gateway.key, path="/v1/images/generations")
    )
    assert answer.status == 200
    assert len(answer.json()["data"]) == 3
    assert answer.header("x-gateway-cost") == "0.120000000"
    assert len(fake.requests) == 3
    assert len({sent.header("Authorization") for sent in fake.requests}) == 1


async def test_sound_is_relayed_as_it_comes(gateway: Gateway, fake: FakeUpstream) -> None:
    """Its first bytes are there before its last are made; charged by what was to be said."""
    go_on = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [*TURNED.items(), ("Transfer-Encoding", "chunked")]))
        await exchange.send(chunk(b"\x00first\xff"))
        await go_on.wait()
        await exchange.send(chunk(b"last") + b"0\r\n\r\n")

    fake.handler = handler
    body = json.dumps({"model": "voice-slug", "input": "x" * 1_000, "voice": "v"}).encode()
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(body, gateway.key, path="/v1/audio/speech"))
        told = await client.head()
        assert (told.status, told.header("content-type")) == (200, "audio/mpeg")
        assert await client.chunk() == b"\x00first\xff"
        go_on.set()
        assert await client.chunk() == b"last"
        assert await client.chunk() == b""
    await gateway.idle()
    assert charges(entries(gateway.server.store.database.path))[-1] == 15_000_000


async def test_sound_with_a_price_for_time(gateway: Gateway, fake: FakeUpstream) -> None:
    """Where its provider counts nothing, what passed is measured."""
    sound = wav(90_000)
    kind = ("Content-Type", "audio/wav")
    fake.handler = lambda exchange: exchange.send(
        head(200, [kind, ("Content-Length", str(len(sound)))]) + sound
    )
    body = b'{"model":"minute-slug","input":"words","voice":"v"}'
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/audio/speech"))
    assert (answer.status, answer.body) == (200, sound)
    await gateway.idle()
    assert charges(entries(gateway.server.store.database.path))[-1] == 90_000_000


async def test_sound_that_breaks_off(gateway: Gateway, fake: FakeUpstream) -> None:
    """It does not end as if it were whole."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [*TURNED.items(), ("Transfer-Encoding", "chunked")]))
        await exchange.send(chunk(b"half"))
        exchange.cut()

    fake.handler = handler
    body = b'{"model":"voice-slug","input":"words","voice":"v"}'
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/audio/speech"))
    assert not answer.clean
    assert answer.body == b"half"


async def test_what_it_costs_must_be_there(gateway: Gateway, fake: FakeUpstream) -> None:
    """Units are set aside before anything is sent, and given back when nothing came of it."""
    poor = await payer(gateway.server.store, 119_000_000)
    body = b'{"model":"image-slug","prompt":"p","n":3}'
    raw = request(body, poor.secret, path="/v1/images/generations")
    answer = await ask(gateway.server.port, raw)
    assert (answer.status, answer.error["code"]) == (402, "budget_exhausted")
    assert "$0.12" in answer.error["message"]
    assert not fake.requests
    fake.handler = lambda exchange: exchange.send_json(400, {"error": {"message": "no"}})
    raw = request(body.replace(b"3", b"2"), poor.secret, path="/v1/images/generations")
    assert (await ask(gateway.server.port, raw)).status == 400
    rows = entries(gateway.server.store.database.path, poor.account)
    assert sum(row["held"] for row in rows) == 0
    assert sum(row["revenue"] for row in rows) == 0


@pytest.mark.parametrize(
    ("path", "model", "right"),
    [
        ("chat/completions", "voice-slug", "audio/speech"),
        ("images/generations", "fake-slug", "chat/completions"),
        ("audio/speech", "image-slug", "images/generations"),
        ("embeddings", "ears-slug", "audio/transcriptions"),
    ],
)
async def test_the_wrong_endpoint_names_the_right_one(
    gateway: Gateway, path: str, model: str, right: str
) -> None:
    """Nobody has to guess."""
    asked = {"model": model, "input": "x", "prompt": "x"}
    asked["messages"] = [{"role": "user", "content": "x"}]  # type: ignore[assignment]
    raw = request(json.dumps(asked).encode(), gateway.key, path=f"/v1/{path}")
    answer = await ask(gateway.server.port, raw)
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert f"/v1/{right}" in answer.error["message"]


async def test_a_form_is_done_once_for_its_key(gateway: Gateway, fake: FakeUpstream) -> None:
    """An Idempotency-Key holds for the files as well: others under it are another request."""
    fake.handler = lambda exchange: exchange.send_json(200, {"text": str(len(fake.requests))})
    fields, key = {"model": "ears-slug"}, {"Idempotency-Key": "k1"}
    path = "/v1/audio/transcriptions"
    first = await send_form(gateway, path, fields, {"file": b"one"}, **key)
    again = await send_form(gateway, path, fields, {"file": b"one"}, **key)
    other = await send_form(gateway, path, fields, {"file": b"two"}, **key)
    assert first.json() == again.json() == {"text": "1"}
    assert again.header("x-gateway-replayed") == "true"
    assert other.status == 422
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("fields", "kind", "status", "words"),
    [
        ({}, None, 400, "'model' is required"),
        ({"model": "ears-slug", "temperature": "hot"}, None, 400, "temperature"),
        ({"model": "ears-slug"}, "multipart/form-data", 400, "boundary"),
        ({"model": "ears-slug"}, "application/json", 400, "multipart/form-data"),
    ],
)
async def test_forms_that_cannot_be_read(
    gateway: Gateway, fields: dict[str, str], kind: str | None, status: int, words: str
) -> None:
    """Each is told what is wrong with it."""
    usual, body = parts(fields, {"file": b"x"})
    headers = {"Content-Type": kind or usual}
    raw = request(body, gateway.key, path="/v1/audio/transcriptions", headers=headers)
    answer = await ask(gateway.server.port, raw)
    assert answer.status == status, answer.body
    assert words in answer.error["message"]


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        ({"model": "image-slug", "prompt": "p", "n": 3}, "0.12"),
        ({"model": "voice-slug", "input": "x" * 100}, "0.0015"),
        ({"model": "ears-slug"}, None),
    ],
)
async def test_a_quote_counts_units(
    gateway: Gateway, fake: FakeUpstream, asked: dict[str, object], cost: str | None
) -> None:
    """What is not counted in tokens has a quote as well, where it is known beforehand."""
    answer = await ask(gateway.server.port, request(asked, gateway.key, path="/v1/quote"))
    if cost is None:
        assert (answer.status, answer.error["param"]) == (400, "model")
    else:
        assert answer.json()["routes"][0]["max_cost"] == cost
    assert not fake.requests
