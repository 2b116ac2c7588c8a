"""The fields the gateway vouches for: a bad one is a 400 that names it, an unknown one passes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.core.body import decode_as
from gateway.errors import INVALID_REQUEST, Fault
from gateway.schemas import chat, completions, embeddings, images
from gateway.schemas.videos import VideoRequest
from gateway.web.admin.accounts import AccountChange

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = {"model": "m", "prompt": "hi"}
EMBED = {"model": "m", "input": "hi"}
PAINT = {"model": "m", "prompt": "a cat"}
EDIT = {**PAINT, "images": [{"image_url": "https://a.example/b.png"}]}
WRONG = object()
COUNTS: list[Any] = [0, -1, 1 << 32, 10**30, 1.5, "5", True, [], {}, 1e300]
FLAGS: list[Any] = [0, 1, "true", [], {}]
GOOD_COUNTS: list[Any] = [None, 1, 4096, 1 << 31]
CHAT_BAD = {
    "model": [None, "", 5, [], {}, "x" * 513],
    "messages": [None, [], "hi", {}, [1], ["hi"], [None], [[]]],
    "stream": FLAGS,
    "stream_options": [5, "x", [], True],
    "max_tokens": COUNTS,
    "max_completion_tokens": COUNTS,
    "n": [*COUNTS, 129],
    "temperature": [-0.1, 2.1, "1", True, [], 10**400],
    "top_p": [-0.1, 1.1, "1", True, []],
    "frequency_penalty": [-2.1, 2.1, "1"],
    "presence_penalty": [-2.1, 2.1, "1"],
    "stop": [5, {}, True, [5], [None]],
    "seed": [1 << 63, -(1 << 63) - 1, 10**30, 1.5, "5", True],
    "tools": [5, {}, "x", [5], [{}], [{"type": 5}]],
    "tool_choice": [5, [], True],
    "response_format": [5, "json", []],
    "logprobs": FLAGS,
    "top_logprobs": [-1, 21, 1.5, "5"],
    "parallel_tool_calls": FLAGS,
    "user": [5, [], {}],
}
TEXT_BAD = {
    "model": CHAT_BAD["model"],
    "prompt": [None, 5, True, {}],
    "stream": FLAGS,
    "max_tokens": [value for value in COUNTS if value != 0],
    "n": CHAT_BAD["n"],
    "best_of": COUNTS,
    "temperature": CHAT_BAD["temperature"],
    "top_p": CHAT_BAD["top_p"],
    "stop": CHAT_BAD["stop"],
    "user": [5],
}
EMBED_BAD = {
    "model": CHAT_BAD["model"],
    "input": [None, 5, True, {}],
    "dimensions": COUNTS,
    "encoding_format": ["hex", 5, [], ""],
    "user": [5],
    "stream": [True, 1, "no"],
    "stream_options": [{}, {"include_usage": True}],
}
PAINT_BAD = {
    "model": CHAT_BAD["model"],
    "prompt": [None, "", 5, [], {}],
    "n": [*COUNTS, 11],
    "size": ["", 5, [], {}],
    "quality": ["", 5, []],
    "response_format": ["b64", "", 5, {}],
    "background": ["", 5],
    "output_format": ["", 5],
    "output_compression": [-1, 101, 1.5, "50", True],
    "moderation": ["", 5],
    "style": ["", 5],
    "user": [5, [], {}],
    "stream": FLAGS,
    "partial_images": [-1, 4, 1.5, "2", True],
}
EDIT_BAD = {
    **PAINT_BAD,
    "input_fidelity": ["", 5],
    "images": [None, [], "x", {}, ["https://a.example"], [{"image_url": ""}], [{"image_url": 5}]],
    "mask": ["x", 5, [], {"image_url": 5}],
}
OPERATIONS = (
    ("chat", chat.decoder, CHAT, CHAT_BAD),
    ("completions", completions.decoder, TEXT, TEXT_BAD),
    ("embeddings", embeddings.decoder, EMBED, EMBED_BAD),
    ("images", images.decoder, PAINT, PAINT_BAD),
    ("image_edits", images.edit_decoder, EDIT, EDIT_BAD),
)
BAD = [
    pytest.param(decoder, good, name, value, id=f"{operation}-{name}-{str(value)[:20]}")
    for operation, decoder, good, table in OPERATIONS
    for name, values in table.items()
    for value in values
]


def decode(decoder: Any, body: Any) -> Any:
    return decode_as(json.dumps(body).encode(), decoder)


@pytest.mark.parametrize(("decoder", "good", "name", "value"), BAD)
def test_a_bad_value_is_named(decoder: Any, good: Any, name: str, value: Any) -> None:
    """A value out of type or range is a 400 whose param is that field."""
    with pytest.raises(Fault) as caught:
        decode(decoder, good | {name: value})
    fault = caught.value
    assert fault.kind is INVALID_REQUEST
    assert (fault.param or "").split("[")[0].split(".")[0] == name
    assert name in fault.message


@pytest.mark.parametrize(
    ("decoder", "good"), [(decoder, good) for _, decoder, good, _ in OPERATIONS], ids=lambda _: ""
)
def test_required_fields(decoder: Any, good: dict[str, Any]) -> None:
    """A missing required field is named as required."""
    for name in good:
        with pytest.raises(Fault, match=f"'{name}' is required") as caught:
            decode(decoder, {k: v for k, v in good.items() if k != name})
        assert caught.value.param == name


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "", "content": "x"}], "messages[0].role"),
        ([{"role": "r" * 65}], "messages[0].role"),
        ([{"role": None}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": {}}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{}]}], "messages[0].content[0].type"),
    ],
)
def test_a_bad_message_is_named_by_its_path(messages: Any, param: str) -> None:
    """Inside messages the path says which part is wrong."""
    with pytest.raises(Fault) as caught:
        decode(chat.decoder, CHAT | {"messages": messages})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("decoder", "good"), [(d, g) for _, d, g, _ in OPERATIONS], ids=lambda _: ""
)
def test_unknown_fields_are_not_judged(decoder: Any, good: dict[str, Any]) -> None:
    """What the gateway does not know is the provider's to judge, at any depth and of any type."""
    for value in (None, 5, -1e300, "x", [1, {"a": []}], {"deep": {"er": [None]}}):
        decode(decoder, good | {"unknown": value, "Model": value, "": value})
    message = {"role": "assistant", "content": None, "reasoning_content": 5, "tool_calls": "x"}
    decode(chat.decoder, CHAT | {"messages": [message, {"role": "anything", "x": {}}]})


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", GOOD_COUNTS)
def test_good_ceilings(name: str, value: Any) -> None:
    """Ceilings from one up pass, and null is as absent."""
    assert getattr(decode(chat.decoder, CHAT | {name: value}), name) == value


