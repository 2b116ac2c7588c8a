"""The catalog we ship, row by row against what was published: 84 documented routes and more."""

from decimal import Decimal

import pytest

from gateway.catalog.compile import Catalog
from gateway.catalog.load import load as load_file

# [provider], then: slug, kind, input or unit price, output price, context, badges
# (Streaming, Tools, Vision input). A dash stands for what was not published.
PUBLISHED = """\
[anthropic]
claude-opus-4-6 chat 5.00 25.00 1000000 STV
claude-opus-4-7 chat 5.00 25.00 1000000 STV
claude-sonnet-4-6 chat 3.00 15.00 1000000 STV
claude-haiku-4-5 chat 1.00 5.00 200000 STV
[bedrock]
bedrock-claude-opus-4-1-us-cr chat 5.50 27.50 1000000 STV
bedrock-claude-opus-4-us-cr chat 5.50 27.50 1000000 STV
bedrock-claude-opus-4-5 chat 5.00 25.00 1000000 STV
bedrock-claude-opus-4-6 chat 5.00 25.00 1000000 STV
bedrock-claude-opus-4-7 chat 5.00 25.00 1000000 STV
bedrock-claude-sonnet-4 chat 3.00 15.00 1000000 STV
bedrock-claude-sonnet-4-5 chat 3.00 15.00 1000000 STV
bedrock-claude-sonnet-4-6 chat 3.00 15.00 1000000 STV
bedrock-claude-haiku-4-5 chat 1.00 5.00 200000 STV
bedrock-claude-haiku-3-5-us-cr chat 0.88 4.40 200000 STV
[openai]
gpt-4o-audio-preview chat - - - -
gpt-realtime realtime - - - -
gpt-5.5-pro chat 30.00 180.00 1000000 STV
gpt-5.5 chat 5.00 30.00 1000000 STV
gpt-image-2 image 0.040 - - -
gpt-5.4 chat 2.50 15.00 1000000 STV
gpt-5.4-mini chat 0.75 4.50 400000 STV
gpt-4o-mini-tts speech - - - -
o4-mini chat 0.55 2.20 200000 ST
gpt-5.4-nano chat 0.20 1.25 400000 STV
gpt-4o-transcribe transcription - - - -
tts-1 speech - - - -
tts-1-hd speech - - - -
whisper-1 transcription - - - -
[google]
gemini-3.1-flash-live realtime - - - -
gemini-3.1-pro chat 2.00 12.00 1000000 STV
nano-banana-pro image 0.134 - - -
gemini-3.1-flash-tts speech - - - -
gemini-2.5-flash-tts speech - - - -
gemini-3-flash chat 0.50 3.00 1000000 STV
nano-banana-2 image 0.067 - - -
nano-banana image 0.039 - - -
gemini-3.1-flash-lite chat 0.25 1.50 1000000 STV
veo-3.1 video 0.400 - - -
veo-3.1-fast video 0.100 - - -
[vertex]
vertex-gemini-3.1-pro chat 2.00 12.00 1000000 STV
vertex-chirp-3 speech - - - -
vertex-imagen-3 image 0.040 - - -
vertex-lyria-3-pro music - - - -
vertex-veo-3.1 video 0.400 - - -
vertex-veo-3.1-fast video 0.100 - - -
[minimax]
minimax-m2.7-highspeed chat 0.60 2.40 200000 ST
minimax-m2.1 chat 0.30 1.20 200000 ST
minimax-m2.5 chat 0.30 1.20 200000 ST
minimax-m2.7 chat 0.30 1.20 200000 ST
minimax-hailuo-2.3 video 0.040 - - -
minimax-hailuo-2.3-fast video 0.030 - - -
minimax-image-01 image 0.004 - - -
minimax-music-1.5 music - - - -
minimax-speech-02-hd speech - - - -
minimax-speech-2.5-turbo speech - - - -
minimax-speech-2.6 speech - - - -
[moonshot]
moonshot-v1-128k chat 0.83 0.83 128000 ST
kimi-k2.6 chat 0.73 3.49 256000 STV
kimi-latest chat 0.73 3.49 256000 STV
kimi-k2-0711-preview chat 0.60 2.50 128000 ST
kimi-k2-0905-preview chat 0.60 2.50 256000 ST
kimi-k2-thinking chat 0.60 2.50 256000 ST
kimi-k2-turbo chat 0.60 2.50 128000 STV
kimi-k2.5 chat 0.40 1.90 256000 STV
[deepseek]
deepseek-v4-pro chat 0.43 0.87 1000000 ST
deepseek-chat chat 0.32 0.89 163840 ST
deepseek-reasoner chat 0.11 0.22 1000000 ST
deepseek-v4-flash chat 0.11 0.22 1000000 ST
[zhipu]
glm-realtime realtime - - - -
glm-4-airx chat 1.40 1.40 8000 ST
glm-5-turbo chat 1.20 4.00 200000 ST
glm-5v-turbo chat 1.20 4.00 200000 STV
glm-5.1 chat 0.98 3.08 200000 ST
glm-5 chat 0.60 1.92 200000 ST
glm-4.6 chat 0.43 1.74 200000 ST
glm-4.7 chat 0.40 1.75 200000 ST
glm-4.6v chat 0.30 0.90 128000 STV
glm-4.7-flash chat 0.06 0.40 200000 ST
cogvideox video 0.200 - - -
cogvideox-flash video 0.000 - - -
cogview-3-flash image 0.000 - - -
cogview-4 image 0.050 - - -
glm-4-flash chat 0.00 0.00 128000 ST
glm-tts speech - - - -
"""
SECTIONS = {
    "anthropic": 4, "bedrock": 10, "openai": 14, "google": 11, "vertex": 6, "minimax": 11,
    "moonshot": 8, "deepseek": 4, "zhipu": 16,
}  # fmt: skip
BADGES = {"S": "streaming", "T": "tools", "V": "vision"}


