"""Pictures that were made: as OpenAI's clients expect them, whole, as events, in either format."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field, structs

from gateway.core import sse
from gateway.core.usage import openai_usage
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import INVALID_REQUEST, Fault, ProviderError, upstream_error
from gateway.sdk.adapter import Answered, Call, Further, Reply
from gateway.sdk.pictures import wish_of

_EVENTS = {"image_edits": "image_edit"}
_STREAM = "text/event-stream"
_BY_MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))
_PRIVATE = frozenset({"internal", "local", "localhost", "localdomain", "lan", "home", "arpa"})
_SUMMED = ("input", "output", "cached", "reasoning", "image_input", "image_output", "images")
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Picture(Struct, frozen=True):
    """One that was made: in base64, or where it is to be had."""

    data: str = ""
    url: str = ""
    mime: str = "image/png"
    revised: str = ""

    @property
    def address(self) -> str:
        """Where it is, or a `data:` address that holds it."""
        return self.url or f"data:{self.mime};base64,{self.data}"


class Made(Struct):
    """What one answer holds, and what it used."""

    pictures: list[Picture] = field(default_factory=list)
    usage: Usage | None = None


def pictures_reply(
    call: Call, pictures: Sequence[Picture], usage: Usage | None, **told: object
) -> Reply:
    """The answer to a client. `told` is what is known of all of them: size, quality, background."""
    if not pictures:
        raise nothing_made()
    if usage is not None and usage.images:
        usage = structs.replace(usage, images=len(pictures))
    kind = pictures[0].mime.removeprefix("image/")
    known = {"output_format": kind, **{name: value for name, value in told.items() if value}}
    shown = {} if usage is None else _usage_shown(usage)
    if call.stream:
        return Reply(_as_events(call, pictures, known, shown), usage, _STREAM)
    as_url = wish_of(call).response_format == "url"
    body = {
        "created": int(call.now),
        "data": [_item(picture, as_url) for picture in pictures],
        **known,
        **shown,
    }
    return Reply(msgspec.json.encode(body), usage)


def nothing_made(said: str = "", provider: ProviderError | None = None) -> Fault:
    """The fault of an answer without a picture: all of them were held back."""
    why = f": {said}" if said else "."
    return Fault(
        INVALID_REQUEST,
        f"The provider's filter held back every picture of this request{why}",
        param="prompt",
        cause="content_policy",
        provider=provider,
    )


def fetched(
    call: Call, pictures: Sequence[Picture], then: Callable[[Sequence[Picture]], Reply]
) -> Further:
    """The same pictures in base64, where the provider says only where they are.

    They are fetched from the provider itself, or by https from a host with a public name.
    """
    elsewhere = [picture for picture in pictures if not picture.data]
    for picture in elsewhere:
        if not _may_be_asked(picture.url, call.base_url):
            raise upstream_error(
                "The provider's picture is at no address that may be asked.", "bad_answer"
            )
    requests = tuple(UpstreamRequest("GET", picture.url, ()) for picture in elsewhere)

    def held(answers: tuple[Answered, ...]) -> Reply:
        found = iter(answers)
        whole = [picture if picture.data else _held(picture, next(found)) for picture in pictures]
        kept = [picture for picture in whole if picture is not None]
        if not kept:
            raise upstream_error("The pictures made could not be fetched.", "media_not_fetched")
        return then(kept)

    return Further(requests, held)


def _may_be_asked(url: str, base_url: str) -> bool:
    try:
        asked, known = urlsplit(url), urlsplit(base_url)
        if (asked.scheme, asked.netloc) == (known.scheme, known.netloc):
            return True
        host = asked.hostname or ""
        plain = asked.scheme == "https" and asked.username is None and asked.port in (None, 443)
    except ValueError:
        return False
    # A last label that begins with a letter is a name's: no number is spelled so.
    last = host.rpartition(".")[2]
    return plain and "." in host and last[:1].isalpha() and last not in _PRIVATE and ":" not in host


def once_more(
    requests: Iterable[Callable[[Credential], UpstreamRequest]],
    first: Made,
    read: Callable[[bytes], Made],
    then: Callable[[Made], Reply | Further],
) -> Further:
    """What is missing of a number of pictures, where a host makes fewer at a time.

    Those of a request that fails are missing from the answer, and so from what it costs.
    """

    def all_of(answers: tuple[Answered, ...]) -> Reply | Further:
        pictures, usage = [*first.pictures], first.usage
        for answer in answers:
            try:
                more = read(answer.body) if answer.status == 200 else Made()
            except Fault:
                continue
            pictures += more.pictures
            if usage is not None and more.usage is not None:
                usage = summed(usage, more.usage)
        return then(Made(pictures, usage))

    return Further(tuple(requests), all_of)


def summed(one: Usage, other: Usage) -> Usage:
    """What two used together."""
    sums = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    return structs.replace(one, raw=other.raw, problem=one.problem or other.problem, **sums)


def image_usage(raw: bytes, images: int = 0, size: str = "") -> Usage:
    """A usage object, with how many pictures there are. What is put out is pictures alone where
    nothing else is said."""
    if b'_tokens"' not in raw:  # a host that counts pictures alone
        return Usage(raw=raw, images=images, size=size)
    usage = openai_usage(raw)
    given, made = _picture_tokens(raw)
    return structs.replace(
        usage,
        image_input=given,
        image_output=usage.output if made is None else made,
        images=images,
        size=size,
    )


def _picture_tokens(raw: bytes) -> tuple[int, int | None]:
    try:
        found: Any = msgspec.json.decode(raw)
    except _BAD:
        return 0, None
    given = _part(found, "input_tokens_details", "prompt_tokens_details").get("image_tokens")
    made = _part(found, "output_tokens_details", "completion_tokens_details").get("image_tokens")
    return given if type(given) is int else 0, made if type(made) is int else None


def _part(found: Any, *names: str) -> dict[str, Any]:
    for name in names:
        part = found.get(name) if isinstance(found, dict) else None
        if isinstance(part, dict):
            return part
    return {}


def _held(picture: Picture, answer: Answered) -> Picture | None:
    if answer.status != 200 or not answer.body:
        return None
    return structs.replace(
        picture,
        data=base64.b64encode(answer.body).decode(),
        url="",
        mime=_type_of(answer.headers, answer.body) or picture.mime,
    )


def _type_of(headers: Mapping[str, str], body: bytes) -> str:
    told = headers.get("content-type", "").partition(";")[0].strip().lower()
    if told.startswith("image/"):
        return told
    kind = next((kind for magic, kind in _BY_MAGIC if body.startswith(magic)), "")
    return f"image/{kind}" if kind else ""


def _item(picture: Picture, as_url: bool) -> dict[str, str]:
    item = {"url": picture.address} if picture.url or as_url else {"b64_json": picture.data}
    return item | ({"revised_prompt": picture.revised} if picture.revised else {})


def _as_events(
    call: Call, pictures: Sequence[Picture], known: dict[str, Any], shown: dict[str, Any]
) -> bytes:
    """One event for each picture, the last with the usage of all."""
    kind = f"{_EVENTS.get(call.operation, 'image_generation')}.completed"
    common = {"size": "auto", "quality": "auto", "background": "auto", **known}
    told = []
    for number, picture in enumerate(pictures, 1):
        item = {"url": picture.url} if picture.url else {"b64_json": picture.data}
        last = shown if number == len(pictures) else {}
        event = {"type": kind, **item, "created_at": int(call.now), **common, **last}
        told.append(sse.event(msgspec.json.encode(event), kind))
    return b"".join(told)


def _usage_shown(usage: Usage) -> dict[str, Any]:
    """Tokens as OpenAI's clients expect them; nothing where none are counted."""
    if not usage.input and not usage.output:
        return {}
    text = usage.input - usage.image_input
    other = usage.output - usage.image_output
    counts = {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": text, "image_tokens": usage.image_input},
        "output_tokens": usage.output,
        "output_tokens_details": {"text_tokens": other, "image_tokens": usage.image_output},
        "total_tokens": usage.input + usage.output,
    }
    return {"usage": counts}
