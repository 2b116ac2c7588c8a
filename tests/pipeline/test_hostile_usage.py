"""Whatever a provider says it used: the charge is sane, and what is odd about it is on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.domain import FLAGS
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running
from tests.money import EXTEND, HOLD, IN, OUT, SETTLE, entries, open_calls, payer, sound, tokens_in
from tests.rawclient import ask, chat, request

WORDS = "an answer of a fair length, as one gets them every day, and then some more words " * 8
GOOD = {"prompt_tokens": 21, "completion_tokens": 150, "total_tokens": 171}
PLENTY = 10**12  # a thousand dollars, far more than any of these calls may cost
MAX_TOKENS = 400

# What the provider writes for its usage, as JSON text, and whether that can be billed from.
FIGURES = {
    "good": (json.dumps(GOOD), True),
    "no total": ('{"prompt_tokens":21,"completion_tokens":150}', True),
    "unknown fields": ('{"prompt_tokens":21,"completion_tokens":150,"x":{"y":[-1]}}', True),
    "missing": ("", False),
    "null": ("null", False),
    "empty": ("{}", False),
    "a list": ("[21,150]", False),
    "a string": ('"21"', False),
    "true": ("true", False),
    "all zero": ('{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', False),
    "no answer counted": ('{"prompt_tokens":21,"completion_tokens":0,"total_tokens":21}', False),
    "prompt negative": ('{"prompt_tokens":-21,"completion_tokens":150}', False),
    "completion negative": ('{"prompt_tokens":21,"completion_tokens":-150}', False),
    "both negative": ('{"prompt_tokens":-9999,"completion_tokens":-9999}', False),
    "cached negative": (
        '{"prompt_tokens":21,"completion_tokens":150,"prompt_tokens_details":{"cached_tokens":-5}}',
        False,
    ),
    "2^63": ('{"prompt_tokens":9223372036854775808,"completion_tokens":150}', False),
    "2^63 out": ('{"prompt_tokens":21,"completion_tokens":9223372036854775808}', False),
    "2^200": (f'{{"prompt_tokens":{2**200},"completion_tokens":150}}', False),
    "1e308": ('{"prompt_tokens":1e308,"completion_tokens":150}', False),
    "1e308 out": ('{"prompt_tokens":21,"completion_tokens":1e308}', False),
    "1e999": ('{"prompt_tokens":1e999,"completion_tokens":150}', False),
    "a fraction": ('{"prompt_tokens":20.5,"completion_tokens":150}', False),
    "strings": ('{"prompt_tokens":"21","completion_tokens":"150"}', False),
    "prompt null": ('{"prompt_tokens":null,"completion_tokens":150}', None),
    "both null": ('{"prompt_tokens":null,"completion_tokens":null}', False),
    "booleans": ('{"prompt_tokens":true,"completion_tokens":true}', False),
    "objects": ('{"prompt_tokens":{},"completion_tokens":[]}', False),
    "cached over prompt": (
        '{"prompt_tokens":21,"completion_tokens":150,"prompt_tokens_details":{"cached_tokens":22}}',
        False,
    ),
    "reasoning over completion": (
        '{"prompt_tokens":21,"completion_tokens":150,"total_tokens":171,'
        '"completion_tokens_details":{"reasoning_tokens":151}}',
        False,
    ),
    "total under the sum": (
        '{"prompt_tokens":21,"completion_tokens":150,"total_tokens":22}',
        False,
    ),
    "total over the sum": (
        '{"prompt_tokens":21,"completion_tokens":150,"total_tokens":99999}',
        False,
    ),
    "total a string": ('{"prompt_tokens":21,"completion_tokens":150,"total_tokens":"x"}', False),
    "twice the same name": (
        '{"prompt_tokens":21,"prompt_tokens":-21,"completion_tokens":150}',
        None,
    ),
}


def cases():
    for name, (text, billable) in FIGURES.items():
        for stream in (False, True):
            kind = "stream" if stream else "whole"
            yield pytest.param(text, billable, stream, id=f"{name}-{kind}")


def event(delta: dict[str, str], more: str = "", finish: str = "null") -> bytes:
    choice = f'{{"index":0,"delta":{json.dumps(delta)},"finish_reason":{finish}}}'
    return f'data: {{"id":"c","choices":[{choice}]{more}}}\n\n'.encode()


def usage_event(text: str) -> bytes:
    return f'data: {{"id":"c","choices":[],"usage":{text}}}\n\n'.encode() if text else b""


def deltas() -> list[bytes]:
    return [event({"content": word + " "}) for word in WORDS.split()]


def saying(text: str):
    """A provider that answers well and says this of its usage."""

    async def handler(exchange: Exchange) -> None:
        if exchange.request.json().get("stream"):
            await exchange.sse([*deltas(), event({}, finish='"stop"'), usage_event(text)])
            return
        message = json.dumps({"role": "assistant", "content": WORDS})
        usage = f',"usage":{text}' if text else ""
        body = (
            f'{{"id":"c","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]'
            f"{usage}}}"
        ).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        await exchange.send(head % len(body) + body)

    return handler


async def charged(tmp_path: Path, handler, body: bytes, money: int = PLENTY):
    """The answer, and the one call's rows: what was held at first, and how it was settled."""
    async with FakeUpstream(handler) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, money)
        answer = await ask(gateway.server.port, request(body, who.secret))
        await gateway.idle()
        await gateway.server.store.ledger.flush()
        assert len(fake.requests) == 1
        rows = entries(gateway.server.settings.db, who.account)
    sound(rows, {who.account: 0})
    assert not open_calls(rows)
    first = next(row for row in rows if row["kind"] == HOLD)
    (settled,) = [row for row in rows if row["kind"] == SETTLE]
    held = sum(row["held"] for row in rows if row["kind"] in (HOLD, EXTEND))
    assert 0 <= settled["revenue"] <= held
    return answer, first, settled


