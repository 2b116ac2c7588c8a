"""The words of this room's faults: what happened; never a key, a path or a query.

Where it happened, a host and a port, is for the operator's log alone.
"""

from __future__ import annotations

from gateway.errors import CLIENT_CLOSED, NO_UPSTREAM, Fault, upstream_error, upstream_timeout

_STEPS = {
    "connect": "could not be reached",
    "first_byte": "did not begin to answer",
    "idle": "stopped in the middle of its answer",
    "total": "did not finish its answer",
}


def bad_response(where: str, what: str) -> Fault:
    """The provider's bytes are not a well-formed answer."""
    return upstream_error(f"The provider broke HTTP: {what}.", "bad_response", where)


def truncated(where: str) -> Fault:
    """The connection died inside an answer."""
    return upstream_error("The provider ended its answer too early.", "truncated", where)


def reset(where: str) -> Fault:
    """The connection died before the first byte of an answer."""
    return upstream_error("The provider closed the connection without an answer.", "reset", where)


def oversize(where: str, limit: int) -> Fault:
    """The body is larger than the caller can use."""
    return upstream_error(f"The provider answered with more than {limit} bytes.", "oversize", where)


def timeout(where: str, step: str, seconds: float) -> Fault:
    """The provider used up the time for one step: connect, first_byte, idle or total."""
    what = f"The provider {_STEPS[step]} within {seconds:g} s."
    return upstream_timeout(what, f"{step}_timeout", where)


def exhausted(where: str, limit: int) -> Fault:
    """No connection came free in time."""
    return Fault(
        NO_UPSTREAM,
        f"All {limit} connections to the provider are in use.",
        retry_after=1,
        cause="pool_exhausted",
        detail=where,
    )


def closed(where: str) -> Fault:
    """We ended the answer ourselves while somebody still waited for it."""
    return Fault(CLIENT_CLOSED, "The provider's answer was given up.", cause="closed", detail=where)


def shut_down(where: str) -> Fault:
    """The client was closed under a running or waiting request."""
    return Fault(
        NO_UPSTREAM,
        "The gateway closed its connections to the provider.",
        retry_after=1,
        cause="closed",
        detail=where,
    )
