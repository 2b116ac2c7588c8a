"""What metrics and the log tell of credentials and routes that rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from gateway.core.routing.pool import Change
from gateway.observe.health import Health
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.pipeline.probing import Prober, Told
from gateway.pipeline.routing import Routing
from gateway.ports import Clock

Series = Iterable[tuple[Mapping[str, str], float]]

# Somebody must do something about these: they do not pass by themselves.
_ALARMING = frozenset({"refused", "exhausted", "forbidden"})


_EVENTS = {"open": "rests", "half_open": "may_be_tried"}
_LEVELS = {"ok": "info", "failed": "warning", "refused": "error"}


class ProbeWatch:
    """Counts what providers answered to questions beside the calls, and writes down what is new."""

    def __init__(self, prober: Prober, log: Log, health: Health) -> None:
        self._prober = prober
        self._log = log
        self._health = health
        prober.on_told = self.told

    def register(self, metrics: Metrics) -> None:
        """Show the figures."""
        metrics.gauge(
            "gateway_probes", "Answers to probes since the start, by outcome.", self._counted
        )

    def told(self, provider: str, told: Told) -> None:
        """A provider has answered, or has not."""
        self._health.probed(provider, told.said == "ok", told.at)
        if told.news:
            self._log.event(
                _LEVELS[told.said],
                "probed",
                provider=provider,
                credential=told.credential,
                outcome=told.said,
                status=told.status,
            )

    def _counted(self) -> Series:
        for (provider, credential, said), count in self._prober.counts.items():
            yield {"provider": provider, "credential": credential, "outcome": said}, count


class PoolWatch:
    """Counts every opening of a breaker, and writes down what an operator should know."""

    def __init__(self, routing: Routing, log: Log, clock: Clock) -> None:
        self._routing = routing
        self._log = log
        self._clock = clock
        self._openings: Counter[tuple[str, str, str]] = Counter()
        routing.on_change = self.changed

    def register(self, metrics: Metrics) -> None:
        """Show the figures."""
        metrics.gauge(
            "gateway_credentials_resting",
            "Credentials that are kept out, by why; refused and exhausted need an operator.",
            self._resting,
        )
        metrics.gauge(
            "gateway_breaker_openings", "Openings of breakers since the start.", self._counted
        )

    def changed(self, provider: str, change: Change) -> None:
        """A breaker has opened or closed."""
        opened = change.phase == "open"
        if opened:
            self._openings[provider, change.credential, change.why] += 1
        alarming = change.why in _ALARMING
        self._log.event(
            "error" if opened and alarming else "warning" if opened else "info",
            _EVENTS.get(change.phase, "is_back"),
            provider=provider,
            credential=change.credential,
            upstream=change.upstream,
            why=change.why,
            seconds=round(change.seconds, 1),
        )

    def _resting(self) -> Series:
        now = self._clock.monotonic()
        for provider, pool in self._routing.pools().items():
            for state in pool.states(now):
                if not state.upstream:
                    labels = {"provider": provider, "credential": state.credential}
                    away = state.phase in ("open", "half_open")
                    yield {**labels, "why": state.why if away else ""}, float(away)

    def _counted(self) -> Series:
        for (provider, credential, why), count in self._openings.items():
            yield {"provider": provider, "credential": credential, "why": why}, count
