"""Logins: from a credential to a token, kept fresh, asked for once, and left alone when refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web as web_of
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.domain import Credential, Provider, UpstreamRequest
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter
from gateway.sdk.talk import Login, ReadFile, Token
from gateway.upstream import logins
from gateway.upstream.logins import Logins
from providers_plugins.google import GOOGLE, VERTEX

NOW = 1_800_000_000.0
TOKEN_URL = "https://oauth2.googleapis.com/token"
METADATA = "http://metadata.google.internal/computeMetadata/v1"
PROVIDER = Provider("v", "vertex", "https://aiplatform.googleapis.com/v1")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
ACCOUNT = {
    "type": "service_account",
    "client_email": "robot@p.iam.gserviceaccount.com",
    "private_key": PEM,
    "private_key_id": "key-1",
    "project_id": "project-1",
    "token_uri": TOKEN_URL,
}


def service_account(**changes: Any) -> Credential:
    return Credential("c", {"service_account": json.dumps({**ACCOUNT, **changes})})


def granted(token: str = "ya29.one", seconds: Any = 3599) -> dict[str, Any]:
    return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}


class Answer:
    """A response as far as logins read it."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body
        self.content = self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), size):
            yield self._body[at : at + size]


class Web:
    """A session whose answers are laid ready by URL; the last one stays when told to."""

    def __init__(self) -> None:
        self._ready: dict[tuple[str, str], list[Any]] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.closed = False

    def ready(self, method: str, url: str, body: Any = b"", **how: Any) -> None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._ready.setdefault((method, url), []).append((body, how))

    def post(self, url: str, body: Any = b"", **how: Any) -> None:
        self.ready("POST", url, body, **how)

    def get(self, url: str, body: Any = b"", **how: Any) -> None:
        self.ready("GET", url, body, **how)

    @asynccontextmanager
    async def request(self, method: str, url: str, **sent: Any) -> AsyncIterator[Answer]:
        self.requests.setdefault(url, []).append(sent)
        waiting = self._ready.get((method, url))
        if not waiting:
            raise aiohttp.ClientConnectionError("no such host")
        body, how = waiting[0] if waiting[0][1].get("repeat") else waiting.pop(0)
        if "callback" in how:
            await how["callback"]()
        await asyncio.sleep(0)
        if "exception" in how:
            raise how["exception"]
        yield Answer(how.get("status", 200), body)

    async def close(self) -> None:
        self.closed = True


def requests(web: Web, url: str) -> list[dict[str, Any]]:
    return web.requests.get(url, [])


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
async def kept(web: Web):
    made = Logins(lambda: web)
    yield made
    await made.close()


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_signs_who_it_is(kept: Logins, web: Web) -> None:
    """The assertion's signature holds, its claims are right, and the token comes back."""
    web.post(TOKEN_URL, granted())
    got = await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    assert got.secrets["access_token"] == "ya29.one"
    assert got.secrets["project"] == "project-1"
    assert got.secrets["service_account"]  # the union of both
    (call,) = requests(web, TOKEN_URL)
    form = parse_qs(call["data"].decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    KEY.public_key().verify(
        unpadded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(unpadded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert json.loads(unpadded(claims)) == {
        "iss": "robot@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": TOKEN_URL,
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }
    assert call["allow_redirects"] is False


async def test_an_operators_project_wins(kept: Logins, web: Web) -> None:
    """A service account may work for another project than its own."""
    web.post(TOKEN_URL, granted())
    given = Credential("c", {**service_account().secrets, "project": "billed"})
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW)
    assert got.secrets["project"] == "billed"


async def test_many_callers_wait_for_one_login(kept: Logins, web: Web) -> None:
    """A hundred calls at once ask for one token; later ones for none."""
    web.post(TOKEN_URL, granted())
    given = service_account()
    got = await asyncio.gather(*(kept.secrets(VERTEX, PROVIDER, given, NOW) for _ in range(100)))
    assert {it.secrets["access_token"] for it in got} == {"ya29.one"}
    await kept.secrets(VERTEX, PROVIDER, given, NOW + 3000)
    assert len(requests(web, TOKEN_URL)) == 1


async def test_a_caller_who_leaves_does_not_end_the_login(kept: Logins, web: Web) -> None:
    """The others still get their token."""
    gate = asyncio.Event()

    async def held() -> None:
        await gate.wait()

    web.post(TOKEN_URL, granted(), callback=held)
    first = asyncio.create_task(kept.secrets(VERTEX, PROVIDER, service_account(), NOW))
    second = asyncio.create_task(kept.secrets(VERTEX, PROVIDER, service_account(), NOW))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert (await second).secrets["access_token"] == "ya29.one"
    assert len(requests(web, TOKEN_URL)) == 1


async def settled(kept: Logins) -> None:
    """Until what runs in the background is done."""
    tasks = [entry.task for entry in kept._entries.values() if entry.task]
    await asyncio.gather(*tasks)


async def test_renewed_before_it_expires(kept: Logins, web: Web) -> None:
    """Within the margin the old token serves while a new one is fetched, once."""
    web.post(TOKEN_URL, granted("one", 3600))
    given = service_account()

    async def token(at: float) -> str:
        return (await kept.secrets(VERTEX, PROVIDER, given, NOW + at)).secrets["access_token"]

    assert await token(0) == "one"
    assert await token(3299) == "one"
    await settled(kept)
    assert len(requests(web, TOKEN_URL)) == 1
    web.post(TOKEN_URL, granted("two", 3600))
    assert [await token(3301) for _ in range(5)] == ["one"] * 5
    await settled(kept)
    assert len(requests(web, TOKEN_URL)) == 2
    assert await token(3302) == "two"


async def test_an_expired_token_is_waited_for(kept: Logins, web: Web) -> None:
    """What no longer serves is not handed out."""
    web.post(TOKEN_URL, granted("one", 3600))
    web.post(TOKEN_URL, granted("two", 3600))
    given = service_account()
    await kept.secrets(VERTEX, PROVIDER, given, NOW)
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW + 3600)
    assert got.secrets["access_token"] == "two"


async def test_a_failed_renewal_leaves_the_old_token(kept: Logins, web: Web) -> None:
    """Until it expires; then the failure is told."""
    web.post(TOKEN_URL, granted("one", 3600))
    web.post(TOKEN_URL, status=500, repeat=True)
    given = service_account()
    await kept.secrets(VERTEX, PROVIDER, given, NOW)
    await kept.secrets(VERTEX, PROVIDER, given, NOW + 3400)
    await settled(kept)
    still = await kept.secrets(VERTEX, PROVIDER, given, NOW + 3401)
    assert still.secrets["access_token"] == "one"
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, given, NOW + 3600)