@pytest.mark.parametrize(("text", "billable", "stream"), list(cases()))
async def test_the_charge_is_sane(
    tmp_path: Path, text: str, billable: bool | None, stream: bool
) -> None:
    """Within what was set aside, never a credit, never a silent nothing for an answer."""
    body = json.dumps(chat(stream=stream, max_tokens=MAX_TOKENS)).encode()
    answer, first, settled = await charged(tmp_path, saying(text), body)
    assert answer.status < 500 or answer.status == 502, answer.body
    if answer.status != 200:  # what can't be read is no answer, and costs nothing
        assert settled["revenue"] == 0
        return
    assert 0 < settled["revenue"] <= first["held"]
    assert settled["output"] > 0, "an answer of no tokens"
    if billable:
        assert settled["flag"] == 0
        assert settled["revenue"] == 21 * IN + 150 * OUT
    elif billable is not None:
        assert settled["flag"] in (FLAGS["no_usage"], FLAGS["bad_usage"])
        assert settled["input"] == tokens_in(body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["prompt_tokens", "completion_tokens"])
async def test_a_count_beyond_all_bounds_is_not_billed(
    tmp_path: Path, where: str, stream: bool
) -> None:
    """More tokens than the call could have is a mistake of the provider's, not a charge."""
    body = json.dumps(chat(stream=stream, max_tokens=MAX_TOKENS)).encode()
    text = json.dumps({"prompt_tokens": 21, "completion_tokens": 150} | {where: 2**50})
    _, first, settled = await charged(tmp_path, saying(text), body)
    assert settled["flag"] == FLAGS["bad_usage"]
    assert settled["revenue"] <= first["held"]


