"""How each provider has fared lately, from the calls that passed. No secrets.

What was asked beside the calls counts where no call has told, and lets a provider that was down
count as no more than degraded.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from gateway.errors import CLIENT_CLOSED
from gateway.pipeline.record import Record

_WINDOW = 50
_LEFT = CLIENT_CLOSED.status
_DOWN_AFTER = 3
_SAYS_NOTHING = frozenset({"rejected", "unknown"})

State = Literal["unknown", "up", "degraded", "down"]


class _Lately:
    __slots__ = ("last_cause", "last_failure", "last_success", "outcomes", "probe", "probed_at")

    def __init__(self) -> None:
        self.outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self.last_success: float | None = None
        self.last_failure: float | None = None
        self.last_cause = ""
        self.probe: bool | None = None
        self.probed_at = 0.0


class Health:
    """Recent outcomes by provider."""

    def __init__(self) -> None:
        self._providers: dict[str, _Lately] = {}

    def call(self, record: Record, now: float) -> None:
        """Note an outcome; a client's own mistake or departure says nothing of the provider.

        Tries that failed count as well, though another provider may have saved the call.
        """
        fault = record.fault
        left = record.status == _LEFT and fault is None
        if not (record.sent_upstream or left):
            return
        for one in record.tries if fault is None else record.tries[:-1]:
            if one["outcome"] not in _SAYS_NOTHING:
                self._failed(str(one["provider"]), str(one["cause"]), now)
        if fault is not None:
            if fault.kind.blame != "client" or fault.kind.status == 429:
                self._failed(record.provider, fault.cause, now)
            return
        if left:  # be it from one that hangs
            return
        lately = self._providers.get(record.provider) or self._of(record.provider)
        lately.outcomes.append(True)
        lately.last_success = now

    def probed(self, provider: str, good: bool, now: float) -> None:
        """Note what it said when it was asked beside the calls."""
        lately = self._of(provider)
        lately.probe, lately.probed_at = good, now

    def of(self, provider: str) -> dict[str, object]:
        """What /api/status says of a provider."""
        lately = self._providers.get(provider)
        if lately is None:
            return {"state": "unknown"}
        return {
            "state": _state(lately),
            "recent_calls": len(lately.outcomes),
            "recent_failures": lately.outcomes.count(False),
            "last_success_at": _seconds(lately.last_success),
            "last_failure_at": _seconds(lately.last_failure),
            "last_failure_cause": lately.last_cause or None,
        }

    def _failed(self, provider: str, cause: str, now: float) -> None:
        lately = self._of(provider)
        lately.outcomes.append(False)
        lately.last_failure, lately.last_cause = now, cause

    def _of(self, provider: str) -> _Lately:
        lately = self._providers.get(provider)
        if lately is None:
            lately = self._providers[provider] = _Lately()
        return lately


def _state(lately: _Lately) -> State:
    outcomes = lately.outcomes
    if not outcomes:
        return "up" if lately.probe else "down"
    tail = list(outcomes)[-_DOWN_AFTER:]
    if len(tail) == _DOWN_AFTER and not any(tail):
        answers = lately.probe and lately.probed_at > (lately.last_failure or 0.0)
        return "degraded" if answers else "down"
    return "degraded" if outcomes.count(False) * 10 > len(outcomes) else "up"


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
