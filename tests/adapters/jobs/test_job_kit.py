"""The conformance kit on all jobs, with answers of their hosts; and jobs that break its rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from gateway.sdk import (
    Adapter,
    Fault,
    Job,
    Operation,
    Progress,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    provider_fault,
)
from gateway.sdk.testing import Broken, Sample, Subject, of, verdicts
from gateway.sdk.testing.subject import SECRET, Saying
from tests.adapters.jobs.hosts import FILMS, TUNES, Host

HOSTS = {**FILMS, **TUNES}


def samples(host: Host) -> tuple[Sample, ...]:
    """The host's answers, for the kit."""
    first = "succeeded" if host.operation == "music" else "pending"
    given = [
        Sample(host.operation, "begins", answer=json.dumps(host.begins), state=first),
    ]
    for answer, memo, state in (
        (host.goes_on, "", "running"),
        (host.ends, host.memo, "succeeded"),
        (host.fails, "", "failed"),
    ):
        if answer is not None:
            before = {"id": host.id, "memo": memo}
            given.append(
                Sample(host.operation, state, answer=json.dumps(answer), before=before, state=state)
            )
    return tuple(given)


@pytest.mark.parametrize("name", HOSTS)
def test_our_jobs_pass(name: str) -> None:
    """Every rule holds on their own answers, whole and broken."""
    host = HOSTS[name]
    subject = of(name, Adapter(name, {host.operation: host.work}))
    saying = Saying(
        base_url=host.base_url,
        upstream=host.upstream,
        secrets=dict(host.credential.secrets) | {"project": "p-1"},
        urls=("https://aiplatform.", "https://us-central1-", "https://dashscope-intl."),
    )
    found = verdicts(structs.replace(subject, samples=samples(host), saying=saying))
    assert {check: str(one) for check, one in found.items() if isinstance(one, Broken)} == {}
    asked = {"job_begins", "job_steps_are_pure", "bad_polls_are_borne", "answers_are_read"}
    asked |= {"polls_are_read"} if host.goes_on is not None else set()
    assert all(found[f"{host.operation}: {check}"] is None for check in asked)


# --- a job of a made-up host, done right; below, with one thing wrong each ---


def build(call: Any, credential: Any) -> UpstreamRequest:
    body = b'{"model":"' + call.upstream.encode() + b'"}'
    return UpstreamRequest("POST", f"{call.base_url}/jobs", bearer(credential), body)


def read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise provider_fault(502, {}, b"")
    return found


def parse(call: Any, status: int, headers: Any, body: bytes) -> Reply:
    name = read(body).get("id")
    if not isinstance(name, str) or not name.isalnum():
        raise provider_fault(502, {}, b"")
    return Reply(progress=Progress("pending", name))


def poll(call: Any, job: Progress, credential: Any) -> UpstreamRequest:
    name = job.id.encode().hex()
    return UpstreamRequest("GET", f"{call.base_url}/jobs/{name}", bearer(credential))


def polled(call: Any, job: Progress, status: int, headers: Any, body: bytes) -> Progress:
    if status != 200:
        raise provider_fault(status, headers, body)
    state = read(body).get("state")
    if state == "done":
        return Progress("succeeded", job.id, url="https://files.example/1", usage=Usage(images=1))
    if state == "bad":
        return Progress("failed", job.id, code="bad", message="It is bad.")
    return Progress("running", job.id)


def result(call: Any, job: Progress, credential: Any) -> UpstreamRequest:
    mine = job.url.startswith(call.base_url)
    return UpstreamRequest("GET", job.url, bearer(credential) if mine else ())


def subject(**parts: Any) -> Subject:
    """The made-up host, some of its job's functions replaced."""
    begin = parts.pop("parse", parse)
    job = Job(**{"poll": poll, "polled": polled, "result": result, **parts})
    adapter = Adapter("heron", {"videos": Operation(build, begin, job=job)})
    given = (
        Sample("videos", "begins", answer='{"id":"a1"}', state="pending"),
        Sample("videos", "ends", answer='{"state":"done"}', before={"id": "a1"}, state="succeeded"),
        Sample("videos", "fails", answer='{"state":"bad"}', before={"id": "a1"}, state="failed"),
        Sample("videos", "rests", answer="", status=204, before={"id": "a1"}),
        Sample("videos", "goes on", answer='{"state":"new"}', before={"id": "a1"}, state="running"),
    )
    return structs.replace(of("heron", adapter), samples=given)


