"""Which upstream serves a URL: the network for http and https, the simulator for sim."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from gateway.domain import Channel, UpstreamRequest
from gateway.ports import Declined, Socket, UpstreamReply
from gateway.upstream.client import Counts, HttpUpstream
from gateway.upstream.sim import SimUpstream


class Upstreams:
    """Implements `ports.Upstream` by the URL's scheme."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._http = HttpUpstream(environ)
        self._sim = SimUpstream()

    def send(self, request: UpstreamRequest, channel: Channel) -> Awaitable[UpstreamReply]:
        """Hand the request to the upstream of its scheme."""
        if request.url.startswith("sim:"):
            return self._sim.send(request, channel)
        return self._http.send(request, channel)

    def connect(self, request: UpstreamRequest, channel: Channel) -> Awaitable[Socket | Declined]:
        """Open a websocket; they are to be had over the network alone."""
        return self._http.connect(request, channel)

    async def close(self) -> None:
        """Close both."""
        await self._http.close()
        await self._sim.close()

    def stats(self) -> dict[str, Counts]:
        """The connections of each provider."""
        return self._http.stats()
