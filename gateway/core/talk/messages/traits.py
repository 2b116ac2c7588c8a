"""What a model on the Messages wire takes, by its name; later rows are older models.

A name that no row knows counts as a present model that takes everything but what the newest alone
do. A route's option `max_output` overrules the ceiling that is known here.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct


class Traits(Struct, frozen=True):
    """`thinks` says how a model is told to think: as it sees fit, with a budget, or not at all."""

    max_output: int = 64_000
    thinks: Literal["adaptive", "budget", "never"] = "adaptive"
    sampling: bool = True
    xhigh: bool = False
    schema: bool = True


# Names come as they are or inside a longer id, with a date or a version behind them.
_ROWS: Final = tuple(
    (re.compile(pattern), traits)
    for pattern, traits in (
        (
            r"(?:opus-4-[78]|(?:sonnet|fable|opus)-5)(?!\d)",
            Traits(128_000, sampling=False, xhigh=True),
        ),
        (r"(?:opus|sonnet)-4-6(?!\d)", Traits(128_000)),
        (r"(?:opus|sonnet|haiku)-4-5(?!\d)", Traits(64_000, "budget")),
        (r"opus-4-1(?!\d)", Traits(32_000, "budget")),
        (r"sonnet-4(?:-0|-?@?\d{8}|@|$)", Traits(64_000, "budget", schema=False)),
        (r"opus-4(?:-0|-?@?\d{8}|@|$)", Traits(32_000, "budget", schema=False)),
        (r"3-7-sonnet", Traits(64_000, "budget", schema=False)),
        (r"3-5-(?:sonnet|haiku)", Traits(8_192, "never", schema=False)),
        (r"3-(?:haiku|sonnet|opus)|-2(?:\.|$)|instant", Traits(4_096, "never", schema=False)),
    )
)
_UNKNOWN: Final = Traits()


def traits_of(model: str) -> Traits:
    """What is known of a model by its upstream name."""
    for pattern, traits in _ROWS:
        if pattern.search(model):
            return traits
    return _UNKNOWN
