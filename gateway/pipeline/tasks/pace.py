"""How often tasks are asked for, and for how long. Seconds, but for what says otherwise."""

from __future__ import annotations

from msgspec import Struct

from gateway.domain import Timeouts

_DAY = 86_400.0


class Pace(Struct, frozen=True):
    """Waits grow by a half from the first to the longest; a tenth of each is left to chance."""

    first: float = 2.0
    longest: float = 30.0
    soon: float = 0.2  # a step that the provider's answer has asked for at once
    lazily: float = 1.0  # a client who asks brings a task's next step forward, but no more often
    patience: float = 2.0  # how long such a client waits for it
    deadline: float = 3_600.0
    grace: float = 30.0  # after a start, before a deadline that has passed meanwhile counts
    fetching: float = 900.0  # past the deadline, for the file of one that has succeeded
    storage: float = 1.0  # before storage that has failed is tried again
    sweep: float = 60.0
    at_once: int = 16  # tasks of a provider that are asked for at the same time
    kept: float = _DAY  # a file
    remembered: float = 30 * _DAY  # a task without a file
    webhooks: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 3_600.0)  # before each further try
    asking: Timeouts = Timeouts(connect=10, first_byte=60, idle=30, total=300)

    def next(self, wait: float, chance: float) -> tuple[float, float]:
        """The wait after this one, and how long that is with its part of chance (0 to 1)."""
        longer = min(self.longest, max(wait, self.first) * 1.5)
        return longer, longer * (0.9 + 0.2 * chance)
