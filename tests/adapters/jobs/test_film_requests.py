"""What each host is asked for a film, member by member; what it can't do is refused or lost."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Fault
from tests.adapters.jobs.hosts import (
    BEARER,
    CLOUD,
    COG,
    FILMS,
    GROK,
    HAILUO,
    JSON,
    PICTURE,
    PIXEL,
    SORA,
    STUDIO,
    WAN,
    Host,
    joined,
    sent,
)

# What seed 001's script sends, to whichever model.
SCRIPT = {
    "prompt": "A close-up of raindrops on a window, soft focus, slow motion.",
    "aspect_ratio": "16:9",
    "duration_seconds": 8,
}
RAIN = SCRIPT["prompt"]
VERTEX_URL = (
    "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1/"
    "publishers/google/models/veo-3.1-generate-001:predictLongRunning"
)
STUDIO_URL = (
    "https://generativelanguage.googleapis.com/v1beta/models/veo-3.1-generate-preview:"
    "predictLongRunning"
)
WAN_URL = (
    "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/video-generation/video-synthesis"
)
GOOD_KEY = ("x-goog-api-key", "sk-secret-secret-secret")
ASYNC = ("X-DashScope-Async", "enable")
ENGLISH = ("Accept-Language", "en-US,en")

SCRIPTED: list[tuple[Host, str, Any, dict[str, Any], tuple[str, ...]]] = [
    (
        STUDIO, STUDIO_URL, (JSON, GOOD_KEY),
        {"instances": [{"prompt": RAIN}],
         "parameters": {"durationSeconds": 8, "aspectRatio": "16:9"}},
        (),
    ),
    (
        CLOUD, VERTEX_URL, (JSON, ("Authorization", "Bearer ya29-token-token")),
        {"instances": [{"prompt": RAIN}],
         "parameters": {"durationSeconds": 8, "aspectRatio": "16:9", "generateAudio": True}},
        (),
    ),
    (
        HAILUO, "https://api.minimax.io/v1/video_generation", (JSON, BEARER),
        {"model": "MiniMax-Hailuo-2.3", "duration": 6, "prompt": RAIN},
        ("duration_seconds",),
    ),
    (
        COG, "https://open.bigmodel.cn/api/paas/v4/videos/generations", (JSON, BEARER, ENGLISH),
        {"model": "cogvideox-3", "duration": 5, "prompt": RAIN, "size": "1920x1080"},
        ("duration_seconds",),
    ),
    (
        GROK, "https://api.x.ai/v1/videos/generations", (JSON, BEARER),
        {"model": "grok-imagine-video", "prompt": RAIN, "duration": 8, "aspect_ratio": "16:9"},
        (),
    ),
    (
        SORA, "https://api.openai.com/v1/videos", (JSON, BEARER),
        {"model": "sora-2", "prompt": RAIN, "seconds": "8", "size": "1280x720"},
        (),
    ),
    (
        WAN, WAN_URL, (JSON, BEARER, ASYNC),
        {"model": "wan2.6-t2v", "input": {"prompt": RAIN},
         "parameters": {"duration": 8, "size": "1920*1080"}},
        (),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "url", "headers", "body", "lost"), SCRIPTED, ids=[one[0].upstream for one in SCRIPTED]
)
def test_the_seeds_script(
    host: Host, url: str, headers: Any, body: dict[str, Any], lost: tuple[str, ...]
) -> None:
    """The script of seed 001 is served by every host, to the letter of its wire."""
    made = host.build(SCRIPT)
    assert (made.method, made.url, made.headers) == ("POST", url, headers)
    assert sent(made) == body
    assert made.adapted == lost
    assert made.translated


FULL = {
    "prompt": "It sails.",
    "seconds": "8",
    "size": "1280x720",
    "image": PIXEL,
    "negative_prompt": "rain",
    "seed": 7,
    "audio": True,
}
RICH: list[tuple[Host, Any, dict[str, Any], set[str]]] = [
    (
        STUDIO, {**FULL, "last_frame": PIXEL, "person_generation": "allow_adult"},
        {"instances": [{"prompt": "It sails.",
                        "image": {"bytesBase64Encoded": "iVBORw0KGgo=", "mimeType": "image/png"},
                        "lastFrame": {"bytesBase64Encoded": "iVBORw0KGgo=",
                                      "mimeType": "image/png"}}],
         "parameters": {"durationSeconds": 8, "aspectRatio": "16:9", "resolution": "720p",
                        "negativePrompt": "rain", "personGeneration": "allow_adult"}},
        {"seed"},
    ),
    (
        CLOUD, {**FULL, "image": "gs://bucket/a.jpg", "resolution": "720p"},
        {"instances": [{"prompt": "It sails.",
                        "image": {"gcsUri": "gs://bucket/a.jpg", "mimeType": "image/jpeg"}}],
         "parameters": {"durationSeconds": 8, "aspectRatio": "16:9", "resolution": "720p",
                        "negativePrompt": "rain", "generateAudio": True, "seed": 7}},
        set(),
    ),
    (
        HAILUO, {**FULL, "seconds": 10, "size": None, "resolution": "768P",
                 "last_frame": "https://x.example/b.png", "prompt_optimizer": False},
        {"model": "MiniMax-Hailuo-2.3", "prompt": "It sails.", "duration": 10, "resolution": "768P",
         "first_frame_image": PIXEL, "last_frame_image": "https://x.example/b.png",
         "prompt_optimizer": False},
        {"negative_prompt", "seed", "audio"},
    ),
    (
        COG, {**FULL, "seconds": 10, "last_frame": "https://x.example/b.png", "fps": 60},
        {"model": "cogvideox-3", "prompt": "It sails.", "duration": 10, "size": "1280x720",
         "image_url": [PIXEL, "https://x.example/b.png"], "with_audio": True, "fps": 60},
        {"negative_prompt", "seed"},
    ),
    (
        GROK, {**FULL, "size": "854x480", "aspect_ratio": "16:9", "image": None,
               "input_reference": {"file_id": "file-1"}},
        {"model": "grok-imagine-video", "prompt": "It sails.", "duration": 8, "resolution": "480p",
         "aspect_ratio": "16:9", "image": {"file_id": "file-1"}},
        {"negative_prompt", "seed", "audio"},
    ),
    (
        SORA, {**FULL, "size": None, "resolution": "1024p", "aspect_ratio": "9:16", "image": None,
               "input_reference": {"image_url": PIXEL}, "x_kit": [1]},
        {"model": "sora-2", "prompt": "It sails.", "seconds": "8", "size": "1024x1792",
         "input_reference": {"image_url": PIXEL}},
        {"negative_prompt", "seed", "audio", "x_kit"},
    ),
    (
        WAN, {**FULL, "image_url": "https://x.example/a.png", "image": None, "watermark": False},
        {"model": "wan2.6-t2v",
         "input": {"prompt": "It sails.", "negative_prompt": "rain",
                   "img_url": "https://x.example/a.png"},
         "parameters": {"duration": 8, "resolution": "720P", "seed": 7, "audio": True,
                        "watermark": False}},
        {"size"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("host", "asked", "body", "lost"), RICH, ids=[r[0].upstream for r in RICH])
def test_all_that_can_be_said(host: Host, asked: Any, body: dict[str, Any], lost: set[str]) -> None:
    """Every member goes where the host has a place for it; the others are lost by name."""
    made = host.build(asked)
    assert sent(made) == body
    assert set(made.adapted) == lost


def test_a_picture_file_goes_as_the_host_takes_it() -> None:
    """As base64 inside JSON, never held; at OpenAI as a part of a form."""
    asked = {"prompt": "It sails."}
    inline = {"bytesBase64Encoded": "iVBORw==", "mimeType": "image/png"}
    assert sent(STUDIO.build(asked, PICTURE))["instances"][0]["image"] == inline
    assert sent(CLOUD.build(asked, PICTURE))["instances"][0]["image"] == inline
    url = "data:image/png;base64,iVBORw=="
    assert sent(HAILUO.build(asked, PICTURE))["first_frame_image"] == url
    assert sent(COG.build(asked, PICTURE))["image_url"] == url
    assert sent(GROK.build(asked, PICTURE))["image"] == {"url": url}
    assert sent(WAN.build(asked, PICTURE))["input"]["img_url"] == url
    made = SORA.build(asked, PICTURE)
    assert made.headers == (
        BEARER,
        ("Content-Type", "multipart/form-data; boundary=boundary-nobody-knows"),
    )
    assert joined(made) == (
        b'--boundary-nobody-knows\r\nContent-Disposition: form-data; name="model"\r\n\r\nsora-2\r\n'
        b'--boundary-nobody-knows\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
        b"It sails.\r\n"
        b'--boundary-nobody-knows\r\nContent-Disposition: form-data; name="seconds"\r\n\r\n4\r\n'
        b'--boundary-nobody-knows\r\nContent-Disposition: form-data; name="input_reference"; '
        b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n'
        b"--boundary-nobody-knows--\r\n"
    )


def test_two_picture_files_keep_their_places() -> None:
    """The first and the last are not mixed up."""
    last = type(PICTURE)("last_frame", "b.png", "text/html", 2, type(PICTURE.source)(b"ZZ"))
    made = sent(HAILUO.build({"prompt": "x"}, last, PICTURE))
    assert made["first_frame_image"] == "data:image/png;base64,iVBORw=="
    assert made["last_frame_image"] == "data:image/png;base64,Wlo="


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("studio", {"aspect_ratio": "1:1"}, "aspect_ratio"),
    ("studio", {"size": "1792x1024"}, "size"),
    ("studio", {"resolution": "480p"}, "resolution"),
    ("studio", {"duration": 12}, "duration"),
    ("studio", {"duration_seconds": 2}, "duration_seconds"),
    ("studio", {"image": "https://x.example/a.png"}, "image"),
    ("cloud", {"image": "https://x.example/a.png"}, "image"),
    ("hailuo", {"aspect_ratio": "9:16"}, "aspect_ratio"),
    ("hailuo", {"resolution": "4k"}, "resolution"),
    ("hailuo", {"seconds": "12"}, "seconds"),
    ("hailuo", {"image": "gs://bucket/a.png"}, "image"),
    ("cog", {"aspect_ratio": "21:9"}, "aspect_ratio"),
    ("cog", {"resolution": "480p"}, "resolution"),
    ("cog", {"duration": 60}, "duration"),
    ("grok", {"last_frame": PIXEL}, "last_frame"),
    ("grok", {"aspect_ratio": "21:9"}, "aspect_ratio"),
    ("grok", {"duration": 16}, "duration"),
    ("sora", {"last_frame": PIXEL}, "last_frame"),
    ("sora", {"aspect_ratio": "1:1"}, "resolution"),
    ("wan", {"last_frame": PIXEL}, "last_frame"),
    ("wan", {"resolution": "4k"}, "resolution"),
    ("wan", {"aspect_ratio": "21:9"}, "aspect_ratio"),
]


@pytest.mark.parametrize(("name", "more", "param"), REFUSED)
def test_another_film_is_refused(name: str, more: dict[str, Any], param: str) -> None:
    """Where the answer would not be what was asked for, a 400 names the field."""
    with pytest.raises(Fault) as caught:
        FILMS[name].build({"prompt": "A boat.", **more})
    assert caught.value.kind.status == 400
    assert caught.value.param == param


EVERYWHERE: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": " "}, "prompt"),
    ({"prompt": 7}, "prompt"),
    ({"n": 2}, "n"),
    ({"duration": 6.5}, "duration"),
    ({"duration": "6s"}, "duration"),
    ({"duration": True}, "duration"),
    ({"duration": 0}, "duration"),
    ({"duration": 6, "seconds": "8"}, "seconds"),
    ({"size": "wide"}, "size"),
    ({"size": "1280x720", "aspect_ratio": "9:16"}, "aspect_ratio"),
    ({"size": "1280x720", "resolution": "1080p"}, "resolution"),
    ({"aspect_ratio": "wide"}, "aspect_ratio"),
    ({"resolution": "high"}, "resolution"),
    ({"image": "file:///etc/passwd"}, "image"),
    ({"image": "http://169.254.169.254/"}, "image"),
    ({"image": "data:text/html;base64,AAAA"}, "image"),
    ({"image": PIXEL, "image_url": PIXEL}, "image_url"),
    ({"image": []}, "image"),
    ({"input_reference": {"image_url": {"url": 7}}}, "input_reference"),
    ({"video": "https://x.example/a.mp4"}, "video"),
    ({"reference_images": []}, "reference_images"),
]


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize(("more", "param"), EVERYWHERE, ids=[str(one[0]) for one in EVERYWHERE])
def test_what_no_host_can_make_sense_of(name: str, more: dict[str, Any], param: str) -> None:
    """The same refusal at every host, and already when the price is worked out."""
    for ask in (FILMS[name].build, FILMS[name].expects):
        with pytest.raises(Fault) as caught:
            ask({"prompt": "A boat.", **more})
        assert (caught.value.kind.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("name", FILMS)
def test_what_is_expected(name: str) -> None:
    """The length that is asked for, in milliseconds, and the resolution where that is known."""
    usual = {"hailuo": 6, "cog": 5, "sora": 4, "wan": 5}.get(name, 8)
    host = FILMS[name]
    plain = host.expects({"prompt": "x"})
    assert (plain.milliseconds, plain.size) == (1000 * usual, "1080p" if name == "cog" else "")
    made = sent(host.build({"prompt": "x"}))
    told = {**made, **made.get("parameters", {})}
    assert int(told.get("durationSeconds") or told.get("seconds") or told["duration"]) == usual
    large = host.expects({"prompt": "x", "seconds": "6", "size": "1920x1080"})
    assert (large.milliseconds, large.size) == ({"cog": 5}.get(name, 6) * 1000, "1080p")
    assert host.expects({"prompt": "x", "size": "3840x2160"}).size == "4k"
    assert host.expects({"prompt": "x", "resolution": "2160p"}).size == "4k"


MADE: dict[str, list[tuple[dict[str, str], str]]] = {
    "cog": [({"aspect_ratio": "16:9"}, "1080p"), ({"aspect_ratio": "1:1"}, "1024p"),
        ({"size": "2160x3840"}, "4k"), ({"resolution": "720p", "aspect_ratio": "9:16"}, "720p")],
    "wan": [({"aspect_ratio": "4:3"}, "1080p"), ({"size": "1632x1248"}, "1080p"),
        ({"size": "1440x1440"}, "1080p"), ({"size": "960x960"}, "720p"),
        ({"size": "624x624"}, "480p"), ({"resolution": "480p", "aspect_ratio": "1:1"}, "480p")],
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_what_is_priced(name: str) -> None:
    """A size by another name, or a shape alone, is not had for the price of a smaller one."""
    for asked, size in MADE[name]:
        assert FILMS[name].expects({"prompt": "x", **asked}).size == size, asked


def test_silence_that_cannot_be_had_is_a_loss() -> None:
    """Veo on AI Studio always makes sound; on Vertex it can be left out, and Veo 2 makes none."""
    assert STUDIO.build({"prompt": "x", "audio": False}).adapted == ("audio",)
    silent = sent(CLOUD.build({"prompt": "x", "audio": "false"}))
    assert silent["parameters"]["generateAudio"] is False
    old = Host(CLOUD.adapter, "veo-2.0-generate-001", CLOUD.base_url, credential=CLOUD.credential)
    made = old.build({"prompt": "x", "audio": True})
    assert "generateAudio" not in sent(made)["parameters"]
    assert made.adapted == ("audio",)


def test_who_it_is_for() -> None:
    """Told where a host wants to know, by its own name for it; elsewhere it is a loss."""
    asked = {"prompt": "x", "user": "u-1", "metadata": {"a": "b"}}
    told = {name: sent(host.build(asked)) for name, host in FILMS.items()}
    assert told["grok"]["user"] == "u-1"
    assert told["cog"]["user_id"] == "u-1"
    lost = {name: set(host.build(asked).adapted) for name, host in FILMS.items()}
    knows = {"grok", "cog"}
    assert lost == {name: {"metadata"} if name in knows else {"user", "metadata"} for name in FILMS}


def test_a_shape_beside_a_picture_is_a_loss() -> None:
    """Hailuo and Wan take the shape from the picture."""
    asked = {"prompt": "x", "image": PIXEL, "aspect_ratio": "9:16"}
    assert HAILUO.build(asked).adapted == ("aspect_ratio",)
    assert WAN.build(asked).adapted == ("aspect_ratio",)


def test_an_address_of_another_form_stays() -> None:
    """Wan's own wire is looked for beside the compatible one, and nowhere else."""
    call = WAN.call({"prompt": "x"}, base_url="https://proxy.example/ali")
    made = WAN.work.build(call, WAN.credential)
    assert made.url == "https://proxy.example/ali/services/aigc/video-generation/video-synthesis"
