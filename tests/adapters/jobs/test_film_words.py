"""What is read out of a request: any body at all is a film or a refusal; the schemas take both."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody, decode_as
from gateway.errors import Fault
from gateway.schemas import music, videos
from gateway.sdk import Call
from providers_plugins.clips import asked, fitted, left_out, switch
from providers_plugins.songs import sung
from tests.adapters.jobs.hosts import FILMS, PICTURE, TUNES, Host, sent

TEXT = st.text(string.printable, max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
MEMBERS = st.sampled_from([
    "prompt", "duration_seconds", "duration", "seconds", "size", "resolution", "aspect_ratio",
    "image", "image_url", "input_reference", "last_frame", "negative_prompt", "seed", "audio", "n",
    "lyrics", "format", "response_format", "instrumental", "video", "quality", "x_kit",
])  # fmt: skip
BODIES = st.dictionaries(MEMBERS, ANYTHING, max_size=6)
PLAIN = st.fixed_dictionaries({"prompt": st.just("x")}, optional={
    "duration": st.integers(1, 20) | st.sampled_from(["4", "5", "6", "8", "10"]),
    "aspect_ratio": st.sampled_from(["16:9", "9:16", "1:1", "4:3", "auto"]),
    "resolution": st.sampled_from(["480p", "720p", "768P", "1080p", "4K", "auto"]),
    "seed": st.integers(-5, 5),
    "audio": st.booleans() | st.sampled_from(["true", "false"]),
    "x_kit": ANYTHING,
})  # fmt: skip


def call(body: Any, *files: Any) -> Call:
    raw = msgspec.json.encode({"model": "m", **body})
    return Call("videos", "u", "https://h.example", JsonBody.parse(raw), files=files)


@given(BODIES)
def test_any_body_is_served_or_refused(body: dict[str, Any]) -> None:
    """A request that can be sent, or a 400 that names a member; and always the same."""
    for host in (*FILMS.values(), *TUNES.values()):
        first = outcome(host, body)
        assert outcome(host, body) == first
        if isinstance(first, str):
            assert first in (*body, "prompt")


def outcome(host: Host, body: dict[str, Any]) -> Any:
    try:
        made = host.build(body)
    except Fault as fault:
        return fault.param if fault.kind.status == 400 else f"{fault.kind.status}"
    host.expects(body)  # what can be built has a price
    return made.url, made.headers, made.body, made.adapted


@given(PLAIN)
def test_nothing_is_dropped_silently(body: dict[str, Any]) -> None:
    """Each member that was given changes the request, or is named."""
    for host in FILMS.values():
        try:
            made = host.build(body)
        except Fault:
            continue
        for name in body.keys() - {"prompt"}:
            rest = {key: value for key, value in body.items() if key != name}
            if name in made.adapted or body[name] in ("auto", None):
                continue
            try:
                other = sent(host.build(rest))
            except Fault:
                continue
            same = other == sent(made)
            assert not same or usual(host, name, body), f"{host.upstream}: {name}"


def usual(host: Host, name: str, body: dict[str, Any]) -> bool:
    """What the host does anyway."""
    if name == "duration":
        return host.expects(body) == host.expects({**body, name: None})
    if name == "aspect_ratio":
        return body[name] == "16:9"
    if name == "resolution":
        return body[name] == ("720p" if host.upstream == "sora-2" else "1080p")
    return name == "audio" and switch(call(body), "audio") is True


@given(st.integers(1, 40), st.sets(st.integers(1, 30), min_size=1, max_size=5))
def test_a_length_is_never_longer_than_was_asked_for(wish: int, offers: set[int]) -> None:
    """One that is offered, the next shorter one by name, or a refusal outside of all."""
    offered = tuple(sorted(offers))
    refused: Fault | None = None
    try:
        length, lost = fitted(call({"prompt": "x", "seconds": wish}), offered, offered[0])
    except Fault as fault:
        refused = fault
    if refused is not None:
        assert not offered[0] <= wish <= offered[-1]
        assert refused.param == "seconds"
        assert all(str(one) in refused.message for one in offered)
        return
    assert length in offered
    assert length <= wish
    assert not [one for one in offered if length < one <= wish]
    assert lost == (() if length == wish else ("seconds",))


SIZES = [
    ("1280x720", "720p", "16:9"), ("720x1280", "720p", "9:16"), ("1792x1024", "1024p", "16:9"),
    ("1024x1792", "1024p", "9:16"), ("1024x1024", "1024p", "1:1"), ("3840x2160", "4k", "16:9"),
    ("832*480", "480p", "16:9"), ("1366x768", "768p", "16:9"), ("2560x1080", "1080p", "21:9"),
    ("1088x832", "832p", "4:3"), ("auto", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("size", "resolution", "aspect"), SIZES)
def test_sizes(size: str, resolution: str, aspect: str) -> None:
    """A size says both how large and of what shape."""
    clip = asked(call({"prompt": "x", "size": size}))
    assert (clip.resolution, clip.aspect) == (resolution, aspect)


PICTURES: list[tuple[Any, str, str]] = [
    ("https://x.example/a.png", "https://x.example/a.png", ""),
    ({"url": "https://x.example/a.png"}, "https://x.example/a.png", ""),
    ({"image_url": "https://x.example/a.png"}, "https://x.example/a.png", ""),
    ({"image_url": {"url": "https://x.example/a.png"}}, "https://x.example/a.png", ""),
    ({"file_id": "file-1"}, "", "file-1"),
]


@pytest.mark.parametrize("name", ["image", "image_url", "input_reference"])
@pytest.mark.parametrize(("given_as", "url", "file_id"), PICTURES)
def test_pictures(name: str, given_as: Any, url: str, file_id: str) -> None:
    """However a client says it; the schema takes all of them."""
    body = {"model": "m", "prompt": "x", name: given_as}
    videos.decoder.decode(msgspec.json.encode(body))
    first = asked(call(body)).first
    assert first is not None
    assert (first.member, first.url, first.file_id) == (name, url, file_id)


def test_a_picture_is_enough() -> None:
    """A film may be made from a picture without words."""
    assert asked(call({}, PICTURE)).first is not None
    assert "prompt" not in sent(FILMS["hailuo"].build({}, PICTURE))


def test_left_out_is_said_once_and_null_is_nothing() -> None:
    """By name, in the client's order."""
    body = {"prompt": "x", "b": 1, "a": None, "c": {}, "user": "u", "model": "m"}
    assert left_out(call(body), ("c",), ("n", "n")) == ("n", "b", "user")