def rows() -> list[list[str]]:
    """provider, slug, kind, input, output, context, badges"""
    result, provider = [], ""
    for line in PUBLISHED.splitlines():
        if line.startswith("["):
            provider = line.strip("[]")
        else:
            result.append([provider, *line.split()])
    return result


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    from pathlib import Path

    return load_file(Path(__file__).parents[2] / "catalog.yaml", {})


def test_the_table_is_whole():
    """84 rows in nine sections."""
    counts: dict[str, int] = {}
    for row in rows():
        counts[row[0]] = counts.get(row[0], 0) + 1
    assert counts == SECTIONS
    assert len({row[1] for row in rows()}) == 84


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[1])
def test_a_published_route_is_as_published(catalog, row):
    """Provider, kind, prices, context and badges of each route."""
    provider, slug, kind, first, second, context, badges = row
    route = catalog.routes[slug]
    assert catalog.candidates(slug) == (route,)
    assert (route.provider.name, route.model.kind) == (provider, kind)
    unit = {"chat": "input_per_mtok", "image": "per_image", "video": "per_second"}.get(kind)
    if first != "-":
        assert route.price.lines[unit] == Decimal(first)
    if second != "-":
        assert route.price.lines["output_per_mtok"] == Decimal(second)
    if context != "-":
        assert route.context == int(context)
    if badges != "-":
        published = {BADGES[badge] for badge in badges}
        assert published == set(route.model.capabilities) & set(BADGES.values())


@pytest.mark.parametrize(
    ("slug", "lines"),
    [
        ("gpt-realtime", {"input_per_mtok": "5", "output_per_mtok": "20",
                          "audio_input_per_minute": "0.06", "audio_output_per_minute": "0.24"}),
        ("gemini-3.1-flash-live", {"audio_input_per_minute": "0.005",
                                   "audio_output_per_minute": "0.018"}),
        ("gpt-4o-mini-tts", {"per_minute": "0.015"}),
        ("gpt-4o-mini", {"input_per_mtok": "0.15", "output_per_mtok": "0.60"}),
        ("text-embedding-3-small", {"input_per_mtok": "0.02"}),
        ("whisper-1", {"per_minute": "0.006"}),
        ("gpt-4o-transcribe", {"per_minute": "0.006"}),
        ("groq-whisper-large-v3-turbo", {"per_minute": "0.000667"}),
        ("qwen3-asr-flash", {"per_minute": "0.0021"}),
        ("glm-asr-2512", {"per_minute": "0.0024"}),
        ("gemini-3-flash-transcribe", {"audio_input_per_mtok": "1", "output_per_mtok": "3"}),
        ("embed-v4.0", {"input_per_mtok": "0.12"}),
        ("bedrock-titan-embed-text-v2", {"input_per_mtok": "0.02"}),
        ("rerank-v3.5", {"per_request": "0.002"}),
        ("rerank-v4.0-pro", {"per_request": "0.0025"}),
        ("qwen3-rerank", {"input_per_mtok": "0.1"}),
        ("omni-moderation-latest", {"per_request": "0"}),
        ("claude-opus-4-8", {"input_per_mtok": "5", "output_per_mtok": "25",
                             "cached_input_per_mtok": "0.5", "cache_write_5m_per_mtok": "6.25",
                             "cache_write_1h_per_mtok": "10"}),
        ("echo", {"input_per_mtok": "0", "output_per_mtok": "0"}),
    ],
)  # fmt: skip
def test_a_price_named_elsewhere(catalog, slug, lines):
    """Prices from the notes, and list prices everybody knows."""
    price = catalog.routes[slug].price.lines
    assert {name: price[name] for name in lines} == {n: Decimal(v) for n, v in lines.items()}


@pytest.mark.parametrize(
    ("slug", "size", "name", "price"),
    [
        ("nano-banana-pro", "1k", "per_image", "0.134"),
        ("nano-banana-pro", "4k", "per_image", "0.24"),
        ("nano-banana-2", "1k", "per_image", "0.067"),
        ("nano-banana-2", "2k", "per_image", "0.10"),
        ("nano-banana-2", "4k", "per_image", "0.15"),
        ("veo-3.1-fast", "720p", "per_second", "0.10"),
        ("veo-3.1-fast", "1080p", "per_second", "0.12"),
        ("veo-3.1-fast", "4k", "per_second", "0.30"),
    ],
)
def test_a_price_by_size(catalog, slug, size, name, price):
    """Each size has the price its note gives."""
    assert catalog.routes[slug].price.at(size=size)[name] == Decimal(price)


