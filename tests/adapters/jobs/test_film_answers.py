"""How far a film is, as each host tells it: the table of states, failures, odd answers."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk import Progress
from tests.adapters.jobs.hosts import (
    CLOUD,
    COG,
    FILM,
    FILMS,
    GROK,
    HAILUO,
    SORA,
    STUDIO,
    WAN,
    Host,
)


@pytest.mark.parametrize("name", FILMS)
def test_a_film_begins(name: str) -> None:
    """Its name is the provider's, as text."""
    host = FILMS[name]
    begun = host.begun(host.begins)
    assert (begun.state, begun.id) == ("pending", host.id)


@pytest.mark.parametrize("name", FILMS)
def test_a_film_goes_on_ends_and_fails(name: str) -> None:
    """The three ways that a question is answered."""
    host = FILMS[name]
    going = host.polled(host.goes_on)
    assert (going.state, going.id, going.url, going.media) == ("running", host.id, "", b"")
    done = host.polled(host.ends, memo=host.memo)
    assert (done.state, done.id, done.percent) == ("succeeded", host.id, 100)
    assert done.content_type == "video/mp4"
    failed = host.polled(host.fails)
    assert (failed.state, failed.id) == ("failed", host.id)
    assert failed.code
    assert failed.message
    assert failed.usage is None


