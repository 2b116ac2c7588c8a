"""Music: what each host is asked for, and the piece in its answer."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk import Credential, Progress
from providers_plugins.google import GOOGLE
from tests.adapters.jobs.hosts import (
    BEARER,
    JSON,
    KEY,
    LYRIA,
    OLD_LYRIA,
    SINGER,
    TUNE,
    TUNES,
    Host,
    sent,
)

TOKEN = ("Authorization", "Bearer ya29-token-token")
INTERACTIONS = (
    "https://aiplatform.googleapis.com/v1beta1/projects/p-1/locations/global/interactions"
)
PREDICT = (
    "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1/"
    "publishers/google/models/lyria-002:predict"
)
HEX = {"sample_rate": 44100, "bitrate": 256000, "format": "mp3"}

ASKED: list[tuple[Host, dict[str, Any], str, Any, Any, tuple[str, ...]]] = [
    (
        SINGER, {"prompt": "A waltz.", "lyrics": "[Verse]\nOne", "duration": 30, "seed": 1},
        "https://api.minimax.io/v1/music_generation", (JSON, BEARER),
        {"model": "music-1.5", "prompt": "A waltz.", "lyrics": "[Verse]\nOne",
         "output_format": "hex", "audio_setting": HEX},
        ("duration", "seed"),
    ),
    (
        LYRIA, {"prompt": "A waltz."}, INTERACTIONS, (JSON, TOKEN),
        {"model": "lyria-3-pro-preview", "input": "A waltz."},
        (),
    ),
    (
        LYRIA, {"prompt": "A waltz.", "lyrics": "One", "response_format": "wav",
                "duration_seconds": "60", "negative_prompt": "drums"},
        INTERACTIONS, (JSON, TOKEN),
        {"model": "lyria-3-pro-preview",
         "input": "A waltz.\n\nAbout 60 seconds long.\n\nLyrics:\nOne",
         "response_format": {"type": "audio", "mime_type": "audio/wav"}},
        ("duration_seconds", "negative_prompt"),
    ),
    (
        LYRIA, {"prompt": "A waltz.", "instrumental": True}, INTERACTIONS, (JSON, TOKEN),
        {"model": "lyria-3-pro-preview", "input": "A waltz.\n\nInstrumental only, no voices."},
        (),
    ),
    (
        OLD_LYRIA, {"prompt": "A waltz.", "format": "wav", "instrumental": "true"}, PREDICT,
        (JSON, TOKEN),
        {"instances": [{"prompt": "A waltz."}], "parameters": {"sample_count": 1}},
        (),
    ),
    (
        OLD_LYRIA, {"prompt": "A waltz.", "negative_prompt": "drums", "seed": 7, "duration": 30},
        PREDICT, (JSON, TOKEN),
        {"instances": [{"prompt": "A waltz.", "negative_prompt": "drums", "seed": 7}],
         "parameters": {}},
        ("duration",),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("host", "asked", "url", "headers", "body", "lost"), ASKED)
def test_what_is_asked(
    host: Host, asked: Any, url: str, headers: Any, body: Any, lost: tuple[str, ...]
) -> None:
    """To the letter of each wire, and what can't be said is lost by name."""
    made = host.build(asked)
    assert (made.method, made.url, made.headers) == ("POST", url, headers)
    assert sent(made) == body
    assert made.adapted == lost


def test_newer_models_play_without_voices() -> None:
    """Where the host has a member for it."""
    newer = Host(SINGER.adapter, "music-2.6", SINGER.base_url, operation="music")
    made = sent(newer.build({"prompt": "A waltz.", "instrumental": True, "response_format": "wav"}))
    assert made["is_instrumental"] is True
    assert made["audio_setting"]["format"] == "wav"


REFUSED: list[tuple[Host, dict[str, Any], str]] = [
    *((host, more, param) for host in TUNES.values() for more, param in (
        ({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"n": 2}, "n"),
        ({"duration": "x"}, "duration"), ({"lyrics": 7}, "lyrics"),
        ({"instrumental": "yes"}, "instrumental"), ({"format": "opus"}, "format"),
        ({"response_format": "flac"}, "response_format"), ({"format": 7}, "format"),
    )),
    (SINGER, {"instrumental": True}, "instrumental"),
    (OLD_LYRIA, {"lyrics": "One"}, "lyrics"),
    (OLD_LYRIA, {"format": "mp3"}, "format"),
    (LYRIA, {"format": "pcm"}, "format"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "more", "param"), REFUSED)
def test_another_piece_is_refused(host: Host, more: dict[str, Any], param: str) -> None:
    """A 400 that names the field."""
    with pytest.raises(Fault) as caught:
        host.build({"prompt": "A waltz.", **more})
    assert (caught.value.kind.status, caught.value.param) == (400, param)


KINDS = {"singer": "audio/mpeg", "lyria": "audio/mpeg", "old_lyria": "audio/wav"}


