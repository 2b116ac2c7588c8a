"""TLS: only a proven provider ever sees a key (reliability B 22)."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl

import pytest
import trustme

from tests.fake_upstream import FakeUpstream, chunk, head
from tests.upstream.helpers import channel, fault_of, fetch, post

CA = trustme.CA()
STRANGER = trustme.CA()
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def ca_file(tmp_path):
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)


def server(ca=CA, name="127.0.0.1", **kind):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name, **kind).configure_cert(context)
    return context


async def test_own_ca_is_trusted_and_connections_are_reused(http, ca_file):
    async with FakeUpstream(tls=server()) as fake:
        for _ in range(3):
            assert await fetch(http, fake, ca_file=ca_file) == b"{}"
        assert len(fake.connections) == 1
        assert fake.requests[0].header("authorization") == "Bearer sk-canary"


async def test_server_name_is_sent_and_checked(http, ca_file):
    seen = []
    context = server(name="localhost")
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    async with FakeUpstream(tls=context) as fake:
        fake_url = fake.url.replace("127.0.0.1", "localhost")
        reply = await http.send(post(fake_url), channel(ca_file=ca_file))
        assert await reply.read(10) == b"{}"
        assert seen == ["localhost"]


CASES = {
    "expired": {"not_before": PAST, "not_after": PAST + dt.timedelta(days=1)},
    "wrong name": {"name": "other.example"},
    "strange CA": {"ca": STRANGER},
}


@pytest.mark.parametrize("case", CASES)
async def test_unproven_servers_see_nothing(http, ca_file, case):
    async with FakeUpstream(tls=server(**CASES[case])) as fake:
        fault = await fault_of(fetch(http, fake, ca_file=ca_file))
        assert (fault.cause, fault.kind.status) == ("tls", 502)
        assert "certificate" in fault.message
        assert not fake.requests
        assert sum(connection.received for connection in fake.connections) == 0
        assert http.stats()["p"] == (0, 0, 0)


async def test_unknown_ca_is_refused_by_the_system_store(http):
    async with FakeUpstream(tls=server()) as fake:
        assert (await fault_of(fetch(http, fake))).cause == "tls"
        assert not fake.requests


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_tls_is_refused(http, ca_file):
    context = server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with FakeUpstream(tls=context) as fake:
        assert (await fault_of(fetch(http, fake, ca_file=ca_file))).cause == "tls"
        assert not fake.requests


async def test_a_server_that_speaks_no_tls_gets_no_key(http):
    async with FakeUpstream(hold_accept=True, keep_raw=True) as fake:
        url = fake.url.replace("http:", "https:")
        task = asyncio.create_task(http.send(post(url), channel()))
        await fake.connected.wait()
        fake.connections[0].write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert (await fault_of(task)).cause == "tls"
        await fake.connections[0].closed.wait()
        assert b"sk-canary" not in fake.connections[0].raw


async def test_missing_ca_file_is_a_fault(http, tmp_path):
    async with FakeUpstream(tls=server()) as fake:
        fault = await fault_of(fetch(http, fake, ca_file=str(tmp_path / "none.pem")))
        assert fault.cause == "tls"
        assert not fake.connections


async def test_streams_and_cuts_under_tls(http, ca_file):
    async def handler(exchange):
        await exchange.send(head(200, [("Transfer-Encoding", "chunked")]) + chunk(b"a"))
        exchange.close()

    async with FakeUpstream(handler, tls=server()) as fake:
        assert (await fault_of(fetch(http, fake, ca_file=ca_file))).cause == "truncated"


async def test_late_bytes_under_tls_reach_nobody(http, ca_file):
    async with FakeUpstream(tls=server()) as fake:
        await fetch(http, fake, ca_file=ca_file)
        fake.connections[0].write(head(200, [("Content-Length", "4")]) + b"evil")
        await fake.connections[0].closed.wait()
        assert await fetch(http, fake, ca_file=ca_file) == b"{}"


async def test_large_bodies_under_tls(http, ca_file):
    async def handler(exchange):
        body = exchange.request.body
        await exchange.send(head(200, [("Content-Length", str(len(body)))]) + body)

    async with FakeUpstream(handler, tls=server()) as fake:
        body = bytes(range(256)) * 8000
        reply = await http.send(post(fake.url, body), channel(ca_file=ca_file))
        assert await reply.read(len(body)) == body