STATES: list[tuple[Host, Any, str]] = [
    *((HAILUO, {"status": said}, "running") for said in
      ("Preparing", "Queueing", "Processing", "Dreaming", "", 7, None)),
    *((COG, {"task_status": said}, "running") for said in ("PROCESSING", "QUEUED", None, [])),
    *((GROK, {"status": said}, "running") for said in ("pending", "queued", None, 7)),
    (GROK, {"status": "expired"}, "failed"),
    (GROK, {"video": {"url": "https://x.example/a.mp4"}}, "succeeded"),
    *((WAN, {"output": {"task_status": said}}, "running") for said in
      ("PENDING", "RUNNING", "SUSPENDED", None)),
    *((WAN, {"output": {"task_status": said}}, "failed") for said in ("CANCELED", "UNKNOWN")),
    (WAN, {"output": None}, "running"),
    (SORA, {"id": "video_68e1", "status": "queued"}, "pending"),
    *((SORA, {"id": "video_68e1", "status": said}, "running") for said in
      ("in_progress", "dreaming", None)),
    (SORA, {"id": "video_68e1", "status": "cancelled"}, "failed"),
    *((host, {"done": said}, "running") for host in (STUDIO, CLOUD) for said in
      (False, None, "true", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("host", "answer", "state"), STATES)
def test_states(host: Host, answer: Any, state: str) -> None:
    """Whatever is not known as an end is no end."""
    assert host.polled(answer).state == state


def google(**response: Any) -> dict[str, Any]:
    return {"done": True, "response": response}


FAILURES: list[tuple[Host, Any, str, str]] = [
    (STUDIO, google(generateVideoResponse={
        "raiMediaFilteredCount": 1,
        "raiMediaFilteredReasons": ["Sorry, we can't create videos of real people."]}),
     "content_policy", "Sorry, we can't create videos of real people."),
    (CLOUD, google(raiMediaFilteredCount=1), "content_policy",
     "The provider refused the content of the request."),
    (CLOUD, google(raiMediaFilteredCount=0, videos=[]), "no_file",
     "The provider says that it is done, and gives no file. Try again."),
    (STUDIO, google(generateVideoResponse={"generatedSamples": [{"video": {}}]}), "no_file", ""),
    (STUDIO, google(generateVideoResponse=7, generatedSamples="x"), "no_file", ""),
    (CLOUD, google(videos=[{"gcsUri": "gs://bucket/a.mp4"}]), "no_file",
     "The provider put the video into a bucket, which the gateway cannot read."),
    (CLOUD, {"done": True, "error": {"code": 8, "message": "Quota."}}, "provider_rate_limit",
     "Quota."),
    (CLOUD, {"done": True, "error": {"code": [], "message": 7}}, "generation_failed",
     "The provider could not make it."),
    (CLOUD, CLOUD.fails, "invalid_request", "A bad picture."),
    (STUDIO, STUDIO.fails, "generation_failed", "Internal error."),
    (HAILUO, HAILUO.fails, "content_policy", "output sensitive"),
    (HAILUO, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
     "content_policy", "input new_sensitive"),
    (HAILUO, {"status": "Fail", "base_resp": {"status_code": 0, "status_msg": "success"}},
     "generation_failed", "The provider could not make it."),
    (HAILUO, {"status": "Fail", "base_resp": {"status_code": 1000, "status_msg": "unknown"}},
     "generation_failed", "unknown"),
    (HAILUO, {"status": "Success", "file_id": ""}, "no_file", ""),
    (COG, COG.fails, "generation_failed", ""),
    (COG, {"task_status": "FAIL", "error": {"code": "1301", "message": "unsafe"}},
     "content_policy", "unsafe"),
    (COG, {"task_status": "SUCCESS", "video_result": [{"url": "ftp://x/y"}]}, "no_file", ""),
    (COG, {"task_status": "SUCCESS", "video_result": {}}, "no_file", ""),
    (GROK, GROK.fails, "generation_failed", "It broke."),
    (GROK, {"status": "expired"}, "expired", ""),
    (GROK, {"status": "failed", "error": {"code": "moderation_blocked", "message": "no"}},
     "content_policy", "no"),
    (GROK, {"status": "done", "video": {"url": "https://x.example/a.mp4",
                                        "respect_moderation": False}}, "content_policy", ""),
    (GROK, {"status": "done"}, "no_file", ""),
    (SORA, SORA.fails, "content_policy", "Blocked by our moderation system."),
    (SORA, {"status": "failed", "error": {"code": "internal_error", "message": "a\nb"}},
     "generation_failed", "a b"),
    (SORA, {"status": "cancelled"}, "cancelled", ""),
    (WAN, WAN.fails, "content_policy", "Output data may contain inappropriate content."),
    (WAN, {"output": {"task_status": "FAILED", "code": "InternalError", "message": "m"}},
     "generation_failed", "m"),
    (WAN, {"output": {"task_status": "SUCCEEDED", "video_url": 7}}, "no_file", ""),
]  # fmt: skip


@pytest.mark.parametrize(("host", "answer", "code", "message"), FAILURES)
def test_why_it_failed(host: Host, answer: Any, code: str, message: str) -> None:
    """By the provider's code, in its own words or in ours; no words are without meaning."""
    failed = host.polled(answer)
    assert (failed.state, failed.code) == ("failed", code)
    assert failed.message
    assert message in ("", failed.message)


def test_a_failures_words_are_cleaned() -> None:
    """No key, no query of a link, one line, not too long."""
    said = "Bad key sk-abcdefghijklmnopqrstuvwxyz\r\nfor https://x.example/a?sig=1 " + "z" * 2_000
    failed = SORA.polled({"status": "failed", "error": {"code": "x", "message": said}})
    assert "sk-abc" not in failed.message
    assert "sig=1" not in failed.message
    assert "\n" not in failed.message
    assert len(failed.message) <= 400


SILENT = [(401, "credential_refused"), (404, "status_404"), (429, "provider_rate_limit"),
          (500, "status_500"), (503, "status_503")]  # fmt: skip


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize(("status", "cause"), SILENT)
def test_an_outage_is_no_answer(name: str, status: int, cause: str) -> None:
    """Nothing is learned of the film: it is asked again."""
    with pytest.raises(Fault) as caught:
        FILMS[name].polled(b"<html>down</html>", status)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b"[" * 9_000, b"x" * 100_000]
)
@pytest.mark.parametrize("name", FILMS)
def test_what_is_no_answer_at_all(name: str, body: bytes) -> None:
    """A 502, at the beginning and later on."""
    for read in (FILMS[name].begun, FILMS[name].polled):
        with pytest.raises(Fault) as caught:
            read(body)
        assert caught.value.kind.status == 502


