"""Forward proxies: absolute form, CONNECT, logins, exceptions."""

from __future__ import annotations

import contextlib
import ssl

import pytest
import trustme

from gateway.upstream import HttpUpstream
from gateway.upstream.proxies import Proxies
from gateway.upstream.target import Origin
from tests.fake_upstream import FakeUpstream
from tests.upstream.fake_proxy import FakeProxy
from tests.upstream.helpers import channel, fault_of, fetch, post

CA = trustme.CA()


@contextlib.asynccontextmanager
async def client(**environ):
    http = HttpUpstream(environ)
    try:
        yield http
    finally:
        await http.close()


@pytest.fixture
def ca_file(tmp_path):
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)


def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_http_goes_in_absolute_form_with_the_login():
    async with FakeProxy() as proxy:
        login = proxy.url.replace("http://", "http://us%40er:pa%3Ass@")
        async with client(HTTP_PROXY=login) as http:
            reply = await http.send(post("http://models.example/v1/x?q=1"), channel())
            assert await reply.read(100) == b"proxied"
    lines = proxy.heads[0].decode().split("\r\n")
    assert lines[:2] == ["POST http://models.example/v1/x?q=1 HTTP/1.1", "Host: models.example"]
    assert "Proxy-Authorization: Basic dXNAZXI6cGE6c3M=" in lines


async def test_https_goes_through_a_tunnel_and_the_proxy_sees_no_key(ca_file):
    async with FakeProxy() as proxy, FakeUpstream(tls=tls()) as fake:
        login = proxy.url.replace("http://", "http://user:pass@")
        async with client(https_proxy=login) as http:
            for _ in range(2):
                assert await fetch(http, fake, ca_file=ca_file) == b"{}"
        assert len(proxy.heads) == 1
        target = f"127.0.0.1:{fake.port}"
        assert proxy.heads[0].decode() == (
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
            "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )
        assert fake.requests[0].path == "/v1/secret?k=1"
        assert fake.requests[0].header("proxy-authorization") is None


REFUSALS = {
    "407": b"HTTP/1.1 407 Login\r\n\r\n",
    "junk": b"hello\r\n\r\n",
    "eof": b"",
    "early bytes": b"HTTP/1.1 200 OK\r\n\r\nsurprise",
    "endless": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000,
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_proxy_that_refuses_or_breaks(case):
    async with FakeProxy(refuse=REFUSALS[case]) as proxy, client(HTTPS_PROXY=proxy.url) as http:
        fault = await fault_of(http.send(post("https://models.example/"), channel()))
        assert (fault.cause, fault.kind.status) == ("proxy", 502)
        assert http.stats()["p"] == (0, 0, 0)


async def test_a_proxy_that_is_not_there():
    async with FakeProxy() as proxy:
        url = proxy.url
    async with client(HTTP_PROXY=url) as http:
        assert (await fault_of(http.send(post("http://h.example/"), channel()))).cause == "proxy"


async def test_the_unproven_provider_behind_a_tunnel_sees_nothing():
    async with FakeProxy() as proxy, FakeUpstream(tls=tls()) as fake:
        async with client(HTTPS_PROXY=proxy.url) as http:
            assert (await fault_of(fetch(http, fake))).cause == "tls"
        assert not fake.requests


async def test_no_proxy_goes_straight():
    async with FakeProxy() as proxy, FakeUpstream() as fake:
        async with client(HTTP_PROXY=proxy.url, NO_PROXY="x.example, 127.0.0.1") as http:
            assert await fetch(http, fake) == b"{}"
        assert not proxy.heads


@pytest.mark.parametrize(
    ("no_proxy", "host", "straight"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", True),
        (".a.example", "b.a.example", True),
        ("*.a.example", "b.a.example", True),
        ("a.example", "ba.example", False),
        ("a.example:80", "a.example", True),
        ("a.example:81", "a.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "a.example", False),
        ("nonsense/8", "a.example", False),
        ("[::1]", "::1", True),
        ("A.Example", "a.example", True),
        ("", "a.example", False),
    ],
)
def test_exceptions(no_proxy, host, straight):
    proxies = Proxies({"HTTP_PROXY": "http://p:3128", "NO_PROXY": no_proxy})
    assert (proxies.for_origin(Origin("http", host, 80)) is None) == straight


def test_lower_case_wins_and_schemes_are_apart():
    proxies = Proxies({"HTTP_PROXY": "http://a", "http_proxy": "b:8080"})
    assert proxies.for_origin(Origin("http", "h", 80)) == ("b", 8080, None)
    assert proxies.for_origin(Origin("https", "h", 443)) is None


@pytest.mark.parametrize("value", ["socks5://p:1", "https://p:1", "http://"])
def test_proxies_that_cannot_be_used_are_refused_at_once(value):
    with pytest.raises(ValueError, match="proxy"):
        Proxies({"HTTPS_PROXY": value})
