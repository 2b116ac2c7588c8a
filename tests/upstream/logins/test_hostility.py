"""No account, token endpoint or redirect makes a login tell a secret or go elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as web_of

from gateway.domain import Credential, UpstreamRequest
from gateway.errors import Fault
from gateway.sdk import Adapter
from gateway.sdk.talk import Login, Token
from gateway.upstream import logins
from gateway.upstream.logins import Logins
from providers_plugins.google import VERTEX
from tests.upstream.logins.ready import (
    ACCOUNT,
    NOW,
    PROVIDER,
    TOKEN_URL,
    Web,
    requests,
    service_account,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://oauth2.googleapis.com/token",
        "https://evil.example/token",
        "https://googleapis.com.evil.example/token",
        "https://evilgoogleapis.com/token",
        "https://user@oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com@evil.example/token",
        "https://oauth2.googleapis.com:8080/token",
        "https://oauth2.googleapis.com:x/token",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "https://[::1",
        "",
    ],
)
async def test_a_token_uri_elsewhere_is_refused(kept: Logins, web: Web, url: str) -> None:
    """The JSON is input like any other: nobody else is sent a signed statement."""
    with pytest.raises(Fault, match="token_uri"):
        await kept.secrets(VERTEX, PROVIDER, service_account(token_uri=url), NOW)
    assert not web.requests


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"access_token":7}',
        b'{"access_token":""}',
        b'{"access_token":"a\\u00e9","expires_in":10}',
        b'{"access_token":"a","expires_in":0}',
        b'{"access_token":"a","expires_in":-1e300}',
        b'{"access_token":"a","expires_in":"soon"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"x" * (logins.MAX_BYTES + 1),
    ],
    ids=range(13),
)
async def test_hostile_answers_are_refusals(kept: Logins, web: Web, answer: bytes) -> None:
    """Whatever the token endpoint says, the call fails in one way."""
    web.post(TOKEN_URL, answer)
    with pytest.raises(Fault) as caught:
        await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    assert caught.value.cause == "credential_refused"


@pytest.mark.parametrize(
    "account",
    [
        "",
        "{",
        "[]",
        json.dumps({**ACCOUNT, "private_key": "SECRET-KEY-TEXT"}),
        json.dumps({**ACCOUNT, "private_key": ""}),
        json.dumps({**ACCOUNT, "private_key": 5}),
        json.dumps({**ACCOUNT, "type": "external_account"}),
    ],
)
async def test_a_bad_account_tells_no_secret(
    kept: Logins, web: Web, account: str, tmp_path: Path
) -> None:
    """It is refused before anybody is asked, and nothing of it is repeated."""
    file = tmp_path / "adc.json"
    file.write_text(account)
    with pytest.raises(Fault) as caught:
        await kept.secrets(VERTEX, PROVIDER, Credential("c", {"adc_file": str(file)}), NOW)
    assert "SECRET" not in repr(caught.value) + str(caught.value.__context__)
    assert not web.requests


async def test_redirects_are_not_followed(kept: Logins, web: Web) -> None:
    """A token is not looked for where an answer points."""
    web.post(TOKEN_URL, status=307)
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    assert requests(web, TOKEN_URL)[0]["allow_redirects"] is False


async def test_over_a_real_connection(aiohttp_server: Any) -> None:
    """Headers and body arrive; a redirect, an error and a flood of bytes are no answers."""
    seen: list[tuple[str, str, bytes]] = []

    async def answer(request: web_of.Request) -> web_of.Response:
        seen.append((request.method, request.headers.get("X-Said", ""), await request.read()))
        if request.path == "/redirect":
            raise web_of.HTTPFound("/good")
        if request.path == "/bad":
            return web_of.Response(status=403, body=b"no")
        return web_of.Response(body=b"x" * (2 << 20 if request.path == "/flood" else 4))

    app = web_of.Application()
    app.router.add_route("*", "/{path}", answer)
    server = await aiohttp_server(app)
    got: list[tuple[bytes | None, ...]] = []
    paths = ("/good", "/redirect", "/bad", "/flood")

    def step(given: Credential, now: float, answers: tuple[bytes | None, ...]) -> Any:
        if len(answers) == len(paths):
            got.append(answers)
            return Token({"done": "yes"})
        url = str(server.make_url(paths[len(answers)]))
        return UpstreamRequest("POST", url, (("X-Said", "hello"),), b"form")

    kept = Logins()
    adapter = Adapter("x", {}, login=Login(step))
    assert (await kept.secrets(adapter, PROVIDER, Credential("c"), NOW)).secrets == {"done": "yes"}
    await kept.close()
    assert got == [(b"xxxx", None, None, None)]
    assert seen == [("POST", "hello", b"form")] * 4
