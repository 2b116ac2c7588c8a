"""Where requests go, and what they are signed with, at either home."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from gateway.sdk import NO_UPSTREAM, Call, Credential, Fault
from providers_plugins.google.home import last_segment

_JSON = ("Content-Type", "application/json")
_GLOBAL_HOST = "aiplatform.googleapis.com"
_MULTI_REGIONS = frozenset({"us", "eu"})
_SAFE = "/@:-._~"
Headers = tuple[tuple[str, str], ...]


def studio_model(call: Call) -> str:
    """`models/x`, also where the catalog says so itself."""
    named = call.upstream.startswith(("models/", "tunedModels/"))
    return call.upstream if named else f"models/{call.upstream}"


def studio_url(call: Call, method: str) -> str:
    """The key never stands in the URL."""
    return f"{call.base_url}/{quote(studio_model(call), safe=_SAFE)}:{method}"


def studio_headers(credential: Credential) -> Headers:
    """The key as a header."""
    return (_JSON, ("x-goog-api-key", credential.api_key)) if credential.api_key else (_JSON,)


def cloud_url(call: Call, credential: Credential, method: str) -> str:
    """By project and location; with an express key there is neither."""
    model = call.upstream
    location = call.region or call.options.get("location") or "global"
    host, place = cloud_place(call, credential, location)
    if model.startswith("projects/"):
        place = ""
    elif not model.startswith(("publishers/", "endpoints/")):
        model = f"publishers/google/models/{last_segment(model)}"
    return f"{host}/{quote(place + model, safe=_SAFE)}:{method}"


def cloud_place(call: Call, credential: Credential, location: str) -> tuple[str, str]:
    """The host of a location, and how paths begin there."""
    if credential.api_key:
        return call.base_url, ""
    host = _at(call.base_url, location)
    return host, f"projects/{_project(call, credential)}/locations/{location}/"


def cloud_headers(credential: Credential) -> Headers:
    """An express key, or the token of a login."""
    if credential.api_key:
        return (_JSON, ("x-goog-api-key", credential.api_key))
    token = credential.secrets.get("access_token")
    if not token:
        raise _unfit("the gateway is not logged in")
    return (_JSON, ("Authorization", f"Bearer {token}"))


def _project(call: Call, credential: Credential) -> str:
    project = call.options.get("project") or credential.secrets.get("project")
    if not project:
        raise _unfit("no project is known")
    return project


def _at(base_url: str, location: str) -> str:
    """The host of a location. One that the operator chose otherwise stays as it is."""
    parts = urlsplit(base_url)
    if parts.netloc != _GLOBAL_HOST or location == "global":
        return base_url
    if location in _MULTI_REGIONS:
        host = f"aiplatform.{location}.rep.googleapis.com"
    else:
        host = f"{quote(location, safe='-')}-{_GLOBAL_HOST}"
    return urlunsplit(parts._replace(netloc=host))


def _unfit(why: str) -> Fault:
    return Fault(
        NO_UPSTREAM,
        f"This route can't be used: {why}. This is for the gateway's operator to mend.",
        cause="no_credential",
    )
