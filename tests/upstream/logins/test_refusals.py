"""A login that fails is told in one way, and left alone for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from gateway.domain import Credential
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter
from gateway.sdk.talk import Login, ReadFile, Token
from gateway.upstream import logins
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


@pytest.mark.parametrize("failure", [aiohttp.ClientOSError(), TimeoutError(), OSError()])
async def test_network_failures_are_refusals(kept: Logins, web: Web, failure: Exception) -> None:
    """So are those of the way there."""
    web.post(TOKEN_URL, exception=failure)
    with pytest.raises(Fault):
        await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)


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
