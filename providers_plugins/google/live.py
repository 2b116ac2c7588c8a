"""Live sessions, from either home, for clients of OpenAI's realtime protocol."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from gateway.sdk import Call, Credential, Dialogue, Operation, UpstreamRequest
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.home import CLOUD, STUDIO
from providers_plugins.google.live_dialogue import LiveDialogue
from providers_plugins.google.live_setup import opened
from providers_plugins.google.places import (
    cloud_headers,
    cloud_model,
    cloud_url,
    studio_headers,
    studio_model,
)
