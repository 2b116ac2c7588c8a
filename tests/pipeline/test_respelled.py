"""Vendors whose answers are spelled anew, through a running gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import running
from tests.rawclient import Answer, ask, chat, request

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
DONE = b"data: [DONE]\n\n"


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"id": "i", "choices": [choice], **more}).encode()


async def said(
    tmp_path: Path, adapter: str, pieces: list[bytes], kind: str, **more: Any
) -> tuple[Answer, dict[str, Any]]:
    """What a client of this adapter's route is told, and the line in the log."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Transfer-Encoding", "chunked"), ("Content-Type", kind)]
        await exchange.send(head(200, lines))
        for piece in pieces:
            await exchange.send(chunk(piece))
        await exchange.send(b"0\r\n\r\n")

    async with FakeUpstream(handler) as fake, running(tmp_path, fake.url, adapter=adapter) as gw:
        answer = await ask(gw.server.port, request(chat(**more), gw.key))
        await gw.idle()
        gw.server.log.close()
        (line,) = [line for line in gw.logged() if line["event"] == "call"]
    return answer, line


async def test_a_stream(tmp_path: Path) -> None:
    """Thoughts come under our name, usage nobody asked for stays out, and is charged."""
    pieces = [
        event({"reasoning": "hm"}),
        event({"content": "x"}) + event({}, "stop", x_groq={"usage": USAGE}),
        b'data: {"id":"i","choices":[],"usage":%s}\n\n' % json.dumps(USAGE).encode() + DONE,
    ]
    answer, line = await said(tmp_path, "groq", pieces, "text/event-stream", stream=True)
    assert answer.status == 200
    told = [json.loads(one[6:]) for one in answer.body.decode().split("\n\n")[:-2]]
    assert [one["choices"][0]["delta"] for one in told] == [
        {"reasoning_content": "hm"},
        {"content": "x"},
        {},
    ]
    assert answer.body.endswith(DONE)
    assert (line["input_tokens"], line["output_tokens"]) == (7, 3)


async def test_a_whole_answer(tmp_path: Path) -> None:
    """A list of parts becomes a text and a thought; usage is charged."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "x"},
    ]
    choice = {"index": 0, "message": {"role": "assistant", "content": parts}}
    body = json.dumps({"choices": [{**choice, "finish_reason": "stop"}], "usage": USAGE})
    answer, line = await said(tmp_path, "mistral", [body.encode()], "application/json")
    message = answer.json()["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "x", "reasoning_content": "hm"}
    assert (line["input_tokens"], line["output_tokens"]) == (7, 3)


async def test_a_stream_that_breaks(tmp_path: Path) -> None:
    """A reason that is a failure is told as an error, and there is no end mark."""
    pieces = [event({}, "insufficient_system_resource") + DONE]
    answer, line = await said(tmp_path, "deepseek", pieces, "text/event-stream", stream=True)
    assert answer.status == 502
    assert "insufficient_system_resource" in answer.body.decode()
    assert line["cause"] == "broken_off"


async def test_a_failure_in_a_whole_answer(tmp_path: Path) -> None:
    """The host's code decides the status, though it said 200."""
    body = b'{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}'
    answer, line = await said(tmp_path, "minimax", [body], "application/json")
    assert answer.status == 429
    assert line["cause"] == "provider_rate_limit"
