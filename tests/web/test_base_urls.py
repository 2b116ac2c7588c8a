"""Clients whose base URL has a part too few or too many are told which path was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import running
from tests.rawclient import ask, request


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/responses", "/v1/responses"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/api/gateway/v1/v1/messages", "/api/gateway/v1/messages"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/openai/deployments/echo/embeddings", "/v1/embeddings"),
    ],
)
async def test_the_path_that_was_meant_is_told(tmp_path: Path, path: str, meant: str) -> None:
    async with running(tmp_path) as served:
        answer = await ask(served.server.port, request({}, served.key, path=path))
    assert answer.status == 404
    assert f"'{meant}' is one" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/models/x/y", "/completions_", "/"])
async def test_what_is_near_to_nothing_gets_no_hint(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as served:
        answer = await ask(served.server.port, request({}, served.key, path=path))
    assert "is one" not in answer.body.decode()
