"""Forms: their files are held outside memory, sent on whole, and as often as there are tries."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.harness import Gateway, catalog_text, running
from tests.money import payer
from tests.pipeline.beyond_stage import fake, gateway, parts, send_form, wav
from tests.rawclient import RawClient, ask, request

__all__ = ["fake", "gateway"]


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


async def test_nobody_sends_files_without_a_key(tmp_path: Path, fake: FakeUpstream) -> None:
    """What costs room is not taken from strangers, and is not even read."""
    text = catalog_text(fake.url + "/v1") + (
        "groups: {free: {rpm: 20, tpm: 40000, routes: {free: true}}}\n"
        "anonymous: {group: free, rpm: 10, per: ip}\n"
    )
    async with running(tmp_path, text=text) as gateway:
        kind, body = parts({"model": "ears-slug"}, {"file": b"x"})
        path, headers = "/v1/audio/transcriptions", {"Content-Type": kind}
        raw = request(body, None, path=path, headers=headers)
        answer = await ask(gateway.server.port, raw)
        assert (answer.status, answer.error["code"]) == (401, "authentication_error")


async def test_a_disk_without_room(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be held is refused for now; the next one is taken."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("gateway.web.forms.os.write", full)
        answer = await send_form(
            gateway, "/v1/audio/transcriptions", {"model": "ears-slug"}, {"file": bytes(400_000)}
        )
    assert (answer.status, answer.error["code"]) == (503, "no_upstream")
    assert "room" in answer.error["message"]


async def test_an_idempotency_key_is_no_key(tmp_path: Path, fake: FakeUpstream) -> None:
    """A stranger's file is not read for it either: nothing of its body has come yet."""
    text = catalog_text(fake.url + "/v1") + (
        "groups: {free: {rpm: 20, tpm: 40000, routes: {free: true}}}\n"
        "anonymous: {group: free, rpm: 10, per: ip}\n"
    )
    async with running(tmp_path, text=text) as gateway:
        kind, body = parts({"model": "ears-slug"}, {"file": b"x"})
        headers = {"Content-Type": kind, "Idempotency-Key": "k", "Expect": "100-continue"}
        raw = request(body, None, path="/v1/audio/transcriptions", headers=headers)
        answer = await ask(gateway.server.port, raw.removesuffix(body))
        assert (answer.status, answer.error["code"]) == (401, "authentication_error")


@pytest.mark.parametrize("name", ["model", "n", "n[]", "stream", "response_format", "size"])
async def test_no_file_under_the_name_of_a_text(
    gateway: Gateway, fake: FakeUpstream, name: str
) -> None:
    """Hosts that look at names alone would take it for the text, and make what nobody paid for."""
    fields = {"model": "image-slug", "prompt": "p"}
    answer = await send_form(gateway, "/v1/images/edits", fields, {"image": b"x", name: b"10"})
    assert answer.status == 400
    assert answer.error["param"] == name.removesuffix("[]")
    assert not fake.requests


async def test_many_files_take_one_descriptor(gateway: Gateway, fake: FakeUpstream) -> None:
    """However many files a form has, they are held in one place, and each is sent whole."""
    files = {f"file{number}": os.urandom(300_000) for number in range(40)}
    files["file"] = b"x"
    before, most = _descriptors(), 0

    async def handler(exchange: Exchange) -> None:
        nonlocal most
        most = _descriptors()
        await exchange.send_json(200, {"text": "x"})

    fake.handler = handler
    path = "/v1/audio/transcriptions"
    answer = await send_form(gateway, path, {"model": "ears-slug"}, files)
    assert answer.status == 200
    body = fake.requests[0].body
    assert all(data in body for data in files.values())
    assert most - before < 20
    assert _descriptors() - before < 20


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_some_room_is_left_for_the_database(
    gateway: Gateway, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are refused before the disk is full: money must still be written down."""
    fake.handler = lambda exchange: exchange.send_json(200, {"text": "x"})
    real = os.fstatvfs

    def nearly(file: int) -> os.statvfs_result:
        told = list(real(file))
        told[4] = min(told[2] // 20, (256 << 20) // told[1]) - 1
        return os.statvfs_result(told)

    path, fields = "/v1/audio/transcriptions", {"model": "ears-slug"}
    with monkeypatch.context() as broken:
        broken.setattr("gateway.store.disk.os.fstatvfs", nearly)
        answer = await send_form(gateway, path, fields, {"file": bytes(400_000)})
        assert (answer.status, answer.error["code"]) == (503, "no_upstream")
    assert (await send_form(gateway, path, fields, {"file": bytes(400_000)})).status == 200


@pytest.mark.parametrize("more", [{}, {"Idempotency-Key": "k"}])
async def test_files_are_read_for_as_many_calls_as_a_key_may_make(
    gateway: Gateway, fake: FakeUpstream, more: dict[str, str]
) -> None:
    """What comes before a call is admitted fills the disk as well."""
    fake.handler = lambda exchange: exchange.send_json(200, {"text": "x"})
    who = await payer(gateway.server.store, 10**12, concurrency=1)
    kind, body = parts({"model": "ears-slug"}, {"file": b"x" * 1000})
    path, headers = "/v1/audio/transcriptions", {"Content-Type": kind, "Expect": "100-continue"}
    raw = request(body, who.secret, path=path, headers=headers | more)
    first = await RawClient.open(gateway.server.port)
    first.send(raw.removesuffix(body))
    await first.reader.readuntil(b"\r\n\r\n")
    refused = await ask(gateway.server.port, raw.removesuffix(body))
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    first.send(body)
    assert (await first.answer()).status == 200
    raw = request(body, who.secret, path=path, headers={"Content-Type": kind})
    assert (await ask(gateway.server.port, raw)).status == 200
