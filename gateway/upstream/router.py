"""Which upstream serves a URL: the network for http and https, the simulator for sim."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.upstream.client import HttpUpstream
from gateway.upstream.sim import SimUpstream


class Upstreams(HttpUpstream):
    """Implements `ports.Upstream` by the URL's scheme; websockets are to be had over the network
    alone."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._played = SimUpstream()
        super().__init__(environ, self._played)

    async def close(self) -> None:
        """Close both."""
        await super().close()
        await self._played.close()