@pytest.mark.parametrize("text", ["NaN", '{"prompt_tokens":NaN,"completion_tokens":150}'])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_is_no_json_is_no_usage(tmp_path: Path, text: str, stream: bool) -> None:
    """A body with NaN in it is not an answer; a stream's text was one, and is counted here."""
    body = json.dumps(chat(stream=stream, max_tokens=MAX_TOKENS)).encode()
    answer, first, settled = await charged(tmp_path, saying(text), body)
    if not stream:
        assert answer.status == 502
        assert settled["revenue"] == 0
        return
    assert answer.status == 200
    assert 0 < settled["revenue"] <= first["held"]
    assert settled["flag"] == FLAGS["no_usage"]


def streaming(*events: bytes):
    async def handler(exchange: Exchange) -> None:
        await exchange.sse(list(events))

    return handler


END = event({}, finish='"stop"')
SMALL = '{"prompt_tokens":21,"completion_tokens":30}'
FULL = json.dumps(GOOD)


@pytest.mark.parametrize(
    ("events", "flag"),
    [
        pytest.param([*deltas(), END, usage_event(SMALL), usage_event(FULL)], 0, id="grows"),
        pytest.param([*deltas(), END, usage_event(FULL), usage_event(SMALL)], 3, id="falls"),
        pytest.param([*deltas(), END, usage_event(FULL), usage_event(FULL)], 0, id="repeats"),
        pytest.param([*deltas(), END, usage_event(FULL), usage_event("null")], 0, id="then null"),
        pytest.param([usage_event(FULL), *deltas(), END], 0, id="before the answer"),
        pytest.param(
            [*deltas()[:9], usage_event(FULL), *deltas()[9:], END], 0, id="in the middle"
        ),
        pytest.param(
            [*[event({"content": "w "}, f',"usage":{SMALL}') for _ in range(30)], END,
             usage_event(FULL)], 0, id="in each",
        ),
        pytest.param([usage_event('{"prompt_tokens":21,"completion_tokens":0}'), *deltas(), END],
                     3, id="nothing yet, and no more"),
        pytest.param([*deltas(), END, usage_event(FULL), *deltas(), END], 0, id="more after"),
    ],
)  # fmt: skip
async def test_several_reports(tmp_path: Path, events: list[bytes], flag: int) -> None:
    """The last report counts; one that goes back on an earlier one is not believed."""
    body = json.dumps(chat(stream=True, max_tokens=MAX_TOKENS)).encode()
    answer, first, settled = await charged(tmp_path, streaming(*events), body)
    assert answer.status == 200
    assert settled["flag"] == flag
    assert 0 < settled["revenue"] <= first["held"]
    if not flag:
        assert settled["revenue"] == 21 * IN + 150 * OUT


async def test_a_cost_beyond_the_money_takes_what_is_there(tmp_path: Path) -> None:
    """The charge ends where the account does, and says that it did."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    money = tokens_in(body) * IN + MAX_TOKENS * OUT + 1_000
    text = json.dumps({"prompt_tokens": 5_000, "completion_tokens": MAX_TOKENS})
    answer, _, settled = await charged(tmp_path, saying(text), body, money)
    assert answer.status == 200
    assert settled["revenue"] == money
    assert settled["flag"] == FLAGS["over_hold"]


@pytest.mark.parametrize("where", ["first", "middle", "end"])
async def test_usage_of_a_stream_that_breaks_off(tmp_path: Path, where: str) -> None:
    """What was reported before the break counts; without a report the gateway's own count does."""
    parts = deltas()
    events = {
        "first": parts[:9],
        "middle": [*parts[:9], usage_event(SMALL), *parts[9:20]],
        "end": [*parts, END, usage_event(FULL)],
    }[where]

    async def handler(exchange: Exchange) -> None:
        await exchange.sse(events, done=False, end=False)
        exchange.close()

    body = json.dumps(chat(stream=True, max_tokens=MAX_TOKENS)).encode()
    _, first, settled = await charged(tmp_path, handler, body)
    assert 0 < settled["revenue"] <= first["held"]
    if where == "first":
        assert settled["flag"] == FLAGS["cut_off"]
