"""Who calls, and how often they may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

from gateway import errors
from gateway.core.limits import Refusal, Ticket, address_key
from gateway.core.limits import headers as limit_headers
from gateway.domain import Account, Key
from gateway.errors import Fault
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services

_HOW = "Send it as 'Authorization: Bearer <key>'."


def recognised(
    services: Services,
    record: Record,
    digest: bytes | None,
    address: Callable[[], str | None],
    scope: str,
) -> Standing | None:
    """The standing of a key that has called before, where `authenticate` would find it good."""
    key = None if digest is None else services.keys.known(digest)
    standing = None if key is None else services.desk.known(key, services.catalog.current)
    if standing is None:
        return None
    key = standing.key
    record.key = key.id
    if scope in standing.vouched:
        return standing
    if key.opens_until is not None:
        return None
    vouch(services, key, address, scope)
    if key.expires_at is None and not key.ips:  # else another time or place is another matter
        standing.vouched.add(scope)
    return standing


async def authenticate(
    services: Services,
    record: Record,
    secret: bytes | None,
    address: Callable[[], str | None],
    scope: str = "inference",
) -> Key:
    """The caller's key, or a refusal that says what is wrong with it; the record names it."""
    if secret is None:
        anonymous = services.catalog.current.anonymous
        if anonymous is None or scope not in ("", "inference"):
            raise Fault(
                errors.AUTHENTICATION_ERROR, f"No API key was sent. {_HOW}", cause="missing_key"
            )
        nobody = _nobody(anonymous.group.name)
        record.key = nobody.id
        return nobody
    key = await services.keys.find(secret)
    if key is None:
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            f"The API key is not known to this gateway. {_HOW}",
            cause="unknown_key",
        )
    record.key = key.id
    if key.opens_until is not None and key.opens_until <= services.clock.time():
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "The client secret has expired. Make a new one with POST realtime/client_secrets.",
            cause="expired_key",
        )
    vouch(services, key, address, scope)
    return key


def vouch(
    services: Services, key: Key, address: Callable[[], str | None], scope: str = "inference"
) -> None:
    """Refuse a key that may not be used, or not any longer."""
    if key.revoked_at is not None:
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "The API key has been revoked. Ask the gateway's operator for a new one.",
            cause="revoked_key",
        )
    if key.expires_at is not None and key.expires_at <= services.clock.time():
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "The API key has expired. Ask the gateway's operator for a new one.",
            cause="expired_key",
        )
    if key.ips:
        _check_address(key, address())
    if scope and scope not in key.scopes:
        if key.opens_until is not None:
            raise Fault(
                errors.INSUFFICIENT_SCOPE,
                "A client secret opens realtime sessions, and nothing else.",
            )
        raise Fault(
            errors.INSUFFICIENT_SCOPE,
            f"This API key lacks the scope '{scope}'. Use one that was made with it.",
        )
    assert key.account is not None
    if key.account.status != "active":
        raise Fault(
            errors.INSUFFICIENT_SCOPE,
            "This API key's account is suspended. Ask the gateway's operator.",
            cause="suspended",
        )


def limited(
    services: Services,
    standing: Standing,
    candidate: Candidate,
    tokens: int,
    address: Callable[[], str | None],
    record: Record,
) -> Ticket:
    """Count the call against its key's limits, or against its address where it has no key."""
    now = services.clock.monotonic()
    if standing.key.n == 0:
        _admit_nobody(services, candidate, address, now)
    limits = standing.limits
    answer = limits.admit(now, tokens)
    record.headers = (*record.headers, *limit_headers(limits, now))
    if isinstance(answer, Refusal):
        raise _too_fast(answer, tokens)
    return answer


@contextmanager
def reading_files(services: Services, standing: Standing) -> Iterator[None]:
    """Files fill the disk: they are read for no more calls at once, and no sooner, than the key may
    make.
    """
    limits, now = standing.limits, services.clock.monotonic()
    if not limits.concurrency.enter():
        raise _too_fast(limits.refusal(now, 0), 0)
    try:
        if limits.rpm is not None and limits.rpm.room(now) <= 0:
            raise _too_fast(limits.refusal(now, 0), 0)
        yield
    finally:
        limits.release()


def costs_money(candidate: Candidate) -> Fault:
    """The refusal for who sends no key, and asks for what is not free."""
    return Fault(
        errors.PAID_MODEL_AUTH_REQUIRED,
        f"'{candidate.route.slug}' costs money, so it needs an API key. {_HOW}",
        param="model",
    )


def _nobody(group: str) -> Key:
    """Whoever calls without a key."""
    account = Account(n=2, id="acc_anonymous", name="anonymous", created_at=0, group=group, floor=0)
    return Key(id="anonymous", name="anonymous", prefix="", created_at=0, account=account)


def _check_address(key: Key, address: str | None) -> None:
    if address is not None:
        here = ip_address(address)
        if any(here in ip_network(allowed) for allowed in key.ips):
            return
    raise Fault(
        errors.INSUFFICIENT_SCOPE,
        "This API key may not be used from this address.",
        cause="address_not_allowed",
    )


def _admit_nobody(
    services: Services, candidate: Candidate, address: Callable[[], str | None], now: float
) -> None:
    if not candidate.free:
        raise costs_money(candidate)
    where = address_key(address() or "")
    if where is None:
        raise Fault(
            errors.MISSING_CLIENT_IP,
            "The gateway cannot tell where this call comes from, which it must for calls without "
            f"an API key. {_HOW}",
        )
    anonymous = services.catalog.current.anonymous
    assert anonymous is not None
    services.addresses.limit = anonymous.rpm
    refused = services.addresses.admit(now, where)
    if refused is not None:
        raise Fault(
            errors.PROMOTION_LIMIT_REACHED,
            f"Without an API key, {anonymous.rpm} calls a minute are free from one address, and "
            f"those are used up. {_HOW}",
            retry_after=refused.wait,
        )


def _too_fast(refusal: Refusal, tokens: int) -> Fault:
    if refusal.which == "concurrency":
        text = f"Concurrency exceeded - this key may have {refusal.limit} calls open at once."
    elif refusal.which == "rpm":
        text = f"RPM exceeded - {refusal.limit} requests in 60 seconds."
    elif refusal.which == "tpm":
        text = f"TPM exceeded - {refusal.limit} tokens in 60 seconds."
    else:
        text = (
            f"This call is estimated at {tokens} tokens, more than this key's whole limit of "
            f"{refusal.limit} tokens in 60 seconds. Send a shorter one."
        )
    return Fault(
        errors.RATE_LIMIT_EXCEEDED, text, retry_after=refusal.wait, cause=f"over_{refusal.which}"
    )
