"""Lists, status pages, and models that cannot be called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.official import anthropic_client
from tests.rawclient import Answer, ask, chat, request


async def get(gateway: Gateway, path: str, key: str | None = "") -> Answer:
    secret = gateway.key if key == "" else key
    return await ask(gateway.server.port, request(b"", secret, path=path, method="GET"))


async def ids(gateway: Gateway, path: str) -> list[str]:
    return [item["id"] for item in (await get(gateway, path)).json()["data"]]


@pytest.mark.parametrize("surface", ["/v1", "/api/gateway", "/api/gateway/v1"])
async def test_the_model_list(gateway: Gateway, surface: str) -> None:
    """OpenAI's list form, with name, context, prices per token, kind and capabilities."""
    listed = (await get(gateway, f"{surface}/models")).json()
    assert listed["object"] == "list"
    assert listed["has_more"] is False
    assert (listed["first_id"], listed["last_id"]) == ("fake-slug", "echo")
    model = listed["data"][0]
    assert model["pricing"] == {"prompt": "0.000003", "completion": "0.000015"}
    expected = {
        "id": "fake-slug", "object": "model", "owned_by": "Fake", "name": "Fake Model",
        "context_length": 128000, "kind": "chat", "canonical_model": "fake-model",
        "capabilities": ["streaming", "tools", "vision"], "provider": "fake",
    }  # fmt: skip
    assert expected.items() <= model.items()


async def test_anthropics_client_reads_the_list(gateway: Gateway) -> None:
    """Its models have a name to be shown and a time with a date."""
    async with anthropic_client(gateway.root, gateway.key) as client:
        listed = {one.id: one async for one in client.models.list(limit=2)}
        one = await client.models.retrieve("fake-slug")
    assert set(await ids(gateway, "/v1/models")) == set(listed)
    assert listed["fake-slug"] == one
    assert (one.type, one.display_name) == ("model", "Fake Model")
    assert one.max_input_tokens == 128_000
    assert one.created_at.timestamp() == one.model_extra["created"]


async def test_what_has_ended_is_not_listed(tmp_path: Path) -> None:
    """What is listed can be called; of what was switched off it can still be asked when."""
    text = catalog_text("http://127.0.0.1:9/v1")
    text = text.replace("    name: Same Model\n", "    name: Same Model\n    sunset: 2020-01-01\n")
    async with running(tmp_path, text=text) as gateway:
        assert "fake-slug" in await ids(gateway, "/v1/models")
        assert "same-name" not in await ids(gateway, "/v1/models")
        one = (await get(gateway, "/v1/models/same-name")).json()
        called = await ask(gateway.server.port, request(chat(model="same-name"), gateway.key))
    assert one["sunset"] == "2020-01-01"
    assert (called.status, called.error["code"]) == (404, "model_not_found")


