"""The shape of the catalog file. docs/catalog.md explains every key; a test compares the two."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.core.extras import Extra

# `description` completes the sentence "path: must be ..." in a problem report.
Amount = Annotated[
    str,
    Meta(
        pattern=r"\A(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{1,12})?\Z",
        description='must be a quoted decimal such as "2.50"'
        " (at most 12 decimals, below ten million, no sign, no exponent)",
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}\Z",
        description="must be a name of letters, digits and . _ - : / @ +",
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=10_000, description="must be some text")]
Label = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9][a-z0-9x]{0,19}\Z",
        description='must be a size such as "2k", "1080p" or "1024x1536", in lower case',
    ),
]
Host = Annotated[
    str,
    Meta(
        pattern=r"\A(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]+)\Z",
        description="must be a host name or an address, in lower case and without a port",
    ),
]
Threshold = Annotated[
    str, Meta(pattern=r"\A[1-9][0-9]{0,11}\Z", description="must be a number of tokens")
]
Date = Annotated[
    str,
    Meta(
        pattern=r"\A20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])\Z",
        description="must be a date such as 2026-05-25",
    ),
]
Count = Annotated[
    int, Meta(ge=1, le=1_000_000_000_000, description="must be a whole number, 1 or more")
]
Weight = Annotated[int, Meta(ge=1, le=1000, description="must be a whole number from 1 to 1000")]
Seconds = Annotated[
    float, Meta(gt=0, le=86_400, description="must be a number of seconds above 0, at most 86400")
]

Kind = Literal[
    "chat",
    "image",
    "video",
    "speech",
    "transcription",
    "music",
    "realtime",
    "embedding",
    "moderation",
    "rerank",
]
Tier = Literal["frontier", "balanced", "fast"]
Capability = Literal[
    "streaming",
    "tools",
    "vision",
    "audio_input",
    "audio_output",
    "video_input",
    "reasoning",
    "json_object",
    "json_schema",
]
Style = Literal["openai", "error_type"]
Choose = Literal["cheapest", "best", "fastest", "healthiest"]
Extras = (
    Annotated[Literal[True], Meta(description="must be true, or a list of what may be asked for")]
    | list[Extra]
)
Days = Annotated[int, Meta(ge=0, le=36_500, description="must be a number of days, true or false")]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """What every mapping of the file has in common: a misspelt key is refused."""


class PriceLines(Strict, frozen=True, forbid_unknown_fields=True):
    """US dollars, each line in the unit of its name."""

    input_per_mtok: Amount | None = None
    output_per_mtok: Amount | None = None
    cached_input_per_mtok: Amount | None = None
    cache_write_5m_per_mtok: Amount | None = None
    cache_write_1h_per_mtok: Amount | None = None
    reasoning_per_mtok: Amount | None = None
    audio_input_per_mtok: Amount | None = None
    audio_output_per_mtok: Amount | None = None
    cached_audio_input_per_mtok: Amount | None = None
    image_input_per_mtok: Amount | None = None
    image_output_per_mtok: Amount | None = None
    per_image: Amount | None = None
    per_second: Amount | None = None
    per_minute: Amount | None = None
    audio_input_per_minute: Amount | None = None
    audio_output_per_minute: Amount | None = None
    per_mchar: Amount | None = None
    per_request: Amount | None = None


class Price(PriceLines, frozen=True, forbid_unknown_fields=True):
    """A route's price row: its lines, and what they become past a threshold or at a size."""

    above_tokens: dict[Threshold, PriceLines] = {}
    at_size: dict[Label, PriceLines] = {}
    unpriced: Literal[True] | None = None


class Data(Strict, frozen=True, forbid_unknown_fields=True):
    """What becomes of the data that a provider is sent."""

    training: bool | None = None
    retention: Days | bool | None = None


class Route(Strict, frozen=True, forbid_unknown_fields=True):
    """One way to a model."""

    provider: Name
    upstream: Text
    price: Price
    region: Text | None = None
    name: Text | None = None
    context: Count | None = None
    max_output: Count | None = None
    notes: Text | None = None
    sunset: Date | None = None
    successor: Name | None = None
    options: dict[Name, str] = {}
    data: Data | None = None
    zdr: bool | None = None
    extras: Extras | None = None


