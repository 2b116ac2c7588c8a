"""The official SDK's pictures, through every route of the shipped catalog, and what they cost."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway.catalog.load import load
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.sdk_clients import painters
from tests.sdk_clients.painters import B64, PNG, TOKENS, answers, bodies, charged, parts_of

# slug, what is asked, what the provider says, how often, where, and nanodollars
PRICED: list[tuple[str, dict[str, Any], Any, int, str, int]] = [
    (
        "gpt-image-2",
        {"n": 2},
        painters.openai("a", "b"),
        1,
        "/openai/images/generations",
        80_000_000,
    ),
    (
        "gpt-image-1",
        {"quality": "low"},
        painters.openai("a"),
        1,
        "/openai/images/generations",
        12 * 5_000 + 64 * 10_000 + 120 * 40_000,
    ),
    ("nano-banana", {}, painters.gemini(), 1, "/google/models/gemini-2.5-flash-image", 39_000_000),
    (
        "nano-banana-2",
        {},
        painters.gemini(),
        1,
        "/google/models/gemini-3.1-flash-image",
        67_000_000,
    ),
    ("nano-banana-2", {"size": "2048x2048"}, painters.gemini(), 1, "/google/", 100_000_000),
    ("nano-banana-2", {"size": "4K", "n": 2}, painters.gemini(), 2, "/google/", 300_000_000),
    ("nano-banana-pro", {"size": "2K"}, painters.gemini(), 1, "/google/", 134_000_000),
    ("nano-banana-pro", {"size": "4096x4096"}, painters.gemini(), 1, "/google/", 240_000_000),
    (
        "vertex-imagen-3",
        {"n": 2},
        painters.imagen("a", "b"),
        1,
        "/vertex/v1/publishers/google/models/imagen-3.0-generate-002:predict",
        80_000_000,
    ),
    ("vertex-imagen-3", {"n": 3}, painters.imagen("a"), 1, "/vertex/", 40_000_000),
    (
        "minimax-image-01",
        {"n": 3, "response_format": "b64_json"},
        painters.minimax("a", "b", "c"),
        1,
        "/minimax/image_generation",
        12_000_000,
    ),
    (
        "cogview-4",
        {"n": 2},
        painters.zhipu("https://a/1"),
        2,
        "/zhipu/images/generations",
        100_000_000,
    ),
    ("cogview-3-flash", {}, painters.zhipu("https://a/1"), 1, "/zhipu/images/generations", 0),
]


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=painters.shipped(fake.url), adapter_wait=5.0) as served:
        yield served


def test_every_route_of_pictures_has_a_price_here() -> None:
    """What is asserted below is all that the shipped catalog has."""
    catalog = load(Path(__file__).parents[2] / "catalog.yaml", {})
    routes = {slug for slug, route in catalog.routes.items() if route.model.kind == "image"}
    assert routes == {row[0] for row in PRICED}
    sizes = {(slug, size) for slug in routes for size in catalog.routes[slug].price.at_size}
    assert sizes == {("nano-banana-2", "2k"), ("nano-banana-2", "4k"), ("nano-banana-pro", "4k")}


@pytest.mark.parametrize("row", PRICED, ids=lambda row: f"{row[0]}-{row[1].get('size', '')}")
async def test_every_route(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream, row: Any
) -> None:
    """The call reaches the provider's own wire, its pictures come back, and cost what they do."""
    slug, members, said, calls, path, nanos = row
    fake.handler = answers(said)
    raw = await client.images.with_raw_response.generate(model=slug, prompt="a cat", **members)
    made = raw.parse()
    assert made.data is not None
    assert all(one.b64_json or one.url for one in made.data)
    assert [request.path.startswith(path) for request in fake.requests] == [True] * calls
    assert raw.headers["x-gateway-route"] == slug
    assert raw.headers["x-gateway-cost"] == f"{nanos // 10**9}.{nanos % 10**9:09d}"
    assert await charged(gateway) == [nanos]


