"""What a call would send is shown for every kind of credential, and no credential with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import running
from tests.money import payer
from tests.rawclient import ask, request
from tests.upstream.logins.ready import ACCOUNT

ACCOUNT_TEXT = json.dumps(ACCOUNT).replace("'", "''")
CREDENTIALS = {
    "account": ("vertex", f"service_account: '{ACCOUNT_TEXT}'"),
    "express": ("vertex", "api_key: express-secret"),
    "profile": ("bedrock", "profile: secret-profile"),
    "bearer": ("bedrock", "api_key: bearer-secret"),
    "session": (
        "bedrock",
        "access_key: AKIDSECRET, secret_key: sign-secret, session_token: s-secret",
    ),
    "key": ("openai-compatible", "api_key: plain-secret"),
    "anthropic": ("anthropic", "api_key: messages-secret"),
}
SECRETS = (b"secret", b"SECRET", b"PRIVATE", b"robot@")
TURNS = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": TURNS},
    "messages": {"messages": TURNS, "max_tokens": 5},
    "responses": {"input": "hi"},
}


def catalog() -> str:
    providers = [
        f'  {name}: {{adapter: {adapter}, base_url: "http://127.0.0.1:9", '
        f"options: {{region: us-east-1}}, credentials: [{{name: main, {credential}}}]}}"
        for name, (adapter, credential) in CREDENTIALS.items()
    ]
    price = '{input_per_mtok: "1", output_per_mtok: "1"}'
    models = [
        f"  the-{name}: {{name: M, vendor: V, kind: chat, routes: {{{name}: "
        f'{{provider: {name}, upstream: "anthropic.claude-sonnet-4-5", price: {price}}}}}}}'
        for name in CREDENTIALS
    ]
    head = 'version: 1\nsurfaces: {"/v1": {style: openai}}\nproviders:\n'
    return head + "\n".join(providers) + "\nmodels:\n" + "\n".join(models) + "\n"


@pytest.mark.parametrize("endpoint", BODIES)
async def test_masked_for_every_kind_of_credential(tmp_path: Path, endpoint: str) -> None:
    """Without a login: nothing listens at any of the addresses."""
    async with running(tmp_path, text=catalog()) as gateway:
        for name in CREDENTIALS:
            body = request(
                {"model": name, **BODIES[endpoint]},
                gateway.key,
                path=f"/v1/explain?endpoint={endpoint}",
            )
            answer = await ask(gateway.server.port, body)
            assert answer.status == 200, (name, answer.body)
            assert not [secret for secret in SECRETS if secret in answer.body], name
            assert "***" in json.dumps(answer.json()["request"]["headers"])


async def test_where_a_provider_is_is_for_operators(tmp_path: Path) -> None:
    """A gateway may stand before hosts that nobody else is to know of."""
    async with running(tmp_path, text=catalog()) as gateway:
        admin = await gateway.server.store.keys.create("a", scopes=("admin", "inference"))
        for key, host in ((gateway.key, "***"), (str(admin.secret), "127.0.0.1:9")):
            body = request({"model": "key", "messages": TURNS}, key, path="/v1/explain")
            answer = await ask(gateway.server.port, body)
            assert answer.json()["request"]["url"] == f"http://{host}/chat/completions"
            assert (b"127.0.0.1" in answer.body) is (host != "***")


async def test_a_key_sees_only_the_models_that_it_may_call(tmp_path: Path) -> None:
    async with running(tmp_path, text=catalog()) as gateway:
        who = await payer(gateway.server.store, name="narrow", allow=("the-key",))
        for name, status in (("key", 200), ("express", 403)):
            body = request({"model": name, "messages": TURNS}, who.secret, path="/v1/explain")
            assert (await ask(gateway.server.port, body)).status == status
