"""How much a key or an address may do in a minute, and how much at once.

Everything here is counted over rolling minutes: what was taken at `t` is back at `t + 60` and not
a moment sooner, so no sixty seconds, wherever they begin, ever hold more than the limit.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from itertools import accumulate
from typing import Literal

import msgspec

WINDOW = 60.0
MOST_SLOTS = 4096
# The grid on which a crowded bucket merges its takes: 29 ms, and exact as a binary fraction.
STEP = WINDOW / (MOST_SLOTS // 2)
# No figure counts for more than this, so that no sum leaves 64 bits.
MOST = 2**40
# Nobody can tell when a running call will end; this is when asking again is no nuisance.
CONCURRENCY_WAIT = 1.0

Which = Literal["rpm", "tpm", "tpm_too_large", "concurrency", "address", "addresses"]


class Refusal(msgspec.Struct, frozen=True):
    """Which limit refused a call, its figure, and the seconds to wait; None: waiting is no help."""

    which: Which
    limit: int
    wait: float | None


class Ticket(msgspec.Struct, gc=False):
    """What an admitted call holds: the take that its settlement corrects, if tokens are limited."""

    bucket: Bucket | None = None
    ends: float = -math.inf
    tokens: int = 0


class Bucket:
    """A rolling minute of takes, each of which comes back exactly 60 s after it was made.

    A take is a slot: the moment it ends and its amount, in two arrays sorted by that moment. Takes
    of the same moment share a slot. No more than MOST_SLOTS are kept: when one more is needed,
    those that end within the same STEP become one that ends when the LATEST of them does. That is
    the careful side: a merged take comes back up to 29 ms late, never early. It happens only to a
    bucket with more than MOST_SLOTS takes in a minute, and no take ever leaves its step. A take is
    always within the first slot that ends no sooner than it did: so a correction finds it.

    `now` is in seconds and should not fall. Where it does, a take counts as made no sooner than
    the last one was, and no sooner than the last one came back. Amounts are never negative.
    """

    __slots__ = ("_amounts", "_ends", "_gone", "_limit", "_used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._gone = -math.inf  # the end of the last slot that came back
        self._ends = array("d")
        self._amounts = array("q")

    @property
    def limit(self) -> int:
        """The most that any minute may hold. It may be changed at any time: the takes remain."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = min(max(limit, 0), MOST)

    def room(self, now: float) -> int:
        """What could be taken now; negative when corrections or a new limit went beyond it."""
        ends = self._ends
        if ends and ends[0] <= now:
            self._expire(now)
        return self._limit - self._used

    def take(self, now: float, amount: int) -> bool:
        """Take all of `amount`, or nothing."""
        if self.room(now) < amount:
            return False
        self.put(now, amount)
        return True

    def reserve(self, now: float, amount: int) -> Ticket | None:
        """Take all of `amount`, with a ticket to correct it by, or nothing."""
        ends = self._ends
        if ends and ends[0] <= now:
            self._expire(now)
        if self._limit - self._used < amount:
            return None
        return Ticket(self, self.put(now, amount), amount)

    def put(self, now: float, amount: int) -> float:
        """Count `amount`, for which `room` has just been found; return when it ends."""
        end = (now if now > self._gone else self._gone) + WINDOW
        ends = self._ends
        self._used += amount
        if ends and end <= ends[-1]:  # the clock stood still or went back
            self._amounts[-1] += amount
            return ends[-1]
        if len(ends) >= MOST_SLOTS:
            self._merge()
        self._ends.append(end)
        self._amounts.append(amount)
        return end

    def correct(self, ticket: Ticket, actual: int) -> None:
        """Let the take behind `ticket` have been of `actual`; nothing if it has come back.

        Less gives room at once. More counts from when the take was made, and may leave less than
        no room. A ticket may be corrected again: it remembers what it stands for.
        """
        actual = min(max(actual, 0), MOST)
        more = actual - ticket.tokens
        if more == 0 or ticket.ends <= self._gone:
            return
        ticket.tokens = actual
        self._amounts[bisect_left(self._ends, ticket.ends)] += more
        self._used += more

    def wait(self, now: float, amount: int) -> float:
        """Seconds until `amount` fits, if nothing else is taken; infinite when it never will."""
        if amount > self._limit:
            return math.inf
        lacking = amount - self.room(now)
        if lacking <= 0:
            return 0.0
        freed = zip(self._ends, accumulate(self._amounts), strict=True)
        return next(end for end, total in freed if total >= lacking) - now

    def reset(self, now: float) -> float:
        """Seconds until all of the limit is there again."""
        return self.standing(now)[2]

    def standing(self, now: float) -> tuple[int, int, float]:
        """Its limit, what could be taken now, and the seconds until all of it is there again."""
        limit, room = self._limit, self.room(now)
        if room == limit:
            return limit, room, 0.0
        slot = len(self._amounts) - 1
        while not self._amounts[slot]:  # corrected to nothing
            slot -= 1
        return limit, room, self._ends[slot] - now

    def _expire(self, now: float) -> None:
        ends, amounts = self._ends, self._amounts
        if len(ends) == 1 or ends[1] > now:  # what a busy bucket does at every call
            count = 1
            self._used -= amounts[0]
        else:
            count = bisect_right(ends, now)
            self._used -= sum(amounts[:count])
        self._gone = ends[count - 1]
        del ends[:count]
        del amounts[:count]

    def _merge(self) -> None:
        """Halve the slots at least: they all end within one minute, which has 2,048 steps."""
        ends, amounts = array("d"), array("q")
        last = None
        for end, amount in zip(self._ends, self._amounts, strict=True):
            step = math.floor(end / STEP)
            if step == last:
                ends[-1] = end
                amounts[-1] += amount
            else:
                ends.append(end)
                amounts.append(amount)
                last = step
        self._ends, self._amounts = ends, amounts