def test_long_context_costs_more_past_its_threshold(catalog):
    """At the threshold the base price still holds; one token past it the whole call changes."""
    price = catalog.routes["gemini-3.1-pro"].price
    assert price.at(200_000) is price.lines
    assert price.at(200_001)["input_per_mtok"] == Decimal(4)
    qwen = catalog.routes["qwen3-max"].price
    assert [qwen.at(n)["input_per_mtok"] for n in (1, 32_001, 128_001)] == [
        Decimal("1.2"), Decimal("2.4"), Decimal(3),
    ]  # fmt: skip


def test_sunsets_and_successors(catalog):
    """What is due to be switched off says when, and what comes after it."""
    for slug in ("kimi-k2-0711-preview", "kimi-k2-0905-preview"):
        assert catalog.routes[slug].sunset == "2026-05-25"
    for slug in ("deepseek-chat", "deepseek-reasoner"):
        route = catalog.routes[slug]
        assert (route.sunset, route.successor) == ("2026-07-24", "deepseek-v4-flash")
    assert catalog.routes["deepseek-v4-flash"].max_output == 384_000
    assert catalog.routes["glm-5.1"].max_output == 128_000
    chosen = {route.slug for auto in catalog.auto.values() for route in auto.routes}
    assert not {slug for slug in chosen if catalog.routes[slug].sunset}


def test_the_counts(catalog):
    """93 routes the source counts (two providers by number only), and our own additions."""
    by_provider: dict[str, int] = {}
    for route in catalog.routes.values():
        by_provider[route.provider.name] = by_provider.get(route.provider.name, 0) + 1
    added = {"anthropic": 2, "bedrock": 1, "openai": 6, "google": 2, "vertex": 1, "zhipu": 2}
    expected = {name: count + added.get(name, 0) for name, count in SECTIONS.items()}
    ours = {"alibaba": 6 + 2, "xai": 3, "cohere": 4, "groq": 2, "sim": 11}
    assert by_provider == {**expected, **ours}


def test_names_from_examples_resolve(catalog):
    """Every model name used in an example anywhere, and the auto models."""
    for name in (
        "gpt-4o-mini", "gpt-4o", "gpt-image-1", "text-embedding-3-small", "whisper-1",
        "claude-opus-4-8", "claude-sonnet-4-6", "anthropic/claude-3-5-sonnet",
    ):  # fmt: skip
        assert catalog.candidates(name), name
    sonnet = catalog.candidates("anthropic/claude-3-5-sonnet")[0]
    assert (sonnet.name, sonnet.context) == ("Claude 3.5 Sonnet", 200_000)
    assert sonnet.price.per_token("input_per_mtok") == Decimal("0.000003")
    assert set(catalog.auto) == {"auto-balanced", "auto-frontier", "auto-free"}


def test_a_canonical_model_groups_its_routes(catalog):
    """The first-hand route first, the others after it; only the slug pins one."""
    slugs = [route.slug for route in catalog.by_model["claude-opus-4-6"]]
    assert slugs == ["claude-opus-4-6", "bedrock-claude-opus-4-6"]


def test_without_credentials_everything_loads_and_only_the_simulator_can_answer(catalog):
    """A fresh machine: no variable is set, nothing is an error."""
    ready = {p.name for p in catalog.providers.values() if p.credentials or not p.needs_credential}
    assert ready == {"sim"}


def test_credentials_come_from_the_environment(shipped):
    """Two slots where both variables are set; optional parts stay out when unset."""
    environ = {
        "OPENAI_API_KEY": "a", "OPENAI_API_KEY_2": "b", "AWS_ACCESS_KEY_ID": "c",
        "AWS_SECRET_ACCESS_KEY": "d", "AWS_REGION": "eu-west-1",
    }  # fmt: skip
    providers = load_file(shipped, environ).providers
    assert [c.api_key for c in providers["openai"].credentials] == ["a", "b"]
    (aws,) = providers["bedrock"].credentials
    assert aws.secrets == {"access_key": "c", "secret_key": "d"}
    assert providers["bedrock"].base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"


def test_what_is_unpriced_is_neither_free_nor_chosen(catalog):
    """An unknown price is not a price of zero."""
    unpriced = {slug for slug, route in catalog.routes.items() if route.price.unpriced}
    assert unpriced == {"glm-realtime", "glm-tts", "embedding-3"}
    assert not any(catalog.routes[slug].price.free for slug in unpriced)
    assert not unpriced & (catalog.groups["free"].routes or set())


def test_faults_are_never_chosen_by_auto(catalog):
    """The simulated faults answer by name alone; echo stands last among the free."""
    assert [route.slug for route in catalog.auto["auto-free"].routes] == ["glm-4-flash", "echo"]
