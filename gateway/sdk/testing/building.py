"""Checks of `build`: what it writes, what it keeps, where it puts the secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import structs

from gateway.core.body import JsonBody
from gateway.domain import UpstreamRequest
from gateway.errors import Fault
from gateway.sdk.adapter import PASSTHROUGH, Build, Call, Operation
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import PLAIN, RICH, SCHEMA, TOOLS, UNKNOWN
from gateway.sdk.testing.subject import Broken, Subject, Unfit

_OF_THE_CONNECTION = frozenset(
    {"host", "content-length", "accept-encoding", "connection", "transfer-encoding", "te",
     "trailer", "upgrade", "keep-alive", "proxy-connection", "expect"}
)  # fmt: skip
_URL = re.compile(r"[!#-;=?-Z\[\]_a-z~]+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_STREAMED = ("chat", "completions", "messages", "responses")


def calls(subject: Subject, operation: str) -> Iterator[Call]:
    """Every call of an operation that the kit knows, or that the package has samples of."""
    bodies = [PLAIN[operation]] if operation in PLAIN else []
    bodies += RICH.get(operation, ())
    bodies += [
        msgspec.json.encode(sample.request)
        for sample in subject.samples
        if sample.operation == operation and sample.request
    ]
    if not bodies:
        raise Unfit(f"the kit knows no request of '{operation}': give a sample that has one")
    for body in bodies:
        yield subject.call(operation, body)
        if operation in _STREAMED:
            yield subject.call(operation, body, stream=True)


def built(subject: Subject, operation: Operation, call: Call) -> UpstreamRequest | Fault:
    """What `build` makes of a call; a Fault is an answer too."""
    try:
        made = examined(
            subject, "build", lambda: operation.build(call, subject.credential), len(call.body.raw)
        )
    except Fault as fault:
        return fault
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            12,
            f"build raised {type(error).__name__}: {error}, for {_shown(call)}.",
            "raise `invalid(message, param)` for what the provider can't do; let nothing else out.",
        ) from error
    _check_types(made)
    return made


def _check_types(made: Any) -> None:
    mend = "return UpstreamRequest(method, url, ((name, value), ...), body) with a body of bytes."
    if not isinstance(made, UpstreamRequest):
        raise Broken(12, f"build returned {type(made).__name__}.", mend)
    if not (
        isinstance(made.body, bytes)
        and isinstance(made.url, str)
        and isinstance(made.method, str)
        and made.method.isupper()
        and isinstance(made.headers, tuple)
        and all(isinstance(one, tuple) and len(one) == 2 for one in made.headers)
        and all(isinstance(word, str) for one in made.headers for word in one)
    ):
        parts = (made.method, made.url, made.headers, made.body)
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise Broken(12, f"build's request has members of wrong types ({kinds}).", mend)


def build_is_pure(subject: Subject, name: str, operation: Operation) -> None:
    """The same call gives the same request, whatever was built in between."""
    seen: list[tuple[Call, object]] = []
    for call in calls(subject, name):
        before = call.body.raw
        seen.append((call, told(built(subject, operation, call))))
        if call.body.raw != before:
            raise Broken(1, "build changed the client's body.", "use `body.replace`; it copies.")
    for call, first in reversed(seen):
        if told(built(subject, operation, call)) != first:
            raise Broken(
                1,
                f"build gave two different requests for one call ({_shown(call)}).",
                "keep nothing between calls, and take the time from `call.now`.",
            )
    if seen and isinstance(seen[0][1], Fault):
        raise Broken(
            11, "build refuses the plainest call.", "leave the operation out, or serve it."
        )


def told(made: UpstreamRequest | Fault) -> object:
    """Something that is equal when two requests, or two refusals, are."""
    if isinstance(made, Fault):
        return (made.kind.code, made.message, made.param)
    return made


def request_is_sendable(subject: Subject, name: str, operation: Operation) -> None:
    """URL and headers are such that the gateway can send them, to where the catalog says."""
    for call in calls(subject, name):
        made = built(subject, operation, call)
        if isinstance(made, UpstreamRequest):
            check_address(subject, made, session=operation.session is not None)
            check_secrets(subject, made)


def probe_is_sendable(subject: Subject, probe: Build) -> None:
    """What is asked beside the calls goes to the same host, under the same login, twice alike."""
    operation = Operation(build=probe)
    for path in ("", "/asked"):
        call = structs.replace(subject.call("probe", b"{}"), upstream=path)
        made = built(subject, operation, call)
        if isinstance(made, Fault):
            raise Broken(
                12, "the probe raised a Fault.", "leave it out where nothing can be asked."
            )
        check_address(subject, made)
        check_secrets(subject, made)
        if built(subject, operation, call) != made:
            raise Broken(1, "the probe gave two requests for one call.", "keep nothing in between.")


def check_address(subject: Subject, made: UpstreamRequest, *, session: bool = False) -> None:
    """Rule 10, and where the request goes; a websocket goes to any place of the same host."""
    places = (subject.saying.base_url, *subject.saying.urls)
    if session:
        hosts = (urlsplit(place) for place in places)
        places = tuple(f"ws{host.scheme[4:]}://{host.netloc}/" for host in hosts)
    if not made.url.startswith(places):
        raise Broken(
            10,
            f"the URL {made.url[:80]!r} does not begin with the call's base_url.",
            "begin with `call.base_url`; where another host is meant, say so in KIT['urls'].",
        )
    if not _URL.fullmatch(made.url):
        raise Broken(
            10, f"the URL {made.url[:80]!r} is not percent-encoded.", "use urllib.parse.quote."
        )
    for header, value in made.headers:
        if header.lower() in _OF_THE_CONNECTION:
            raise Broken(10, f"the header {header} is the connection's.", "leave it out.")
        if not _NAME.fullmatch(header) or not _VALUE.fullmatch(value):
            raise Broken(
                10, f"the header {header!r} can't be sent.", "one line, visible characters alone."
            )


def check_secrets(subject: Subject, made: UpstreamRequest) -> None:
    """Rule 15: secrets in headers alone."""
    for secret in subject.saying.secrets.values():
        if len(secret) < 8:
            continue
        for where, text in (("URL", made.url.encode()), ("body", made.body)):
            if secret.encode() in text or quote(secret, safe="").encode() in text:
                raise Broken(
                    15,
                    f"the request's {where} holds a secret.",
                    "send secrets in headers: URLs and bodies end up in logs.",
                )


def model_is_set(subject: Subject, name: str, operation: Operation) -> None:
    """The request names the route's model, and not the client's."""
    if operation.session is not None:
        raise Unfit("a session names it in its first frames")
    upstream = subject.saying.upstream
    for call in calls(subject, name):
        made = built(subject, operation, call)
        if isinstance(made, Fault):
            continue
        names = (upstream.encode(), quote(upstream, safe="").encode())
        if not any(one in made.body or one in made.url.encode() for one in names):
            raise Broken(
                16,
                f"the request for {_shown(call)} does not name the model '{upstream}'.",
                "send `call.upstream`, which is what the provider calls it.",
            )
        if b'"client-model"' in made.body and subject.saying.base_url != "sim:":
            raise Broken(
                16,
                "the request holds the client's own name for the model.",
                "put `call.upstream` in its place: `adapted` does.",
            )


def schemas_stay_bytes(subject: Subject, name: str, operation: Operation) -> None:
    """A tool's schema arrives as it came, or is named among what does not."""
    if name != "chat":
        raise Unfit("only chat has tools that the kit knows")
    for stream in (False, True):
        made = built(subject, operation, subject.call(name, TOOLS, stream=stream))
        if isinstance(made, Fault) or subject.saying.base_url == "sim:":
            continue
        said = any(lost.startswith("tools") for lost in made.adapted)
        if SCHEMA not in made.body and not said and "tools" not in subject.saying.changes:
            raise Broken(
                16,
                "a tool's schema is not sent byte for byte.",
                "carry it as msgspec.Raw, or the slices of `body.get`: decoding and encoding "
                "reorders it, and the provider's prompt cache then misses.",
            )