async def test_a_refused_login_is_left_alone_for_a_while(kept: Logins, web: Web) -> None:
    """The pause doubles up to a minute; within it nobody is asked, and the fault is the same."""
    web.post(TOKEN_URL, status=400, body={"error": "invalid_grant"}, repeat=True)
    given = service_account()
    asked = []
    at = NOW
    for pause in (5, 10, 20, 40, 60, 60):
        for moment in (at, at + pause - 0.1):
            with pytest.raises(Fault) as caught:
                await kept.secrets(VERTEX, PROVIDER, given, moment)
            assert caught.value.kind is UPSTREAM_ERROR
            assert caught.value.cause == "credential_refused"
        asked.append(len(requests(web, TOKEN_URL)))
        at += pause
    assert asked == [1, 2, 3, 4, 5, 6]


async def test_a_storm_on_a_refused_login_asks_once(kept: Logins, web: Web) -> None:
    """All who wait are told; each fault is their own."""
    web.post(TOKEN_URL, status=401, repeat=True)
    given = service_account()
    got = await asyncio.gather(
        *(kept.secrets(VERTEX, PROVIDER, given, NOW) for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(it, Fault) for it in got)
    assert len({id(it) for it in got}) == 50
    assert len(requests(web, TOKEN_URL)) == 1


async def test_after_a_failure_a_good_login_counts_anew(kept: Logins, web: Web) -> None:
    """The pause begins small again."""
    web.post(TOKEN_URL, status=503)
    web.post(TOKEN_URL, granted("one", 100))
    web.post(TOKEN_URL, status=503)
    web.post(TOKEN_URL, granted("two", 100))
    given = service_account()
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, given, NOW)
    await kept.secrets(VERTEX, PROVIDER, given, NOW + 5)
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, given, NOW + 105)
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW + 110)
    assert got.secrets["access_token"] == "two"


async def test_a_short_lived_token_is_not_renewed_at_each_call(kept: Logins, web: Web) -> None:
    """Shorter than the margin, it is renewed now and then."""
    web.post(TOKEN_URL, granted("one", 60), repeat=True)
    given = service_account()
    for second in range(20):
        await kept.secrets(VERTEX, PROVIDER, given, NOW + second)
        await settled(kept)
    assert len(requests(web, TOKEN_URL)) <= 5


async def test_a_token_that_was_refused_is_forgotten(kept: Logins, web: Web) -> None:
    """But a fresh one is not: a storm of refusals must not become a storm of logins."""
    web.post(TOKEN_URL, granted("one"))
    web.post(TOKEN_URL, granted("two"))
    given = service_account()
    kept.forget(PROVIDER, given, NOW)
    await kept.secrets(VERTEX, PROVIDER, given, NOW)
    kept.forget(PROVIDER, given, NOW + 1)
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW + 1)
    assert got.secrets["access_token"] == "one"
    kept.forget(PROVIDER, given, NOW + 6)
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW + 6)
    assert got.secrets["access_token"] == "two"


async def test_changed_secrets_are_another_login(kept: Logins, web: Web) -> None:
    """So are other credentials, and other providers."""
    web.post(TOKEN_URL, granted(), repeat=True)
    await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    await kept.secrets(VERTEX, PROVIDER, service_account(private_key_id="key-2"), NOW)
    other = Provider("w", "vertex", "https://aiplatform.googleapis.com/v1")
    await kept.secrets(VERTEX, other, service_account(), NOW)
    named = Credential("d", service_account().secrets)
    await kept.secrets(VERTEX, PROVIDER, named, NOW)
    assert len(requests(web, TOKEN_URL)) == 4


