"""Checks of a `Job`: its first progress, its questions, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import msgspec
from msgspec import structs

from gateway.domain import UpstreamRequest, Usage
from gateway.errors import Fault
from gateway.sdk.adapter import Call, Job, Operation, Progress
from gateway.sdk.testing.answering import check_fault, parsed
from gateway.sdk.testing.building import check_address, check_secrets, told
from gateway.sdk.testing.hostile import garbage, mutants
from gateway.sdk.testing.quarantine import examined
from gateway.sdk.testing.requests import PLAIN, REFUSALS
from gateway.sdk.testing.streaming import check_usage
from gateway.sdk.testing.subject import (
    SECRET,
    Broken,
    Sample,
    Subject,
    Unfit,
    request_of,
    samples_of,
)

_STATES = ("pending", "running", "succeeded", "failed")
_MOST = 4_096  # characters of an id, a memo or a url: all of them are written down
_MOST_TEXT = 2_000
_ELSEWHERE = "https://files.elsewhere.example/one.mp4?signature=1"
# Names that a provider should not give, and that must not lead anywhere else.
_ODD_NAMES = (
    "../../admin",
    "a b?c#d",
    "https://elsewhere.example/",
    "\u00e4\u20ac\U0001f600",
    "x" * 600,
)

Step = Callable[[], object]


def job_begins(subject: Subject, name: str, operation: Operation) -> None:
    """The answer to a job's first request is its first progress."""
    job = _job(operation)
    samples = samples_of(subject, name, "answer")
    if not samples:
        raise Unfit(f"there is no sample of an answer of '{name}': give some in SAMPLES")
    for sample in samples:
        made = parsed(subject, name, operation, sample, sample.whole)
        if isinstance(made, Fault):
            continue  # `answers_are_read` tells of it
        if made.progress is None:
            raise Broken(
                18,
                f"'{sample.name}' begins a job, and its Reply has no progress.",
                "return Reply(progress=Progress('pending', id)).",
            )
        _check_progress(subject, made.progress, sample)
        if job.waits and made.progress.state not in ("succeeded", "failed"):
            raise Broken(
                18, f"'{sample.name}' is a job that waits, and not done.", "leave `waits`."
            )
        if not job.waits and not made.progress.id:
            raise Broken(18, f"'{sample.name}' has no id to ask after.", "read the provider's.")


def job_steps_are_pure(subject: Subject, name: str, operation: Operation) -> None:
    """Questions are the same whoever asks, and go where they should; nobody else sees the key."""
    job = _job(operation)
    call = subject.call(name, PLAIN.get(name, PLAIN["chat"]))
    known = [] if job.waits else [*map(_progress_of, samples_of(subject, name, "poll"))]
    for progress in _before(subject, name):
        for what in ("poll", "cancel"):
            made = _step(subject, job, what, call, progress)
            if made is not None and made != _step(subject, job, what, call, progress):
                raise Broken(1, f"{what} gave two different requests.", "keep no state.")
            if isinstance(made, UpstreamRequest):
                check_address(subject, made)
                check_secrets(subject, made)
                _check_place(what, made)
            elif what == "poll" and progress in known:
                raise Broken(18, f"poll can't ask after {progress.id[:80]!r}.", "write a request.")
        for url in (f"{subject.saying.base_url}/files/1", _ELSEWHERE):
            done = structs.replace(progress, state="succeeded", url=url)
            made = _step(subject, job, "result", call, done)
            if made != _step(subject, job, "result", call, done):
                raise Broken(1, "result gave two different requests.", "keep no state.")
            if isinstance(made, UpstreamRequest):
                check_secrets(subject, made)
                _check_company(subject, made)


def polls_are_read(subject: Subject, name: str, operation: Operation) -> None:
    """Answers to questions become a Progress, each time the same."""
    job = _job(operation)
    samples = samples_of(subject, name, "poll")
    if not samples:
        raise Unfit(f"there is no sample of an answer to a poll of '{name}': give one `before`")
    for sample in samples:
        first = _polled(subject, name, job, sample, sample.whole, sample.status)
        if first != _polled(subject, name, job, sample, sample.whole, sample.status):
            raise Broken(1, f"'{sample.name}' is read differently twice.", "keep no state.")
        if isinstance(first, Progress):
            _check_progress(subject, first, sample)
        elif sample.state is not None:
            raise Broken(18, f"'{sample.name}' is refused: {told(first)}", "read it.")


def bad_polls_are_borne(subject: Subject, name: str, operation: Operation) -> None:
    """Of what is no answer to a question, `polled` makes a Progress or a Fault."""
    job = _job(operation)
    known = samples_of(subject, name, "poll")
    for sample in (*known, Sample(name, before={"id": "kit-job"})):
        for body in (*garbage(), *mutants(sample.whole)):
            _borne(subject, name, job, sample, body, 200)
        for status in (202, 204, 400, 401, 403, 404, 410, 429, 500, 503):
            for refusal in REFUSALS:
                sent = refusal.replace(b"%s", SECRET.encode())
                _borne(subject, name, job, sample, sent, status)