class Gauge:
    """How many calls run at once. It also counts where nothing is limited: a limit may come."""

    __slots__ = ("count", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.count = 0

    def enter(self) -> bool:
        """Count one more, unless the limit is reached."""
        if self.limit is not None and self.count >= self.limit:
            return False
        self.count += 1
        return True

    def leave(self) -> None:
        """One that had entered has ended."""
        if self.count > 0:
            self.count -= 1


class Limits:
    """What one key may do: requests and tokens a minute, calls at once. None is no limit."""

    __slots__ = ("__weakref__", "any", "concurrency", "rpm", "tpm")

    def __init__(
        self, rpm: int | None = None, tpm: int | None = None, concurrency: int | None = None
    ) -> None:
        self.rpm = None if rpm is None else Bucket(rpm)
        self.tpm = None if tpm is None else Bucket(tpm)
        self.concurrency = Gauge(concurrency)
        self.any = (rpm, tpm, concurrency) != (None, None, None)  # whether anything is limited

    def change(self, rpm: int | None, tpm: int | None, concurrency: int | None) -> None:
        """Set other limits and keep what has been counted under those that stay."""
        self.rpm = _changed(self.rpm, rpm)
        self.tpm = _changed(self.tpm, tpm)
        self.concurrency.limit = concurrency
        self.any = (rpm, tpm, concurrency) != (None, None, None)

    def idle(self, now: float) -> bool:
        """True when nothing is open or remembered: such limits can be forgotten and made anew."""
        if self.concurrency.count:
            return False
        return all(b is None or b.room(now) >= b.limit for b in (self.rpm, self.tpm))

    def admit(self, now: float, tokens: int) -> Ticket | Refusal:
        """Count a call estimated at `tokens` against every limit, or against none of them.

        Whoever is admitted calls `release` once, when the call is over, and `settle` when its
        tokens are known.
        """
        rpm, tpm, running = self.rpm, self.tpm, self.concurrency
        if running.limit is not None and running.count >= running.limit:
            return self.refusal(now, tokens)
        if rpm is None or rpm.room(now) > 0:
            ticket = Ticket() if tpm is None else tpm.reserve(now, tokens)
            if ticket is not None:
                running.count += 1
                if rpm is not None:
                    rpm.put(now, 1)
                return ticket
        return self.refusal(now, tokens)

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """Put what the call really used in place of its estimate."""
        bucket = ticket.bucket  # its own: the limit may have been lifted and set anew since
        if bucket is not None:
            bucket.correct(ticket, tokens)

    def release(self) -> None:
        """An admitted call is over."""
        running = self.concurrency
        if running.count > 0:
            running.count -= 1

    def refusal(self, now: float, tokens: int) -> Refusal:
        """Say why: first what no waiting mends, then what holds longest."""
        rpm, tpm, running = self.rpm, self.tpm, self.concurrency
        if tpm is not None and tokens > tpm.limit:
            return Refusal("tpm_too_large", tpm.limit, None)
        if running.limit is not None and running.count >= running.limit:
            wait = CONCURRENCY_WAIT if running.limit > 0 else None
            return Refusal("concurrency", running.limit, wait)
        requests = 0.0 if rpm is None else rpm.wait(now, 1)
        if tpm is not None:
            wait = tpm.wait(now, tokens)
            if wait > requests:
                return Refusal("tpm", tpm.limit, wait)
        assert rpm is not None
        return Refusal("rpm", rpm.limit, _finite(requests))


def headers(limits: Limits, now: float) -> tuple[tuple[str, str], ...]:
    """OpenAI's `x-ratelimit-*` headers, for those of the limits that are set."""
    rpm, tpm = limits.rpm, limits.tpm
    if rpm is None:
        return () if tpm is None else _headers(_TOKENS, tpm, now)
    if tpm is None:
        return _headers(_REQUESTS, rpm, now)
    return _headers(_REQUESTS, rpm, now) + _headers(_TOKENS, tpm, now)


def duration(seconds: float) -> str:
    """A time to wait as OpenAI writes it: `0s`, `20ms`, `1.234s`, `6m0s`; rounded up."""
    # A microsecond less: the difference of two moments is off by some trillionths.
    milliseconds = math.ceil(seconds * 1000 - 0.001)
    if milliseconds == 60_000:  # what every call hears that has just been counted
        return "1m0s"
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{minutes}m{milliseconds / 1000:g}s"


class AddressLimits:
    """The requests a minute of each address without a key, in bounded memory.

    At most `most` addresses are remembered. Those that have all their limit again are forgotten,
    since that loses nothing. When there is none such, a new address is refused: if it took an
    active one's place, a flood of addresses would give everyone their limit anew.
    """

    __slots__ = ("_buckets", "limit", "most")

    def __init__(self, limit: int, most: int = 100_000) -> None:
        self.limit = limit
        self.most = most
        # In the order of their last takes, so that the first is the first to be full again.
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, now: float, key: str) -> Refusal | None:
        """Count a request of the address (an `address_key`); None admits it."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._admit_new(now, key)
        bucket.limit = self.limit
        if not bucket.take(now, 1):
            return Refusal("address", self.limit, _finite(bucket.wait(now, 1)))
        self._buckets.move_to_end(key)
        return None

    def _admit_new(self, now: float, key: str) -> Refusal | None:
        wait = self._make_room(now)
        if wait > 0:
            return Refusal("addresses", self.most, wait)
        bucket = Bucket(self.limit)
        if not bucket.take(now, 1):
            return Refusal("address", self.limit, None)
        self._buckets[key] = bucket
        return None

    def _make_room(self, now: float) -> float:
        """Forget up to two idle addresses; return the seconds until there is a free place.

        Two for each that comes: so the table shrinks again after a flood, at no one's cost.
        """
        for _ in range(2):
            if not self._buckets:
                break
            oldest = next(iter(self._buckets))
            wait = self._buckets[oldest].reset(now)
            if wait > 0:
                return wait if len(self._buckets) >= self.most else 0.0
            del self._buckets[oldest]
        return 0.0


def address_key(text: str) -> str | None:
    """What an address counts by: an IPv4 itself, an IPv6 its /64; None for what is no address.

    A subscriber has a whole /64 of addresses, so a limit for each of them would be none.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


_REQUESTS = tuple(f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset"))
_TOKENS = tuple(f"x-ratelimit-{what}-tokens" for what in ("limit", "remaining", "reset"))


def _headers(names: tuple[str, ...], bucket: Bucket, now: float) -> tuple[tuple[str, str], ...]:
    limit, room, reset = bucket.standing(now)
    left = str(room) if room > 0 else "0"
    return (names[0], str(limit)), (names[1], left), (names[2], duration(reset))


def _changed(bucket: Bucket | None, limit: int | None) -> Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return Bucket(limit)
    bucket.limit = limit
    return bucket


def _finite(wait: float) -> float | None:
    return None if wait == math.inf else wait
