"""OpenAI's pictures: the wire as it is. GPT image models give base64, whatever is asked."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk import (
    Call,
    Credential,
    Operation,
    Quirks,
    UpstreamRequest,
    adapted,
    bearer,
    painting,
)
from providers_plugins.causes import POLICY, by_code, inside_by_code

_PLAIN = Quirks(stream_usage=False)


def _build(path: str, call: Call, credential: Credential) -> UpstreamRequest:
    body = adapted(call, _PLAIN)
    if _counts_tokens(call.upstream):
        # They would refuse the word; an address, where one is asked for, is made of what they give.
        body = body.replace({"response_format": None}) if "response_format" in body else body
    return UpstreamRequest("POST", call.base_url + path, bearer(credential), body.raw)


def _generations(call: Call, credential: Credential) -> UpstreamRequest:
    return _build("/images/generations", call, credential)


def _edits(call: Call, credential: Credential) -> UpstreamRequest:
    return _build("/images/edits", call, credential)


def _counts_tokens(upstream: str) -> bool:
    """All but the first models, which have no price by the token."""
    return not upstream.startswith("dall-e")


_CAUSES = {"moderation_blocked": POLICY, "content_policy_violation": POLICY}

IMAGES: Mapping[str, Operation] = {
    name: painting.picture_operation(
        build,
        fault_in=inside_by_code(_CAUSES),
        fault=by_code(_CAUSES),
        counted=_counts_tokens,
    )
    for name, build in (("images", _generations), ("image_edits", _edits))
}