async def test_no_endpoint_below_messages(gateway: Gateway) -> None:
    """Who asks there reads errors of that dialect."""
    answer = await get(gateway, "/v1/messages/batches")
    told = answer.json()
    assert answer.header("request-id") == answer.header("x-request-id") == told["request_id"]
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    assert "'/v1/messages/batches'" in told["error"]["message"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("after=nobody", "after"),
        ("after_id=nobody", "after_id"),
        ("before=nobody", "before"),
        ("before_id=nobody", "before_id"),
        ("after_id=echo&before_id=echo", "before_id"),
    ],
)
async def test_a_cursor_is_refused_by_its_own_name(
    gateway: Gateway, query: str, param: str
) -> None:
    """Each dialect's clients have names of their own, and know no other."""
    answer = await get(gateway, f"/v1/models?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)
    assert f"'{param}'" in answer.error["message"]


async def test_the_split_lists(gateway: Gateway) -> None:
    """Embedding and transcription models have lists of their own, and stand in the whole one."""
    assert await ids(gateway, "/v1/embedding-models") == ["embed-slug"]
    assert await ids(gateway, "/v1/transcription-models") == ["ears-slug"]
    assert {"embed-slug", "ears-slug", "image-slug"} <= set(await ids(gateway, "/v1/models"))


async def test_one_model(gateway: Gateway) -> None:
    """By slug or canonical name, percent-encoded or not; what is not there is a 404."""
    for name in ("fake-slug", "fake%2Dslug", "fake-model"):
        answer = await get(gateway, f"/v1/models/{name}")
        assert answer.status == 200
        assert answer.json()["canonical_model"] == "fake-model"
    missing = await get(gateway, "/v1/models/a/b%2Fc")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")
    assert "a/b/c" in missing.error["message"]


async def test_pages(gateway: Gateway) -> None:
    """Cursors walk the list forth and back without loss or repetition."""
    everything = await ids(gateway, "/v1/models")
    walked: list[str] = []
    cursor = ""
    while True:
        page: dict[str, Any] = (await get(gateway, f"/v1/models?limit=2{cursor}")).json()
        walked += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&after={page['last_id']}"
    assert walked == everything
    back = (await get(gateway, f"/v1/models?limit=2&before={everything[-1]}")).json()
    assert [item["id"] for item in back["data"]] == everything[-3:-1]
    assert back["has_more"] is True


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=99999", "limit"),
        ("after=nope", "after"),
        ("before=nope", "before"),
        ("after=echo&before=echo", "before"),
    ],
)
async def test_bad_cursors(gateway: Gateway, query: str, param: str) -> None:
    """A cursor or limit that means nothing is a 400 that names it."""
    answer = await get(gateway, f"/v1/models?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)


async def test_providers_keep_their_secrets(gateway: Gateway) -> None:
    """The providers' list says which are configured, and nothing that opens them."""
    answer = await get(gateway, "/v1/providers")
    by_id = {item["id"]: item for item in answer.json()["data"]}
    assert by_id["fake"]["configured"] is True
    assert by_id["keyless"]["configured"] is False
    assert by_id["foreign"]["implemented"] is False
    assert b"secret" not in answer.body


async def test_lists_need_a_key(gateway: Gateway) -> None:
    """Lists are for callers; status pages are for everybody."""
    for path in ("/v1/models", "/v1/models/echo", "/v1/providers", "/v1/embedding-models"):
        assert (await get(gateway, path, None)).status == 401
    for path in ("/api/status", "/healthz", "/readyz", "/metrics"):
        assert (await get(gateway, path, None)).status == 200


async def test_the_status_page(gateway: Gateway, fake: FakeUpstream) -> None:
    """Version, uptime, catalog and how each provider fared, without a secret."""
    await ask(gateway.server.port, request(chat(), gateway.key))
    answer = await get(gateway, "/api/status", None)
    status = answer.json()
    assert status["status"] == "ok"
    assert status["uptime_seconds"] >= 0
    assert status["catalog"]["revision"] == gateway.server.catalog.revision
    assert status["catalog"]["last_error"] is None
    assert status["open_calls"] == 0
    assert b"\ngateway_open_calls 0\n" in (await get(gateway, "/metrics", None)).body
    assert status["upstreams"]["fake"]["state"] == "up"
    assert status["upstreams"]["sim"]["state"] == "unknown"
    assert status["adapters"]["failed"] == {"not-installed": "not installed"}
    assert b"sk-" not in answer.body

    async def broken(exchange: Any) -> None:
        exchange.cut()

    fake.handler = broken
    for _ in range(3):
        await ask(gateway.server.port, request(chat(), gateway.key))
    status = (await get(gateway, "/api/status", None)).json()
    assert status["upstreams"]["fake"]["state"] == "down"
    assert status["upstreams"]["fake"]["last_failure_cause"] == "reset"


async def test_metrics_stay_bounded(gateway: Gateway) -> None:
    """Made-up models add no series; a served call adds its own."""
    await ask(gateway.server.port, request(chat(), gateway.key))
    await ask(gateway.server.port, request(chat(model="x0"), gateway.key))
    before = (await get(gateway, "/metrics", None)).body
    for n in range(50):
        await ask(gateway.server.port, request(chat(model=f"m{n}"), gateway.key))
    after = (await get(gateway, "/metrics", None)).body
    assert before.count(b"\n") == after.count(b"\n")
    assert b'route="fake-slug",status="200"} 1' in after
    assert re.search(rb'gateway_upstream_connections\{provider="fake",state="idle"\} \d', after)


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/messages", "/" * 300])
async def test_paths_that_lead_nowhere(gateway: Gateway, path: str) -> None:
    """The path is named: mostly it is a base URL with a /v1 too few or too many."""
    answer = await ask(gateway.server.port, request(chat(), gateway.key, path=path))
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert f"'{path[:100]}'" in answer.error["message"]


async def test_a_call_larger_than_its_limit(gateway: Gateway) -> None:
    """No waiting mends it, so an SDK is told not to try again."""
    key = str((await gateway.server.store.keys.create("small", tpm=10)).secret)
    answer = await ask(gateway.server.port, request(chat(), key))
    assert (answer.status, answer.header("x-should-retry")) == (429, "false")


@pytest.mark.parametrize(
    ("path", "model", "status", "code"),
    [
        ("chat/completions", "nope", 404, "model_not_found"),
        ("chat/completions", "keyless-slug", 503, "no_upstream"),
        ("chat/completions", "foreign-slug", 501, "not_implemented"),
        ("embeddings", "image-slug", 400, "invalid_request"),
        ("chat/completions", "ears-slug", 400, "invalid_request"),
        ("chat/completions", "embed-slug", 400, "invalid_request"),
        ("embeddings", "fake-slug", 400, "invalid_request"),
    ],
)
async def test_models_that_cannot_be_called(
    gateway: Gateway, fake: FakeUpstream, path: str, model: str, status: int, code: str
) -> None:
    """Each says why: not here, no credential, no adapter, another endpoint."""
    body = chat(model=model) if path.startswith("chat") else {"model": model, "input": "x"}
    answer = await ask(gateway.server.port, request(body, gateway.key, path=f"/v1/{path}"))
    assert (answer.status, answer.error["code"]) == (status, code)
    if model == "image-slug":
        assert "images/generations" in answer.error["message"]
    if model == "embed-slug":
        assert "/v1/embeddings" in answer.error["message"]
    if status in (501, 503):
        assert answer.header("x-should-retry") == "false"
    if status == 503:
        key = str((await gateway.server.store.keys.create("limited", rpm=7)).secret)
        limited = await ask(gateway.server.port, request(body, key, path=f"/v1/{path}"))
        assert limited.header("x-ratelimit-remaining-requests") == "7"
        assert "in the environment" in answer.error["message"]
    assert not fake.requests
