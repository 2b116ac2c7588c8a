"""The simulator's videos and music: work that takes its time, and then brings a real file.

Known names, beside those of `sim`:

  takes        seconds until it is done
  fails        it fails with this code instead
  size         bytes of the file, in place of one that plays
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Job,
    Operation,
    Progress,
    Reply,
    Script,
    UpstreamRequest,
    Usage,
)
from gateway.sdk import ScriptSend as Send
from providers_plugins.sim_behaviour import JSON, Behaviour, behaviour_of, refusal, waited
from providers_plugins.sim_media import clip, tone

_USUAL_SECONDS = {"videos": 4.0, "music": 10.0}
_LONGEST = 60.0
_KINDS = {"videos": "video/mp4", "music": "audio/wav"}


class _Told(Struct):
    """What the simulator says of a job."""

    id: str = ""
    begun: float = 0.0
    state: Literal["running", "succeeded", "failed"] = "running"
    percent: int = 0
    code: str = ""


def begin(call: Call, credential: Credential) -> UpstreamRequest:
    """A job's name and the moment it was begun."""
    del credential
    behaviour = behaviour_of(call)
    if behaviour.status != 200:
        return _request(call, waited(refusal(behaviour), behaviour))
    name = hashlib.sha256(call.id.encode() + call.body.raw).hexdigest()[:24]
    told = {"id": f"job-{name}", "begun": call.now, "model": call.upstream}
    return _request(call, waited(_said(told), behaviour))


def begun(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The first progress."""
    del call, status, headers
    told = _read(body)
    if not told.id:
        raise _unreadable()
    return Reply(progress=Progress(state="pending", id=told.id, memo=repr(told.begun)))


def poll(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """How far a job is that was begun then."""
    del credential
    behaviour = behaviour_of(call)
    try:
        gone = max(0.0, call.now - float(progress.memo))
    except ValueError:
        raise _unreadable() from None
    share = 1.0 if gone >= behaviour.takes else gone / behaviour.takes
    told: dict[str, Any] = {"id": progress.id, "percent": int(share * 100)}
    if share < 1:
        told["state"] = "running"
    elif behaviour.fails is not None:
        told |= {"state": "failed", "code": behaviour.fails}
    else:
        told["state"] = "succeeded"
    return _request(call, _said(told))


def polled(
    call: Call, progress: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    """What it said."""
    del headers
    told = _read(body)
    if not 200 <= status < 300 or not 0 <= told.percent <= 100:
        raise _unreadable()
    done, failed = told.state == "succeeded", told.state == "failed"
    return Progress(
        state=told.state,
        id=progress.id,
        percent=told.percent,
        url=f"sim:{call.operation}" if done else "",
        memo=progress.memo,
        usage=expects(call) if done and behaviour_of(call).usage else None,
        content_type=_KINDS[call.operation],
        code=(told.code or "failed") if failed else "",
        message="The simulated provider could not do this." if failed else "",
    )


def result(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """The file."""
    del progress, credential
    behaviour = behaviour_of(call)
    length = expects(call).milliseconds
    if behaviour.size is not None:
        data = bytes(behaviour.size)
    else:
        data = tone(length) if call.operation == "music" else clip(length)
    headers = [("content-type", _KINDS[call.operation])]
    return _request(call, Script(200, headers, [Send(base64=b64encode(data).decode())]))


def cancel(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """Nothing goes on, so there is nothing to stop."""
    del credential
    return _request(call, _said({"id": progress.id}))


def expects(call: Call) -> Usage:
    """As long as was asked for."""
    names = ("duration_seconds", "duration", "seconds")
    asked = next((value for name in names if (value := call.body.value(name)) is not None), None)
    try:
        seconds = float(asked) if asked is not None else _USUAL_SECONDS[call.operation]
    except (TypeError, ValueError):
        seconds = _USUAL_SECONDS[call.operation]
    size = call.body.value("resolution")
    return Usage(
        milliseconds=int(max(0.0, min(seconds, _LONGEST)) * 1000),
        size=size if isinstance(size, str) else "",
    )


def _read(body: bytes) -> _Told:
    try:
        return msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable() from None


def _unreadable() -> Fault:
    return Fault(UPSTREAM_ERROR, "The simulated answer cannot be read.", cause="unreadable_answer")


def _said(told: dict[str, Any]) -> Script:
    return Script(200, [JSON], [Send(msgspec.json.encode(told).decode())])


def _request(call: Call, script: Script) -> UpstreamRequest:
    return UpstreamRequest("POST", f"sim:{call.operation}", (), script.encode())


_JOB = Job(poll=poll, polled=polled, result=result, cancel=cancel)
JOBS = {
    name: Operation(build=begin, parse=begun, expects=expects, job=_JOB) for name in _USUAL_SECONDS
}

__all__ = ["JOBS", "Behaviour"]