@pytest.mark.parametrize("name", TUNES)
def test_the_piece_is_in_the_answer(name: str) -> None:
    """Hexadecimals or base64, and a media type."""
    host = TUNES[name]
    job = host.work.job
    assert job is not None
    assert job.waits
    done = host.begun(host.begins)
    assert (done.state, done.media, done.content_type) == ("succeeded", TUNE, KINDS[name])
    assert done.id
    assert (done.usage.milliseconds if done.usage else 0) == (25_364 if name == "singer" else 0)


@pytest.mark.parametrize("name", TUNES)
def test_nothing_can_be_asked_a_second_time(name: str) -> None:
    """The first answer was the last: who asks again is told so."""
    host = TUNES[name]
    job = host.work.job
    assert job is not None
    for ask in (job.poll, job.result):
        with pytest.raises(Fault) as caught:
            ask(host.call({"prompt": "x"}), Progress("running", "x"), host.credential)
        assert caught.value.kind.status == 502
    with pytest.raises(Fault):
        host.polled({})


def test_steps_of_an_interaction() -> None:
    """The sound may stand among the content of a step."""
    part = LYRIA.begins["outputs"][1]
    steps = [
        {"type": "thought", "content": [part]},
        7,
        {"type": "model_output", "content": [{"type": "text", "text": "x"}, part]},
    ]
    assert LYRIA.begun({"id": "v1", "steps": steps}).media == TUNE
    assert LYRIA.begun({"id": "v1", "steps": steps[:2]}).code == "no_file"


SILENT: list[tuple[Host, Any, str]] = [
    (SINGER, {"data": None, "base_resp": {"status_code": 0}}, "no_file"),
    (SINGER, {"data": {"audio": ""}}, "no_file"),
    (SINGER, {"data": 7, "extra_info": []}, "no_file"),
    (LYRIA, {"id": "v1", "status": "completed", "outputs": []}, "no_file"),
    (LYRIA, {"id": "v1", "status": "failed"}, "generation_failed"),
    (LYRIA, {"outputs": {"type": "audio"}}, "no_file"),
    (OLD_LYRIA, {"predictions": []}, "no_file"),
    (OLD_LYRIA, {"predictions": [7]}, "no_file"),
]


@pytest.mark.parametrize(("host", "answer", "code"), SILENT)
def test_an_answer_without_sound(host: Host, answer: Any, code: str) -> None:
    """It failed, and is told so."""
    made = host.begun(answer)
    assert (made.state, made.code) == ("failed", code)
    assert made.message


ODD: list[tuple[Host, Any, str]] = [
    (SINGER, b"{", "unreadable_answer"),
    (SINGER, {"data": {"audio": "zz"}}, "unreadable_answer"),
    (SINGER, {"data": {"audio": [1]}}, "unreadable_answer"),
    (SINGER, {"base_resp": {"status_code": 1026, "status_msg": "x"}}, "content_policy"),
    (SINGER, {"base_resp": {"status_code": 2013, "status_msg": "x"}}, "refused_by_provider"),
    (LYRIA, [], "unreadable_answer"),
    (LYRIA, {"outputs": [{"type": "audio", "data": "***"}]}, "unreadable_answer"),
    (LYRIA, {"error": {"code": 403, "message": "x"}}, "credential_refused"),
    (OLD_LYRIA, {"predictions": [{"audioContent": 7}]}, "unreadable_answer"),
]


@pytest.mark.parametrize(("host", "answer", "cause"), ODD)
def test_an_answer_that_is_none(host: Host, answer: Any, cause: str) -> None:
    """A Fault by its cause, and nothing else."""
    with pytest.raises(Fault) as caught:
        host.begun(answer)
    assert caught.value.cause == cause


def test_a_media_type_is_one_line() -> None:
    """What could end a header is not believed."""
    answer = {"predictions": [{"audioContent": "AAAA", "mimeType": "audio/wav\r\nX: 1"}]}
    assert OLD_LYRIA.begun(answer).content_type == "audio/wav"


def test_lyria_on_ai_studio() -> None:
    """The same interaction, by a key."""
    studio = Host(
        GOOGLE, "models/lyria-3-clip-preview",
        "https://generativelanguage.googleapis.com/v1beta", operation="music",
    )  # fmt: skip
    made = studio.build({"prompt": "A waltz."})
    assert made.url == "https://generativelanguage.googleapis.com/v1beta/interactions"
    assert made.headers == (JSON, ("x-goog-api-key", KEY.api_key))
    assert sent(made) == {"model": "lyria-3-clip-preview", "input": "A waltz."}
    assert studio.begun(LYRIA.begins).media == TUNE


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://proxy.example/v1", "https://proxy.example/v1beta1/interactions"),
        ("https://proxy.example/vertex", "https://proxy.example/vertex/interactions"),
    ],
)
def test_interactions_have_a_version_of_their_own(base_url: str, expected: str) -> None:
    """Beside v1; an address of another form stays as it is."""
    call = LYRIA.call({"prompt": "x"}, base_url=base_url)
    made = LYRIA.work.build(call, Credential("express", {"api_key": "express-key"}))
    assert made.url == expected
