"""Addresses, credentials and tiers of the provider's cloud."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain import Credential
from gateway.errors import NO_UPSTREAM, Fault
from providers_plugins.google import VERTEX
from tests.adapters.google.asking import CLOUD, KEY, LOGGED_IN, sent, talk


@pytest.mark.parametrize(
    ("region", "model", "url"),
    [
        (
            None,
            "gemini-2.5-flash",
            f"{CLOUD}/projects/p-1/locations/global/publishers/google/models/",
        ),
        (
            "europe-west4",
            "gemini-2.5-flash",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4/"
            "publishers/google/models/",
        ),
        (
            "eu",
            "gemini-2.5-flash",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu/"
            "publishers/google/models/",
        ),
    ],
)
def test_places_of_the_cloud(region: str | None, model: str, url: str) -> None:
    """The host follows the location; the token is a header."""
    request, _ = sent(talk(model=model), VERTEX, LOGGED_IN, region=region)
    assert request.url == f"{url}{model}:generateContent"
    assert dict(request.headers)["Authorization"] == "Bearer ya29.canary"
    assert "ya29" not in request.url


def test_other_models_and_hosts_of_the_cloud() -> None:
    """Tuned endpoints, full names, private hosts, express keys; nothing breaks out of the path."""

    def url(model: str, credential: Credential = LOGGED_IN, **call: Any) -> str:
        return sent(talk(model=model), VERTEX, credential, **call)[0].url

    place = f"{CLOUD}/projects/p-1/locations/global"
    assert url("endpoints/123") == f"{place}/endpoints/123:generateContent"
    assert url("publishers/x/models/y") == f"{place}/publishers/x/models/y:generateContent"
    full = "projects/q/locations/us-east1/endpoints/9"
    assert url(full) == f"{CLOUD}/{full}:generateContent"
    mine = url("m", base_url="https://private.example/v1", region="us-east1")
    assert mine.startswith("https://private.example/v1/projects/p-1/locations/us-east1/")
    assert url("m", KEY) == f"{CLOUD}/publishers/google/models/m:generateContent"
    assert url("m?key=1#x").endswith("/models/m%3Fkey%3D1%23x:generateContent")
    other = url("m", options={"project": "p-2", "location": "us"})
    assert "/projects/p-2/locations/us/" in other


def test_the_clouds_tier_is_a_header() -> None:
    """Its body knows no such member."""
    request, _ = sent(talk(service_tier="priority"), VERTEX, LOGGED_IN)
    assert dict(request.headers)["X-Vertex-AI-LLM-Shared-Request-Type"] == "priority"
    assert b"serviceTier" not in request.body


@pytest.mark.parametrize("secrets", [{}, {"access_token": "t"}, {"project": "p"}])
def test_a_credential_that_lacks_something(secrets: dict[str, str]) -> None:
    """No call is sent that could only be refused."""
    with pytest.raises(Fault) as caught:
        sent(talk(), VERTEX, Credential("c", secrets))
    assert caught.value.kind is NO_UPSTREAM