@pytest.mark.parametrize("body", [b'{"model":"m","messages":[{"role":"user"}],"max_tokens":1e999}'])
def test_infinity_in_disguise_is_refused(body: bytes) -> None:
    """A number too large for any type is a 400 that names its field."""
    with pytest.raises(Fault) as caught:
        decode_as(body, chat.decoder)
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize("prompt", ["x", "", ["a", "b"], [1, 2], [[1], [2]], []])
def test_prompts(prompt: Any) -> None:
    """A prompt or input is text or an array of whatever the provider takes."""
    decode(completions.decoder, TEXT | {"prompt": prompt})
    decode(embeddings.decoder, EMBED | {"input": prompt})


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b"null"])
def test_no_object(raw: bytes) -> None:
    """Anything but an object is refused as such."""
    with pytest.raises(Fault, match="must be a JSON object"):
        decode_as(raw, chat.decoder)


def test_a_form_says_all_in_text() -> None:
    """The values of a form are read as what they stand for; a bad one is named all the same."""
    form = {**PAINT, "n": "2", "stream": "true", "output_compression": "50", "max_cost": "0.05"}
    read = decode(images.form_decoder, form)
    assert (read.n, read.stream, read.output_compression) == (2, True, 50)
    for name, value in (("n", "11"), ("n", "two"), ("stream", "maybe"), ("prompt", "")):
        with pytest.raises(Fault) as caught:
            decode(images.form_decoder, form | {name: value})
        assert caught.value.param == name


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"images": [{"image_url": "u"}, {}]}, "images[1]"),
        ({"images": [{"image_url": "u", "file_id": "f"}]}, "images[0]"),
        ({"mask": {}}, "mask"),
    ],
)
def test_an_address_is_one_of_two(wrong: dict[str, Any], param: str) -> None:
    """A picture to edit has an address or the name of a file, not both and not neither."""
    with pytest.raises(Fault) as caught:
        decode(images.edit_decoder, EDIT | wrong)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("decoder", "body", "name", "words"),
    [
        (images.decoder, {**PAINT, "response_format": "png"}, "response_format", "b64_json, url"),
        (embeddings.decoder, {**EMBED, "stream": True}, "stream", "false"),
    ],
)
def test_a_few_words_are_all_named(decoder: Any, body: Any, name: str, words: str) -> None:
    """Who says another word is told those that there are."""
    with pytest.raises(Fault) as refused:
        decode_as(json.dumps(body).encode(), decoder)
    of = "one of " if "," in words else ""
    assert refused.value.message == f"'{name}' must be {of}{words}."
    assert refused.value.param == name


@pytest.mark.parametrize(
    ("decoder", "wrong", "told"),
    [
        (chat.decoder, {"model": 5}, "'model' is not valid: expected `string`, got `integer`."),
        (
            chat.decoder,
            {"max_tokens": "many"},
            "'max_tokens' is not valid: expected `integer | null`, got `string`.",
        ),
        (
            msgspec.json.Decoder(VideoRequest),
            {"seconds": "abc"},
            "'seconds' is not valid: its text does not have the form that is expected.",
        ),
    ],
)
def test_types_are_told_in_words_of_json(decoder: Any, wrong: Any, told: str) -> None:
    """Clients write JSON, and in many languages: no Python types and no patterns."""
    with pytest.raises(Fault) as refused:
        decode_as(json.dumps(CHAT | wrong).encode(), decoder)
    assert refused.value.message == told


def test_a_member_that_is_not_taken_is_named() -> None:
    """Where nothing unknown passes, the refusal says which member it was."""
    decoder = msgspec.json.Decoder(AccountChange)
    with pytest.raises(Fault) as refused:
        decode_as(b'{"nmae": "acme"}', decoder)
    assert (refused.value.message, refused.value.param) == ("'nmae' is not known here.", "nmae")