@pytest.mark.parametrize("name", FILMS)
def test_a_film_without_a_name_cannot_be_asked_after(name: str) -> None:
    """It is not begun."""
    host = FILMS[name]
    key = {"hailuo": "task_id", "grok": "request_id", "wan": "task_id"}.get(name, "id")
    key = "name" if name in ("studio", "cloud") else key
    for odd in (None, "", [], {}, True, -1, "a b", "ü", "x" * 600):
        answer = {"output": {key: odd}} if name == "wan" else {key: odd}
        with pytest.raises(Fault) as caught:
            host.begun(answer)
        assert caught.value.kind.status == 502


@pytest.mark.parametrize("odd", ["../../models", "/etc", "a//b", "a/../b", "a", "a/b?x=1", "a/b#c"])
def test_an_operation_leads_nowhere_else(odd: str) -> None:
    """At Google the name is a path: one that is none is refused, also when it was written down."""
    with pytest.raises(Fault):
        STUDIO.begun({"name": odd})
    job = STUDIO.work.job
    assert job is not None
    with pytest.raises(Fault):
        job.poll(STUDIO.call({"prompt": "x"}), Progress("running", odd), STUDIO.credential)


def test_numbers_of_any_size_are_names() -> None:
    """MiniMax's ids have 64 bits and come as numbers or as text: none is rounded."""
    large = 9_223_372_036_854_775_807
    assert HAILUO.begun(b'{"task_id":%d,"base_resp":{"status_code":0}}' % large).id == str(large)
    told = HAILUO.polled(b'{"status":"Success","file_id":%d}' % large)
    assert (told.state, told.memo, told.soon) == ("running", str(large), True)
    job = HAILUO.work.job
    assert job is not None
    asked = job.poll(HAILUO.call({"prompt": "x"}), told, HAILUO.credential)
    assert asked.url == f"https://api.minimax.io/v1/files/retrieve?file_id={large}"


def test_what_comes_inside_the_answer() -> None:
    """Vertex sends the film itself; what is no base64 is no answer."""
    assert CLOUD.polled(CLOUD.ends).media == FILM
    odd = {"bytesBase64Encoded": b64encode(b"x").decode(), "mimeType": "video/mp4\r\nX: 1"}
    assert CLOUD.polled(google(videos=[odd])).content_type == "video/mp4"
    for bad in ("***", "====", 7, [1], {"a": 1}):
        with pytest.raises(Fault):
            CLOUD.polled(google(videos=[{"bytesBase64Encoded": bad}]))


COUNTS: list[tuple[Host, Any, int]] = [
    (GROK, {"duration": 6}, 6_000),
    (GROK, {"duration": 5.5}, 5_500),
    (GROK, {"duration": "x"}, 0),
    (GROK, {"duration": -1}, 0),
    (GROK, {"duration": 1e300}, 0),
    (GROK, {}, 0),
    (SORA, {"seconds": "8"}, 8_000),
    (SORA, {"seconds": "1e9999"}, 0),
    (SORA, {"seconds": []}, 0),
    (WAN, {"duration": 5, "output_video_duration": 4}, 4_000),
    (WAN, {"video_duration": 5}, 5_000),
    (WAN, {"duration": True}, 0),
]