def broken(found: Subject) -> set[int]:
    return {one.rule for one in verdicts(found).values() if isinstance(one, Broken)}


def test_a_job_done_right() -> None:
    """None of the rules is broken."""
    assert broken(subject()) == set()


COUNT = [0]


def _drifting(call: Any, job: Progress, credential: Any) -> UpstreamRequest:
    COUNT[0] += 1
    return UpstreamRequest("GET", f"{call.base_url}/jobs/{COUNT[0]}", bearer(credential))


def _asks(url: str) -> Callable[..., Any]:
    return lambda call, job, credential: UpstreamRequest(
        "GET", url.format(base=call.base_url, id=job.id, key=credential.api_key), ()
    )


def _raises(kind: type[BaseException]) -> Callable[..., Any]:
    def work(*_: Any) -> Any:
        raise kind("no")

    return work


def _says(made: Any) -> Callable[..., Any]:
    return lambda *_: made


def _refuses(*_: Any) -> Any:
    raise provider_fault(500, {}, b"")


ZOO: list[tuple[str, dict[str, Any], int]] = [
    ("no progress at the beginning", {"parse": _says(Reply(b"{}"))}, 18),
    ("no name to ask after", {"parse": _says(Reply(progress=Progress("pending")))}, 18),
    ("waits, and is not done", {"waits": True}, 18),
    ("each question is another", {"poll": _drifting}, 1),
    ("asks somewhere else", {"poll": _asks("https://elsewhere.example/{id}")}, 10),
    ("the name is a path", {"poll": _asks("{base}/jobs/{id}")}, 10),
    ("the key in a question's address", {"poll": _asks("{base}/jobs?key={key}")}, 15),
    ("no question", {"poll": _says(None)}, 12),
    ("refuses to ask", {"poll": _refuses}, 18),
    ("raises over a question", {"poll": _raises(KeyError)}, 12),
    ("the key to whoever a link leads to",
     {"result": lambda call, job, credential: UpstreamRequest("GET", job.url, bearer(credential))},
     15),
    ("the key in the file's address", {"result": _asks("{base}/f?key={key}")}, 15),
    ("raises over an answer", {"polled": _raises(ValueError)}, 12),
    ("makes nothing of an answer", {"polled": _says(None)}, 12),
    ("a state of its own", {"polled": _says(Progress("resting", "a1"))}, 18),  # type: ignore[arg-type]
    ("done without a file", {"polled": _says(Progress("succeeded", "a1"))}, 18),
    ("done with two", {"polled": _says(Progress("succeeded", "a1", url="https://x/", media=b"x"))},
     18),
    ("a file on its own disk", {"polled": _says(Progress("succeeded", "a1", url="file:///x"))}, 18),
    ("failed without a word", {"polled": _says(Progress("failed", "a1", code="x"))}, 18),
    ("failed without a code", {"polled": _says(Progress("failed", "a1", message="x"))}, 18),
    ("an endless memo", {"polled": _says(Progress("running", "a1", memo="x" * 5_000))}, 18),
    ("more than all of it", {"polled": _says(Progress("running", "a1", percent=101))}, 18),
    ("a memo that is no text", {"polled": _says(Progress("running", "a1", memo=b"x"))}, 18),  # type: ignore[arg-type]
    ("the key in what is written down", {"polled": _says(Progress("running", "a1", memo=SECRET))},
     15),
    ("usage that cannot be", {"polled": _says(Progress("running", "a1", usage=7))}, 18),  # type: ignore[arg-type]
    ("never ends", {"polled": _says(Progress("running", "a1"))}, 18),
]  # fmt: skip


@pytest.mark.parametrize(("what", "parts", "rule"), ZOO, ids=[row[0] for row in ZOO])
def test_a_job_done_wrong(what: str, parts: dict[str, Any], rule: int) -> None:
    """The rule that is broken is named."""
    assert rule in broken(subject(**parts)), what


def test_a_refusal_that_repeats_the_key() -> None:
    """What the host says of a question is shown cleaned as well."""

    def says(call: Any, job: Progress, status: int, headers: Any, body: bytes) -> Progress:
        if status != 200:
            fault = provider_fault(status, headers, body)
            raise Fault(fault.kind, f"It says {body[:200]!r}.")
        return polled(call, job, status, headers, body)

    assert 15 in broken(subject(polled=says))
