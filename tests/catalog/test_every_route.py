"""Every route of the shipped catalog, of every kind, asked over sockets at its kind's endpoint.

One fake stands for all providers. It refuses whatever it is asked, so that each call ends at once,
and is never tried elsewhere; what it was asked is compared with where each provider's documents say
that its model is to be found.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from msgspec import structs

from gateway.catalog.load import load
from gateway.domain import Credential, Provider, Route
from gateway.pipeline.operations import OPERATIONS
from gateway.sdk import Adapter
from tests.fake_upstream import Exchange, FakeUpstream, Request
from tests.harness import Gateway, running
from tests.pipeline.beyond_stage import send_form, wav
from tests.rawclient import Answer, ask, request
from tests.sdk_clients.hearing_stage import form_of
from tests.sockets import Client, upgrade
from tests.tasks.studio import QUICK

SHIPPED = Path(__file__).parents[2] / "catalog.yaml"
ROUTES = {
    slug: route
    for slug, route in load(SHIPPED, {}).routes.items()
    if route.provider.adapter != "sim"
}
# What nobody knows the price of has one here: enough for every kind, so that it can be called.
PRICE = dict.fromkeys(
    ("input_per_mtok", "output_per_mtok", "per_mchar", "audio_input_per_minute",
     "audio_output_per_minute"), "1.00",
)  # fmt: skip

# Where each provider is asked for each kind; M is its name for the model.
OPENAI = {
    "chat": "/chat/completions",
    "embedding": "/embeddings",
    "image": "/images/generations",
    "speech": "/audio/speech",
    "transcription": "/audio/transcriptions",
    "moderation": "/moderations",
    "realtime": "/realtime?model=M",
    "video": "/videos",
}
STUDIO = "/v1beta/models/M"
CLOUD = "/v1/projects/proj/locations/global/publishers/google/models/M"
REGION = CLOUD.replace("global", "us-central1")
LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
QWEN = "/compatible-mode/v1"
PATHS: dict[str, dict[str, str]] = {
    "anthropic": {"chat": "/v1/messages"},
    "azure": {"chat": "/openai/v1/chat/completions"},
    "bedrock": {"chat": "/model/M/converse", "embedding": "/model/M/invoke"},
    "cohere": {"chat": "/v2/chat", "embedding": "/v2/embed", "rerank": "/v2/rerank"},
    "google": {
        "chat": f"{STUDIO}:generateContent",
        "image": f"{STUDIO}:generateContent",
        "transcription": f"{STUDIO}:generateContent",
        "speech": f"{STUDIO}:streamGenerateContent?alt=sse",
        "embedding": f"{STUDIO}:batchEmbedContents",
        "video": f"{STUDIO}:predictLongRunning",
        "realtime": LIVE,
    },
    "vertex": {
        "chat": f"{CLOUD}:generateContent",
        "image": f"{CLOUD}:predict",
        "embedding": f"{CLOUD}:predict",
        "video": f"{CLOUD}:predictLongRunning",
        "music": "/v1beta1/projects/proj/locations/global/interactions",
        "speech": "/text:synthesize",
    },
    "minimax": {
        **OPENAI,
        "image": "/image_generation",
        "speech": "/t2a_v2",
        "video": "/video_generation",
        "music": "/music_generation",
    },
    "zhipu": {**OPENAI, "video": "/videos/generations", "realtime": "/realtime"},
    "alibaba": {
        "chat": f"{QWEN}/chat/completions",
        "embedding": f"{QWEN}/embeddings",
        "speech": "/api/v1/services/aigc/multimodal-generation/generation",
        "transcription": f"{QWEN}/chat/completions",
        "rerank": "/compatible-api/v1/reranks",
    },
}
# Routes that differ from their like: a model that only the newer API has, one that is a voice,
# those that are not everywhere, and one whose name has a word in front within a session.
ODD = {
    "gpt-5.5-pro": ("/responses", "gpt-5.5-pro"),
    "vertex-chirp-3": ("/text:synthesize", "en-US-Chirp3-HD-Kore"),
    "gemini-3.1-flash-live": (LIVE, "models/gemini-3.1-flash-live-preview"),
    "vertex-veo-3.1": (f"{REGION}:predictLongRunning", "veo-3.1-generate-001"),
    "vertex-veo-3.1-fast": (f"{REGION}:predictLongRunning", "veo-3.1-fast-generate-001"),
}
# The least that can be asked at each endpoint: of models of its kind, and wrongly of all others.
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "messages/count_tokens": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
    "completions": {"prompt": "hi"},
    "embeddings": {"input": "hi"},
    "images/generations": {"prompt": "a cat"},
    "images/edits": {"prompt": "a cat", "images": [{"image_url": "data:image/png;base64,aGk="}]},
    "audio/speech": {"input": "hi", "voice": "alloy", "response_format": "wav"},
    "audio/transcriptions": {},  # a form
    "audio/translations": {},
    "moderations": {"input": "hi"},
    "rerank": {"query": "q", "documents": ["d"]},
    "videos/generations": {"prompt": "rain"},
    "videos": {"prompt": "rain"},
    "music/generations": {"prompt": "a waltz", "lyrics": "la la la la la"},
    "realtime": {},  # a websocket
}
USUAL = {
    "chat": "chat/completions",
    "embedding": "embeddings",
    "image": "images/generations",
    "speech": "audio/speech",
    "transcription": "audio/transcriptions",
    "moderation": "moderations",
    "rerank": "rerank",
    "video": "videos/generations",
    "music": "music/generations",
    "realtime": "realtime",
}
# Where else a kind is asked.
ALSO = {
    "chat": {"messages", "messages/count_tokens", "responses", "completions"},
    "image": {"images/edits", "chat/completions"},
    "transcription": {"audio/translations"},
    "video": {"videos"},
}
# What the client sees: what begins a song waits for nobody, and a session may begin well.
STATUSES = {"music": (200,), "realtime": (400, 101)}
# What a base URL ends in, where paths depend on it.
BELOW = {"alibaba": "/compatible-mode/v1", "google": "/v1beta", "vertex": "/v1"}


def catalog(url: str) -> str:
    """The shipped one, its providers at this address, each at a path, with keys for all."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    for name, provider in shipped["providers"].items():
        if provider["adapter"] == "sim":
            continue
        provider["base_url"] = f"{url}/{name}{BELOW.get(name, '')}"
        provider["credentials"] = [{"name": "main", "api_key": "sk-upstream-secret-0001"}]
    shipped["providers"]["vertex"]["options"]["speech_url"] = f"{url}/vertex"
    for model in shipped["models"].values():
        for route in (model, *model["routes"].values()):
            route.pop("sunset", None)  # the test holds on any day
            if route.get("price", {}).get("unpriced"):
                route["price"] = PRICE
    return json.dumps(shipped, default=str)  # it has dates