@pytest.mark.parametrize(("host", "counted", "milliseconds"), COUNTS)
def test_what_the_host_counted(host: Host, counted: dict[str, Any], milliseconds: int) -> None:
    """Its seconds are charged, at the resolution that was asked for; nonsense is no count."""
    answer = {
        "grok": {"status": "done", "video": {"url": "https://x.example/a.mp4", **counted}},
        "sora-": {"id": "v", "status": "completed", **counted},
        "wan2": {"output": {"task_status": "SUCCEEDED", "video_url": "https://x.example/a"},
                 "usage": counted},
    }[host.upstream[:5].rstrip(".") if host is not GROK else "grok"]  # fmt: skip
    used = host.polled(answer, memo="1080p").usage
    if milliseconds:
        assert used is not None
        assert (used.milliseconds, used.size) == (milliseconds, "1080p")
    else:
        assert used is None


def test_a_resolution_that_the_host_chose() -> None:
    """Is priced as it says; where one was asked for, that one is."""
    for memo, told, size in (
        ("", 1080, "1080p"),
        ("720p", 1080, "720p"),
        ("", 9, ""),
        ("", [], ""),
    ):
        answer = {"output": {"task_status": "SUCCEEDED", "video_url": "https://x.example/a"},
            "usage": {"duration": 5, "SR": told}}  # fmt: skip
        used = WAN.polled(answer, memo=memo).usage
        assert used is not None
        assert used.size == size


@pytest.mark.parametrize("host", [GROK, SORA, WAN], ids=["grok", "sora", "wan"])
def test_the_resolution_is_remembered(host: Host) -> None:
    """From the first answer on, in the memo: later the client's body may not be at hand."""
    begun = host.begun(host.begins, {"prompt": "x", "size": "1920x1080"})
    assert begun.memo == "1080p"
    assert host.polled(host.goes_on, memo="1080p").memo == "1080p"


def test_an_error_where_a_beginning_should_be() -> None:
    """Inside a 200, the answer's own code decides."""
    cases = [
        (HAILUO, {"base_resp": {"status_code": 1008, "status_msg": "x"}}, "credential_exhausted"),
        (HAILUO, {"base_resp": {"status_code": 1026, "status_msg": "x"}}, "content_policy"),
        (COG, {"error": {"code": "1113", "message": "x"}}, "credential_exhausted"),
        (GROK, {"error": "no such model"}, "error_in_answer"),
        (SORA, {"error": {"code": "x", "message": "y"}}, "error_in_answer"),
        (STUDIO, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "provider_rate_limit"),
        (CLOUD, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, "credential_refused"),
    ]
    for host, answer, cause in cases:
        with pytest.raises(Fault) as caught:
            host.begun(answer)
        assert caught.value.cause == cause


def test_a_limit_while_asking_is_not_the_end() -> None:
    """MiniMax tells of limits inside a 200: the film goes on."""
    for code, cause in ((1002, "provider_rate_limit"), (1004, "credential_refused")):
        with pytest.raises(Fault) as caught:
            HAILUO.polled({"base_resp": {"status_code": code, "status_msg": "x"}})
        assert caught.value.cause == cause


ODD: list[tuple[Host, dict[str, Any], str]] = [
    (SORA, {"id": "v", "status": "failed", "error": "no"}, "failed"),
    (SORA, {"id": "v", "status": "completed", "seconds": {}, "progress": []}, "succeeded"),
    (GROK, {"status": "failed", "video": []}, "failed"),
    (GROK, {"status": "done", "video": "https://x.example/a.mp4"}, "failed"),
    (WAN, {"output": {"task_status": "SUCCEEDED", "video_url": "https://x.example/a"},
           "usage": []}, "succeeded"),
    (COG, {"task_status": "FAIL", "error": 7}, "failed"),
    (HAILUO, {"status": "Fail", "file": 7}, "failed"),
    (STUDIO, {"name": 7, "metadata": [], "done": False}, "running"),
    (CLOUD, {"done": True, "response": {"videos": ["x"], "raiMediaFilteredReasons": 7}}, "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "answer", "state"), ODD)
def test_odd_members_hide_nothing(host: Host, answer: dict[str, Any], state: str) -> None:
    """A member of another type is as good as none: the end is seen all the same."""
    assert host.polled(answer).state == state