class Model(Strict, frozen=True, forbid_unknown_fields=True):
    """A canonical model and all its routes."""

    name: Text
    vendor: Text
    kind: Kind
    routes: dict[Name, Route]
    aliases: list[Name] = []
    context: Count | None = None
    max_output: Count | None = None
    capabilities: list[Capability] = []
    tier: Tier | None = None
    notes: Text | None = None
    sunset: Date | None = None
    successor: Name | None = None
    created: Date | None = None
    auto: bool = True
    fallbacks: list[Name] = []
    extras: Extras | None = None


class Credential(Strict, frozen=True, forbid_unknown_fields=True):
    """One login; which of the secrets count is the adapter's affair."""

    name: Name
    weight: Weight = 1
    tier: Annotated[int, Meta(ge=0, le=9, description="must be a whole number from 0 to 9")] = 0
    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None
    models: list[Text] = []
    regions: list[Text] = []
    api_key: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    auth_token: str | None = None
    region: str | None = None
    profile: str | None = None
    credentials_file: str | None = None
    config_file: str | None = None
    role_arn: str | None = None
    web_identity_token_file: str | None = None
    container_uri: str | None = None
    container_token: str | None = None
    container_token_file: str | None = None
    service_account: str | None = None
    adc_file: str | None = None
    project: str | None = None

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"  # no secret has a place in a traceback


class Timeouts(Strict, frozen=True, forbid_unknown_fields=True):
    """Seconds for each step of a call."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    first_token: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class Probe(Strict, frozen=True, forbid_unknown_fields=True):
    """A question beside the calls."""

    path: (
        Annotated[
            str,
            Meta(
                pattern=r"\A/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,199}\Z",
                description='must be a path that begins with "/", such as "/models"',
            ),
        ]
        | None
    ) = None
    every: Annotated[
        float, Meta(ge=5, le=86_400, description="must be a number of seconds from 5 to 86400")
    ] = 30.0
    timeout: Annotated[
        float, Meta(ge=0.1, le=60, description="must be a number of seconds from 0.1 to 60")
    ] = 10.0


class Provider(Strict, frozen=True, forbid_unknown_fields=True):
    """One upstream host."""

    adapter: Name
    base_url: Text
    credentials: list[Credential] = []
    needs_credential: bool = True
    timeouts: Timeouts = Timeouts()
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="must be a whole number from 1 to 100000")
    ] = 1000
    ca_file: Text | None = None
    options: dict[Name, str] = {}
    region: Text | None = None
    data: Data | None = None
    zdr: bool | None = None
    probe: Probe | None = None


class Surface(Strict, frozen=True, forbid_unknown_fields=True):
    """How one base path speaks."""

    style: Style


class Among(Strict, frozen=True, forbid_unknown_fields=True):
    """Which routes an auto model may choose from; all that is said must hold."""

    tier: list[Tier] | None = None
    free: bool | None = None
    capabilities: list[Capability] | None = None
    models: list[Name] | None = None


class Auto(Strict, frozen=True, forbid_unknown_fields=True):
    """A model name that stands for a choice."""

    choose: Choose
    among: Among


class FreeOnly(Strict, frozen=True, forbid_unknown_fields=True):
    """`{free: true}`: every route whose price is zero throughout."""

    free: Literal[True]


class Group(Strict, frozen=True, forbid_unknown_fields=True):
    """What the accounts of a group may do."""

    rpm: Count
    tpm: Count
    routes: Literal["*"] | FreeOnly | list[str] = "*"
    multiplier: Amount = "1"


class Anonymous(Strict, frozen=True, forbid_unknown_fields=True):
    """What callers without a key may do."""

    group: Name
    rpm: Count
    per: Literal["ip"]


class Webhooks(Strict, frozen=True, forbid_unknown_fields=True):
    """Who may be told that a task has ended."""

    hosts: Annotated[
        list[Host],
        Meta(
            min_length=1,
            description="must name a host or more, each in lower case, without https:// or a port",
        ),
    ]
    secret: Annotated[
        str, Meta(min_length=16, description="must be a secret of 16 characters or more")
    ]
    private: bool = False


class File(Strict, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    providers: dict[Name, Provider]
    models: dict[Name, Model]
    surfaces: dict[str, Surface] = field(default_factory=lambda: {"/v1": Surface("openai")})
    auto: dict[Name, Auto] = {}
    groups: dict[Name, Group] = {}
    anonymous: Anonymous | None = None
    webhooks: Webhooks | None = None
