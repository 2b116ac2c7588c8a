"""Errors as the official Python SDK raises them: its classes, their fields, and what it retries."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway import errors
from gateway.errors import Fault
from gateway.sdk import Adapter, Operation
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway
from tests.sdk_clients.openai_scripts import ask, calls, completion, says


@pytest.mark.parametrize(
    ("upstream", "kind", "status", "code"),
    [
        (400, openai.BadRequestError, 400, "invalid_request"),
        (422, openai.BadRequestError, 400, "invalid_request"),
        (401, openai.InternalServerError, 502, "upstream_error"),
        (429, openai.RateLimitError, 429, "rate_limit_exceeded"),
        (500, openai.InternalServerError, 502, "upstream_error"),
        (529, openai.InternalServerError, 502, "upstream_error"),
    ],
)
async def test_provider_errors(
    client: AsyncOpenAI, fake: FakeUpstream, upstream: int, kind: Any, status: int, code: str
) -> None:
    """Each is the SDK's own class, with code, type, param and request id."""
    fake.handler = says({"error": {"message": "no", "param": "p", "code": "x"}}, upstream)
    with pytest.raises(kind) as caught:
        await ask(client.with_options(max_retries=0))
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id.startswith("req_")
    assert error.param == ("p" if status == 400 else None)


async def test_errors_of_the_gateway(client: AsyncOpenAI, gateway: Gateway) -> None:
    """401, 403, 404, 501 and 503 are the SDK's classes too, and hopeless ones are not retried."""
    narrow = await gateway.server.site.services.keys.create("n", allow=["echo"])
    cases: list[tuple[Any, dict[str, Any], Any, str]] = [
        (client.with_options(api_key="no"), {}, openai.AuthenticationError, "authentication_error"),
        (client.with_options(api_key=str(narrow.secret)), {}, openai.PermissionDeniedError,
         "model_not_allowed"),
        (client, {"model": "nope"}, openai.NotFoundError, "model_not_found"),
        (client, {"model": "foreign-slug"}, openai.InternalServerError, "not_implemented"),
        (client, {"model": "keyless-slug"}, openai.InternalServerError, "no_upstream"),
        (client, {"temperature": 9}, openai.BadRequestError, "invalid_request"),
    ]  # fmt: skip
    for sender, more, kind, code in cases:
        before = calls(gateway)
        with pytest.raises(kind) as caught:
            await ask(sender, **more)
        assert caught.value.code == code
        assert calls(gateway) - before == 1


async def test_retries(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK retries what may pass: 429 after its Retry-After, 502 after its own pause."""
    answers = [
        says({"error": {"message": "down"}}, 500),
        says({"error": {"message": "slow"}}, 429, ("Retry-After", "0")),
        says(completion({"content": "third"})),
    ]

    async def handler(exchange: Exchange) -> None:
        await answers[len(fake.requests) - 1](exchange)

    fake.handler = handler
    assert (await ask(client)).choices[0].message.content == "third"
    assert len(fake.requests) == 3


async def test_retry_after_is_honoured(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK waits as long as the provider said, through the gateway."""
    answers = [
        says({"error": {"message": "slow"}}, 429, ("Retry-After", "2")),
        says(completion({"content": "second"})),
    ]

    async def handler(exchange: Exchange) -> None:
        await answers[len(fake.requests) - 1](exchange)

    fake.handler = handler
    started = time.monotonic()
    assert (await ask(client)).choices[0].message.content == "second"
    assert 2 <= time.monotonic() - started < 4


CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
RETRIED = {"request_timeout", "rate_limit_exceeded", "upstream_error", "no_upstream",
           "upstream_timeout", "idempotency_in_use"}  # fmt: skip


@pytest.mark.parametrize("code", sorted(set(errors.TABLE) - {"client_closed"}))
async def test_every_row_of_the_error_table(
    client: AsyncOpenAI, gateway: Gateway, code: str
) -> None:
    """Each kind is the SDK's class for its status, with all its fields, and retried if worth it."""
    kind = errors.TABLE[code]

    def build(_call: Any, _credential: Any) -> Any:
        raise Fault(kind, "as the test wants it", param="p", retry_after=1)

    adapter = Adapter("thrower", {"chat": Operation(build)})
    gateway.server.plugins.adapters["not-installed"] = adapter
    default = openai.InternalServerError if kind.status >= 500 else openai.APIStatusError
    with pytest.raises(CLASSES.get(kind.status, default)) as caught:
        await ask(client.with_options(max_retries=1), model="foreign-slug")
    error = caught.value
    assert (error.status_code, error.code, error.type) == (kind.status, code, kind.type)
    assert error.param == "p"
    assert error.request_id.startswith("req_")
    assert error.body["message"] == "as the test wants it"
    assert calls(gateway) == (2 if code in RETRIED else 1)
