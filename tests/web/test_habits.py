"""What agents send with every call, made for the provider of their own dialect, reaching others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import FakeUpstream
from tests.harness import running
from tests.rawclient import ask, request

USER = '{"device_id":"' + "a" * 64 + '","account_uuid":"b","session_id":"c"}'
CODING: dict[str, Any] = {
    "model": "fake-slug",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
    "metadata": {"user_id": USER},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "something_new": 1,
}
PATCHING: dict[str, Any] = {
    "model": "fake-slug",
    "input": "hi",
    "client_metadata": {"x-installation-id": "a"},
    "something_new": 1,
}


async def sent(
    tmp_path: Path, fake: FakeUpstream, path: str, body: dict[str, Any], **more: Any
) -> tuple[dict[str, Any], str]:
    """What the provider was sent for it, and what was said to be lost."""
    async with running(tmp_path, fake.url, **more) as served:
        told = request(body, served.key, path=path)
        await ask(served.server.port, told)
        explained = request(body, served.key, path=f"/v1/explain?endpoint={path[4:]}")
        lost = (await ask(served.server.port, explained)).json()["fidelity"]
    made: dict[str, Any] = fake.requests[0].json()
    return made, str(lost)


async def test_a_host_of_the_chat_wire_is_not_told_what_it_would_refuse(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    made, lost = await sent(tmp_path, fake, "/v1/messages", CODING)
    assert "context_management" not in made
    assert "context_management" in lost
    assert made["something_new"] == 1


async def test_a_users_long_name_is_short_and_stays_the_same(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    """Hosts of the chat wire take 64 characters; the agents' names have twice as many."""
    made, _ = await sent(tmp_path, fake, "/v1/messages", CODING)
    again, _ = await sent(tmp_path, fake, "/v1/messages", CODING)
    assert 0 < len(made["user"]) <= 64
    assert again["user"] == made["user"]
    plain = {**CODING, "metadata": {"user_id": "short"}}
    fake.requests.clear()
    assert (await sent(tmp_path, fake, "/v1/messages", plain))[0]["user"] == "short"


@pytest.mark.parametrize("adapter", ["openai-compatible", "anthropic"])
async def test_a_clients_notes_to_its_own_maker_go_nowhere_else(
    tmp_path: Path, fake: FakeUpstream, adapter: str
) -> None:
    made, lost = await sent(tmp_path, fake, "/v1/responses", PATCHING, adapter=adapter)
    assert "client_metadata" not in made
    assert "client_metadata" in lost
    assert made["something_new"] == 1


async def test_where_it_means_something_it_arrives(tmp_path: Path, fake: FakeUpstream) -> None:
    made, _ = await sent(tmp_path, fake, "/v1/messages", CODING, adapter="anthropic")
    assert made["context_management"] == CODING["context_management"]
    assert made["metadata"] == CODING["metadata"]


async def test_a_conversation_of_which_nothing_is_left_is_refused(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    """Sound alone, for a provider that hears none, was sent as no messages at all."""
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRgAA", "format": "wav"}}
    body = {"model": "fake-slug", "messages": [{"role": "user", "content": [sound]}]}
    async with running(tmp_path, fake.url, adapter="anthropic") as served:
        answer = await ask(served.server.port, request(body, served.key))
    assert (answer.status, answer.json()["error"]["param"]) == (400, "messages")
    assert not fake.requests