def test_the_schemas_take_the_seeds_script() -> None:
    """And a form's words for numbers."""
    script = {"prompt": "x", "aspect_ratio": "16:9", "duration_seconds": 8}
    form = {
        "prompt": "x",
        "seconds": "8",
        "size": "1280x720",
        "n": "1",
        "seed": "7",
        "audio": "true",
    }
    for body, decoder in ((script, videos.decoder), (form, videos.form_decoder)):
        decoder.decode(msgspec.json.encode({"model": "m", **body}))
        assert asked(call(body)).seconds == 8
    song = {
        "prompt": "x",
        "lyrics": "y",
        "duration": "30",
        "instrumental": "false",
        "format": "mp3",
    }
    music.decoder.decode(msgspec.json.encode({"model": "m", **song}))
    assert sung(call(song), ("mp3",)).seconds == 30


@pytest.mark.parametrize("member", ["duration_seconds", "duration", "seconds"])
@pytest.mark.parametrize("wrong", [0, -1, 3601, "long", "8s", "", "0", [], True])
def test_the_schemas_refuse_what_is_no_length(member: str, wrong: Any) -> None:
    """By the member's name, before any adapter is asked."""
    body = msgspec.json.encode({"model": "m", "prompt": "x", member: wrong})
    for decoder in (videos.decoder, music.decoder):
        with pytest.raises(Fault) as caught:
            decode_as(body, decoder)
        assert caught.value.param == member
