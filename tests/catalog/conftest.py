"""A small good catalog, and what to do with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.catalog.load import Catalog, CatalogError, Problem, parse

GOOD = """\
version: 1
surfaces:
  "/v1": {style: openai}
  "/api/gateway": {style: error_type}
  "/api/gateway/v1": {style: error_type}
providers:
  acme:
    adapter: acme
    base_url: https://api.acme.example
    credentials:
      [{name: main, api_key: "${ACME_KEY}", weight: 2}, {name: spare, api_key: "${ACME_KEY_2}"}]
  sim: {adapter: sim, base_url: "sim://local", needs_credential: false}
models:
  big:
    name: Big
    vendor: Acme
    kind: chat
    aliases: [acme/big]
    context: 1000000
    capabilities: [streaming, tools]
    tier: frontier
    routes:
      big:
        {provider: acme, upstream: b1, price: {input_per_mtok: "5.00", output_per_mtok: "25.00"}}
      sim-big: {provider: sim, upstream: echo, price: {input_per_mtok: "5", output_per_mtok: "20"}}
  echo:
    name: Echo
    vendor: Us
    kind: chat
    tier: fast
    routes:
      echo: {provider: sim, upstream: echo, price: {input_per_mtok: "0", output_per_mtok: "0.00"}}
auto:
  auto-free: {choose: healthiest, among: {free: true}}
groups:
  free: {rpm: 20, tpm: 40000, routes: {free: true}}
  paid: {rpm: 200, tpm: 400000, routes: "*"}
anonymous: {group: free, rpm: 10, per: ip}
"""

Load = Callable[..., Catalog]
Refuse = Callable[..., list[Problem]]


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def shipped() -> Path:
    return Path(__file__).parents[2] / "catalog.yaml"


@pytest.fixture
def load() -> Load:
    def load(text: str = GOOD, environ: dict[str, str] | None = None) -> Catalog:
        return parse(text.encode(), {} if environ is None else environ)

    return load


@pytest.fixture
def refuse() -> Refuse:
    """The problems of a text, or of the good one with some of it replaced."""

    def refuse(*text: str | bytes, environ: dict[str, str] | None = None) -> list[Problem]:
        if len(text) == 1:
            raw = text[0] if isinstance(text[0], bytes) else text[0].encode()
        else:
            old, new = text
            assert old in GOOD
            raw = GOOD.replace(old, new, 1).encode()
        with pytest.raises(CatalogError) as caught:
            parse(raw, environ or {})
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return list(caught.value.problems)

    return refuse
