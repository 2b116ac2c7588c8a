"""What a model's id tells of it: whose it is, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

_VENDOR = re.compile(
    r"(?:^|[./])(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot"
    r"|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.([a-z0-9.:_-]*)"
)
_CLAUDE = "anthropic"
# Think as much as they see fit, and take no sampling parameters, nor a schema on this host.
_NEWEST = re.compile(r"opus-4-[78]|sonnet-5|fable-5|opus-5")
_ADAPTIVE = re.compile(r"(?:opus|sonnet)-4-6")
_BUDGETED = re.compile(r"(?:opus|sonnet|haiku)-4|3-7-sonnet")
_SCHEMALESS = re.compile(r"claude-(?:v?[123]|instant|(?:opus|sonnet)-4-2)")
_LARGE = re.compile(r"sonnet-4|haiku-4|opus-4-5|3-7-sonnet")
_WITH_SCHEMA = frozenset({
    "anthropic", "deepseek", "google", "minimax", "mistral", "moonshot", "moonshotai", "nvidia",
    "openai", "qwen", "zai",
})  # fmt: skip


class Traits(Struct, frozen=True):
    """A model as the request's writer sees it."""

    family: str = ""
    thinks: str = ""  # "adaptive", "budget", "effort", "config"; empty: not to be told to
    newest: bool = False
    sampling: bool = True
    schema: bool = False
    max_output: int = 32_000

    @property
    def claude(self) -> bool:
        """True for models that also speak the Messages wire."""
        return self.family == _CLAUDE

    @property
    def caches(self) -> bool:
        """True where cache points are understood."""
        return self.claude or self.family.startswith("nova")

    @property
    def signs(self) -> str:
        """The family that what the model thought is signed for."""
        return "messages" if self.claude else "converse"


def traits_of(upstream: str, options: Mapping[str, str]) -> Traits:
    """Read an id, a profile's or an ARN. `options.family` tells of one that tells nothing."""
    found = _VENDOR.search(upstream)
    vendor, name = (found[1], found[2]) if found else (options.get("family", ""), upstream)
    if vendor == _CLAUDE:
        return _claude(name)
    if vendor == "amazon" and name.startswith("nova"):
        second = name.startswith("nova-2")
        return Traits("nova2" if second else "nova", "config" if second else "")
    thinks = "effort" if vendor == "openai" else ""
    return Traits(vendor, thinks, schema=vendor in _WITH_SCHEMA)


def _claude(name: str) -> Traits:
    if _NEWEST.search(name):
        return Traits(_CLAUDE, "adaptive", newest=True, sampling=False, max_output=128_000)
    if _ADAPTIVE.search(name):
        return Traits(_CLAUDE, "adaptive", schema=True, max_output=128_000)
    return Traits(
        _CLAUDE,
        "budget" if _BUDGETED.search(name) else "",
        schema=not _SCHEMALESS.search(name),
        max_output=64_000 if _LARGE.search(name) else 32_000,
    )


def shown(upstream: str) -> str:
    """A model's name for clients: an ARN's end alone, as the rest tells of the operator."""
    return upstream.rpartition("/")[2] if upstream.startswith("arn:") else upstream


def speaks_messages(upstream: str) -> bool:
    """True for models that InvokeModel offers on the Messages wire."""
    return "anthropic." in upstream
