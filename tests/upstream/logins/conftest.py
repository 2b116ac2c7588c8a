"""A web whose answers are laid ready, and the logins that ask it."""

from __future__ import annotations

import pytest

from gateway.upstream.logins import Logins
from tests.upstream.logins.ready import Web


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
async def kept(web: Web):
    made = Logins(lambda: web)
    yield made
    await made.close()
