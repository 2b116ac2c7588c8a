"""What is asked of each host later on: how far it is, its file, its end; and with which key."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from msgspec import structs

from gateway.sdk import Progress
from tests.adapters.jobs.hosts import CLOUD, FILMS, SORA, STUDIO, TOKEN

QUESTIONS = {
    "studio": ("GET", "https://generativelanguage.googleapis.com/v1beta/models/"
               "veo-3.1-generate-preview/operations/abc123"),
    "cloud": ("POST", "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/"
              "us-central1/publishers/google/models/veo-3.1-generate-001:fetchPredictOperation"),
    "hailuo": ("GET", "https://api.minimax.io/v1/query/video_generation?task_id=176843862716480"),
    "cog": ("GET", "https://open.bigmodel.cn/api/paas/v4/async-result/"
            "6961015770-8875817957674828620"),
    "grok": ("GET", "https://api.x.ai/v1/videos/c84748c1-5ec7-9c62-b013-dc6e71a83de7"),
    "sora": ("GET", "https://api.openai.com/v1/videos/video_68e1"),
    "wan": ("GET", "https://dashscope-intl.aliyuncs.com/api/v1/tasks/966cebcd-dedc-4962-af88"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILMS)
def test_questions(name: str) -> None:
    """Where each host is asked, with the key in a header."""
    host = FILMS[name]
    job = host.work.job
    assert job is not None
    asked = job.poll(host.call({"prompt": "x"}), Progress("running", host.id), host.credential)
    assert (asked.method, asked.url) == QUESTIONS[name]
    secrets = [one for one in host.credential.secrets.values() if len(one) > 8]
    assert any(secret in value for _, value in asked.headers for secret in secrets)
    assert asked.body == (
        b'{"operationName":"' + host.id.encode() + b'"}' if name == "cloud" else b""
    )


def test_what_can_be_called_off() -> None:
    """OpenAI deletes, Alibaba cancels; the others have no such thing."""
    made = {
        name: host.work.job.cancel(host.call({}), Progress("running", host.id), host.credential)
        for name, host in FILMS.items()
        if host.work.job is not None and host.work.job.cancel is not None
    }
    assert {name: (one.method, one.url) for name, one in made.items()} == {
        "sora": ("DELETE", "https://api.openai.com/v1/videos/video_68e1"),
        "wan": (
            "POST",
            "https://dashscope-intl.aliyuncs.com/api/v1/tasks/966cebcd-dedc-4962-af88/cancel",
        ),
    }


LINKS = [
    ("https://generativelanguage.googleapis.com/v1beta/files/a:download?alt=media", True),
    ("https://generativelanguage.googleapis.com:443/v1beta/files/a", True),
    ("https://GenerativeLanguage.googleapis.com/v1beta/files/a", True),
    ("http://generativelanguage.googleapis.com/v1beta/files/a", False),
    ("https://generativelanguage.googleapis.com:8443/v1beta/files/a", False),
    ("https://generativelanguage.googleapis.com@evil.example/a", False),
    ("https://key@generativelanguage.googleapis.com/a", False),
    ("https://generativelanguage.googleapis.com.evil.example/a", False),
    ("https://evil.example/generativelanguage.googleapis.com", False),
    ("https://evil.example/a", False),
    ("https://[::1/a", False),
    ("https://generativelanguage.googleapis.com:port/a", False),
]


@pytest.mark.parametrize(("link", "shown"), LINKS)
def test_the_key_is_shown_to_nobody_else(link: str, shown: bool) -> None:
    """Veo's link wants the key, and gets it at its own origin alone."""
    job = STUDIO.work.job
    assert job is not None
    done = Progress("succeeded", STUDIO.id, url=link)
    asked = job.result(STUDIO.call({"prompt": "x"}), done, STUDIO.credential)
    assert asked.url == link
    assert asked.headers == ((("x-goog-api-key", STUDIO.credential.api_key),) if shown else ())


@pytest.mark.parametrize("name", ["hailuo", "cog", "grok", "wan"])
def test_open_links_are_asked_without_a_key(name: str) -> None:
    """Signed links open by themselves."""
    host = FILMS[name]
    done = host.polled(host.ends, memo=host.memo)
    job = host.work.job
    assert job is not None
    asked = job.result(host.call({"prompt": "x"}), done, host.credential)
    assert (asked.method, asked.url, asked.headers, asked.body) == ("GET", done.url, (), b"")


def test_openai_hands_the_file_out_itself() -> None:
    """At an address of its own, with the key."""
    done = SORA.polled(SORA.ends, memo="720p")
    job = SORA.work.job
    assert job is not None
    asked = job.result(SORA.call({"prompt": "x"}), done, SORA.credential)
    assert asked.url == done.url == "https://api.openai.com/v1/videos/video_68e1/content"
    assert dict(asked.headers)["Authorization"].startswith("Bearer ")


def test_an_express_key_has_no_project() -> None:
    """Vertex is asked by the key alone."""
    express = structs.replace(TOKEN, secrets={"api_key": "express-key"})
    job = CLOUD.work.job
    assert job is not None
    call = CLOUD.call({"prompt": "x"})
    for made in (
        CLOUD.work.build(call, express),
        job.poll(call, Progress("running", CLOUD.id), express),
    ):
        assert urlsplit(made.url).path.startswith("/v1/publishers/google/models/veo-3.1")
        assert dict(made.headers)["x-goog-api-key"] == "express-key"
