"""The words of this room's faults: what happened and where; never a key, a path or a query."""

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
    return upstream_error(f"{where} broke HTTP: {what}.", "bad_response")


def truncated(where: str) -> Fault:
    """The connection died inside an answer."""
    return upstream_error(f"{where} ended its answer too early.", "truncated")


def reset(where: str) -> Fault:
    """The connection died before the first byte of an answer."""
    return upstream_error(f"{where} closed the connection without an answer.", "reset")


def oversize(where: str, limit: int) -> Fault:
    """The body is larger than the caller can use."""
    return upstream_error(f"{where} answered with more than {limit} bytes.", "oversize")


def timeout(where: str, step: str, seconds: float) -> Fault:
    """The provider used up the time for one step: connect, first_byte, idle or total."""
    return upstream_timeout(f"{where} {_STEPS[step]} within {seconds:g} s.", f"{step}_timeout")


def exhausted(where: str, limit: int) -> Fault:
    """No connection came free in time."""
    return Fault(
        NO_UPSTREAM,
        f"All {limit} connections to {where} are in use.",
        retry_after=1,
        cause="pool_exhausted",
    )


def closed(where: str) -> Fault:
    """We ended the answer ourselves while somebody still waited for it."""
    return Fault(CLIENT_CLOSED, f"The answer of {where} was given up.", cause="closed")


def shut_down(where: str) -> Fault:
    """The client was closed under a running or waiting request."""
    return Fault(
        NO_UPSTREAM,
        f"The gateway closed its connections to {where}.",
        retry_after=1,
        cause="closed",
    )