@pytest.mark.parametrize(
    "secrets", [{"api_key": "AIzaExpress"}, {"access_token": "ya29.given", "project": "p"}]
)
async def test_what_the_operator_gives_is_enough(
    kept: Logins, web: Web, secrets: dict[str, str]
) -> None:
    """An express key, or a token from elsewhere, asks nobody."""
    given = Credential("c", secrets)
    assert await kept.secrets(VERTEX, PROVIDER, given, NOW) == given
    assert await kept.secrets(GOOGLE, PROVIDER, given, NOW) is given
    assert not web.requests


async def test_a_users_own_login(kept: Logins, web: Web, tmp_path: Path) -> None:
    """A refresh token goes to the provider's one address, whatever the file says."""
    file = tmp_path / "adc.json"
    file.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "s",
                "refresh_token": "r",
                "quota_project_id": "quota-1",
                "token_uri": "https://evil.example/token",
            }
        )
    )
    web.post(TOKEN_URL, granted())
    given = Credential("c", {"adc_file": str(file)})
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW)
    assert got.secrets["project"] == "quota-1"
    (call,) = requests(web, TOKEN_URL)
    assert parse_qs(call["data"].decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["id"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }


async def test_a_file_may_hold_a_service_account(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The well-known file is found in the home of whoever runs the gateway."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(ACCOUNT))
    web.post(TOKEN_URL, granted())
    got = await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert got.secrets == {"access_token": "ya29.one", "project": "project-1"}


async def test_the_machines_own_login(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any file the metadata server is asked, under the header it wants."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{METADATA}/instance/service-accounts/default/token"
    web.get(url, granted("ya29.machine"))
    web.get(f"{METADATA}/project/project-id", b"machine-project\n")
    got = await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert got.secrets == {"access_token": "ya29.machine", "project": "machine-project"}
    assert requests(web, url)[0]["headers"] == {"Metadata-Flavor": "Google"}


async def test_nothing_to_log_in_with(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere than on the provider's machines there is no metadata server."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{METADATA}/instance/service-accounts/default/token"
    web.get(url, exception=aiohttp.ClientConnectionError("no such host"))
    with pytest.raises(Fault, match="metadata server") as caught:
        await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert caught.value.cause == "credential_refused"


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


@pytest.mark.parametrize("failure", [aiohttp.ClientOSError(), TimeoutError(), OSError()])
async def test_network_failures_are_refusals(kept: Logins, web: Web, failure: Exception) -> None:
    """So are those of the way there."""
    web.post(TOKEN_URL, exception=failure)
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)


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


async def test_a_named_file_that_is_absent(kept: Logins, tmp_path: Path) -> None:
    """It is not looked for elsewhere; and what is no plain file, or too long, counts as absent."""
    (tmp_path / "long").write_bytes(b" " * (logins.MAX_BYTES + 1))
    for name in ("absent", "", "long", "nul\0"):
        given = Credential("c", {"adc_file": str(tmp_path / name)})
        with pytest.raises(Fault, match="absent"):
            await kept.secrets(VERTEX, PROVIDER, given, NOW)


async def test_steps_are_bounded(kept: Logins, web: Web) -> None:
    """A login that never ends is ended; one that fails in its own code is a refusal too."""
    taken = []

    def endless(given: Credential, now: float, answers: tuple[bytes | None, ...]) -> ReadFile:
        taken.append(answers)
        return ReadFile("/nonexistent")

    def broken(given: Credential, now: float, answers: tuple[bytes | None, ...]) -> Token:
        raise RuntimeError("secret text")

    for step in (endless, broken):
        adapter = Adapter("x", {}, login=Login(step))
        with pytest.raises(Fault) as caught:
            await kept.secrets(adapter, PROVIDER, Credential(step.__name__), NOW)
        assert "secret text" not in caught.value.message
    assert len(taken) == logins.MAX_STEPS


async def test_redirects_are_not_followed(kept: Logins, web: Web) -> None:
    """A token is not looked for where an answer points."""
    web.post(TOKEN_URL, status=307)
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    assert requests(web, TOKEN_URL)[0]["allow_redirects"] is False


async def test_close_ends_what_is_under_way(web: Web) -> None:
    """No task, and no session, outlives the gateway."""
    kept = Logins(lambda: web)
    started = asyncio.Event()

    async def held() -> None:
        started.set()
        await asyncio.Event().wait()

    web.post(TOKEN_URL, callback=held)
    waiting = asyncio.create_task(kept.secrets(VERTEX, PROVIDER, service_account(), NOW))
    await started.wait()
    await kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert web.closed


def test_a_request_step_is_plain_data() -> None:
    """The first step of a service account is one request, and holds no key."""
    assert VERTEX.login is not None
    first = VERTEX.login.step(service_account(), NOW, ())
    assert isinstance(first, UpstreamRequest)
    assert "PRIVATE" not in repr(first)


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