def members_stay(subject: Subject, name: str, operation: Operation) -> None:
    """Where the provider speaks the client's dialect, other members go through untouched."""
    if operation.parse is not PASSTHROUGH or operation.stream is not PASSTHROUGH:
        raise Unfit("this operation has a wire of its own")
    if name not in PLAIN or subject.saying.base_url == "sim:" or operation.session is not None:
        raise Unfit("there is no request to compare")
    body = JsonBody.parse(PLAIN[name][:-1] + b',"temperature":0.50,"x_kit":' + UNKNOWN + b"}")
    for stream in (False, True):
        made = built(subject, operation, subject.call(name, body.raw, stream=stream))
        if isinstance(made, Fault):
            continue
        for member in body.names():
            if member in {"model", "stream_options", *subject.saying.changes, *made.adapted}:
                continue
            if (body.get(member) or b"") not in made.body:
                raise Broken(
                    9,
                    f"the member '{member}' does not go through as it came.",
                    "use `adapted` or `body.replace`; where the host needs it otherwise, say so "
                    "in KIT['changes'], or in `adapted` of the request.",
                )


def hears_are_names(subject: Subject, name: str, operation: Operation) -> None:
    """`hears` holds names of headers, in lower case."""
    del subject
    hears: object = operation.hears
    if not isinstance(hears, tuple) or not all(
        isinstance(one, str) and one == one.lower() and _NAME.fullmatch(one) for one in hears
    ):
        raise Broken(
            11, f"'{name}' hears {hears!r}.", "give a tuple of header names in lower case."
        )


def _shown(call: Call) -> str:
    raw = call.body.raw
    return f"{call.operation}, stream={call.stream}: {raw[:200].decode(errors='replace')}"
