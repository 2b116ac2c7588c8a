"""Where a call goes, and its request: the host of its region, the model in its path, its proof."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from gateway.sdk import UPSTREAM_ERROR, Call, Credential, Fault, UpstreamRequest
from providers_plugins.bedrock.sigv4 import Keys, signed

DEFAULT_REGION = "us-east-1"
_SERVICE = "bedrock"
# Hosts of the vendor's own, of which there is one in every region.
_PUBLIC = re.compile(
    r"https://(bedrock-runtime(?:-fips)?)\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/?"
)
_NAMED = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_ARN = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:([a-z0-9-]+):")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_JSON = ("Content-Type", "application/json")


def region_of(call: Call) -> str:
    """The region of a call: the route's, its options', its model's ARN's, or else the host's."""
    said = call.region or call.options.get("region")
    if said:
        if not _REGION.fullmatch(said):
            raise Fault(UPSTREAM_ERROR, "The route's region is no name.", cause="bad_region")
        return said
    found = _ARN.match(call.upstream) or _NAMED.search(call.base_url)
    return found[1] if found else DEFAULT_REGION


def base_of(call: Call, region: str) -> str:
    """The base URL; a public host of another region gives way to the region's own."""
    public = _PUBLIC.fullmatch(call.base_url)
    if public is None:
        return call.base_url.rstrip("/")
    if public[2] == region:
        return call.base_url.rstrip("/")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{public[1]}.{region}.{suffix}"


def written(
    call: Call,
    credential: Credential,
    action: str,
    body: bytes,
    headers: tuple[tuple[str, str], ...] = (),
) -> UpstreamRequest:
    """The request that asks a model to do something, with its proof."""
    region = region_of(call)
    url = f"{base_of(call, region)}/model/{quote(call.upstream, safe='-._~')}/{action}"
    sent = (_JSON, *headers)
    return UpstreamRequest("POST", url, _proved(call, credential, url, sent, body, region), body)


def _proved(
    call: Call,
    credential: Credential,
    url: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    region: str,
) -> tuple[tuple[str, str], ...]:
    if credential.api_key:
        return (*headers, ("Authorization", f"Bearer {credential.api_key}"))
    keys = keys_of(credential.secrets)
    if keys is None:
        raise Fault(
            UPSTREAM_ERROR,
            "The gateway has no credential that this route's requests could be signed with. "
            "This is for the gateway's operator to mend; your key is fine.",
            cause="credential_refused",
        )
    return signed("POST", url, headers, body, keys, region=region, service=_SERVICE, now=call.now)


def keys_of(secrets: Mapping[str, str]) -> Keys | None:
    """What to sign with, where the secrets hold it."""
    access, secret = secrets.get("access_key", ""), secrets.get("secret_key", "")
    if not access or not secret:
        return None
    return Keys(access, secret, secrets.get("session_token", ""))
