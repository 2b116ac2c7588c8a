"""Tokens are asked for once, kept fresh, and forgotten when refused."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import Credential, Provider
from gateway.upstream.logins import Logins
from providers_plugins.google import VERTEX
from tests.upstream.logins.ready import (
    NOW,
    PROVIDER,
    TOKEN_URL,
    Web,
    granted,
    requests,
    service_account,
    settled,
)


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
