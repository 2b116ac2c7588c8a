"""Every chat route of the shipped catalog reaches its adapter's wire, whichever dialect asks."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.catalog.load import load
from gateway.core.body import JsonBody
from gateway.domain import Credential, Route
from gateway.plugins import Plugins
from gateway.sdk import Call
from gateway.sdk.dialects import serving

SECRETS = {
    "bedrock": {"access_key": "AKIDEXAMPLE", "secret_key": "s3cret-s3cret"},
    "vertex": {"access_token": "token-token-token", "project": "proj"},
}
BODIES = {
    "chat": b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    "messages": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    "responses": b'{"model":"m","input":"hi"}',
}
CATALOG = load(Path(__file__).parents[2] / "catalog.yaml", {})
ROUTES = [route for route in CATALOG.routes.values() if route.model.kind == "chat"]


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    loaded = Plugins()
    loaded.load({route.provider.adapter for route in ROUTES})
    assert not loaded.failures
    return loaded


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.slug)
def test_a_route_is_served(plugins: Plugins, route: Route, dialect: str, stream: bool) -> None:
    """There is an operation for it, which writes a request to the provider's own host."""
    options = {**route.provider.options, **route.options}
    adapter = plugins.adapters[route.provider.adapter]
    operation = serving(adapter, dialect, route.upstream, options)
    assert operation is not None
    secrets = SECRETS.get(adapter.name, {"api_key": "sk-secret-secret"})
    call = Call(
        operation=dialect,
        upstream=route.upstream,
        base_url=route.provider.base_url,
        body=JsonBody.parse(BODIES[dialect]),
        stream=stream,
        region=route.region,
        options=options,
        now=1_800_000_000.0,
    )
    request = operation.build(call, Credential("main", secrets))
    mine, theirs = urlsplit(route.provider.base_url), urlsplit(request.url)
    assert theirs.scheme == mine.scheme
    if mine.scheme == "sim":
        return
    # A region stands in front of its provider's name.
    assert (theirs.hostname or "").split(".")[-2:] == (mine.hostname or "").split(".")[-2:]