class LoggedIn:
    """Logins that have been done."""

    async def secrets(
        self, adapter: Adapter, provider: Provider, credential: Credential, now: float
    ) -> Credential:
        if provider.name != "vertex":
            return credential
        secrets = {"access_token": "token-token-token", "project": "proj"}
        return structs.replace(credential, secrets=secrets)


class Refusing:
    """Says no to everything, once it has heard for which model it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Any]] = []
        self.done = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.header("upgrade") and "model=" not in request.path:
            socket = await upgrade(exchange)
            self.asked.append((request, await socket.event()))
            self.done.set()
            await socket.close(1008, "No.")
            return
        self.asked.append((request, said_in(request)))
        self.done.set()
        await exchange.send_json(400, {"error": {"message": "No.", "code": "invalid_value"}})


def said_in(request: Request) -> Any:
    """The members of a body, whether they come as JSON or as a form."""
    if (request.header("content-type") or "").startswith("multipart/"):
        return {name: value.decode("latin-1") for name, value in form_of(request)}
    return json.loads(request.body or b"null")


def place_of(route: Route, request: Request, said: Any) -> tuple[str, str]:
    """The path at the provider, M standing for the model; and the model."""
    home, _, below = request.path.removeprefix("/").partition("/")
    assert home == route.provider.name
    path = unquote("/" + below).replace(route.upstream, "M")
    if "M" in path:
        return path, route.upstream
    said = said.get("setup", said.get("session", said))
    voice = said.get("voice")
    return path, str(said.get("model") or (voice["name"] if isinstance(voice, dict) else ""))


async def ask_at(gateway: Gateway, endpoint: str, slug: str, like: str = "") -> Answer:
    """The least that can be asked of a model there, or what is asked elsewhere."""
    path, key, body = f"/v1/{endpoint}", gateway.key, {"model": slug, **BODIES[like or endpoint]}
    if endpoint.startswith("audio/trans"):
        return await send_form(gateway, path, {"model": slug}, {"file": wav(1000)})
    if endpoint == "realtime":
        async with Client(gateway.server.port) as client:
            return await client.refused(f"{path}?model={slug}", key)
    return await ask(gateway.server.port, request(body, key, path=path))


async def talk_to(gateway: Gateway, slug: str, refusing: Refusing) -> int:
    """Ask for a session. Where the model is named within it, what the client says first is told."""
    async with Client(gateway.server.port) as client:
        await client.ask(f"/v1/realtime?model={slug}", gateway.key)
        status = (await client.raw_client.head()).status
        if status == 101:
            await client.send({"type": "response.create"})
            await asyncio.wait_for(refusing.done.wait(), 10)
        return status


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Refusing()) as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=catalog(fake.url), adapter_wait=5.0, pace=QUICK) as served:
        served.server.site.services.logins = LoggedIn()
        yield served


async def test_every_route_reaches_its_providers_wire(gateway: Gateway, fake: FakeUpstream) -> None:
    """At the provider's path, for the provider's model; and what it refuses is no 501."""
    refusing = fake.handler
    assert isinstance(refusing, Refusing)
    reached, due = {}, {}
    for slug, route in ROUTES.items():
        kind = route.model.kind
        refusing.done.clear()
        if kind == "realtime":
            status = await talk_to(gateway, slug, refusing)
        else:
            status = (await ask_at(gateway, USUAL[kind], slug)).status
        assert status in STATUSES.get(kind, (400,)), slug
        await asyncio.wait_for(refusing.done.wait(), 10)
        reached[slug] = place_of(route, *refusing.asked.pop())
        due[slug] = PATHS.get(route.provider.name, OPENAI)[kind], route.upstream
    assert reached == due | ODD
    assert len(fake.requests) == len(ROUTES)


async def test_every_other_endpoint_names_the_right_one(gateway: Gateway) -> None:
    """A model of each kind, asked where it does not belong: a 400 that says where it does."""
    for kind, route in {route.model.kind: route for route in ROUTES.values()}.items():
        for endpoint in BODIES.keys() - {USUAL[kind]} - ALSO.get(kind, set()):
            for like in (endpoint, USUAL[kind]):  # as the endpoint wants it, and as the model does
                answer = await ask_at(gateway, endpoint, route.slug, like)
                told = (route.slug, endpoint, answer.status, answer.body)
                error = answer.json()["error"]
                assert answer.status == 400, told
                assert f"call /v1/{USUAL[kind]} instead" in error["message"], told
                if not endpoint.startswith("messages"):
                    assert (error["param"], error["code"]) == ("model", "invalid_request"), told


@pytest.mark.parametrize("endpoint", ["images/edits", "videos/generations", "audio/translations"])
async def test_a_form_in_the_wrong_place(gateway: Gateway, endpoint: str) -> None:
    """Whatever it lacks: the model says where it belongs; one that is right there lacks a field."""
    answer = await send_form(gateway, f"/v1/{endpoint}", {"model": "gpt-4o"}, {})
    assert "call /v1/chat/completions instead" in answer.error["message"]
    model = {"images/edits": "gpt-image-1", "videos/generations": "veo-3.1"}.get(endpoint)
    answer = await send_form(gateway, f"/v1/{endpoint}", {"model": model or "whisper-1"}, {})
    assert (answer.status, answer.error["param"]) == (400, "prompt" if model else "file")


async def test_no_endpoint_of_a_kind_is_a_501(gateway: Gateway, fake: FakeUpstream) -> None:
    """What a provider cannot do with its model is a 400 too, which names what it can."""
    for route in {(it.model.kind, it.provider.name): it for it in ROUTES.values()}.values():
        for endpoint in ALSO.get(route.model.kind, ()):
            before = len(fake.requests)
            answer = await ask_at(gateway, endpoint, route.slug)
            told = (route.slug, endpoint, answer.status, answer.body)
            assert answer.status in (200, 400), told
            if len(fake.requests) == before and endpoint != "messages/count_tokens":
                assert b"instead" in answer.body, told


async def test_what_a_body_asks_for_is_known_by_its_model(gateway: Gateway) -> None:
    """`explain` and `quote` need no word more than the call itself, for all that takes no file."""
    for kind, route in {route.model.kind: route for route in ROUTES.values()}.items():
        body = {"model": route.slug, **BODIES[USUAL[kind]]}
        for path in ("/v1/explain", "/v1/quote"):
            raw = request(body, gateway.key, path=path)
            answer = await ask(gateway.server.port, raw)
            if kind in ("transcription", "realtime"):
                assert (answer.status, answer.error["param"]) == (400, "model")
                assert "can only be told by a call" in answer.error["message"]
                continue
            told = answer.json()
            assert answer.status == 200, told
            assert (told.get("route") or told["routes"][0]["route"]) == route.slug
            if path == "/v1/explain":
                assert OPERATIONS[told["endpoint"]].path == USUAL[kind]
    path = "/v1/explain?endpoint=moderations"
    answer = await ask(gateway.server.port, request({"input": "hi"}, gateway.key, path=path))
    assert answer.json()["route"] == "omni-moderation-latest"  # as where it is called
    body = {"model": "gpt-4o", "input": "hi"}  # which is no embedding
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/quote"))
    assert answer.json()["routes"][0]["route"] == "gpt-4o"


async def test_what_a_size_costs_is_listed(gateway: Gateway) -> None:
    """Prices that change with what is asked for stand beside the usual one, in the same units."""
    raw = request(b"", gateway.key, path="/v1/models", method="GET")
    listed = {one["id"]: one for one in (await ask(gateway.server.port, raw)).json()["data"]}
    assert {name: one["kind"] for name, one in listed.items() if name in ROUTES} == {
        slug: route.model.kind for slug, route in ROUTES.items()
    }
    veo = listed["veo-3.1-fast"]
    assert veo["pricing"] == {"per_second": "0.1"}
    assert veo["pricing_at_size"] == {"1080p": {"per_second": "0.12"}, "4k": {"per_second": "0.3"}}
    assert "pricing_at_size" not in listed["gpt-4o"]
    pro = listed["gemini-3.1-pro"]["pricing_above_tokens"]["200000"]
    assert pro["prompt"] == "0.000004"