def _job(operation: Operation) -> Job:
    assert operation.job is not None
    return operation.job


def _before(subject: Subject, name: str) -> Iterator[Progress]:
    yield Progress("pending", "kit-job")
    yield from map(_progress_of, samples_of(subject, name, "poll"))
    for odd in _ODD_NAMES:
        yield Progress("running", odd)
        yield Progress("running", "kit-job", memo=odd)


def _progress_of(sample: Sample) -> Progress:
    before = sample.before or {}
    return Progress("running", before.get("id", ""), memo=before.get("memo", ""))


def _step(
    subject: Subject, job: Job, what: str, call: Call, progress: Progress
) -> UpstreamRequest | Fault | None:
    """What a function of the job's makes; two faults that say the same are the same."""
    asks = getattr(job, what)
    if asks is None:
        return None
    made = _calmly(subject, what, lambda: asks(call, progress, subject.credential))
    if isinstance(made, Fault):
        return None
    if not isinstance(made, UpstreamRequest):
        raise Broken(12, f"{what} returned {type(made).__name__}.", "return an UpstreamRequest.")
    return made


def _polled(
    subject: Subject, name: str, job: Job, sample: Sample, body: bytes, status: int
) -> Progress | Fault:
    call = subject.call(name, request_of(sample, PLAIN))
    headers = {"content-type": "application/json", **sample.headers}
    before = _progress_of(sample)
    made = _calmly(
        subject, "polled", lambda: job.polled(call, before, status, headers, body), len(body)
    )
    if not isinstance(made, Progress | Fault):
        raise Broken(12, f"polled returned {type(made).__name__}.", "return a Progress.")
    return made


def _borne(subject: Subject, name: str, job: Job, sample: Sample, body: bytes, status: int) -> None:
    made = _polled(subject, name, job, sample, body, status)
    if isinstance(made, Fault):
        check_fault(made, status)
    else:
        _check_progress(subject, made, None)


def _calmly(subject: Subject, what: str, work: Step, size: int = 0) -> object:
    try:
        return examined(subject, what, work, size)
    except Fault as fault:
        return fault
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(
            12,
            f"{what} raised {type(error).__name__}: {error}",
            "raise a Fault when nothing was learned; the job is asked after again.",
        ) from error


def _check_progress(subject: Subject, made: Progress, sample: Sample | None) -> None:
    _check_members(made)
    if made.state == "succeeded" and bool(made.url) == bool(made.media):
        raise Broken(18, "a job succeeded without a url, or media.", "one of them; else it failed.")
    if made.url and not made.url.startswith(("https://", "http://", subject.saying.base_url)):
        raise Broken(18, f"a job's url is {made.url[:80]!r}.", "an address to fetch, or a failure.")
    if made.state == "failed" and not (made.code and made.message.strip()):
        raise Broken(18, "a job failed without a code and a message.", "say why, by `clean`.")
    shown = f"{made.id} {made.url} {made.code} {made.message} {made.memo}"
    if any(
        secret in shown for secret in (SECRET, *subject.saying.secrets.values()) if len(secret) > 7
    ):
        raise Broken(15, "a job's progress holds a secret.", "it is written down: `clean` it.")
    if made.usage is not None:
        check_usage(subject, made.usage, sane=sample is not None)
    if sample is not None and sample.state not in (None, made.state):
        raise Broken(
            18, f"'{sample.name}' is read as {made.state}, not {sample.state}.", "see your table."
        )


def _check_members(made: Progress) -> None:
    """All of it is written down and read again: by type, by length, and whole."""
    try:
        again = msgspec.json.decode(msgspec.json.encode(made), type=Progress)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Broken(
            18, f"a progress can't be written as JSON: {error}", "plain values."
        ) from error
    odd = (
        again != made
        or made.state not in _STATES
        or not isinstance(made.media, bytes)
        or not (made.usage is None or isinstance(made.usage, Usage))
        or not 0 <= made.percent <= 100
        or max(len(made.memo), len(made.url), len(made.id)) > _MOST
        or len(made.message) > _MOST_TEXT
        or "\n" in made.message
    )
    if odd:
        raise Broken(
            18,
            f"a progress is not as it should be: {repr(made)[:300]}",
            f"one of four states, a percentage, id, memo and url of at most {_MOST} characters.",
        )


def _check_place(what: str, made: UpstreamRequest) -> None:
    if "/../" in made.url or made.url.endswith("/.."):
        raise Broken(10, f"{what} leads out of its place: {made.url[:80]!r}.", "quote the id.")


def _check_company(subject: Subject, made: UpstreamRequest) -> None:
    """The key goes to the provider, and to no host that a link of its leads to."""
    mine, theirs = urlsplit(subject.saying.base_url), urlsplit(made.url)
    if (mine.scheme, mine.netloc) == (theirs.scheme, theirs.netloc):
        return
    said = " ".join(value for _, value in made.headers)
    if any(secret in said for secret in subject.saying.secrets.values() if len(secret) > 7):
        raise Broken(
            15,
            f"result shows the key to {theirs.netloc}.",
            "send it where the url's origin is that of `call.base_url`, and nowhere else.",
        )