async def test_base64_of_what_is_elsewhere(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """The gateway makes two calls, fetches both pictures, and hands them over in base64."""

    async def handler(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            assert exchange.request.header("Authorization") is None
            await answers(PNG)(exchange)
        else:
            await exchange.send_json(200, painters.zhipu(fake.url + "/kept/1.png"))

    fake.handler = handler
    made = await client.images.generate(
        model="cogview-4", prompt="a cat", n=2, response_format="b64_json"
    )
    assert made.data is not None
    assert [base64.b64decode(one.b64_json or "") for one in made.data] == [PNG, PNG]
    assert [request.method for request in fake.requests] == ["POST", "POST", "GET", "GET"]
    assert await charged(gateway) == [100_000_000]


async def test_what_a_filter_holds_back_costs_nothing(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """Two of three came: two are paid for. None came: a refusal that says why, and no charge."""
    fake.handler = answers(painters.gemini(), 429, painters.gemini())
    made = await client.images.generate(model="nano-banana", prompt="a cat", n=3)
    assert made.data is not None
    assert len(made.data) == 2
    filtered = {"predictions": [{"raiFilteredReason": "code 58061214"}]}
    fake.handler = answers(filtered)
    with pytest.raises(openai.BadRequestError, match="58061214") as caught:
        await client.images.generate(model="vertex-imagen-3", prompt="a cat")
    assert caught.value.param == "prompt"
    assert await charged(gateway) == [78_000_000, 0]


async def test_a_stream_passes(gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Partial pictures as they come, then the whole one, with a price by the token."""
    common = {"b64_json": B64, "created_at": 1, "size": "1024x1024", "quality": "low",
              "background": "opaque", "output_format": "png"}  # fmt: skip
    partial = {"type": "image_generation.partial_image", "partial_image_index": 0, **common}
    whole = {"type": "image_generation.completed", "usage": TOKENS, **common}
    whole["b64_json"] = "A" * (2 << 20)

    async def handler(exchange: Exchange) -> None:
        events = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in (partial, whole)]
        await exchange.sse(events, done=False)

    fake.handler = handler
    stream = await client.images.generate(
        model="gpt-image-1", prompt="a cat", stream=True, partial_images=1, size="1024x1024"
    )
    events = [event async for event in stream]
    assert [event.type for event in events] == [partial["type"], whole["type"]]
    assert (events[0].b64_json, len(events[1].b64_json)) == (B64, 2 << 20)
    (body,) = bodies(fake)
    assert (body["stream"], body["partial_images"], body["model"]) == (True, 1, "gpt-image-1")
    assert await charged(gateway) == [12 * 5_000 + 64 * 10_000 + 120 * 40_000]


async def test_a_stream_where_none_is_made(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """A provider that answers at once is told as events; what it cannot do is named."""
    fake.handler = answers(painters.gemini())
    raw = await client.images.with_raw_response.generate(
        model="nano-banana-pro", prompt="a cat", stream=True, n=2, partial_images=1
    )
    assert raw.headers["x-gateway-fidelity"] == "adapted; fields=partial_images"
    events = [event async for event in raw.parse()]
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert events[1].usage.output_tokens == 2240
    assert await charged(gateway) == [268_000_000]


async def test_a_cut_stream_is_an_error(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """A partial picture is no picture: the client is told, and nothing is charged."""
    event = {"type": "image_generation.partial_image", "b64_json": B64, "partial_image_index": 0}

    async def handler(exchange: Exchange) -> None:
        await exchange.sse([f"event: x\ndata: {json.dumps(event)}\n\n"], done=False)

    fake.handler = handler
    stream = await client.images.generate(model="gpt-image-1", prompt="a cat", stream=True)
    with pytest.raises(openai.APIError, match="before the answer was complete"):
        async for _ in stream:
            pass
    assert await charged(gateway) == [0]


async def test_who_leaves_a_stream(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """Whoever has seen a picture grow pays for it, also when they leave before its end."""
    event = {"type": "image_generation.partial_image", "b64_json": B64, "partial_image_index": 0}

    async def handler(exchange: Exchange) -> None:
        await exchange.sse([f"event: x\ndata: {json.dumps(event)}\n\n"], done=False, end=False)
        await exchange.client_closed()

    fake.handler = handler
    stream = await client.images.generate(
        model="gpt-image-2", prompt="a cat", stream=True, partial_images=3
    )
    assert (await anext(aiter(stream))).type == event["type"]
    await stream.close()
    assert await charged(gateway) == [40_000_000]


async def test_an_edit_with_files(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """Files reach the provider in a form of ours, byte for byte, and a large one is never held."""
    large = PNG + bytes(range(256)) * 4096
    fake.handler = answers(painters.openai("a"))
    made = await client.images.edit(
        model="gpt-image-1",
        image=[("a.png", io.BytesIO(PNG), "image/png"), ("b.webp", large, "image/webp")],
        mask=("m.png", PNG, "image/png"),
        prompt="turn it green",
        n=1,
        input_fidelity="high",
    )
    assert made.data is not None
    assert made.data[0].b64_json == "a"
    (request,) = fake.requests
    assert request.path == "/openai/images/edits"
    assert request.header("Authorization") == "Bearer key-of-openai_api_key"
    told = [(part.get("name"), part.get("filename"), part.get("type"), body)
            for part, body in parts_of(request)]  # fmt: skip
    assert sorted(told[:4]) == [
        ("input_fidelity", None, None, b"high"),
        ("model", None, None, b"gpt-image-1"),
        ("n", None, None, b"1"),
        ("prompt", None, None, b"turn it green"),
    ]
    assert told[4:] == [
        ("image[]", "a.png", "image/png", PNG),
        ("image[]", "b.webp", "image/webp", large),
        ("mask", "m.png", "image/png", PNG),
    ]
    assert await charged(gateway) == [12 * 5_000 + 64 * 10_000 + 120 * 40_000]


async def test_an_edit_by_a_model_that_talks(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """The same files in base64, inside JSON of the exact length."""
    large = PNG + bytes(range(256)) * 4096
    fake.handler = answers(painters.gemini())
    made = await client.images.edit(
        model="nano-banana-2", image=[PNG, ("b.webp", large)], prompt="green", size="2048x2048"
    )
    assert made.data is not None
    (request,) = fake.requests
    assert request.header("Content-Length") == str(len(request.body))
    parts = json.loads(request.body)["contents"][0]["parts"]
    assert parts[0] == {"text": "green"}
    inline = [part["inlineData"] for part in parts[1:]]
    assert [base64.b64decode(one["data"]) for one in inline] == [PNG, large]
    assert [one["mimeType"] for one in inline] == ["image/png", "image/webp"]
    assert await charged(gateway) == [100_000_000]


async def test_an_edit_by_predict(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """At the cloud, by the model that edits."""
    fake.handler = answers(painters.imagen("a"))
    made = await client.images.edit(model="vertex-imagen-3", image=PNG, prompt="green")
    assert made.data is not None
    (request,) = fake.requests
    assert request.path.endswith("/imagen-3.0-capability-001:predict")
    (given,) = json.loads(request.body)["instances"][0]["referenceImages"]
    assert base64.b64decode(given["referenceImage"]["bytesBase64Encoded"]) == PNG
    assert await charged(gateway) == [40_000_000]


async def test_an_edit_in_json(gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Pictures by address, as newer clients send them."""
    fake.handler = answers(painters.openai("a"))
    body = {"model": "gpt-image-2", "prompt": "green", "images": [{"image_url": "https://a/b.png"}]}
    made: Any = await client.post("/images/edits", body=body, cast_to=object)
    assert made["data"] == [{"b64_json": "a"}]
    assert bodies(fake) == [body]
    assert await charged(gateway) == [40_000_000]


@pytest.mark.parametrize(
    ("model", "members", "param"),
    [
        ("nano-banana", {"size": "4096x4096"}, "size"),
        ("nano-banana", {"background": "transparent"}, "background"),
        ("cogview-4", {"size": "10x10"}, "size"),
        ("minimax-image-01", {"n": 10}, "n"),
        ("gpt-image-1", {"n": 11}, "n"),
        ("gpt-5.4", {}, "model"),
    ],
)
async def test_what_is_refused(
    client: AsyncOpenAI, fake: FakeUpstream, model: str, members: Any, param: str
) -> None:
    """A 400 that names the field, before anything is sent."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.generate(model=model, prompt="a cat", **members)
    assert caught.value.param == param
    assert fake.requests == []


async def test_edits_that_cannot_be(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A mask that a model has no use for; a model that makes pictures from words alone."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.edit(model="nano-banana", image=PNG, mask=PNG, prompt="green")
    assert caught.value.param == "mask"
    for model in ("cogview-4", "minimax-image-01"):
        with pytest.raises(openai.BadRequestError, match="images/generations") as caught:
            await client.images.edit(model=model, image=PNG, prompt="green")
        assert caught.value.param == "model"
    assert fake.requests == []


async def test_what_breaks_off_is_missing(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """A further request whose connection is cut takes nothing from the first one's picture."""

    async def handler(exchange: Exchange) -> None:
        if len(fake.requests) == 1:
            await exchange.send_json(200, painters.zhipu("https://a.example/1"))
        else:
            exchange.cut()

    fake.handler = handler
    made = await client.images.generate(model="cogview-4", prompt="a cat", n=2)
    assert made.data is not None
    assert len(made.data) == 1
    assert await charged(gateway) == [50_000_000]


async def test_the_filter_of_the_first_provider(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Its refusal of a prompt is the client's to mend, whole and inside a stream."""
    refusal = {"error": {"message": "blocked by our safety system", "code": "moderation_blocked"}}

    async def handler(exchange: Exchange) -> None:
        if b'"stream"' in exchange.request.body:
            await exchange.sse([refusal], done=False)
        else:
            await exchange.send_json(400, refusal)

    fake.handler = handler
    for members in ({}, {"stream": True}):
        asked: Any = {"model": "gpt-image-1", "prompt": "a cat", **members}
        with pytest.raises(openai.BadRequestError, match="safety system"):
            await client.images.generate(**asked)
    assert len(fake.requests) == 2


async def test_another_credential_gets_the_same_files(tmp_path: Path, fake: FakeUpstream) -> None:
    """The first one is out of quota: what the client sent is sent once more, byte for byte."""
    text = painters.shipped(fake.url).replace("${OPENAI_API_KEY_2}", "spare-key")
    empty = {"error": {"message": "x", "code": "insufficient_quota"}}

    async def handler(exchange: Exchange) -> None:
        if len(fake.requests) == 1:
            await exchange.send_json(429, empty)
        else:
            await exchange.send_json(200, painters.openai("a"))

    fake.handler = handler
    async with (
        running(tmp_path, text=text, adapter_wait=5.0) as served,
        AsyncOpenAI(base_url=served.base, api_key=served.key, max_retries=0) as client,
    ):
        await client.images.edit(model="gpt-image-1", image=PNG, prompt="green")
        first, second = fake.requests
        keys = {one.header("Authorization") for one in (first, second)}
        assert keys == {"Bearer key-of-openai_api_key", "Bearer spare-key"}
        assert parts_of(first) == parts_of(second)
        assert await charged(served) == [12 * 5_000 + 64 * 10_000 + 120 * 40_000]
