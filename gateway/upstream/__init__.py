"""The lean HTTP/1.1 client on the hot path, and the offline simulator behind the same port."""

from gateway.upstream.client import Counts, HttpUpstream
from gateway.upstream.router import Upstreams
from gateway.upstream.sim import SimUpstream

__all__ = ["Counts", "HttpUpstream", "SimUpstream", "Upstreams"]
