"""What differs between the two places that serve the same models over the same wire."""

from __future__ import annotations

import re

from msgspec import Struct

FAMILY = "generate"
# Models before the third generation take a budget of thinking, later ones a level.
_GENERATION = re.compile(r"gemini-(\d{1,3})(?:\.(\d{1,3}))?")


class Home(Struct, frozen=True):
    """`ids`: calls of tools carry ids. `named`: files may carry a name. `tier`: as a member."""

    ids: bool
    named: bool
    tier: bool


STUDIO = Home(ids=True, named=False, tier=True)
CLOUD = Home(ids=False, named=True, tier=False)


def generation(model: str) -> tuple[int, int]:
    """A model's generation, as (3, 1); (0, 0) for models that are no Gemini."""
    found = _GENERATION.search(model)
    if found:
        return int(found[1]), int(found[2] or 0)
    # Names such as gemini-flash-latest stand for the newest.
    return (3, 0) if "gemini" in model and model.endswith("-latest") else (0, 0)


def last_segment(model: str) -> str:
    """`publishers/google/models/x` and `models/x` are both x."""
    return model.rpartition("/")[2]
